"""The fields of a message: what each may hold, and how it is read from JSON."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from caraway.exceptions import ImproperlyConfigured, InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.requests.base import Json

NAME_LIMIT: Final = 200
"""Longest id, task name or other name, in characters: ids are part of S3 keys (1,024 bytes)."""
COUNT_LIMIT: Final = 2**31
_TIMES: Final = ("sent_at", "eta", "expires", "scheduled_time")
_COUNTS: Final = ("attempt", "retries", "group_index", "replaced_at", "replaced_task_nesting")
_LIMITS: Final = ("soft_time_limit", "time_limit")
_LINKS: Final = ("link", "link_error", "chain")
_KINDS: Final[dict[str, type | tuple[type, ...]]] = {
    "task": str,
    "id": str,
    "args": list,
    "kwargs": dict,
    "attempt": int,
    "retries": int,
    "headers": dict,
    "stamps": dict,
    "link": list,
    "link_error": list,
    "chain": list,
    "group": str,
    "group_index": int,
    "chord": dict,
    "values": dict,
    "added": str,
    "replaced_at": int,
    "replaced_task_nesting": int,
    "ignore_result": bool,
    "soft_time_limit": (int, float),
    "time_limit": (int, float),
    "serializer": str,
    "compression": str,
    "schedule": str,
    "digest": str,
    "root_id": str,
    "parent_id": str,
    "group_id": str,
    "sent_at": str,
    "eta": str,
    "expires": str,
    "scheduled_time": str,
    "when": dict,
}


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
        if fault := next(filter(None, map(signature_fault, several)), None):
            return f"{name}: {fault}"
    return _replacing_fault(wire.get("replaces"))


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


def read_field(name: str, value: Any) -> Any:
    """Return one field as the message keeps it."""
    if not _is_of_kind(value, _KINDS[name]):
        # Never the value: it may be the arguments of a sensitive task, and a reason is shown.
        raise InvalidMessage(f"{name}: a value of type {type(value).__name__} is not right here")
    if name in _TIMES:
        return read_time(value, name)
    if isinstance(value, str) and not is_name(value):
        raise InvalidMessage(f"{name}: not printable text of 1 to {NAME_LIMIT} characters")
    if name in _COUNTS and not 0 <= value < COUNT_LIMIT:
        raise InvalidMessage(f"{name}: counts from 0, to {COUNT_LIMIT:,} at most")
    if name in _LIMITS and value <= 0:
        raise InvalidMessage(f"{name}: expected seconds above 0")
    if name == "compression":
        return _known_compression(value)
    if name in _OF_WORKFLOWS and (fault := _OF_WORKFLOWS[name](value)):
        raise InvalidMessage(f"{name}: {fault}")
    if name in _LINKS and (fault := next(filter(None, map(signature_fault, value)), None)):
        raise InvalidMessage(f"{name}: {fault}")
    return tuple(value) if isinstance(value, list) else value


def _chord_fault(chord: Json) -> str | None:
    """Return what is wrong with a chord and the places above it, None when they can be followed."""
    while chord is not None:
        up = chord.get("up") or {}
        if not _is_size(chord.get("size")) or not isinstance(chord.get("then"), list):
            return "expected an object with its 'size' and what comes 'then'"
        if fault := next(filter(None, map(signature_fault, chord["then"])), None):
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


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < COUNT_LIMIT


_OF_WORKFLOWS: Final = {"chord": _chord_fault, "values": _values_fault}


def _known_compression(name: str) -> str:
    """Return the name; a worker that could not compress the next attempt must not run this one."""
    from caraway.core.compression import compression

    try:
        return compression(name).name
    except ImproperlyConfigured as error:
        raise InvalidMessage(f"compression: {error}") from error


def _is_of_kind(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
