"""Runs user code so that it ends as a value."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from caraway.core.port import Raised, Returned

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.core.port import Outcome


def call_blocking(function: Callable[..., Any], *args: Any) -> Outcome[Any]:
    """Run a function, or a coroutine function to its end, in the calling thread.

    ``KeyboardInterrupt`` is not the function's: it goes through.
    """
    try:
        if inspect.iscoroutinefunction(function):
            return Returned(_run_coroutine(function, *args))
        return Returned(function(*args))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit of a task must not end the worker
        return Raised(error)


async def call_async(function: Callable[..., Any], *args: Any) -> Outcome[Any]:
    """Await a coroutine function on the running loop.

    A cancellation of the caller goes to the function, and then through. A ``CancelledError`` of the
    function's own, such as from awaiting what was cancelled, is its outcome.
    """
    import asyncio

    # In a task of its own: else the two cancellations could not be told apart.
    running = asyncio.create_task(_outcome(function, *args))
    try:
        await asyncio.wait([running])
    except asyncio.CancelledError:
        running.cancel()
        await asyncio.wait([running])
        raise
    return running.result()


async def _outcome(function: Callable[..., Any], *args: Any) -> Outcome[Any]:
    try:
        return Returned(await function(*args))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        return Raised(error)


def _run_coroutine(function: Callable[..., Any], *args: Any) -> Any:
    """Run a coroutine function from synchronous code, also inside a running event loop."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(function(*args))
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, asyncio.run, function(*args)).result()
