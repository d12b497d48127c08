"""Where a task stands in its workflow, as its record keeps it: for people who look at it.

Nothing is decided by it. A record keeps JSON, without what is empty::

    {"root": id, "parent": id, "values": [group, size], "chain": [step, ...],
     "group": id, "index": 7, "size": 100, "then": [step, ...], "up": {"group": ...}}

``size``, ``then`` and ``up`` are those of a chord: its members, the steps after it, and the place
of these. A step is ``[id, name]``, that of a group ``[id, null, size]``, and a number stands for
steps that are left out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from caraway.core.codec import dumps
from caraway.core.workflow import Call, Place, chain_of, then_of
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from caraway.core.message import Message
    from caraway.core.workflow import Steps
    from caraway.requests.base import Json

LIMIT_BYTES: Final = 500
"""What a place may take of a record: with it, that of a small task stays below 1 KB, which is what
DynamoDB bills a write for."""
_KEPT: Final = (4, 1, 0)
"""Steps that are listed before the last, in each list: as many as there is room for."""


@dataclass(frozen=True)
class Step:
    """A step that comes later: a task, or a group where ``size`` is given."""

    id: str
    name: str | None = None
    size: int | None = None


Later: TypeAlias = "tuple[Step | int, ...]"
"""Steps in order; a number stands for so many that the record does not list."""


@dataclass(frozen=True)
class Known:
    """What a record tells of its task's workflow.

    Attributes
    ----------
    root, parent
        The first task of the workflow and the task that has sent this one, where it is another.
    values
        The group whose values the task takes, and its size: it is the body of a chord.
    chain
        The steps after the task.
    level
        The group that it is a member of; None for none.
    """

    root: str | None = None
    parent: str | None = None
    values: tuple[str, int] | None = None
    chain: Later = ()
    level: Level | None = None


@dataclass(frozen=True)
class Level:
    """A group that a task is a member of; ``size`` is None where nobody waits for the group."""

    group: str
    index: int
    size: int | None = None
    then: Later = ()
    up: Level | None = None


# -- writing -------------------------------------------------------------------------------------


def text_of(message: Message) -> str | None:
    """Return what the record of a message's task keeps, None where it stands alone."""
    place = Place.of(message)
    if (message.parent_id, message.values, place.chain, place.group) == (None, None, (), None):
        return None
    for kept in _KEPT:
        text = dumps(_found(message, place, kept))
        if len(text.encode()) <= LIMIT_BYTES:
            return text
    return dumps(_found(message, Place(group=place.group, group_index=place.group_index), 0))


def _found(message: Message, place: Place, kept: int) -> dict[str, Json]:
    chain = chain_of(message) if place.chain else ()
    return {
        **({"root": message.root_id} if message.root_id not in (None, message.id) else {}),
        **({"parent": message.parent_id} if message.parent_id else {}),
        **({"values": [message.values["group"], message.values["size"]]} if message.values else {}),
        **({"chain": _listed(chain, kept)} if chain else {}),
        **_level(place, kept),
    }


def _level(place: Place, kept: int) -> dict[str, Json]:
    if place.group is None:
        return {}
    level: dict[str, Json] = {"group": place.group, "index": place.group_index or 0}
    if place.chord is None:
        return level
    level["size"] = place.chord["size"]
    if then := then_of(place):
        level["then"] = _listed(then, kept)
    if up := _level(Place.read(place.chord.get("up") or {}), kept):
        level["up"] = up
    return level


def _listed(steps: Steps[Json], kept: int) -> list[Json]:
    """Return the first steps and the last one, with how many there are between them."""
    between = max(0, len(steps) - kept - 1)
    first = [_step(step) for step in steps[: len(steps) - between - 1]]
    return [*first, *([between] if between else []), _step(steps[-1])]


def _step(step: Any) -> Json:
    if isinstance(step, Call):
        return [step.id, step.what["task"]]
    return [step.id, None, len(step.members)]


# -- reading -------------------------------------------------------------------------------------


def read(text: str | None) -> Known:
    """Return what a record tells; nothing where it keeps no place."""
    if not text:
        return Known()
    kept = json.loads(text)
    values = kept.get("values")
    return Known(
        kept.get("root"),
        kept.get("parent"),
        (values[0], values[1]) if values else None,
        _later(kept.get("chain") or ()),
        _read_level(kept),
    )


def _read_level(kept: Mapping[str, Json] | None) -> Level | None:
    if not kept or "group" not in kept:
        return None
    then, up = _later(kept.get("then") or ()), _read_level(kept.get("up"))
    return Level(kept["group"], kept["index"], kept.get("size"), then, up)


def _later(steps: Sequence[Json]) -> Later:
    return tuple(step if isinstance(step, int) else Step(*step) for step in steps)
