"""Running a task: what the executor needs of it, whatever the ways to call it are."""

from __future__ import annotations

import inspect
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from caraway.announcing import Announced, is_heard, of_ending
from caraway.aws.user_code import run_coroutine
from caraway.core.arguments import Parameters
from caraway.core.codec import decode, encode
from caraway.core.context import Context, current
from caraway.core.errors import ExceptionInfo, error_argument
from caraway.core.retry import RetryPolicy
from caraway.core.sensitive import filtered
from caraway.core.settle import Again, Failed, Product, Rejected, Succeeded
from caraway.exceptions import (
    ContentDisallowed,
    DecodeError,
    EncodeError,
    InvalidArguments,
    Reject,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence

    from caraway.base import AppBase
    from caraway.core.message import Message
    from caraway.core.settle import Ending
    from caraway.requests.base import Json

    Hooked: TypeAlias = Coroutine[Any, Any, None] | None


class Runnable:
    """A task as the executor sees it (:class:`caraway.core.settle.Definition`), and its hooks."""

    app: AppBase
    name: str = ""
    """The task's name; ``module.function`` by default."""
    typing: bool = True
    """Whether arguments are checked against the function's signature and annotations."""
    idempotent: bool = False
    """The function may run twice: no claim is taken, which saves two writes."""
    at_most_once: bool = False
    """Once it has started it is never run again: a worker that dies makes it a failure."""
    trail: bool = True
    """The record lists what the task has sent: ``children`` of its result."""
    ignore_result: bool
    time_limit: float | None
    soft_time_limit: float | None
    store_errors_even_if_ignored: bool
    track_started: bool
    sensitive: bool | Collection[str] = False
    """True, or the names of the arguments that are neither shown nor kept in the record."""
    throws: tuple[type[BaseException], ...] = ()
    """Expected exceptions: logged without a traceback."""
    max_retries: int | None = 3
    default_retry_delay: float = 180
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_backoff: bool | int = False
    retry_backoff_max: float = 600
    retry_jitter: bool = True
    retry_kwargs: Mapping[str, Any] = {}
    plain_calls: Any = None
    """What describes its calls without options, and the options of its own that it is of; kept by
    :mod:`caraway.describing`."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return the default of an option that a middleware understands."""
            app = vars(self).get("app")
            if app is None or name.startswith("_") or name not in app.onion.options:
                raise AttributeError(f"{type(self).__qualname__!r} has no attribute {name!r}")
            return app.onion.options[name]

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the task's work: the decorated function, or what a subclass defines."""
        raise NotImplementedError(f"{type(self).__name__} must define run()")

    @cached_property
    def parameters(self) -> Parameters:
        """The function's parameters: what checks and rebuilds arguments."""
        return Parameters(self.run, name=self.name, typing=self.typing)

    @property
    def own_options(self) -> Any:
        """Its own options that are those of its calls; None where these differ by arguments."""
        return ()

    def options_of_call(
        self,
        options: Mapping[str, Any],
        args: Any = None,  # noqa: ARG002 - they may have a say
        kwargs: Any = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Return the options of a call over its own; without arguments, of a signature."""
        return dict(options)

    @cached_property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.run)

    @cached_property
    def policy(self) -> RetryPolicy:
        """The retry options as one value."""
        return RetryPolicy(
            max_retries=self.max_retries,
            default_retry_delay_s=self.default_retry_delay,
            autoretry_for=self.autoretry_for,
            dont_autoretry_for=self.dont_autoretry_for,
            retry_backoff=self.retry_backoff,
            retry_backoff_max_s=self.retry_backoff_max,
            retry_jitter=self.retry_jitter,
            retry_kwargs=self.retry_kwargs,
        )

    def shown(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Return arguments as they may be shown: sensitive ones are ``"[filtered]"``."""
        return filtered(self.sensitive, self.run, args, kwargs)

    def attempt(self, context: Context) -> Any:
        """Call what an attempt runs: :meth:`run`, or what a subclass wraps around it."""
        return self.run(*context.args, **context.kwargs)

    @property
    def runner(self) -> Callable[[Context], Any]:
        """What a worker calls: a coroutine function for an ``async def`` task."""
        return self._arun if self.is_async else self._run

    def _run(self, context: Context) -> Product:
        token = current.set(context)
        try:
            self._open(context)
            with Announced(self, context) as run:
                with self.app.onion.around_execute(self, context):
                    before = self.before_start(context.id or "", context.args, context.kwargs)
                    if inspect.iscoroutine(before):
                        run_coroutine(before)
                    value = self.attempt(context)
                run.product = self._product(value)
            return run.product
        finally:
            current.reset(token)

    async def _arun(self, context: Context) -> Product:
        token = current.set(context)
        try:
            self._open(context)
            with Announced(self, context) as run:
                async with self.app.onion.around_aexecute(self, context):
                    before = self.before_start(context.id or "", context.args, context.kwargs)
                    if inspect.isawaitable(before):
                        await before
                    value = await self.attempt(context)
                run.product = self._product(value)
            return run.product
        finally:
            current.reset(token)

    def _open(self, context: Context) -> None:
        """Rebuild the arguments; what may not be opened goes to the dead-letter queue."""
        try:
            self._unpack(context)
        except ContentDisallowed as error:
            raise Reject(error) from error  # a worker that accepts it can run it yet

    def _unpack(self, context: Context) -> None:
        """Rebuild the arguments: for the function, and for hooks if it ran in another process."""
        if context.is_unpacked:
            return
        read = self.app.site.contents.accepted.read
        try:
            args, kwargs = self.parameters.from_wire(context.args, context.kwargs, read)
        except InvalidArguments:
            if not self.sensitive:
                raise
            raise InvalidArguments(  # the reason shows what was given
                f"{self.name}: the arguments do not fit the function (they are sensitive, so this "
                "does not say which)"
            ) from None
        context.args, context.kwargs = args, kwargs
        for told in context.args:
            if isinstance(told, Context):  # an errback is told of the task that failed
                told.open(read)
        context.headers = decode(dict(context.headers)) if context.headers else {}
        context.stamps = decode(dict(context.stamps)) if context.stamps else {}
        context.is_unpacked = True

    def _product(self, value: Any) -> Product:
        try:
            serializer = self.app.site.contents.result_serializer
            return Product(value, self.parameters.result_to_wire(value, serializer))
        except EncodeError as refused:
            return Product(value, refused=refused)

    def _value(self, product: Product) -> Any:
        """Return what the function returned, here or in another process."""
        if product.shown is None or product.refused is not None:
            return product.value
        # This worker's own child has written it: whether results are accepted here is no question.
        serializer = self.app.site.contents.result_serializer
        read = None if serializer is None else serializer.read
        return self.parameters.result_from_wire(product.wire, read)

    @property
    def hooks(self) -> Callable[[Context, Ending], Any] | None:
        """What runs after an ending was recorded, None where there is no hook and no receiver."""
        cls = type(self)
        own = (cls.on_success, cls.on_failure, cls.on_retry, cls.after_return)
        if own == _NO_HOOKS and not is_heard():
            return None
        return self._ahooks if any(map(inspect.iscoroutinefunction, own)) else self._hooks

    def _hooks(self, context: Context, ending: Ending) -> None:
        token = current.set(context)
        try:
            with suppress(InvalidArguments, DecodeError):  # then hooks see what the message has
                self._unpack(context)
            for hook in self._hooks_of(context, ending):
                hook()
        finally:
            current.reset(token)

    async def _ahooks(self, context: Context, ending: Ending) -> None:
        token = current.set(context)
        try:
            with suppress(InvalidArguments, DecodeError):  # then hooks see what the message has
                self._unpack(context)
            for hook in self._hooks_of(context, ending):
                done = hook()
                if inspect.isawaitable(done):
                    await done
        finally:
            current.reset(token)

    def _hooks_of(self, context: Context, ending: Ending) -> Iterator[Callable[[], Hooked]]:
        """Give the hooks of an ending; as in Celery none but on_retry for those that are not final.

        Its signal comes first, as no hook that raises is to hide it. A task that was ignored, or
        never started, has none.
        """
        yield from of_ending(self, context, ending, self._value)
        about = (context.id or "", context.args, context.kwargs)
        match ending:
            case Succeeded(product):
                value = self._value(product)
                yield partial(self.on_success, value, *about)
                yield partial(self.after_return, ending.state, value, *about, None)
            case Again(error=BaseException() as error):
                einfo = ExceptionInfo(error, ending.traceback or "")
                yield partial(self.on_retry, error, *about, einfo)
            case Failed(error) | Rejected(error=error):
                einfo = ExceptionInfo(error, getattr(ending, "traceback", "") or "")
                yield partial(self.on_failure, error, *about, einfo)
                yield partial(self.after_return, ending.state, error, *about, einfo)

    def errback_arguments(self, failed: Message, error: Json, traceback: str | None) -> list[Json]:
        """Return the arguments of this task as an errback.

        A function that takes three or more positional arguments gets ``(request, exc, traceback)``,
        any other the failed task's id: Celery's new and old style.
        """
        if not _takes_three(self.run):
            return [failed.id]
        task = self.app.tasks.get(failed.task)
        if task is not None and task.sensitive:
            args, kwargs = task.shown(failed.args, failed.kwargs)
            failed = replace(failed, args=tuple(args), kwargs=kwargs)
        return [encode(Context.seen(failed)), error_argument(error), traceback]

    # -- hooks, functions or coroutine functions ----------------------------------------------

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> Hooked:
        """Run before the function; an exception here fails the attempt."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> Hooked:
        """Run after a success was recorded."""

    def on_failure(
        self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: ExceptionInfo
    ) -> Hooked:
        """Run after a failure was recorded."""

    def on_retry(
        self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: ExceptionInfo
    ) -> Hooked:
        """Run after a retry was recorded."""

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> Hooked:
        """Run after :meth:`on_success` or :meth:`on_failure`."""


_NO_HOOKS: Final = (
    Runnable.on_success,
    Runnable.on_failure,
    Runnable.on_retry,
    Runnable.after_return,
)


def _takes_three(function: Callable[..., Any]) -> bool:
    kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Parameter.VAR_POSITIONAL in kinds or sum(k in positional for k in kinds) >= 3
