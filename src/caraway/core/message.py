"""The task message: one frozen, versioned envelope, readable in the SQS console.

``docs/message-format.md`` describes it for other languages. Arguments are kept as the JSON that
travels (see :mod:`caraway.core.codec`), so reading an envelope never builds a user's type.
"""

from __future__ import annotations

import hashlib
from dataclasses import field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from caraway.core.codec import canonical, dumps
from caraway.core.envelope import VERSION
from caraway.core.fields import READERS, is_place
from caraway.core.ids import occurrence_id
from caraway.exceptions import EncodeError, InvalidMessage
from caraway.lean import dataclass, made

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.requests.base import Json

UNSENT: Final = -1
"""The attempt of a task that has failed without being sent: the one before the first."""
_SPARSE: Final = {
    "kwargs": {},
    "attempt": 0,
    "retries": 0,
    "headers": {},
    "stamps": {},
    "link": (),
    "link_error": (),
    "chain": (),
    "replaced_task_nesting": 0,
}
"""Fields left out of the body when they hold these, which are all false; None always is."""
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
    headers
        The caller's own, handed to ``self.request.headers``.
    stamps
        Names and values by which the task is found again; see :mod:`caraway.stamping`.
    link, link_error
        Signatures, as JSON, to send after success or after failure.
    chain
        Signatures, as JSON: the steps of its workflow that come after it, one after another.
    group, group_index, chord
        The group that it is a member of, and what happens when that is complete; see
        :class:`caraway.core.workflow.Place`.
    values
        ``{"group": id, "size": n}``: the results of that group come before its own arguments.
    added
        The id by which a member of the group has added it to its own place.
    replaced_at, replaced_task_nesting
        The attempt from which on the id is this task's, if it has replaced another one, and how
        many there were before it.
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
    when
        The entry's timing, in messages from EventBridge; see :mod:`caraway.core.occurrences`.
    digest
        :func:`digest_of` the first arguments; attempts keep it.
    """

    sparse: ClassVar[bool] = True

    id: str
    task: str
    args: tuple[Json, ...] = field(default_factory=tuple, repr=False)  # always written
    kwargs: Mapping[str, Json] = field(default_factory=dict, repr=False)
    attempt: int = 0
    retries: int = 0
    root_id: str | None = None
    parent_id: str | None = None
    sent_at: datetime | None = None
    eta: datetime | None = None
    expires: datetime | None = None
    headers: Mapping[str, Json] = field(default_factory=dict)
    stamps: Mapping[str, Json] = field(default_factory=dict)
    link: tuple[Json, ...] = field(default=(), repr=False)
    link_error: tuple[Json, ...] = field(default=(), repr=False)
    chain: tuple[Json, ...] = field(default=(), repr=False)
    group: str | None = None
    group_index: int | None = None
    chord: Mapping[str, Json] | None = field(default=None, repr=False)
    values: Mapping[str, Json] | None = field(default=None, repr=False)
    added: str | None = None
    replaced_at: int | None = None
    replaced_task_nesting: int = 0
    ignore_result: bool | None = None
    soft_time_limit: float | None = None
    time_limit: float | None = None
    serializer: str | None = None
    compression: str | None = None
    group_id: str | None = None
    schedule: str | None = None
    scheduled_time: datetime | None = None
    when: Mapping[str, Json] | None = None
    digest: str = ""

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
        for name, value in vars(self).items():  # without most that are: it is sparse
            kind = type(value)
            if kind is str:
                envelope[name] = value
            elif value is None or (not value and name in _SPARSE):
                continue
            elif kind is tuple:
                envelope[name] = list(value)
            else:
                envelope[name] = _text_of(value) if isinstance(value, datetime) else value
        return envelope

    def to_body(self) -> str:
        """Return the envelope as the text of an SQS message."""
        return dumps(self.to_json())

    def next_attempt(self) -> Message:
        """Return the message of the attempt after this one, which is no occurrence to be judged."""
        return replace(self, attempt=self.attempt + 1, when=None)

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
            name: _EMPTY.get(name) if value is None else READERS[name](name, value)
            for name, value in changes.items()
        }
        return replace(self, **fields)


_told: tuple[datetime | None, str] = (None, "")


def _text_of(time: datetime) -> str:
    """Return a time as text; that of the last one is kept, as calls of a group have one time."""
    global _told
    last, text = _told
    if last is not time:
        text = time.isoformat()
        _told = time, text
    return text


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
        name: READERS[name](name, value)
        for name, value in envelope.items()
        if value is not None and name in READERS
    }
    if "task" not in fields:
        raise InvalidMessage("the message names no task")
    if "id" not in fields:
        fields["id"] = _occurrence_id(fields)
    if "chord" in fields and not is_place(fields):
        raise InvalidMessage("chord: the message names no place in its group")
    fields.setdefault("args", ())
    fields.setdefault("kwargs", {})
    fields.setdefault("headers", {})
    fields.setdefault("stamps", {})
    message = made(Message, fields)
    try:
        message.__post_init__()
    except EncodeError as error:
        raise InvalidMessage(f"the arguments have no digest: {error}") from error
    return message


def _occurrence_id(fields: Mapping[str, Any]) -> str:
    """Return the id of a schedule's occurrence; whole minutes, as EventBridge rules fire."""
    if "schedule" not in fields or "scheduled_time" not in fields:
        raise InvalidMessage("the message has neither an id nor a schedule with its time")
    due: datetime = fields["scheduled_time"].replace(second=0, microsecond=0)
    return occurrence_id(fields["schedule"], due)
