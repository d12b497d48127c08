"""The fields of a message: what each may hold, and how it is read from JSON."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, TypeVar

from caraway.exceptions import ImproperlyConfigured, InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from caraway.requests.base import Json

T = TypeVar("T")

NAME_LIMIT: Final = 200
"""Longest id, task name or other name, in characters: ids are part of S3 keys (1,024 bytes)."""
COUNT_LIMIT: Final = 2**31


def read_time(text: str, what: str) -> datetime:
    """Return a point in time, in UTC, from ISO 8601 text; without an offset it is UTC already.

    Raises
    ------
    InvalidMessage
        If it is no time.
    """
    try:
        # fromisoformat of Python 3.10 does not know the "Z" that AWS writes.
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return time.astimezone(timezone.utc) if time.tzinfo else time.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError) as error:
        raise InvalidMessage(f"{what}: {text!r:.80} is not an ISO 8601 time") from error


def is_name(value: object) -> bool:
    """Say whether a value can be an id or a name: printable text of 1 to 200 characters."""
    return isinstance(value, str) and 0 < len(value) <= NAME_LIMIT and value.isprintable()


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < COUNT_LIMIT


def signature_fault(wire: Json) -> str | None:
    """Return what is wrong with a signature as JSON, or with one in it; None if it can be read.

    Whether each can be sent as it says, its queue and its other options, is found out then.
    """
    if not isinstance(wire, dict) or not is_name(wire.get("task")):
        return "expected a signature, an object that names its 'task'"
    for name, kind in (("args", list), ("kwargs", dict), ("options", dict)):
        if not isinstance(wire.get(name) or kind(), kind):
            return f"its {name!r} are not {'a list' if kind is list else 'an object'}"
    if not isinstance(wire.get("subtask_type"), str | None):
        return "its 'subtask_type' is no name"
    options = wire.get("options") or {}
    if not isinstance(options.get("headers") or {}, dict):
        return "its 'headers' are not an object"
    if not is_name(options.get("task_id", "any")):
        return "its 'task_id' is no name"
    if not isinstance(dict(_parts(wire)).get("tasks") or [], list):
        return "its tasks are not a list"
    links = [(name, options.get(name)) for name in ("link", "link_error")]
    for name, inner in [*links, *_parts(wire)]:
        several = inner if isinstance(inner, list) else [] if inner is None else [inner]
        if fault := _first_fault(several):
            return f"{name}: {fault}"
    return _replacing_fault(wire.get("replaces"))


def _first_fault(signatures: Iterable[Json]) -> str | None:
    return next(filter(None, map(signature_fault, signatures)), None)


def _replacing_fault(replaces: Json) -> str | None:
    """Return what is wrong with what a signature says of the task that it replaces."""
    if replaces is None:
        return None
    if not isinstance(replaces, dict) or not is_name(replaces.get("digest")):
        return "'replaces' is no object with a 'digest'"
    if not (_is_size(replaces.get("attempt")) and _is_size(replaces.get("nesting"))):
        return "'replaces' has no 'attempt' and 'nesting', counted from 0"
    return None


def _parts(wire: Json) -> list[tuple[str, Json]]:
    """Return what a canvas consists of, by the names of these; nothing for a call."""
    names = _PARTS.get(wire.get("subtask_type"), ())
    kwargs = wire.get("kwargs") or {}
    return [(name, kwargs.get(name)) for name in names]


_PARTS: Final[Mapping[Json, tuple[str, ...]]] = {
    "chain": ("tasks",),
    "group": ("tasks",),
    "chord": ("header", "body"),
}


def _chord_fault(chord: Json) -> str | None:
    """Return what is wrong with a chord and the places above it, None when they can be followed."""
    while chord is not None:
        up = chord.get("up") or {}
        if not _is_size(chord.get("size")) or not isinstance(chord.get("then"), list):
            return "expected an object with its 'size' and what comes 'then'"
        if fault := _first_fault(chord["then"]):
            return f"then: {fault}"
        if not isinstance(up, dict) or not isinstance(up.get("chord"), dict | None):
            return "expected an object as 'up'"
        chord = up.get("chord")
        if chord is not None and not is_place(up):
            return "'up' names no place in a group"
        if up.get("added") is not None and not is_name(up["added"]):
            return "'up' names no task as 'added'"
    return None


def is_place(fields: Mapping[str, Json]) -> bool:
    """Say whether fields name a group, and a place that the chord's size has."""
    index, size = fields.get("group_index"), fields["chord"].get("size")
    if not is_name(fields.get("group")) or not _is_size(index) or not _is_size(size):
        return False
    is_there: bool = index < size
    return is_there


