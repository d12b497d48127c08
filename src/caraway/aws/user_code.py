"""Runs user code so that it ends as a value."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, TypeVar

from caraway.core.port import Raised, Returned
from caraway.exceptions import CarawayError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from caraway.core.port import Outcome

T = TypeVar("T")

_OURS: Final = (
    "asyncio.",
    "caraway.core.",
    "caraway.middleware",
    "caraway.running",
    "caraway.task",
    "caraway.workers.",
    "concurrent.",
    "contextlib",
)
"""Modules between the call of user code and its own first frame."""


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Say what inspect does, at a tenth of its cost for functions and methods.

    Functions that are marked as what they are not (``inspect.markcoroutinefunction``) are what they
    are here.
    """
    code = getattr(function, "__code__", None)
    if code is None:
        return inspect.iscoroutinefunction(function)
    return bool(code.co_flags & inspect.CO_COROUTINE)


def call_blocking(function: Callable[..., Any], *args: Any) -> Outcome[Any]:
    """Run a function, or a coroutine function to its end, in the calling thread.

    ``KeyboardInterrupt`` is not the function's: it goes through.
    """
    if inspect.iscoroutinefunction(function):
        return call_function(_run_to_its_end, function, *args)
    return call_function(function, *args)


def call_function(function: Callable[..., Any], *args: Any) -> Outcome[Any]:
    """Run a plain function in the calling thread; as above."""
    try:
        return Returned(function(*args))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit of a task must not end the worker
        return Raised(_from_user_code(error))


async def call_async(function: Callable[..., Any], *args: Any) -> Outcome[Any]:
    """Await a coroutine function on the running loop.

    A cancellation of the caller goes to the function, and then through. A ``CancelledError`` of the
    function's own, such as from awaiting what was cancelled, is its outcome.
    """
    import asyncio

    # In a task of its own: else the two cancellations could not be told apart.
    running = asyncio.create_task(outcome_of(function, *args))
    try:
        await asyncio.wait([running])
    except asyncio.CancelledError:
        running.cancel()
        await asyncio.wait([running])
        raise
    return running.result()


async def outcome_of(function: Callable[..., Any], *args: Any) -> Outcome[Any]:
    """Await a coroutine function; a cancellation is an outcome like any other exception."""
    try:
        return Returned(await function(*args))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        return Raised(_from_user_code(error))


def _from_user_code(error: BaseException) -> BaseException:
    """Return an exception whose traceback begins where user code does, if it comes to that."""
    traceback = error.__traceback__
    while traceback is not None and _is_ours(traceback.tb_frame.f_globals.get("__name__", "")):
        traceback = traceback.tb_next
    # What Caraway says by itself needs no traceback; anything else that is ours is a fault.
    if traceback is not None or isinstance(error, CarawayError):
        error.__traceback__ = traceback
    return error


def _is_ours(module: str) -> bool:
    return module.startswith(_OURS) or module == __name__


def _run_to_its_end(function: Callable[..., Any], *args: Any) -> Any:
    return run_coroutine(function(*args))


def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from synchronous code, also inside a running event loop."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass  # and not here: this error would be the context of whatever the function raises
    else:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(copy_context().run, asyncio.run, coroutine).result()
    return asyncio.run(coroutine)
