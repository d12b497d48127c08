"""A function in a thread, told to end: all that can be done where nothing may be killed.

Python raises the exception between two steps of the function's own code, so one that waits in a
system call goes on until that returns. Its outcome is decided all the same.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from typing import TYPE_CHECKING, Any, Final

from caraway.aws.user_code import call_blocking
from caraway.core.port import Raised
from caraway.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor as Threads

    from caraway.core.port import Outcome

_PARTING_S: Final = 0.5
"""What a function gets to end when it has been told to."""


class ThreadCall:
    """One call of a function in a thread.

    Attributes
    ----------
    is_over
        Whether the thread is free again.
    """

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.is_over = False
        self._function = function
        self._args = args
        self._thread: int | None = None
        self._lock = threading.Lock()

    async def within(
        self, limits: tuple[float | None, float | None], threads: Threads
    ) -> Outcome[Any]:
        """Run it; the limits are a hard and a soft one, in seconds."""
        hard_s, soft_s = limits
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(threads, self._run)
        soft = None if soft_s is None else loop.call_later(soft_s, self._raise_soft)
        await asyncio.wait([running], timeout=hard_s)
        if soft is not None:
            soft.cancel()
        if running.done():
            return running.result()
        self._raise(TimeLimitExceeded)
        await asyncio.wait([running], timeout=_PARTING_S)
        return Raised(TimeLimitExceeded(hard_s))

    def _run(self) -> Outcome[Any]:
        with self._lock:
            self._thread = threading.get_ident()
        try:
            return call_blocking(self._function, *self._args)
        except (SoftTimeLimitExceeded, TimeLimitExceeded) as late:  # when it had just returned
            return Raised(late)
        finally:
            with self._lock:
                _set_exception(self._thread, None)  # one that is still on its way is not for others
                self._thread = None
                self.is_over = True

    def _raise_soft(self) -> None:
        self._raise(SoftTimeLimitExceeded)

    def _raise(self, kind: type[BaseException]) -> None:
        with self._lock:
            if self._thread is not None:
                _set_exception(self._thread, kind)


def _set_exception(thread: int | None, kind: type[BaseException] | None) -> None:
    """Have an exception raised in a thread; None takes back one that was not raised yet."""
    raised = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread or 0), raised)
