"""How an attempt ended: from the outcome of user code to an ending. Pure."""

from __future__ import annotations

import traceback as tracebacks
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, TypeAlias

from caraway import states
from caraway.core.errors import text_of
from caraway.core.options import check_within_horizon, due_time
from caraway.core.port import Raised, Returned
from caraway.core.retry import RetryPolicy
from caraway.exceptions import (
    Ignore,
    InvalidOption,
    NotRegistered,
    Reject,
    Retry,
    TaskMissed,
    TaskRevokedError,
)
from caraway.lean import dataclass

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection, Mapping

    from caraway.core.context import Context, Replacement
    from caraway.core.message import Message
    from caraway.core.routing import Queue
    from caraway.exceptions import EncodeError
    from caraway.requests.base import Json


FAR_TRACEBACK: Final = "_far_traceback"
"""Where an exception that came from another process keeps its traceback, as text."""


@dataclass(frozen=True)
class Product:
    """What a task returned, and its JSON.

    Attributes
    ----------
    refused
        Why it has no JSON.
    shown
        The text of a value that has stayed in the process that made it; None when it is here.
    """

    value: Any
    wire: Json = None
    refused: EncodeError | None = None
    shown: str | None = None


@dataclass(frozen=True)
class Succeeded:
    """The task returned."""

    product: Product

    state: ClassVar[str] = states.SUCCESS


@dataclass(frozen=True)
class Failed:
    """The task raised, or its result could not be kept."""

    error: BaseException
    traceback: str | None = None

    state: ClassVar[str] = states.FAILURE


@dataclass(frozen=True)
class Again:
    """The task is to be tried again after ``delay_s`` seconds.

    ``changes`` are the fields of the next message that differ, as JSON data.
    """

    delay_s: float
    error: BaseException | None = None
    traceback: str | None = None
    changes: Mapping[str, Json] = field(default_factory=dict)

    state: ClassVar[str] = states.RETRY


@dataclass(frozen=True)
class Replaced:
    """Other tasks take the task's id and its place in its workflow."""

    by: Replacement

    state: ClassVar[str] = states.IGNORED


@dataclass(frozen=True)
class Ignored:
    """The task asked for its outcome to be ignored."""

    state: ClassVar[str] = states.IGNORED


@dataclass(frozen=True)
class Revoked:
    """The task was revoked, or received after it expired.

    Attributes
    ----------
    reason
        As Celery says it: ``revoked``, ``expired``, or ``terminated`` for one that ran.
    signal
        The name of the signal that was to end it, for one that ran.
    """

    reason: str
    signal: str | None = None

    state: ClassVar[str] = states.REVOKED

    @property
    def error(self) -> BaseException:
        """What waiting for the result raises."""
        return TaskRevokedError(self.reason)


@dataclass(frozen=True)
class Missed:
    """An occurrence of a schedule that is not run, as the policies of its entry say."""

    reason: str

    state: ClassVar[str] = states.MISSED

    @property
    def error(self) -> BaseException:
        """What waiting for the result raises."""
        return TaskMissed(self.reason)


@dataclass(frozen=True)
class Rejected:
    """The message goes to the dead-letter queue: a redrive may still change the ending."""

    reason: str
    error: BaseException

    state: ClassVar[str] = states.FAILURE


@dataclass(frozen=True)
class Requeued:
    """The task asked for its message to be put back."""

    reason: str

    state: ClassVar[str] = states.RETRY


Ending: TypeAlias = (
    "Succeeded | Failed | Again | Replaced | Ignored | Revoked | Missed | Rejected | Requeued"
)


class Definition(Protocol):
    """What the executor needs to know of a task."""

    @property
    def name(self) -> str:
        """The task's name."""
        ...

    @property
    def policy(self) -> RetryPolicy:
        """When it is retried."""
        ...

    @property
    def idempotent(self) -> bool:
        """Whether it may run twice, and so takes no claim."""
        ...

    @property
    def at_most_once(self) -> bool:
        """Whether it is never run again once it has started."""
        ...

    @property
    def queue(self) -> str | None:
        """The queue that its declaration names."""
        ...

    @property
    def trail(self) -> bool:
        """Whether the record lists what it has sent."""
        ...

    @property
    def ignore_result(self) -> bool:
        """Whether its result is dropped."""
        ...

    @property
    def time_limit(self) -> float | None:
        """Seconds after which a run is ended."""
        ...

    @property
    def soft_time_limit(self) -> float | None:
        """Seconds after which a run is told to end."""
        ...

    @property
    def track_started(self) -> bool:
        """Whether users see STARTED while it runs."""
        ...

    @property
    def store_errors_even_if_ignored(self) -> bool:
        """Whether failures are recorded although results are ignored."""
        ...

    @property
    def sensitive(self) -> bool | Collection[str]:
        """Whether arguments, or which of them by name, are neither shown nor kept."""
        ...

    @property
    def runner(self) -> Callable[[Context], Any]:
        """User code: rebuilds the arguments, runs the function, returns a :class:`Product`."""
        ...

    @property
    def hooks(self) -> Callable[[Context, Ending], Any] | None:
        """User code to run after an ending was recorded, None when the task has none."""
        ...

    def errback_arguments(self, failed: Message, error: Json, traceback: str | None) -> list[Json]:
        """Return the arguments that this task takes as an errback."""
        ...


