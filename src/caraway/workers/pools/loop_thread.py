"""Coroutine functions of user code, on an event loop beside the worker's."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from caraway.aws.user_code import outcome_of
from caraway.workers.limits import NO_LIMITS, call_async_within, limits_of
from caraway.workers.pools.elsewhere import Call, Elsewhere
from caraway.workers.pools.handover import Handover

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from caraway.core.port import Outcome

_JOIN_S: Final = 1.0
"""What coroutines that are cancelled get to clean up."""


class LoopThread(Elsewhere):
    """An event loop in a thread of its own, started at its first use.

    Coroutines of user code run there: one that blocks the loop delays its like, never the worker's
    polling and heartbeat. A caller that is cancelled cancels its coroutine.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread: threading.Thread | None = None
        self._theirs: asyncio.AbstractEventLoop
        self._asked: Handover[Call]
        self._is_closed = False

    def _begin(self, call: Call) -> None:
        if self._thread is None:
            self._theirs = asyncio.new_event_loop()
            self._asked = Handover(self._theirs, self._run)
            thread = threading.Thread(target=self._turn, name="tasks-loop", daemon=True)
            thread.start()
            self._thread = thread
        self._asked.put(call)

    def _give_up(self, call: Call) -> None:
        self._soon(_cancel, call)

    async def _stop(self, call: Call) -> None:
        """Give a coroutine a moment to clean up; it is not waited for then."""
        ending = asyncio.run_coroutine_threadsafe(_end(call), self._theirs)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(ending), _JOIN_S)

    def close(self) -> None:
        """Stop the loop; what runs on it is cancelled, and gets a moment to clean up."""
        self._is_closed = True
        if self._thread is not None:
            self._soon(self._theirs.stop)
            self._thread.join(_JOIN_S)

    def _soon(self, callback: Callable[..., object], *args: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nothing runs there any more
            self._theirs.call_soon_threadsafe(callback, *args)

    # -- in the thread of the loop --------------------------------------------------------------

    def _turn(self) -> None:
        loop = self._theirs
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

    def _run(self, call: Call) -> None:
        call.task = call.context.run(self._theirs.create_task, self._finish(call))

    async def _finish(self, call: Call) -> None:
        """Run a call and hand back how it ends; one that is cancelled before has no caller left."""
        try:
            how: Outcome[Any] | BaseException = await _outcome(call)
        except BaseException as error:  # noqa: BLE001 - the caller's, whatever it is
            how = error
        # Of a loop that is closed, what it ends with may be our own interruption.
        call.ended.put((call, asyncio.CancelledError() if self._is_closed else how))


def _outcome(call: Call) -> Coroutine[Any, Any, Outcome[Any]]:
    limits = limits_of(call.args)
    if limits == NO_LIMITS:
        return outcome_of(call.function, *call.args)
    return call_async_within(limits, call.function, *call.args)


def _cancel(call: Call) -> None:
    assert call.task is not None  # it was asked for before
    call.task.cancel()


async def _end(call: Call) -> None:
    _cancel(call)
    assert call.task is not None
    await asyncio.wait([call.task])
