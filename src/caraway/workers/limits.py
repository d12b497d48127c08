"""Time limits: how a task is told to end, and how one is ended that does not.

The soft limit raises :class:`~caraway.exceptions.SoftTimeLimitExceeded` in the task, which may
clean up. The hard limit ends it, and is its outcome.
"""

from __future__ import annotations

import asyncio
import signal
import time
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

from caraway.aws.user_code import call_async
from caraway.core.context import Context
from caraway.core.port import Raised
from caraway.exceptions import ImproperlyConfigured, SoftTimeLimitExceeded, TimeLimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence
    from types import CodeType, FrameType

    from caraway.app import Caraway
    from caraway.core.port import Outcome
    from caraway.core.routing import Queue

T = TypeVar("T")

NO_LIMITS: Final = (None, None)
_PARTING_S: Final = 1.0
"""What a coroutine that is cancelled gets to clean up."""
_AGAIN_S: Final = 0.05
"""After which an alarm rings again that did not end its function."""


def limits_of(args: tuple[Any, ...]) -> tuple[float | None, float | None]:
    """Return the hard and the soft limit of a call, in seconds; hooks have none."""
    match args:
        case [Context() as context]:
            return context.timelimit
    return NO_LIMITS


def refuse_limits(app: Caraway, queues: Sequence[Queue], pool: str) -> None:
    """Refuse a pool that cannot hold the limits of tasks that come to its queues.

    Raises
    ------
    ImproperlyConfigured
        Naming the tasks.
    """
    limited = [
        name
        for name, task in app.tasks.items()
        if (task.time_limit or task.soft_time_limit) and not task.is_async
    ]
    here = [name for name in limited if _queue_of(app, name) in {each.name for each in queues}]
    if here:
        raise ImproperlyConfigured(
            f"-P {pool} cannot end a function, so the time limits of {', '.join(sorted(here))} "
            "would not hold: use -P prefork (or -P gevent), or take the limits off"
        )


def _queue_of(app: Caraway, name: str) -> str | None:
    """Return the queue that a task's calls go to, None where that depends on the call."""
    own = app.tasks[name].queue
    try:
        return app.site.router.route(name, (), {}, {"queue": own} if own else {}).name
    except Exception:  # noqa: BLE001 - a router function of the user's, which wants arguments
        return None


class _Interruptible:
    """A coroutine into which an exception can be thrown where it waits."""

    def __init__(self, function: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self._function = function
        self._task: asyncio.Task[Any] | None = None
        self._thrown: BaseException | None = None

    async def run(self, *args: Any) -> Any:
        self._task = asyncio.current_task()
        return await _Driven(self._function(*args), self._take)

    def interrupt(self, error: BaseException) -> None:
        """Throw an exception into it, as a cancellation would be."""
        if self._task is not None and not self._task.done():
            self._thrown = error
            self._task.cancel()

    def _take(self, cancelled: BaseException) -> BaseException:
        """Return what a cancellation stands for."""
        thrown, self._thrown = self._thrown, None
        if thrown is None:
            return cancelled
        if self._task is not None and hasattr(self._task, "uncancel"):  # Python 3.11
            self._task.uncancel()
        return thrown


class _Driven:
    """Awaits a coroutine, and gives it other exceptions than those that arrive."""

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        translate: Callable[[BaseException], BaseException],
    ) -> None:
        self._coroutine = coroutine
        self._translate = translate

    def __await__(self) -> Generator[Any, Any, Any]:
        error: BaseException | None = None
        while True:
            try:
                if error is None:
                    awaited = self._coroutine.send(None)
                else:
                    awaited = self._coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            error = None
            try:
                yield awaited
            except asyncio.CancelledError as cancelled:
                error = self._translate(cancelled)
            except GeneratorExit:
                self._coroutine.close()
                raise


async def call_async_within(
    limits: tuple[float | None, float | None],
    function: Callable[..., Coroutine[Any, Any, Any]],
    *args: Any,
) -> Outcome[Any]:
    """Await a coroutine function on the running loop, within limits in seconds."""
    hard_s, soft_s = limits
    if limits == NO_LIMITS:
        return await call_async(function, *args)
    interruptible = _Interruptible(function)
    running = asyncio.ensure_future(call_async(interruptible.run, *args))
    soft = None
    if soft_s is not None:
        loop = asyncio.get_running_loop()
        soft = loop.call_later(soft_s, interruptible.interrupt, SoftTimeLimitExceeded(soft_s))
    try:
        await asyncio.wait([running], timeout=hard_s)
        if running.done():
            return running.result()
        return Raised(TimeLimitExceeded(hard_s))
    finally:
        if soft is not None:
            soft.cancel()
        if not running.done():
            running.cancel()
            await asyncio.wait([running], timeout=_PARTING_S)


def call_by_alarm(
    limits: tuple[float | None, float | None],
    call: Callable[..., Outcome[Any]],
    function: Any,
    *args: Any,
) -> Outcome[Any]:
    """Call a plain function in the main thread; a signal raises in it when a limit has passed.

    What blocks in a system call is interrupted, too (PEP 475: the handler's exception ends it).
    After the hard limit it is raised again and again: a function may swallow what it does not know.

    Parameters
    ----------
    limits
        The hard and the soft one, in seconds.
    call
        Calls the function, and returns how it ended.
    """
    if limits == NO_LIMITS:
        return call(function, *args)
    alarm = _Alarm(*limits)
    with alarm:
        outcome = call(alarm.within, function, *args)
    return Raised(TimeLimitExceeded(limits[0])) if alarm.has_ended_it else outcome


class _TimeIsOver(BaseException):
    """Ends a function; no Exception, which it might catch in passing."""


class _Alarm:
    """Raises in a function, and nowhere else, when a limit has passed."""

    def __init__(self, hard_s: float | None, soft_s: float | None) -> None:
        now = time.monotonic()
        self.has_ended_it = False
        self._soft_s = soft_s
        self._hard_at = inf if hard_s is None else now + hard_s
        self._soft_at = inf if soft_s is None else now + soft_s
        self._rings = False

    def within(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function: what this frame has called is interrupted, and nothing else."""
        return function(*args)

    def __enter__(self) -> None:
        """Let it ring until the block ends."""
        self._rings = True
        self._before = signal.signal(signal.SIGALRM, self._ring)
        self._wind()

    def __exit__(self, *_: object) -> None:
        self._rings = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _wind(self) -> None:
        """Let it ring at the next limit; soon again when one has passed."""
        next_s = min(self._soft_at, self._hard_at) - time.monotonic()
        if next_s < inf:
            signal.setitimer(signal.ITIMER_REAL, max(next_s, _AGAIN_S))

    def _ring(self, _number: int, frame: FrameType | None) -> None:
        if not self._rings:
            return
        now, is_within = time.monotonic(), is_called_by(frame, _Alarm.within.__code__)
        is_soft, is_hard = now >= self._soft_at, now >= self._hard_at
        if is_within and is_soft:
            self._soft_at = inf
        self._wind()
        if is_within and is_hard:
            self.has_ended_it = True
            raise _TimeIsOver
        if is_within and is_soft:
            raise SoftTimeLimitExceeded(self._soft_s)


def is_called_by(frame: FrameType | None, code: CodeType) -> bool:
    """Say whether a frame is that of a call, direct or not, which this code has made."""
    while frame is not None and frame.f_code is not code and frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is code:
            return True
    return False
