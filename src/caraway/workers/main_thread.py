"""Plain functions in the main thread, for an event loop in another one.

A signal can raise an exception in the main thread only, so it is there that a function can be told
to end, and be ended. The loop has a thread of its own: it records that a function has not ended
also while that function does not let go of the main thread, as code outside of Python may do.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar

from caraway.aws.user_code import call_function
from caraway.core.port import Raised
from caraway.exceptions import TimeLimitExceeded
from caraway.workers.limits import call_by_alarm

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from caraway.core.port import Outcome

T = TypeVar("T")

PARTING_S: Final = 0.5
"""What a function that is ended gets to leave its Python code."""


class MainThread:
    """The thread that waits for an event loop, and meanwhile runs functions for it, one by one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._loops_thread = ThreadPoolExecutor(1, thread_name_prefix="loop")
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._running: asyncio.Future[None] | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end on the loop, and in this thread what it calls."""
        task = self._loop.create_task(coroutine)
        asked = self._asked = SimpleQueue()
        running = self._loops_thread.submit(self._loop.run_until_complete, task)
        running.add_done_callback(lambda _: asked.put(None))
        try:
            while (call := asked.get()) is not None:
                call()
        except BaseException:  # Ctrl-C: nobody answers the loop any more
            self._loop.call_soon_threadsafe(task.cancel)
            wait([running])
            self._running = None
            raise
        return running.result()

    async def call(
        self, limits: tuple[float | None, float | None], function: Callable[..., Any], *args: Any
    ) -> Outcome[Any]:
        """Run a plain function in the main thread, within its hard and soft limit in seconds.

        One that goes on all the same has its outcome, and keeps the main thread.
        """
        answer: asyncio.Future[Outcome[Any]] = self._loop.create_future()
        ended: asyncio.Future[None] = self._loop.create_future()

        def run() -> None:
            outcome = call_by_alarm(limits, call_function, function, *args)
            self._loop.call_soon_threadsafe(_tell, outcome, answer, ended)

        self._running = ended
        self._asked.put(run)
        hard_s, _ = limits
        if hard_s is None:
            return await answer
        timer = self._loop.call_later(hard_s + PARTING_S, _give_up, answer, hard_s)
        try:
            return await answer
        finally:
            timer.cancel()

    def busy(self) -> asyncio.Future[None] | None:
        """Return what is done when no function runs; until then a next one could not begin."""
        return None if self._running is None or self._running.done() else self._running

    def close(self) -> None:
        """End the loop's thread."""
        self._loops_thread.shutdown()


def _tell(
    outcome: Outcome[Any], answer: asyncio.Future[Outcome[Any]], ended: asyncio.Future[None]
) -> None:
    ended.set_result(None)
    if not answer.done():
        answer.set_result(outcome)


def _give_up(answer: asyncio.Future[Outcome[Any]], hard_s: float) -> None:
    if not answer.done():
        answer.set_result(Raised(TimeLimitExceeded(hard_s)))
