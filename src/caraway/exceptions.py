"""Every exception that Caraway raises, as one tree.

::

    CarawayError
    +-- ImproperlyConfigured            a setting or declaration is wrong
    |   +-- UnknownSetting              a name that is no setting
    |   +-- UnknownOption               an option that no task or call takes
    |   +-- InvalidOption               an option whose value cannot work
    |   +-- ParseException              (ValueError) a crontab field that cannot be read
    +-- OperationalError                AWS could not be asked, or said no
    |   +-- RegionMissing
    |   +-- CredentialsMissing          none found, expired or not accepted
    |   +-- EndpointUnreachable
    |   +-- AccessDenied
    |   +-- ResourceMissing             a queue, table, bucket or object is not there
    |   |   +-- PayloadMissing          the object that a message or a record points to
    |   +-- Throttled
    |   +-- RequestFailed               any other refusal of a request
    |   +-- BatchError                  calls of a batch were not sent
    +-- LocalError                      the local engine, a package or a deployment failed
    +-- TaskError
    |   +-- NotRegistered               (KeyError)
    |   +-- AlreadyRegistered
    |   +-- QueueNotFound               (KeyError)
    |   +-- ScheduleNotFound            (KeyError)
    |   +-- InvalidArguments            (TypeError) arguments that do not fit the task
    |   +-- EncodeError                 (TypeError) a value that cannot be serialised
    |   +-- DecodeError                 (ValueError) JSON that is no serialised value
    |   |   +-- ContentDisallowed       of a content type that accept_content does not name
    |   +-- InvalidMessage              (ValueError) a body that is no task message
    |   +-- InvalidTaskError            the task cannot be run as it was declared
    |   +-- TimeoutError                (builtin TimeoutError) a result did not come in time
    |   +-- MaxRetriesExceededError
    |   +-- IncompleteStream            a task in a tree of results has not ended
    |   +-- TrailTooLong                a task has sent more tasks than its record lists
    |   +-- TaskRevokedError
    |   +-- TaskMissed                  an occurrence of a schedule that did not run
    |   +-- ChainStopped                a task is never sent: one before it asked to be ignored
    |   +-- NotReplayable               a task that cannot be run again from its record
    |   +-- ChordError                  a chord cannot complete: a member has no value
    |   +-- SoftTimeLimitExceeded       raised inside a task whose soft_time_limit has passed
    |   +-- TimeLimitExceeded           a task was ended, as its time_limit has passed
    |   +-- WorkerLostError             workers ended without finishing the task
    |   +-- RemoteError                 stands in for an exception type that is not importable
    +-- TaskPredicate                   raised by a task to say how it ends
        +-- Retry
        +-- Ignore
        +-- Reject
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``", did you mean 'x'?"``, or the empty string when nothing is near."""
    import difflib

    matches = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {matches[0]!r}?" if matches else ""


class CarawayError(Exception):
    """Base of every exception of Caraway."""


class ImproperlyConfigured(CarawayError):
    """A setting or a declaration is wrong; the message names it and says what is expected."""


class UnknownSetting(ImproperlyConfigured, AttributeError):
    """A name that is neither a setting of Caraway nor one of Celery."""


class UnknownOption(ImproperlyConfigured, TypeError):
    """An option that no task and no call takes; nothing is dropped silently."""


class InvalidOption(ImproperlyConfigured, ValueError):
    """An option of a task or of a call has a value that cannot work; the message says why."""


class ParseException(ImproperlyConfigured, ValueError):
    """A crontab field cannot be read; the message names the field and what it may hold."""


class OperationalError(CarawayError):
    """AWS could not be asked, or refused; the message says how to mend it."""


class RegionMissing(OperationalError):
    """No AWS region is configured."""


class CredentialsMissing(OperationalError):
    """No AWS credentials were found, or they expired, or are not accepted."""


class EndpointUnreachable(OperationalError):
    """The AWS endpoint did not answer."""


class AccessDenied(OperationalError):
    """The credentials do not allow the request."""


class ResourceMissing(OperationalError):
    """A queue, table, bucket or object does not exist."""


class PayloadMissing(ResourceMissing):
    """An object in S3, to which a message or a record points, does not exist (any more)."""


class Throttled(OperationalError):
    """AWS asks for fewer requests; try again later."""


class RequestFailed(OperationalError):
    """AWS refused a request for another reason; ``code`` is AWS's error code."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class BatchError(OperationalError):
    """Calls of a batch were not sent.

    Attributes
    ----------
    failures
        Why, by the id of each task.
    sent
        How many calls of the batch were sent.
    """

    def __init__(self, failures: Mapping[str, Exception], sent: int) -> None:
        id, first = next(iter(failures.items()))
        super().__init__(
            f"{len(failures)} of {len(failures) + sent} calls of the batch were not sent, "
            f"{id} among them: {first}; .failures says why for each, by its id"
        )
        self.failures = dict(failures)
        self.sent = sent


class LocalError(CarawayError):
    """The local engine, a package or a deployment failed; the message says how to mend it."""


class TaskError(CarawayError):
    """Base of what can be wrong with one task."""


class NotRegistered(TaskError, KeyError):
    """No task of that name is registered in this process."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "not registered"


