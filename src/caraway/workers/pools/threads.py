"""User code in this process: in threads, on an event loop, or one task at a time."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from caraway import signals
from caraway.aws.user_code import call_blocking
from caraway.core.port import Stopped
from caraway.exceptions import ImproperlyConfigured
from caraway.utils.log import get_logger
from caraway.workers.limits import NO_LIMITS, call_async_within, limits_of
from caraway.workers.pools.stops import Stops, ends_by_itself

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from caraway.core.context import Context
    from caraway.core.port import Outcome


logger = get_logger("worker.pool")

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

    async def call(
        self, stop: asyncio.Future[str], function: Callable[..., Any], *args: Any
    ) -> Outcome[Any]:
        """Run a coroutine function; a caller that is cancelled, and ``stop``, cancel it.

        One that is stopped gets a moment to clean up, and is not waited for then.
        """
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._run, args=(self._loop,), name="tasks-loop", daemon=True
            )
            self._thread.start()
        here, ended = asyncio.get_running_loop(), asyncio.Event()

        async def call() -> Outcome[Any]:
            try:
                return await call_async_within(limits_of(args), function, *args)
            finally:
                with suppress(RuntimeError):  # the worker's loop is gone
                    here.call_soon_threadsafe(ended.set)

        running = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), self._loop))
        if await ends_by_itself(running, stop):
            return running.result()
        running.cancel()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(ended.wait(), _JOIN_S)
        return Stopped(stop.result())

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
    ends_functions = False

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self._at_once = concurrency
        self._threads = self._new_threads()
        self._coroutines = LoopThread()
        self._stops = Stops()
        self._left: list[Future[Outcome[Any]]] = []
        self._limited: set[str | None] = set()

    def _new_threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._at_once, thread_name_prefix="task")

    def start(self) -> None:
        """Begin the process of the tasks: it is this one."""
        signals.worker_process_init.send(None)

    async def open(self) -> None:
        """There is nothing to wait for."""

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run user code where it belongs."""
        with self._stops.of(args) as stop:
            if inspect.iscoroutinefunction(function):
                return await self._coroutines.call(stop, function, *args)
            if limits_of(args) != NO_LIMITS:
                self._say_it_has_no_end(args[0])
            return await self._in_a_thread(stop, function, *args)

    async def _in_a_thread(
        self, stop: asyncio.Future[str], function: Callable[..., Any], *args: Any
    ) -> Outcome[Any]:
        while True:
            in_thread = self._threads.submit(call_blocking, function, *args)
            running = asyncio.wrap_future(in_thread)
            if not await ends_by_itself(running, stop):
                if not in_thread.cancel():  # it has begun
                    self._leave(in_thread, args[0])
                return Stopped(stop.result())
            if not in_thread.cancelled():
                return running.result()
            # It waited for a thread behind one that was left: there are others now.

    def _leave(self, in_thread: Future[Outcome[Any]], context: Context) -> None:
        """Let a thread that cannot be ended go on, and give its place to another."""
        logger.warning(
            "Task %s[%s] goes on, and records nothing: -P %s cannot end a function",
            context.task,
            context.id,
            self.name,
        )
        self._left.append(in_thread)
        before, self._threads = self._threads, self._new_threads()
        before.shutdown(wait=False, cancel_futures=True)

    def stop(self, token: str, signal: str) -> None:
        """Cancel a coroutine; do not wait for a function any more."""
        self._stops.ask(token, signal)

    @property
    def leaves_behind(self) -> bool:
        """Whether a function still runs that was to stop."""
        self._left = [each for each in self._left if not each.done()]
        return bool(self._left)

    def _say_it_has_no_end(self, context: Context) -> None:
        """Say once for each task that the limits of a call do not hold: nothing is silent."""
        if context.task not in self._limited:
            self._limited.add(context.task)
            logger.warning(
                "Task %s has a time limit, which -P %s cannot hold: use -P prefork",
                context.task,
                self.name,
            )

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
