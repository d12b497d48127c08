"""User code in this process: in threads, on an event loop, or one task at a time."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from caraway import signals
from caraway.aws.user_code import call_async, call_blocking
from caraway.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.core.port import Outcome


_JOIN_S: Final = 1.0
"""What coroutines that are cancelled get to clean up."""


class LoopThread:
    """An event loop in a thread of its own, started at its first use.

    Coroutines of user code run there: one that blocks the loop delays its like, never the worker's
    polling and heartbeat.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run a coroutine function; a caller that is cancelled cancels it."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._run, args=(self._loop,), name="tasks-loop", daemon=True
            )
            self._thread.start()
        running = asyncio.run_coroutine_threadsafe(call_async(function, *args), self._loop)
        return await asyncio.wrap_future(running)

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            left = asyncio.all_tasks(loop)
            for each in left:
                each.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def close(self) -> None:
        """Stop the loop; what runs on it is cancelled, and gets a moment to clean up."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_JOIN_S)


class ThreadPool:
    """``-P threads``: functions in threads, coroutine functions on a loop beside them."""

    name = "threads"

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="task")
        self._coroutines = LoopThread()

    def start(self) -> None:
        """Begin the process of the tasks: it is this one."""
        signals.worker_process_init.send(None)

    async def open(self) -> None:
        """There is nothing to wait for."""

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run user code where it belongs."""
        if inspect.iscoroutinefunction(function):
            return await self._coroutines.call(function, *args)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, call_blocking, function, *args)

    async def close(self) -> None:
        """Let the threads go; what runs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._coroutines.close()
        signals.worker_process_shutdown.send(None, pid=os.getpid(), exitcode=0)


class AsyncioPool(ThreadPool):
    """``-P asyncio``: for apps of ``async def`` tasks, hundreds at a time on one event loop.

    Plain functions run too, in a few threads.
    """

    name = "asyncio"
    _THREADS: Final = 16

    def __init__(self, concurrency: int) -> None:
        super().__init__(min(concurrency, self._THREADS))
        self.concurrency = concurrency


class SoloPool(ThreadPool):
    """``-P solo``: one task at a time."""

    name = "solo"

    def __init__(self, concurrency: int = 1) -> None:
        if concurrency != 1:
            raise ImproperlyConfigured(
                f"-P solo runs one task at a time, so -c {concurrency} cannot be: use -P threads"
            )
        super().__init__(1)
