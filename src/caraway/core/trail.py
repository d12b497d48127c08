"""The trail of a task: what it has sent, and what its ending leads to, as its record keeps it.

A record keeps a JSON list of results as plain data: ``[[id, null], null]`` for a task,
``[[id, null], [...]]`` for a group, and a number in place of the list for a group whose members'
ids derive from its own. Of more than :data:`LIMIT` it keeps the number only: ``{"count": 1234}``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from caraway import states
from caraway.core.codec import dumps
from caraway.core.ids import derived_id, member_id
from caraway.core.workflow import Call, Group, chain_of, decided, steps_of
from caraway.exceptions import TrailTooLong

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.core.message import Message
    from caraway.requests.base import Json

LIMIT: Final = 100
"""Entries that a record lists: every write of it bills the whole item."""


@dataclass
class Trail:
    """What an attempt has sent so far.

    Attributes
    ----------
    entries
        The first of them, up to one more than a record lists.
    count
        How many there are.
    """

    entries: list[Json] = field(default_factory=list)
    count: int = 0

    def add(self, entry: Json) -> None:
        """Add a task or a group that was sent."""
        self.count += 1
        if len(self.entries) <= LIMIT:
            self.entries.append(entry)


def of_task(id: str) -> Json:
    """Return the entry of a task."""
    return [[id, None], None]


def of_group(id: str, members: Sequence[Json] | int) -> Json:
    """Return the entry of a group: its members' entries, or how many ids derive from its own."""
    return [[id, None], members if isinstance(members, int) else list(members)]


def led_to(message: Message, state: str) -> list[Json]:
    """Return the entries of what an ending leads to: a success's callbacks, and the next step."""
    if state != states.SUCCESS:
        return []
    following = [
        decided(steps_of(wire), derived_id(f"link:{index}", message.id))[-1:]
        for index, wire in enumerate(message.link)
    ]
    if message.chain:
        following.append(chain_of(message)[:1])
    return [of_step(step) for steps in following for step in steps]


def of_step(step: Call[Any] | Group[Any]) -> Json:
    """Return the entry of a step of a workflow, whose ids are decided."""
    if isinstance(step, Call):
        return of_task(step.id or "")
    id, last = step.id or "", [member[-1] for member in step.members]
    if all(isinstance(each, Call) and each.id == member_id(id, i) for i, each in enumerate(last)):
        return of_group(id, len(last))
    return of_group(id, [of_step(each) for each in last])


def text_of(sent: Trail, following: Sequence[Json]) -> str | None:
    """Return what a record keeps, None where nothing was sent."""
    count = sent.count + len(following)
    if count > LIMIT:
        return dumps({"count": count})
    return dumps([*sent.entries, *following]) if count else None


def count(text: str) -> int:
    """Return how many tasks and groups the record of a task says that it has sent."""
    kept = json.loads(text)
    return kept["count"] if isinstance(kept, dict) else len(kept)


def read(id: str, text: str | None) -> list[Json]:
    """Return the entries that the record of a task keeps.

    Raises
    ------
    TrailTooLong
        If it has sent more than a record lists.
    """
    kept = json.loads(text) if text else []
    if isinstance(kept, dict):
        raise TrailTooLong(
            f"task {id} has sent {kept['count']:,} tasks, and a record lists {LIMIT}: send them as "
            "one group to find them again"
        )
    entries: list[Json] = kept
    return entries