@dataclass(frozen=True)
class Unregistered:
    """The definition of a task that is not registered here: every run of it is rejected."""

    name: str
    why: str
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    idempotent: bool = False
    at_most_once: bool = False
    ignore_result: bool = False
    track_started: bool = False
    store_errors_even_if_ignored: bool = False
    sensitive: bool = False
    time_limit: None = None
    soft_time_limit: None = None
    queue: None = None
    trail: bool = False
    hooks: None = None

    def runner(self, _context: Context) -> Product:
        """Reject the message."""
        raise Reject(NotRegistered(self.why))

    def errback_arguments(
        self, failed: Message, _error: Json, _traceback: str | None
    ) -> list[Json]:
        """Return the failed task's id."""
        return [failed.id]


def format_traceback(error: BaseException) -> str:
    """Return an exception's traceback as text."""
    return far_traceback(error) or "".join(
        tracebacks.format_exception(type(error), error, error.__traceback__)
    )


def far_traceback(error: BaseException) -> str | None:
    """Return the traceback that an exception had in another process, None if it comes from here."""
    text: str | None = vars(error).get(FAR_TRACEBACK)
    return text


def settle(
    outcome: Returned[Product] | Raised,
    task: Definition,
    context: Context,
    queue: Queue,
    now: datetime,
    rng: random.Random,
) -> Ending:
    """Return how an attempt ended."""
    if context.replacement is not None:
        return Replaced(context.replacement)
    if context.requested_retry is not None:
        return _again(context.requested_retry, context, queue, now)
    match outcome:
        case Returned(product):
            if product.refused is None or (context.ignore_result and not _is_taken(context)):
                return Succeeded(product)
            # Not a failure of the function: running it again would change nothing.
            return Failed(product.refused, format_traceback(product.refused))
        case Raised(Retry() as retry):
            return _again(retry, context, queue, now)
        case Raised(Ignore()):
            return Ignored()
        case Raised(Reject() as reject):
            return _rejected(reject)
        case Raised(error):
            return _failed(error, task, context, queue, now, rng)
    raise AssertionError(outcome)


def _is_taken(context: Context) -> bool:
    """Say whether somebody takes the value: a callback, the next step, or the body of a chord."""
    return bool(context.callbacks or context.chain or context.chord)


def _rejected(reject: Reject) -> Ending:
    """Return the ending of a rejected message; an exception as the reason is the task's error."""
    reason, error = reject.reason, reject.reason
    if reason is None:
        reason = "rejected by the task"
    elif not isinstance(reason, str):
        reason = text_of(reason)
    if reject.requeue:
        return Requeued(reason)
    return Rejected(reason, error if isinstance(error, BaseException) else Reject(reason))


def _failed(
    error: BaseException,
    task: Definition,
    context: Context,
    queue: Queue,
    now: datetime,
    rng: random.Random,
) -> Ending:
    policy = task.policy
    if not policy.leads_to_retry(error, context.retries):
        return Failed(error, format_traceback(error))
    delay_s = policy.automatic_delay_s(context.retries, rng)
    retry = Retry(exc=error, when=delay_s)
    retry.__traceback__ = error.__traceback__
    return _again(retry, context, queue, now)


def _again(retry: Retry, context: Context, queue: Queue, now: datetime) -> Ending:
    """Return the retry that was asked for, or the failure of asking for one that cannot be.

    Longer than SQS's 900 seconds is fine: see :mod:`caraway.core.sending`.
    """
    cause = retry.exc or retry
    try:
        name = "eta" if isinstance(retry.when, datetime) else "countdown"
        due = due_time({name: retry.when}, now)
        delay_s = (due - now).total_seconds() if due else 0.0
        if context.chord is not None:
            check_within_horizon(due, now)
        if queue.fifo and delay_s > queue.retention_s:  # the one message stays
            raise InvalidOption(
                f"a retry in {delay_s:.0f} s outlives its message: queue {queue.name!r} keeps one "
                f"for {queue.retention_s} s"
            )
    except InvalidOption as error:
        error.__cause__ = retry.exc
        return Failed(error, format_traceback(error))
    changes = {"retries": context.retries + 1, **retry.changes}
    return Again(max(0.0, delay_s), cause, format_traceback(cause), changes)
