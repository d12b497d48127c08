"""The task message: one frozen, versioned envelope, readable in the SQS console.

``docs/message-format.md`` describes it for other languages. Arguments are kept as the JSON that
travels (see :mod:`caraway.core.codec`), so reading an envelope never builds a user's type.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from caraway.core.codec import canonical, dumps
from caraway.core.ids import derived_id
from caraway.exceptions import EncodeError, ImproperlyConfigured, InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.requests.base import Json

VERSION: Final = 1
COMPRESSED_VERSION: Final = 2
"""Of an envelope whose content is compressed: code that knows version 1 only does not see it."""
NAME_LIMIT: Final = 200
"""Longest id, task name or other name, in characters: ids are part of S3 keys (1,024 bytes)."""
COUNT_LIMIT: Final = 2**31
DEPTH_LIMIT: Final = 500
"""Deepest nesting of a body: deeper data can be read, but not be written again."""
_SPARSE: Final = {
    "kwargs": {},
    "attempt": 0,
    "retries": 0,
    "headers": {},
    "link": (),
    "link_error": (),
    "chain": (),
}
"""Fields left out of the body when they hold these; None is always left out."""
_EMPTY: Final = {"args": (), **_SPARSE}


def digest_of(task: str, args: Json, kwargs: Json) -> str:
    """Return the fingerprint of a task's name and first arguments: 32 hexadecimal digits."""
    return hashlib.sha256(canonical([task, list(args), kwargs])).hexdigest()[:32]


@dataclass(frozen=True)
class Message:
    """A task to run, as it travels.

    Attributes
    ----------
    id
        The task's id; the same in every attempt.
    task
        The task's name.
    args, kwargs
        Arguments as JSON; no ``repr`` shows them, as those of a task may be sensitive.
    attempt
        Which attempt this message asks for, from 0; retries and redrives count it up.
    retries
        Retries already made; a redrive begins again at 0.
    root_id, parent_id
        The first task of the workflow, and the task that sent this one.
    sent_at
        When the task was first sent; attempts keep it.
    eta, expires
        Not to be run before; not to be started after.
    digest
        :func:`digest_of` the first arguments; attempts keep it.
    headers
        The caller's own, handed to ``self.request.headers``.
    link, link_error
        Signatures, as JSON, to send after success or after failure.
    chain
        Signatures, as JSON: the steps of its workflow that come after it, one after another.
    group, group_index, chord
        The group that it is a member of, and what happens when that is complete; see
        :class:`caraway.core.workflow.Place`.
    values
        ``{"group": id, "size": n}``: the results of that group come before its own arguments.
    ignore_result, soft_time_limit, time_limit
        The call's wish, None for the task's own (limits in seconds).
    serializer
        What writes other arguments of a retry, None for JSON.
    compression
        How a large body is compressed, None for not at all.
    group_id
        The message group: on FIFO queues the order's, on standard ones the tenant's.
    schedule, scheduled_time
        Name of the schedule entry and the time it was due, for messages from EventBridge.
    """

    id: str
    task: str
    args: tuple[Json, ...] = field(default=(), repr=False)
    kwargs: Mapping[str, Json] = field(default_factory=dict, repr=False)
    attempt: int = 0
    retries: int = 0
    root_id: str | None = None
    parent_id: str | None = None
    sent_at: datetime | None = None
    eta: datetime | None = None
    expires: datetime | None = None
    digest: str = ""
    headers: Mapping[str, Json] = field(default_factory=dict)
    link: tuple[Json, ...] = field(default=(), repr=False)
    link_error: tuple[Json, ...] = field(default=(), repr=False)
    chain: tuple[Json, ...] = field(default=(), repr=False)
    group: str | None = None
    group_index: int | None = None
    chord: Mapping[str, Json] | None = field(default=None, repr=False)
    values: Mapping[str, Json] | None = field(default=None, repr=False)
    ignore_result: bool | None = None
    soft_time_limit: float | None = None
    time_limit: float | None = None
    serializer: str | None = None
    compression: str | None = None
    group_id: str | None = None
    schedule: str | None = None
    scheduled_time: datetime | None = None

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", digest_of(self.task, self.args, self.kwargs))

    @property
    def asked_for_s(self) -> float | None:
        """When it was sent or is due, the later one, in seconds since the epoch, if known."""
        times = (self.sent_at or self.scheduled_time, self.eta)
        return max((time.timestamp() for time in times if time is not None), default=None)

    def to_json(self) -> dict[str, Json]:
        """Return the envelope as JSON data, without what is at its default."""
        envelope: dict[str, Json] = {"caraway": VERSION}
        for name in _FIELDS:
            value = getattr(self, name)
            if value is None or (name in _SPARSE and value == _SPARSE[name]):
                continue
            if isinstance(value, datetime):
                value = value.isoformat()
            elif isinstance(value, tuple):
                value = list(value)
            envelope[name] = value
        return envelope

    def to_body(self) -> str:
        """Return the envelope as the text of an SQS message."""
        return dumps(self.to_json())

    def next_attempt(self) -> Message:
        """Return the message of the attempt after this one."""
        return replace(self, attempt=self.attempt + 1)

    def changeable(self) -> dict[str, Json]:
        """Return all that a retry can change, as :meth:`changed` takes it."""
        envelope = self.to_json()
        return {name: envelope.get(name) for name in sorted(_CHANGEABLE)}

    def changed(self, changes: Mapping[str, Json]) -> Message:
        """Return the message with the changes of a retry; None takes a field back to its default.

        Raises
        ------
        InvalidMessage
            If a retry cannot change a field, or a value is not of the field's type.
        """
        fixed = sorted(set(changes) - _CHANGEABLE)
        if fixed:
            raise InvalidMessage(f"a retry cannot change {', '.join(fixed)} of the message")
        fields: dict[str, Any] = {
            name: _EMPTY.get(name) if value is None else _read_field(name, value)
            for name, value in changes.items()
        }
        return replace(self, **fields)