def _values_fault(values: Json) -> str | None:
    if is_name(values.get("group")) and _is_size(values.get("size")):
        return None
    return "expected an object with a 'group' and its 'size'"


# -- how each field is read ------------------------------------------------------------------


def _of_kind(name: str, value: Any, *kinds: type) -> Any:
    """Return a value that is of one of these types."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        # Never the value: it may be the arguments of a sensitive task, and a reason is shown.
        raise InvalidMessage(f"{name}: a value of type {type(value).__name__} is not right here")
    return value


def _name(name: str, value: Any) -> str:
    if not is_name(value):
        _of_kind(name, value, str)
        raise InvalidMessage(f"{name}: not printable text of 1 to {NAME_LIMIT} characters")
    text: str = value
    return text


def _count(name: str, value: Any) -> int:
    if not _is_size(value):
        _of_kind(name, value, int)
        raise InvalidMessage(f"{name}: counts from 0, to {COUNT_LIMIT:,} at most")
    count: int = value
    return count


def _seconds(name: str, value: Any) -> float:
    seconds: float = _of_kind(name, value, int, float)
    if seconds <= 0:
        raise InvalidMessage(f"{name}: expected seconds above 0")
    return seconds


def _time(name: str, value: Any) -> datetime:
    return read_time(_of_kind(name, value, str), name)


def _truth(name: str, value: Any) -> bool:
    truth: bool = _of_kind(name, value, bool)
    return truth


def _items(name: str, value: Any) -> tuple[Json, ...]:
    return tuple(_of_kind(name, value, list))


def _object(name: str, value: Any) -> dict[str, Json]:
    fields: dict[str, Json] = _of_kind(name, value, dict)
    return fields


def _links(name: str, value: Any) -> tuple[Json, ...]:
    return _without_fault(name, _items(name, value), _first_fault)


def _chord(name: str, value: Any) -> dict[str, Json]:
    return _without_fault(name, _object(name, value), _chord_fault)


def _values(name: str, value: Any) -> dict[str, Json]:
    return _without_fault(name, _object(name, value), _values_fault)


def _without_fault(name: str, value: T, fault_of: Callable[[T], str | None]) -> T:
    if fault := fault_of(value):
        raise InvalidMessage(f"{name}: {fault}")
    return value


def _compression(name: str, value: Any) -> str:
    """Return the name; a worker that could not compress the next attempt must not run this one."""
    from caraway.core.compression import compression

    try:
        return compression(_name(name, value)).name
    except ImproperlyConfigured as error:
        raise InvalidMessage(f"compression: {error}") from error


READERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "task": _name,
    "id": _name,
    "args": _items,
    "kwargs": _object,
    "attempt": _count,
    "retries": _count,
    "headers": _object,
    "stamps": _object,
    "link": _links,
    "link_error": _links,
    "chain": _links,
    "group": _name,
    "group_index": _count,
    "chord": _chord,
    "values": _values,
    "added": _name,
    "replaced_at": _count,
    "replaced_task_nesting": _count,
    "ignore_result": _truth,
    "soft_time_limit": _seconds,
    "time_limit": _seconds,
    "serializer": _name,
    "compression": _compression,
    "schedule": _name,
    "digest": _name,
    "root_id": _name,
    "parent_id": _name,
    "group_id": _name,
    "sent_at": _time,
    "eta": _time,
    "expires": _time,
    "scheduled_time": _time,
    "when": _object,
}
"""What returns a field as the message keeps it, of the field's name and its JSON."""
