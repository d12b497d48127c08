"""Middleware: what surrounds every send and every run of an app's tasks.

The first of ``app.middleware`` is the outermost. Each method is a generator function that yields
once: what comes before the ``yield`` happens before the send or the run, what comes after it
afterwards, and an exception of what is surrounded is raised at the ``yield``.
"""

from __future__ import annotations

import inspect
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from caraway.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from caraway.core.context import Context


@dataclass
class Publication:
    """A call that is about to be sent.

    Attributes
    ----------
    name
        The task's name.
    task
        The task, None where its code is not here.
    args, kwargs
        Its arguments, to be read: the task's id may derive from them.
    options
        What ``apply_async`` takes, with the task's own options: to be changed at will, but for
        ``task_id``.
    request
        The request of the running task that sends it, None outside of tasks.
    id
        The task's id, once the call is described: None before the ``yield``.
    """

    name: str
    task: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    request: Context | None = None
    id: str | None = None

    @property
    def headers(self) -> dict[str, Any]:
        """The headers of the call: what is added comes to ``self.request.headers``."""
        if self.options.get("headers") is None:
            self.options["headers"] = {}
        headers: dict[str, Any] = self.options["headers"]
        return headers


class Middleware:
    """Something that surrounds every send and every run; override what you need.

    Attributes
    ----------
    options
        Task options that it understands, with their defaults: ``@app.task(tenant="acme")`` is then
        no mistake, and ``task.tenant`` has a value for every task.
    carries
        Names of headers that the callbacks of a task (``link``, ``link_error``) take over from it.
    """

    options: ClassVar[Mapping[str, Any]] = {}
    carries: ClassVar[Sequence[str]] = ()

    def publish(self, publication: Publication) -> Iterator[None]:  # noqa: ARG002
        """Surround a send: ``publication`` may be changed before the ``yield``.

        An exception from before it is the call's: nothing is sent then. One from after it is the
        call's too, and the message is durable all the same.
        """
        yield

    def execute(self, task: Any, request: Context) -> Iterator[None]:  # noqa: ARG002
        """Surround a run, in the thread and process of the function.

        An exception fails the attempt, whether it comes before or after the function; automatic
        retries apply. What is raised at the ``yield`` may be replaced by another exception; where
        it is swallowed, it fails the attempt all the same.
        """
        yield

    async def aexecute(self, task: Any, request: Context) -> AsyncIterator[None]:  # noqa: ARG002
        """Surround a run of an ``async def`` task, in place of :meth:`execute`."""
        yield


_FORMS: Final = {
    "publish": "'def publish(self, publication): ...; yield; ...'",
    "execute": "'def execute(self, task, request): ...; yield; ...'",
    "aexecute": "'async def aexecute(self, task, request): ...; yield; ...'",
}


_NOTHING: Final = nullcontext()
"""What surrounds a send or a run without middleware: it holds nothing, and can be entered again."""


class Onion:
    """An app's middleware as one: nothing where none is.

    Raises
    ------
    ImproperlyConfigured
        If a middleware cannot surround anything as it is written, or two understand the same option
        differently.
    """

    def __init__(self, layers: Sequence[Middleware] = ()) -> None:
        self.layers = tuple(layers)
        self.options = _options_of(self.layers)
        self.carries = frozenset(name for each in self.layers for name in each.carries)
        self._publish = [_manager(each, "publish") for each in self.layers if _has(each, "publish")]
        self._execute = [_manager(each, "execute") for each in self.layers if _has(each, "execute")]
        self._aexecute = [
            _manager(each, name)
            for each in self.layers
            if (name := "aexecute" if _has(each, "aexecute") else "execute") and _has(each, name)
        ]

    @property
    def surrounds_publish(self) -> bool:
        """Whether there is anything around a send."""
        return bool(self._publish)

    def around_publish(self, publication: Publication) -> AbstractContextManager[None]:
        """Return what surrounds a send."""
        return _around(self._publish, publication) if self._publish else _NOTHING

    def around_execute(self, task: Any, request: Context) -> AbstractContextManager[None]:
        """Return what surrounds a run of a plain function."""
        return _around(self._execute, task, request) if self._execute else _NOTHING

    def around_aexecute(self, task: Any, request: Context) -> AbstractAsyncContextManager[None]:
        """Return what surrounds a run of a coroutine function."""
        return _aaround(self._aexecute, task, request) if self._aexecute else _NOTHING


@contextmanager
def _around(layers: Sequence[Callable[..., Any]], *about: Any) -> Iterator[None]:
    """Enter layers from the outermost on; what one of them swallows is raised all the same."""
    failed: BaseException | None = None
    with ExitStack() as stack:
        for each in layers:
            stack.enter_context(each(*about))
        try:
            yield
        except BaseException as error:
            failed = error
            raise
    if failed is not None:
        raise failed


@asynccontextmanager
async def _aaround(layers: Sequence[Callable[..., Any]], *about: Any) -> AsyncIterator[None]:
    failed: BaseException | None = None
    async with AsyncExitStack() as stack:
        for each in layers:
            layer = each(*about)
            if isinstance(layer, AbstractAsyncContextManager):
                await stack.enter_async_context(layer)
            else:
                stack.enter_context(layer)
        try:
            yield
        except BaseException as error:
            failed = error
            raise
    if failed is not None:
        raise failed


def _has(layer: Middleware, name: str) -> bool:
    return getattr(type(layer), name) is not getattr(Middleware, name)


def _manager(layer: Middleware, name: str) -> Callable[..., Any]:
    """Return a method as what makes context managers."""
    method: Callable[..., Any] = getattr(layer, name)
    if name == "aexecute" and inspect.isasyncgenfunction(method):
        return asynccontextmanager(method)
    if name != "aexecute" and inspect.isgeneratorfunction(method):
        return contextmanager(method)
    raise ImproperlyConfigured(
        f"{type(layer).__qualname__}.{name} cannot surround anything: it is to be a generator "
        f"function without a decorator that yields once, {_FORMS[name]}"
    )


def _options_of(layers: Sequence[Middleware]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for each in layers:
        for name, default in each.options.items():
            if name in options and options[name] != default:
                raise ImproperlyConfigured(
                    f"{type(each).__qualname__}: another middleware understands the task option "
                    f"{name!r} too, with the default {options[name]!r}: rename one of them"
                )
            options[name] = default
    return options


def layer_of(given: object) -> Middleware:
    """Return the middleware that an instance, a class or a dotted path stands for.

    Raises
    ------
    ImproperlyConfigured
        If it is none of them, or is not to be found.
    """
    found = _imported(given) if isinstance(given, str) else given
    if isinstance(found, type) and issubclass(found, Middleware):
        found = found()
    if not isinstance(found, Middleware):
        raise ImproperlyConfigured(
            f"middleware: {given!r:.80}: expected an instance or a subclass of caraway.Middleware, "
            "or its dotted path such as 'shop.tracing.Tracing'"
        )
    return found


def _imported(path: str) -> object:
    from importlib import import_module

    module, _, name = path.rpartition(".")
    if not module:
        raise ImproperlyConfigured(f"middleware: {path!r}: expected a path, 'module.Class'")
    try:
        found: object = getattr(import_module(module), name)
    except AttributeError:
        raise ImproperlyConfigured(f"middleware: module {module!r} has no {name!r}") from None
    return found
