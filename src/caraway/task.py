"""A task: a function with options, and the ways to call it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NoReturn, TypeVar

from typing_extensions import ParamSpec

from caraway import calls, states
from caraway.canvas import Signature
from caraway.core.codec import encode
from caraway.core.context import Context, current
from caraway.core.port import run_now
from caraway.core.retry import exhausted
from caraway.exceptions import (
    InvalidOption,
    InvalidTaskError,
    MaxRetriesExceededError,
    Retry,
    UnknownOption,
    nearest,
)
from caraway.requests.dynamodb import ConditionFailed
from caraway.running import Runnable

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from datetime import datetime, timedelta

    from caraway.base import AppBase
    from caraway.requests.base import Json
    from caraway.requests.dynamodb import UpdateItem
    from caraway.result import AsyncResult, EagerResult

P = ParamSpec("P")
R = TypeVar("R")

_RETRY_CHANGES: Final = frozenset(
    {"expires", "headers", "ignore_result", "soft_time_limit", "time_limit"}
)
_NO_CONTEXT: Final = Context(called_directly=True)


class _FromSetting:
    """An option that is a setting of the app, until a task or its class says otherwise."""

    def __init__(self, setting: str) -> None:
        self._setting = setting

    def __get__(self, task: Task[..., Any] | None, owner: type) -> Any:
        return self if task is None else getattr(task.app.conf, self._setting)


def _setting(name: str) -> Any:
    return _FromSetting(name)


class Task(Runnable, Generic[P, R]):
    """A task of an app; made by ``@app.task``, or by subclassing and ``app.register_task``.

    The class attributes are the task's options and their defaults; ``@app.task(option=...)`` and
    subclasses override them.
    """

    app: AppBase
    bind: bool = False
    queue: str | None = None
    """Queue of this task, where the call and the routes name none."""
    ignore_result: bool = _setting("task_ignore_result")
    """Drop the result."""
    store_errors_even_if_ignored: bool = _setting("task_store_errors_even_if_ignored")
    track_started: bool = _setting("task_track_started")
    """Show STARTED while the task runs."""
    expires: float | datetime | timedelta | None = None
    time_limit: float | None = _setting("task_time_limit")
    soft_time_limit: float | None = _setting("task_soft_time_limit")
    abstract: ClassVar[bool] = False

    OPTIONS: ClassVar[frozenset[str]] = frozenset(
        {
            "autoretry_for",
            "bind",
            "default_retry_delay",
            "dont_autoretry_for",
            "expires",
            "idempotent",
            "ignore_result",
            "max_retries",
            "name",
            "queue",
            "retry_backoff",
            "retry_backoff_max",
            "retry_jitter",
            "retry_kwargs",
            "soft_time_limit",
            "store_errors_even_if_ignored",
            "throws",
            "time_limit",
            "track_started",
            "typing",
        }
    )
    """What ``@app.task`` takes, beside attributes that a ``base`` class declares."""

    # -- the function -------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here and now; nothing is sent and nothing is recorded."""
        token = current.set(Context(task=self.name, called_directly=True, outer=current.get()))
        try:
            result: R = self.run(*args, **kwargs)
            return result
        finally:
            current.reset(token)

    @property
    def request(self) -> Context:
        """The request of the running task; outside of one, that of a direct call."""
        return current.get() or _NO_CONTEXT

    # -- sending ------------------------------------------------------------------------------

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send the task; returns when the message is durable.

        Raises
        ------
        InvalidArguments
            If the arguments do not fit the function; nothing has been sent then.
        OperationalError
            If AWS did not take the message.
        """
        return self.apply_async(args, kwargs)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send the task from asynchronous code; concurrent calls travel in batches."""
        return await self.aapply_async(args, kwargs)

    def apply_async(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """Send the task with options.

        Parameters
        ----------
        args, kwargs
            The function's arguments.
        countdown, eta
            Run after so many seconds (at most 900 for now), or at a time.
        expires
            Seconds or a time after which it is not started any more, but REVOKED.
        queue
            The queue's name; otherwise the task's own, its route's, or the default.
        task_id
            An id of your own. Sending the same id twice runs the task once.
        headers
            JSON handed to ``self.request.headers``.
        ignore_result, time_limit, soft_time_limit
            As the task's options, for this call.
        link, link_error
            Signatures to send after success, or after failure.
        retry, retry_policy
            Whether and how to ask again while AWS is unreachable, as in Celery.
        message_group_id
            The group within which a FIFO queue keeps order.

        Raises
        ------
        InvalidArguments, UnknownOption, InvalidOption, QueueNotFound
            If the call cannot work; nothing has been sent then.
        OperationalError
            If AWS did not take the message.
        """
        sent: AsyncResult[R] = calls.send_call(
            self.app, self, args, kwargs or {}, self._options(options)
        )
        return sent

    async def aapply_async(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """Send the task with options, from asynchronous code."""
        sent: AsyncResult[R] = await calls.asend_call(
            self.app, self, args, kwargs or {}, self._options(options)
        )
        return sent

    def apply(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        throw: bool | None = None,
        **options: Any,
    ) -> EagerResult[R]:
        """Run the task in this process, through the executor and with its retries.

        Parameters
        ----------
        throw
            Raise what the task raises; None is the setting ``task_eager_propagates``.
        """
        ran: EagerResult[R] = calls.run_eagerly(
            self.app, self, args, kwargs or {}, self._options(options), throw
        )
        return ran

    def _options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a call over the task's own."""
        own = ("queue", "expires", "time_limit", "soft_time_limit")
        return {
            **{name: value for name in own if (value := getattr(self, name)) is not None},
            **options,
        }

    # -- as data ------------------------------------------------------------------------------

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """Return a signature that takes further arguments in front."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """Return an immutable signature."""
        return self.signature(args, kwargs, immutable=True)

    def signature(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **options: Any,
    ) -> Signature[R]:
        """Return a signature with options."""
        return Signature(
            self.name, args, kwargs, self._options(options), immutable=immutable, app=self.app
        )

    subtask = signature

    # -- from inside the task -----------------------------------------------------------------

    def retry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> NoReturn:
        """Try the task again later; ends this attempt by raising.

        Parameters
        ----------
        args, kwargs
            Other arguments for the next attempt.
        exc
            The cause: recorded, and raised when no retry is left.
        throw
            False lets the function go on to its end; the retry happens whatever it returns.
        eta, countdown
            When; ``default_retry_delay`` seconds from now by default.
        max_retries
            Overrides the task's own limit.
        options
            ``expires``, ``headers``, ``ignore_result`` or time limits for the next attempt.

        Raises
        ------
        Retry
            Unless ``throw`` is False.
        MaxRetriesExceededError
            If no retry is left and no ``exc`` is given.
        """
        request = self.request
        if request.called_directly:
            raise exc if exc is not None else Retry("the task can be retried", exc)
        limit = self.max_retries if max_retries is None else max_retries
        if exhausted(request.retries, limit):
            if exc is not None:
                raise exc
            raise MaxRetriesExceededError(
                f"{self.name}[{request.id}] has been retried {request.retries} times, its limit",
                task_args=request.args,
                task_kwargs=dict(request.kwargs),
            )
        unknown = set(options) - _RETRY_CHANGES
        if unknown:
            name = min(unknown)
            raise UnknownOption(
                f"retry() takes no option named {name!r}{nearest(name, _RETRY_CHANGES)}"
            )
        if eta is None and countdown is None:
            countdown = self.default_retry_delay
        changes = self._changes(args, kwargs, options)
        retry = Retry(exc=exc, when=eta if eta is not None else countdown, **changes)
        if throw:
            raise retry
        request.requested_retry = retry
        return retry  # type: ignore[misc]  # throw=False goes on, as in Celery

    def _changes(self, args: Any, kwargs: Any, options: Mapping[str, Any]) -> dict[str, Json]:
        """Return what the next attempt changes of the message, as JSON."""
        changes = calls.retry_options(self.app, options)
        if args is not None or kwargs is not None:
            request = self.request
            changes["args"], changes["kwargs"] = self.parameters.to_wire(
                request.args if args is None else args,
                request.kwargs if kwargs is None else kwargs,
            )
        return changes

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None
    ) -> None:
        """Show a state of your own, with JSON that ``result.info`` reads.

        ``task_id`` may only be the running task's. Does nothing in a direct call, or when another
        worker has taken the task over.
        """
        request = self._state_update(task_id, state, meta)
        if request is None:
            return
        try:
            run_now((self.request.port or self.app.aws).perform(request))
        except ConditionFailed:
            return

    async def aupdate_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None
    ) -> None:
        """Show a state of your own, from an ``async def`` task."""
        request = self._state_update(task_id, state, meta)
        if request is None:
            return
        try:
            await (self.request.port or self.app.aio).perform(request)
        except ConditionFailed:
            return

    def _state_update(self, task_id: str | None, state: str | None, meta: Any) -> UpdateItem | None:
        running = self.request.running()
        if running is None or running.id is None:
            return None
        if task_id not in (None, running.id):
            raise InvalidOption("update_state: a task can only show a state of its own")
        if running.token is None:
            raise InvalidTaskError(
                f"{self.name} is idempotent, so it keeps no record while it runs: update_state "
                "needs idempotent=False"
            )
        now = (self.request.port or self.app.aws).now().timestamp()
        return self.app.site.records.update_state(
            running.id, running.token, now, state or states.PROGRESS, json.dumps(encode(meta))
        )

    def __repr__(self) -> str:
        return f"<@task: {self.name} of {self.app.main or 'caraway'}>"


class AsyncTask(Task[P, R]):
    """A task whose function is ``async def``: called directly, it returns a coroutine."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        """Return the coroutine of the function."""
        return self._direct(*args, **kwargs)

    async def _direct(self, *args: Any, **kwargs: Any) -> R:
        token = current.set(Context(task=self.name, called_directly=True, outer=current.get()))
        try:
            result: R = await self.run(*args, **kwargs)
            return result
        finally:
            current.reset(token)