class AlreadyRegistered(TaskError):
    """Two different functions claim one task name."""


class QueueNotFound(TaskError, KeyError):
    """A queue that neither ``task_queues`` nor ``task_routes`` names."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "queue not found"


class ScheduleNotFound(TaskError, KeyError):
    """No entry of that name is stored in AWS."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "schedule not found"


class InvalidArguments(TaskError, TypeError):
    """The arguments do not fit the task's function; the message names the argument."""


class EncodeError(TaskError, TypeError):
    """A value cannot be serialised; the message names its place."""


class DecodeError(TaskError, ValueError):
    """Serialised data names a type that is not known here."""


class ContentDisallowed(DecodeError):
    """Serialised data is of a type that is not accepted here; nothing of it has been read."""


class InvalidMessage(TaskError, ValueError):
    """A message body is not a task message of a known version."""


class InvalidTaskError(TaskError):
    """The task cannot be run as it was declared."""


class TimeoutError(TaskError, builtins.TimeoutError):  # noqa: A001 - Celery's name
    """The result did not come in time."""


class MaxRetriesExceededError(TaskError):
    """The task asked for a retry after its last one.

    Attributes
    ----------
    task_args, task_kwargs
        The arguments of the task that gave up.
    """

    def __init__(
        self,
        *args: object,
        task_args: Sequence[Any] = (),
        task_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(*args)
        self.task_args = task_args
        self.task_kwargs = task_kwargs or {}


class IncompleteStream(TaskError):
    """A walk along results has come to one that has not ended."""


class TrailTooLong(TaskError):
    """A task has sent more tasks than its record lists."""


class TaskRevokedError(TaskError):
    """The task was revoked, or expired before it ran."""


class TaskMissed(TaskError):
    """An occurrence of a schedule did not run, as its entry asks for; the message says why."""


class ChainStopped(TaskError):
    """A task is never sent, as one before it in its chain asked to be ignored."""


class NotReplayable(TaskError):
    """A task that cannot be run again from its record; the message says why."""


class ChordError(TaskError):
    """A chord cannot complete: a member of it failed, or has no value; the message names it."""


class SoftTimeLimitExceeded(TaskError):
    """The task's ``soft_time_limit`` has passed; raised inside it, so that it can clean up.

    The argument is the limit in seconds.
    """


class TimeLimitExceeded(TaskError):
    """The task's ``time_limit`` has passed, and it was ended.

    The argument is the limit in seconds.
    """


class WorkerLostError(TaskError):
    """A worker ended while it ran the task; nobody knows how far it came."""


class RemoteError(TaskError):
    """Stands in for an exception whose type cannot be imported here.

    Attributes
    ----------
    exc_type, exc_module
        Name and module of the type that was raised in the worker.
    """

    def __init__(self, exc_type: str, exc_module: str, *args: object) -> None:
        super().__init__(*args)
        self.exc_type = exc_type
        self.exc_module = exc_module

    def __str__(self) -> str:
        return f"{self.exc_type}({', '.join(map(repr, self.args))})"

    def __repr__(self) -> str:
        return f"<RemoteError: {self.exc_module}.{self}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.exc_type, self.exc_module, *self.args)


class TaskPredicate(CarawayError):
    """Base of the exceptions by which a task says how it ends."""


class Retry(TaskPredicate):
    """The task is to be tried again; raised by :meth:`caraway.Task.retry`.

    Attributes
    ----------
    exc
        The exception that caused the retry, if any.
    when
        Seconds from now, or a point in time; None means at once.
    """

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | None = None,
        when: float | datetime | None = None,
        **changes: Any,
    ) -> None:
        super().__init__(message, exc, when)
        self.message = message
        self.exc = exc
        self.when = when
        self.changes = changes
        """What the next attempt changes of the message: args, kwargs, queue, expires, ..."""

    def __str__(self) -> str:
        if self.message:
            return self.message
        when = f" in {self.when}s" if isinstance(self.when, int | float) else ""
        return f"Retry{when}: {self.exc!r}" if self.exc else f"Retry{when}"


class Ignore(TaskPredicate):
    """The task's outcome is to be ignored: no result, no callbacks."""


class Reject(TaskPredicate):
    """The message is to be rejected.

    Parameters
    ----------
    reason
        Why, for the dead-letter queue and the logs.
    requeue
        Put the message back on its queue instead of the dead-letter queue.
    """

    def __init__(self, reason: object = None, requeue: bool = False) -> None:
        super().__init__(reason, requeue)
        self.reason = reason
        self.requeue = requeue

    def __str__(self) -> str:
        return "rejected by the task" if self.reason is None else str(self.reason)
