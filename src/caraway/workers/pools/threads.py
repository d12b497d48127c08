"""User code in this process: in threads, on an event loop, or one task at a time."""

from __future__ import annotations

import os
import threading
from collections import deque
from itertools import count
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from caraway import signals
from caraway.aws.user_code import call_function, is_coroutine_function
from caraway.exceptions import ImproperlyConfigured
from caraway.utils.log import get_logger
from caraway.workers.limits import NO_LIMITS, limits_of
from caraway.workers.pools.elsewhere import Call, Elsewhere
from caraway.workers.pools.loop_thread import LoopThread
from caraway.workers.pools.stops import Stops

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from caraway.core.context import Context
    from caraway.core.port import Outcome
    from caraway.workers.pools.elsewhere import Ended


logger = get_logger("worker.pool")


class Threads(Elsewhere):
    """Threads for plain functions, started when there are more calls than threads.

    The thread of the event loop alone knows who runs what. It hands a call over when a thread has
    time for it: so there is nothing to lock, and a call that waits has surely not begun. A thread
    that is given up goes on, and another takes its place until it has ended. ::

        begin -> waiting -> asked -> a thread runs it -> ended -> handed back

    Parameters
    ----------
    most
        Calls at a time.
    pool
        The name of the pool, for the log.
    """

    def __init__(self, most: int, pool: str) -> None:
        super().__init__()
        self._most = most
        self._pool = pool
        self._waiting: deque[Call] = deque()
        self._running: set[Call] = set()
        self._given_up: set[Call] = set()
        self._asked: SimpleQueue[Call | None] = SimpleQueue()
        self._alive = 0
        self._names = count()

    @property
    def leaves_behind(self) -> bool:
        """Whether a function runs that nobody waits for."""
        return bool(self._given_up)

    def _begin(self, call: Call) -> None:
        self._waiting.append(call)
        self._go_on()

    def _go_on(self) -> None:
        """Hand over what waits, as far as there may be threads for it."""
        most = self._most + len(self._given_up)
        while self._waiting and len(self._running) < most:
            if len(self._running) >= self._alive:
                self._start()
            call = self._waiting.popleft()
            self._running.add(call)
            self._asked.put(call)
        if self._alive > most:  # a call that was given up has ended
            self._alive -= 1
            self._asked.put(None)

    def _start(self) -> None:
        name = f"task_{next(self._names)}"
        threading.Thread(target=_work, args=(self._asked,), name=name).start()
        self._alive += 1

    def _hand_back(self, ended: Ended) -> None:
        call, _ = ended
        self._running.discard(call)
        self._given_up.discard(call)
        super()._hand_back(ended)
        self._go_on()

    def _give_up(self, call: Call) -> None:
        if call in self._running:
            self._given_up.add(call)
            self._go_on()
        elif call in self._waiting:
            self._waiting.remove(call)

    async def _stop(self, call: Call) -> None:
        if call in self._running:
            context: Context = call.args[0]
            logger.warning(
                "Task %s[%s] goes on, and records nothing: -P %s cannot end a function",
                context.task,
                context.id,
                self._pool,
            )
        self._give_up(call)

    def close(self) -> None:
        """Let the threads go; what runs is not waited for, and what waits does not begin."""
        for call in self._waiting:
            call.outcome.cancel()
        self._waiting.clear()
        for _ in range(self._alive):
            self._asked.put(None)


def _work(asked: SimpleQueue[Call | None]) -> None:
    """Run one call after the other, in a thread."""
    while (call := asked.get()) is not None:
        try:
            how: Outcome[Any] | BaseException = call_function(call.function, *call.args)
        except BaseException as error:  # noqa: BLE001 - the caller's, whatever it is
            how = error
        call.ended.put((call, how))
        del call, how  # they are not kept until the next call


class ThreadPool:
    """``-P threads``: functions in threads, coroutine functions on a loop beside them."""

    name = "threads"
    ends_functions = False

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self._functions = Threads(self._threads_for(concurrency), self.name)
        self._coroutines = LoopThread()
        self._stops = Stops()
        self._limited: set[str | None] = set()

    @staticmethod
    def _threads_for(concurrency: int) -> int:
        """Return how many threads there may be."""
        return concurrency

    def start(self) -> None:
        """Begin the process of the tasks: it is this one."""
        signals.worker_process_init.send(None)

    async def open(self) -> None:
        """There is nothing to wait for."""

    def call(self, function: Callable[..., Any], *args: Any) -> Coroutine[Any, Any, Outcome[Any]]:
        """Run user code where it belongs."""
        if is_coroutine_function(function):
            return self._coroutines.call(self._stops, function, *args)
        if limits_of(args) != NO_LIMITS:
            self._say_it_has_no_end(args[0])
        return self._functions.call(self._stops, function, *args)

    def stop(self, token: str, signal: str) -> None:
        """Cancel a coroutine; do not wait for a function any more."""
        self._stops.ask(token, signal)

    @property
    def leaves_behind(self) -> bool:
        """Whether a function still runs that nobody waits for."""
        return self._functions.leaves_behind

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
        self._functions.close()
        self._coroutines.close()
        signals.worker_process_shutdown.send(None, pid=os.getpid(), exitcode=0)


class AsyncioPool(ThreadPool):
    """``-P asyncio``: for apps of ``async def`` tasks, hundreds at a time on one event loop.

    Plain functions run too, in a few threads.
    """

    name = "asyncio"
    _THREADS: Final = 16

    @classmethod
    def _threads_for(cls, concurrency: int) -> int:
        return min(concurrency, cls._THREADS)


class SoloPool(ThreadPool):
    """``-P solo``: one task at a time."""

    name = "solo"

    def __init__(self, concurrency: int = 1) -> None:
        if concurrency != 1:
            raise ImproperlyConfigured(
                f"-P solo runs one task at a time, so -c {concurrency} cannot be: use -P threads"
            )
        super().__init__(1)