_VERSIONS: Final = (VERSION, COMPRESSED_VERSION)
_FIELDS: Final = tuple(Message.__dataclass_fields__)
_TIMES: Final = ("sent_at", "eta", "expires", "scheduled_time")
_CHANGEABLE: Final = frozenset(
    {
        "args",
        "compression",
        "eta",
        "expires",
        "headers",
        "ignore_result",
        "kwargs",
        "link",
        "link_error",
        "retries",
        "serializer",
        "soft_time_limit",
        "time_limit",
        "values",
    }
)
_COUNTS: Final = ("attempt", "retries", "group_index")
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
    "link": list,
    "link_error": list,
    "chain": list,
    "group": str,
    "group_index": int,
    "chord": dict,
    "values": dict,
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
    """Return what is wrong with a signature as JSON, None when it can be sent."""
    if not isinstance(wire, dict) or not is_name(wire.get("task")):
        return "expected a signature, an object that names its 'task'"
    for name, kind in (("args", list), ("kwargs", dict), ("options", dict)):
        if not isinstance(wire.get(name) or kind(), kind):
            return f"its {name!r} are not {'a list' if kind is list else 'an object'}"
    return None


def parse_envelope(body: str) -> dict[str, Json]:
    """Return the JSON object of a message body, after a look at its version.

    Raises
    ------
    InvalidMessage
        If it is not a JSON object, or not of a version that this code knows.
    """
    try:
        envelope = _decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"the body is not JSON: {error}") from error
    if body.count("[") + body.count("{") > DEPTH_LIMIT and _is_deep(envelope):
        raise InvalidMessage(f"the body is nested deeper than {DEPTH_LIMIT} levels")
    if not isinstance(envelope, dict) or "caraway" not in envelope:
        raise InvalidMessage("the body is not a task message: it has no 'caraway' version")
    if type(envelope["caraway"]) is not int or envelope["caraway"] not in _VERSIONS:
        raise InvalidMessage(
            f"message version {envelope['caraway']!r:.80} is not known here (this code reads "
            f"{VERSION} and {COMPRESSED_VERSION}): deploy the workers before the producers"
        )
    return envelope


def _finite(text: str) -> float:
    if math.isfinite(value := float(text)):
        return value
    raise ValueError(f"{text:.80} is no JSON number")


# Python reads NaN and 1e999, which no JSON can carry on.
_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def _is_deep(data: Json) -> bool:
    """Say whether data is nested deeper than the limit; level by level, without recursion."""
    level = [data]
    for _ in range(DEPTH_LIMIT):
        inner = [each.values() if isinstance(each, dict) else each for each in level]
        level = [child for each in inner for child in each if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def read_message(envelope: Mapping[str, Json]) -> Message:
    """Return the message of an envelope; unknown fields are a newer producer's and are ignored.

    A message from EventBridge has a schedule's name and time instead of an id: the id derives from
    these, so that an occurrence that is fired twice is one task.

    Raises
    ------
    InvalidMessage
        If a field is missing or is not of its type.
    """
    fields = {
        name: _read_field(name, envelope[name])
        for name in _FIELDS
        if envelope.get(name) is not None
    }
    if "task" not in fields:
        raise InvalidMessage("the message names no task")
    if "id" not in fields:
        fields["id"] = _occurrence_id(fields)
    if "chord" in fields and not _is_place(fields):
        raise InvalidMessage("chord: the message names no place in its group")
    try:
        return Message(**fields)
    except EncodeError as error:
        raise InvalidMessage(f"the arguments have no digest: {error}") from error


def _read_field(name: str, value: Any) -> Any:
    """Return one field as the message keeps it."""
    if not _is_of_kind(value, _KINDS[name]):
        raise InvalidMessage(f"{name}: {value!r:.80} is not of the right type")
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
        if chord is not None and not _is_place(up):
            return "'up' names no place in a group"
    return None


def _is_place(fields: Mapping[str, Json]) -> bool:
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


def _occurrence_id(fields: Mapping[str, Any]) -> str:
    """Return the id of a schedule's occurrence; whole minutes, as EventBridge rules fire."""
    if "schedule" not in fields or "scheduled_time" not in fields:
        raise InvalidMessage("the message has neither an id nor a schedule with its time")
    due: datetime = fields["scheduled_time"].replace(second=0, microsecond=0)
    return derived_id("schedule", fields["schedule"], due.isoformat())
