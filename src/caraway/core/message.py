"""The task message: one frozen, versioned envelope, readable in the SQS console.

``docs/message-format.md`` describes it for other languages. Arguments are kept as the JSON that
travels (see :mod:`caraway.core.codec`), so reading an envelope never builds a user's type.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from caraway.core.codec import canonical, dumps
from caraway.core.ids import derived_id
from caraway.exceptions import InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.requests.base import Json

VERSION: Final = 1
_SPARSE: Final = {
    "kwargs": {},
    "attempt": 0,
    "retries": 0,
    "headers": {},
    "link": (),
    "link_error": (),
}
"""Fields left out of the body when they hold these; None is always left out."""


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
        Arguments as JSON.
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
    ignore_result, soft_time_limit, time_limit
        The call's wish, None for the task's own (limits in seconds).
    group_id
        The message group, for FIFO queues.
    schedule, scheduled_time
        Name of the schedule entry and the time it was due, for messages from EventBridge.
    """

    id: str
    task: str
    args: tuple[Json, ...] = ()
    kwargs: Mapping[str, Json] = field(default_factory=dict)
    attempt: int = 0
    retries: int = 0
    root_id: str | None = None
    parent_id: str | None = None
    sent_at: datetime | None = None
    eta: datetime | None = None
    expires: datetime | None = None
    digest: str = ""
    headers: Mapping[str, Json] = field(default_factory=dict)
    link: tuple[Json, ...] = ()
    link_error: tuple[Json, ...] = ()
    ignore_result: bool | None = None
    soft_time_limit: float | None = None
    time_limit: float | None = None
    group_id: str | None = None
    schedule: str | None = None
    scheduled_time: datetime | None = None

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", digest_of(self.task, self.args, self.kwargs))

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

    def next_attempt(self, **changes: Any) -> Message:
        """Return the message of the attempt after this one."""
        return replace(self, attempt=self.attempt + 1, **changes)


_FIELDS: Final = tuple(Message.__dataclass_fields__)
_TIMES: Final = ("sent_at", "eta", "expires", "scheduled_time")
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
    "ignore_result": bool,
    "soft_time_limit": (int, float),
    "time_limit": (int, float),
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
    """Return a point in time from ISO 8601 text; without an offset it is UTC.

    Raises
    ------
    InvalidMessage
        If it is no time.
    """
    try:
        # fromisoformat of Python 3.10 does not know the "Z" that AWS writes.
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise InvalidMessage(f"{what}: {text!r} is not an ISO 8601 time") from error
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def parse_envelope(body: str) -> dict[str, Json]:
    """Return the JSON object of a message body, after a look at its version.

    Raises
    ------
    InvalidMessage
        If it is not a JSON object, or not of a version that this code knows.
    """
    try:
        envelope = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"the body is not JSON: {error}") from error
    if not isinstance(envelope, dict) or "caraway" not in envelope:
        raise InvalidMessage("the body is not a task message: it has no 'caraway' version")
    if type(envelope["caraway"]) is not int or envelope["caraway"] != VERSION:
        raise InvalidMessage(
            f"message version {envelope['caraway']!r} is not known here (this code reads "
            f"{VERSION}): deploy the workers before the producers"
        )
    return envelope


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
    if min(fields.get("attempt", 0), fields.get("retries", 0)) < 0:
        raise InvalidMessage("attempt and retries count from 0")
    return Message(**fields)


def _read_field(name: str, value: Json) -> Any:
    """Return one field as the message keeps it."""
    kind = _KINDS[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InvalidMessage(f"{name}: {value!r:.80} is not of the right type")
    if isinstance(value, str) and name in _TIMES:
        return read_time(value, name)
    return tuple(value) if isinstance(value, list) else value


def _occurrence_id(fields: Mapping[str, Any]) -> str:
    """Return the id of a schedule's occurrence; whole minutes, as EventBridge rules fire."""
    if "schedule" not in fields or "scheduled_time" not in fields:
        raise InvalidMessage("the message has neither an id nor a schedule with its time")
    due: datetime = (
        fields["scheduled_time"].astimezone(timezone.utc).replace(second=0, microsecond=0)
    )
    return derived_id("schedule", fields["schedule"], due.isoformat())
