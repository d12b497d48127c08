"""What the nodes of a workflow are called, and how they are: words for all drawings."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Final

from caraway import states
from caraway.cli.output import duration
from caraway.core.errors import error_from_json
from caraway.core.record import DONE, FAILED, RUNNING, Record
from caraway.core.workflow_tree import Left, Many, Task
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.core.workflow_tree import Line, Node

WAITING: Final = "waiting"
NEVER: Final = "not run"
_WIDTH: Final = 100


@dataclass(frozen=True)
class Words:
    """A node in words.

    Attributes
    ----------
    state
        That of its record, of its members together, or why it has none.
    details
        Times, attempts and the error.
    """

    name: str
    state: str
    details: tuple[str, ...] = ()


def words_of(node: Node, before: Node | None) -> Words:
    """Return a node in words; ``before`` is the step that it comes after."""
    if isinstance(node, Left):
        return Words("..." if node.count == 1 else f"... {node.count:,} steps", WAITING)
    if isinstance(node, Many):
        return _words_of_group(node, before)
    name, record = node.name or "task", node.record
    if record is None or record.phase is None:
        return Words(name, _why_not(before))
    if record.is_unsent and isinstance(before, Task) and is_over(before):
        return Words(name, f"{NEVER}: {state_of(before)} before it")  # its error is that one's
    details = [*_times(record), *_attempts(record), *_error(record)]
    if node.unlisted:
        details.append(f"sent {node.unlisted:,} more tasks")
    return Words(name, state_of(node), tuple(details))


def _words_of_group(group: Many, before: Node | None) -> Words:
    size = "group" if group.size is None else f"group of {group.size:,}"
    if group.size and not any(begun(line) for line in group.members):
        return Words(size, _why_not(before))
    counts = [f"{number:,} {state}" for state, number in counted(group).items()]
    return Words(size, ", ".join(counts) or "none has begun")


def counted(group: Many) -> dict[str, int]:
    """Return how many members of a group are in which state; those that wait last."""
    counts = Counter(state_of_line(line) for line in group.members)
    waits = counts.pop(WAITING, 0)
    told = dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))
    if waits:
        told[WAITING] = waits
    if group.unread:
        told["not looked at"] = group.unread
    return told


def state_of(node: Node) -> str:
    """Return the state of a node: one of Celery's or the user's, or that it waits."""
    if isinstance(node, Left):
        return WAITING
    if isinstance(node, Many):
        return _together([state_of_line(line) for line in node.members], node.unread, node.size)
    record = node.record
    if record is None or record.phase is None:
        return WAITING
    if record.phase == RUNNING and record.state == states.PENDING:
        return states.STARTED  # track_started=False: the record knows it nevertheless
    return record.state


def state_of_line(line: Line) -> str:
    """Return the state of steps one after another: the last one's once all have succeeded."""
    for node in line:
        state = state_of(node)
        if state != states.SUCCESS:
            return states.STARTED if state == WAITING and node is not line[0] else state
    return states.SUCCESS


def _together(members: list[str], unread: int, size: int | None) -> str:
    for state in (states.FAILURE, states.REVOKED, states.MISSED):
        if state in members:
            return state
    if all(state == states.SUCCESS for state in members) and not unread and size is not None:
        return states.SUCCESS
    return WAITING if all(state == WAITING for state in members) else states.STARTED


def begun(line: Line) -> bool:
    """Say whether any step of a line has begun."""
    return state_of_line(line) != WAITING


def is_settled(line: Line) -> bool:
    """Say whether a line, and all that its tasks have sent, goes no further."""
    for node in line:
        inner = node.sent if isinstance(node, Task) else ()
        inner = node.members if isinstance(node, Many) else inner
        if not all(is_settled(each) for each in inner):
            return False
        if not isinstance(node, Many) and state_of(node) != states.SUCCESS:
            return is_over(node)  # what comes after a failure never begins
    return True


def is_over(node: Node) -> bool:
    """Say whether a node goes no further."""
    if isinstance(node, Task):
        return node.record is not None and node.record.phase in (DONE, FAILED)
    return state_of(node) in states.READY_STATES


def _why_not(before: Node | None) -> str:
    """Return why a step has not begun."""
    if before is None or state_of(before) == states.SUCCESS:
        return "sent, not begun"
    if isinstance(before, Left) or state_of(before) == WAITING:
        return WAITING
    if isinstance(before, Many) and before.size is not None:
        left = before.size - counted(before).get(states.SUCCESS, 0)
        return f"{WAITING} for {left:,} of {before.size:,}"
    if is_over(before):
        return f"{NEVER}: {state_of(before)} before it"
    name = before.name if isinstance(before, Task) else "the group"
    return f"{WAITING} for {name}"


def _times(record: Record) -> Iterator[str]:
    if record.started_at is None:
        return
    told = []
    if record.due_at is not None:
        told.append(f"queued {took(max(0.0, record.started_at - record.due_at))}")
    if record.done_at is not None:
        told.append(f"ran {took(max(0.0, record.done_at - record.started_at))}")
    if told:
        yield ", ".join(told)


def took(seconds: float) -> str:
    """Return a duration as a person says it: exact while it is short."""
    return f"{seconds:.3f} s" if seconds < 10 else duration(seconds)


def _attempts(record: Record) -> Iterator[str]:
    if record.started_at is not None and record.attempts > 1:
        yield f"{record.attempts} attempts"


def error_of(record: Record) -> str | None:
    """Return the error that a record keeps, in one line."""
    if record.state not in states.EXCEPTION_STATES or record.result is None:
        return None
    if not record.result.startswith("{"):  # compressed, or in S3
        return "its error is a long one: caraway result shows it"
    error = error_from_json(json.loads(record.result))
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _error(record: Record) -> Iterator[str]:
    error = error_of(record)
    if error is not None:
        yield error
