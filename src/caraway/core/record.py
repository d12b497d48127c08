"""The task record: one DynamoDB item per task, as it is read and as an ending leaves it.

``phase`` is the state machine's (:mod:`caraway.core.transitions`), ``state`` is what users see.
``open_at`` is when a claim may take the record: the lease's end while running, 0 while it waits for
its next attempt, absent when done.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from caraway import states
from caraway.core.message import UNSENT
from caraway.lean import dataclass

if TYPE_CHECKING:
    from caraway.requests.items import Item

Phase: TypeAlias = Literal["running", "retry", "failed", "done"]
RUNNING: Final = "running"
RETRY: Final = "retry"
FAILED: Final = "failed"
DONE: Final = "done"

LAMBDA: Final = "lambda"
"""The door of an invocation, which hears of nothing while it runs a task."""

HORIZON_S: Final = 15 * 86_400
"""How long a record outlives its last write: longer than SQS keeps any message (14 days)."""

OF_AN_ENDING: Final = (
    "result",
    "traceback",
    "message",
    "children",
    "added",
    "done_at",
    "expires_at",
    "meta",
)
"""Attributes that only a task which has ended has."""


@dataclass(frozen=True)
class Record:
    """A record as it was read; without a phase there is none.

    Attributes
    ----------
    open_at
        Seconds since the epoch; None when nothing may claim it any more.
    lost
        Claims that ended without a finish, before the present one.
    retry
        What the attempt changes of the first message: retries, eta, args, kwargs. JSON text, or
        the ``s3://`` address of it, as are ``result``, ``message`` and ``meta``.
    place
        Where it stands in its workflow (:mod:`caraway.core.places`), JSON text.
    call
        What it was called with, and who runs it, where that is kept: args, kwargs and worker, JSON.
    due_at
        When the attempt was sent or due, the later one: it has waited since then.
    begun_at
        When an occurrence of a schedule was first claimed, where that decides whether it runs
        (:mod:`caraway.core.policies`).
    replaced
        The attempt from which on the id is another task's (:mod:`caraway.core.replacing`).
    """

    id: str = ""
    phase: Phase | None = None
    open_at: float | None = None
    attempt: int = 0
    token: str | None = None
    lost: int = 0
    revoked: str | None = None
    digest: str | None = None
    retry: str | None = None
    replaced: int | None = None
    state: str = states.PENDING
    task: str | None = None
    meta: str | None = None
    result: str | None = None
    traceback: str | None = None
    begun_at: float | None = None
    started_at: float | None = None
    done_at: float | None = None
    expires_at: float | None = None
    door: str | None = None
    queue: str | None = None
    message: str | None = None
    children: str | None = None
    added: str | None = None
    sensitive: bool = False
    place: str | None = None
    due_at: float | None = None
    call: str | None = None

    @classmethod
    def read(cls, item: Item) -> Record:
        """Return the record of an item; attributes that are none of its own are passed over."""
        return cls(**{name: value for name, value in item.items() if name in _RECORD_FIELDS})

    def is_hidden(self, now: float) -> bool:
        """Whether its result has expired or was forgotten; ``now`` in seconds since the epoch."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def attempts(self) -> int:
        """Attempts begun so far, retries included."""
        if self.phase is None:
            return 0
        return self.attempt if self.phase in (FAILED, RETRY) else self.attempt + 1

    @property
    def retries(self) -> int:
        """Attempts begun after the first."""
        return max(0, self.attempts - 1)

    @property
    def is_reopened(self) -> bool:
        """Whether it waits for the attempt of a replay: it still keeps the message then."""
        return self.phase == RETRY and self.message is not None

    @property
    def is_unsent(self) -> bool:
        """Whether it has failed without being sent, as what it waited for has."""
        return self.phase == FAILED and self.attempt == (self.replaced or UNSENT + 1)


_RECORD_FIELDS: Final = frozenset(Record.__dataclass_fields__)


@dataclass(frozen=True)
class Written:
    """The part of an ending that the record keeps.

    Attributes
    ----------
    state
        What users see.
    result
        JSON text or the address of it, None when there is nothing to keep.
    message
        The message of a task that failed, for a replay; likewise.
    children
        What the task has sent (:mod:`caraway.core.trail`), JSON text.
    added
        Ids of what it has added to its place in a chord; likewise as ``result``.
    sensitive
        True when it is not kept because the task is sensitive.
    """

    state: str
    result: str | None = None
    traceback: str | None = None
    message: str | None = None
    children: str | None = None
    added: str | None = None
    sensitive: bool | None = None

    def attributes(self) -> dict[str, Any]:
        """Return the attributes to set: those that hold something."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def missing(self) -> tuple[str, ...]:
        """Return the attributes to remove: what an earlier ending may have left."""
        return tuple(name for name in OF_AN_ENDING[:5] if getattr(self, name) is None)


def utc(at: float | None) -> datetime | None:
    """Return a record's time, in seconds since the epoch, as a datetime in UTC; None if unset."""
    return None if at is None else datetime.fromtimestamp(at, timezone.utc)
