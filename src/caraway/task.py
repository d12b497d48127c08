"""A task: a function with options, and the ways to call it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, ParamSpec, TypeVar

from caraway import calls
from caraway.core.context import Context, current
from caraway.core.options import by_our_names
from caraway.exceptions import InvalidOption
from caraway.inside import Inside
from caraway.maps import chunks, xmap, xstarmap
from caraway.result import AsyncResult as Result
from caraway.signatures import Signature

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence
    from datetime import datetime, timedelta

    from caraway.result import EagerResult

P = ParamSpec("P")
R = TypeVar("R")

_OF_EACH_CALL: Final = (
    "queue",
    "expires",
    "time_limit",
    "soft_time_limit",
    "serializer",
    "compression",
)
"""Options of a task that are also those of its calls."""
_own: Final = attrgetter("message_group_id", "name", *_OF_EACH_CALL)
_entering: ContextVar[Context | None] = ContextVar("caraway_entering", default=None)
"""The request whose task is about to be called by its worker, through a ``__call__`` of its own."""


class FromSetting:
    """An option that is a setting of the app, until a task or its class says otherwise."""

    def __init__(self, setting: str) -> None:
        self._setting = setting

    def __get__(self, task: Task[..., Any] | None, owner: type) -> Any:
        return self if task is None else task.app.conf[self._setting]


def _setting(name: str) -> Any:
    return FromSetting(name)


class Task(Inside, Generic[P, R]):
    """A task of an app; made by ``@app.task``, or by subclassing and ``app.register_task``.

    The class attributes are the task's options and their defaults; ``@app.task(option=...)`` and
    subclasses override them.
    """

    bind: bool = False
    queue: str | None = None
    """Queue of this task, where the call and the routes name none."""
    message_group_id: Any = None
    """Message group of its calls that name none: text, or a function of their arguments."""
    ignore_result: bool = _setting("task_ignore_result")
    """Drop the result."""
    store_errors_even_if_ignored: bool = _setting("task_store_errors_even_if_ignored")
    track_started: bool = _setting("task_track_started")
    """Show STARTED while the task runs."""
    expires: float | datetime | timedelta | None = None
    time_limit: float | None = _setting("task_time_limit")
    soft_time_limit: float | None = _setting("task_soft_time_limit")
    serializer: str | None = None
    """What writes the arguments; None: the setting ``task_serializer``."""
    compression: str | None = None
    """How a large message is compressed; None: the setting ``task_compression``."""
    abstract: ClassVar[bool] = False

    OPTIONS: ClassVar[frozenset[str]] = frozenset(
        {
            "at_most_once",
            "autoretry_for",
            "bind",
            "compression",
            "default_retry_delay",
            "dont_autoretry_for",
            "expires",
            "idempotent",
            "ignore_result",
            "max_retries",
            "message_group_id",
            "name",
            "queue",
            "retry_backoff",
            "retry_backoff_max",
            "retry_jitter",
            "retry_kwargs",
            "sensitive",
            "serializer",
            "soft_time_limit",
            "store_errors_even_if_ignored",
            "throws",
            "time_limit",
            "track_started",
            "trail",
            "typing",
        }
    )
    """What ``@app.task`` takes, beside attributes that a ``base`` class declares."""

    # -- the function -------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here and now; nothing is sent and nothing is recorded.

        A subclass may wrap it, in an application's context for example: the worker calls it, too.
        """
        outer = current.get()
        result: R
        if outer is not None and outer is _entering.get():
            _entering.set(None)  # the worker's own call: the request is the message's
            result = self.run(*args, **kwargs)
            return result
        context = Context(
            task=self.name,
            args=args,
            kwargs=kwargs,
            called_directly=True,
            outer=outer,
            sensitive=bool(self.sensitive),
        )
        call: Any = self._adirectly if self.is_async else self._directly
        result = call(context)
        return result

    def _directly(self, context: Context) -> Any:
        token = current.set(context)
        try:
            return self.run(*context.args, **context.kwargs)
        finally:
            current.reset(token)

    async def _adirectly(self, context: Context) -> Any:
        token = current.set(context)
        try:
            return await self.run(*context.args, **context.kwargs)
        finally:
            current.reset(token)

    def attempt(self, context: Context) -> Any:
        """Call :meth:`run`, or the ``__call__`` that a subclass wraps around it."""
        if type(self).__call__ is Task.__call__:
            return self.run(*context.args, **context.kwargs)
        _entering.set(context)
        return self(*context.args, **context.kwargs)

    # -- sending ------------------------------------------------------------------------------

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """Send the task; returns when the message is durable.

        Raises
        ------
        InvalidArguments
            If the arguments do not fit the function; nothing has been sent then.
        OperationalError
            If AWS did not take the message.
        """
        return self.apply_async(args, kwargs)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """Send the task from asynchronous code; concurrent calls travel in batches."""
        return await self.aapply_async(args, kwargs)

    def apply_async(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Result[R]:
        """Send the task with options.

        Parameters
        ----------
        args, kwargs
            The function's arguments.
        countdown, eta
            Run after so many seconds, or at a time: both as far away as you like, but none on a
            FIFO queue.
        expires
            Seconds or a time after which it is not started any more, but REVOKED.
        queue
            The queue's name; otherwise the task's own, its route's, or the default.
        task_id
            An id of your own. Sending the same id twice runs the task once.
        headers
            JSON handed to ``self.request.headers``.
        stamps
            Names and JSON values by which the task is found again: ``self.request.stamps``.
        ignore_result, time_limit, soft_time_limit
            As the task's options, for this call.
        serializer, compression
            As the task's options, for this call.
        link, link_error
            Signatures to send after success, or after failure.
        retry, retry_policy
            Whether and how to ask again while AWS is unreachable, as in Celery.
        message_group_id
            The group within which a FIFO queue keeps order; on a standard queue the tenant, among
            which SQS is fair.
        message_deduplication_id
            Text by which a FIFO queue knows the call again: it drops another one within five
            minutes. ``MessageGroupId`` and ``MessageDeduplicationId`` are the same options.

        Raises
        ------
        InvalidArguments, UnknownOption, InvalidOption, QueueNotFound
            If the call cannot work; nothing has been sent then.
        OperationalError
            If AWS did not take the message.
        """
        sent: Result[R] = calls.send_call(self.app, self, args, kwargs or {}, options)
        return sent

    async def aapply_async(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Result[R]:
        """Send the task with options, from asynchronous code."""
        sent: Result[R] = await calls.asend_call(self.app, self, args, kwargs or {}, options)
        return sent

    def apply(
        self,
        args: Sequence[Any] | None = (),
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
        ran: EagerResult[R] = calls.run_eagerly(self.app, self, args, kwargs or {}, options, throw)
        return ran

    @property
    def own_options(self) -> Any:
        """Its own options that are those of its calls; None where these differ by arguments."""
        own = _own(self)
        return None if callable(own[0]) else own

    def options_of_call(
        self, options: Mapping[str, Any], args: Any = None, kwargs: Any = None
    ) -> dict[str, Any]:
        """Return the options of a call over the task's own; without arguments, of a signature."""
        given = by_our_names(options)
        if self.message_group_id is not None and given.get("message_group_id") is None:
            given["message_group_id"] = self._group_of(args, kwargs)
        for name in _OF_EACH_CALL:
            if name not in given and (value := getattr(self, name)) is not None:
                given[name] = value
        return given

    def _group_of(self, args: Any, kwargs: Any) -> str | None:
        """Return the message group of a call, None where its arguments are not known yet."""
        group = self.message_group_id
        if not callable(group):
            return str(group)
        if not isinstance(args, list | tuple) or not isinstance(kwargs, Mapping | None):
            return None
        try:
            found = group(*args, **kwargs or {})
        except Exception as error:
            self.parameters.to_wire(args, kwargs or {})  # which raises for what does not fit
            raise InvalidOption(f"{self.name}: its message_group_id raised {error!r}") from error
        return None if found is None else str(found)

    # -- as data ------------------------------------------------------------------------------

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """Return a signature that takes further arguments in front."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """Return an immutable signature."""
        return self.signature(args, kwargs, immutable=True)

    def signature(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **options: Any,
    ) -> Signature[R]:
        """Return a signature with options."""
        return Signature(
            self.name,
            args,
            kwargs,
            self.options_of_call(options),
            immutable=immutable,
            app=self.app,
        )

    subtask = signature

    def map(self, it: Iterable[Any]) -> xmap[R]:
        """Return a signature that calls the task with each item, all in one run."""
        return xmap(self.s(), it, app=self.app)

    def starmap(self, it: Iterable[Sequence[Any]]) -> xstarmap[R]:
        """Return a signature that calls the task with each list of arguments, all in one run."""
        return xstarmap(self.s(), it, app=self.app)

    def chunks(self, it: Iterable[Sequence[Any]], n: int) -> chunks[R]:
        """Return a group of runs, each of which calls the task with ``n`` lists of arguments."""
        return chunks(self.s(), it, n, app=self.app)

    def AsyncResult(self, task_id: str) -> Result[R]:  # noqa: N802 - Celery's name
        """Return the result of a call of this task by its id."""
        return Result(task_id, self.app, self.name)

    def __repr__(self) -> str:
        return f"<@task: {self.name} of {self.app.main or 'caraway'}>"


class AsyncTask(Task[P, R]):
    """A task whose function is ``async def``: called directly, it returns a coroutine."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
            """Return the coroutine of the function."""
