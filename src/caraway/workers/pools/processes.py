"""``-P prefork``: user code in child processes, one call at a time in each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from caraway.exceptions import WorkerLostError
from caraway.lean import dataclass
from caraway.utils.log import get_logger
from caraway.workers.limits import limits_of
from caraway.workers.pools.child import Child
from caraway.workers.pools.stops import Stops

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from caraway.core.port import Outcome, Stopped
    from caraway.workers.pools.child import Nursery

logger = get_logger("worker.pool")

PAUSE_S: Final = 1.0
"""Between two tries to start a child."""
KEEPALIVE_S: Final = 30.0
"""How long a child that is not needed stays; Celery's AUTOSCALE_KEEPALIVE."""


@dataclass(frozen=True)
class Limits:
    """How many children there are, and for how long.

    Attributes
    ----------
    fewest, most
        Children that are always there; children at a time.
    calls_each
        Calls that a child runs at a time.
    tasks_per_child
        A child is replaced after so many tasks; None: never.
    memory_per_child_kb
        A child is replaced when it has more resident memory than this after a call, in KiB.
    keepalive_s
        How long a child beyond the fewest stays without work, in seconds.
    """

    fewest: int
    most: int
    calls_each: int = 1
    tasks_per_child: int | None = None
    memory_per_child_kb: int | None = None
    keepalive_s: float = KEEPALIVE_S


class ProcessPool:
    """Hands calls to child processes, and replaces those that die, wear out or are not needed."""

    ends_functions = True

    def __init__(
        self, name: str, nursery: Nursery, tasks: Mapping[str, Any], limits: Limits
    ) -> None:
        self.name = name
        self.concurrency = limits.most * limits.calls_each
        self._nursery = nursery
        self._tasks = tasks
        self._limits = limits
        self._children: dict[int, Child | None] = {}  # None: it is being born
        self._alive: set[Child] = set()  # with those that are ending, which take no call any more
        self._changed = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._stops = Stops()
        self._is_closed = False

    def start(self) -> None:
        """Fork the process that forks the children."""
        self._nursery.start()

    async def open(self) -> None:
        """Start the children that are always there.

        Raises
        ------
        WorkerLostError
            If a child ends before it is ready.
        """
        await asyncio.gather(*(self._bear() for _ in range(self._limits.fewest)))
        if self._limits.fewest < self._limits.most:
            self._in_background(self._shrink())

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run user code in a child process; the first argument is the request."""
        stop: asyncio.Future[Stopped] = asyncio.get_running_loop().create_future()
        with self._stops.of(args, stop):
            child = await self._take()
            try:
                return await child.call(self._hard_limit(args), stop, function, *args)
            finally:
                self._look_after(child)

    def stop(self, token: str, signal: str) -> None:
        """End the child of a call by a signal; where others run in it, the call alone."""
        self._stops.ask(token, signal)

    @property
    def leaves_behind(self) -> bool:
        """Nothing: children end with their worker."""
        return False

    def _hard_limit(self, args: tuple[Any, ...]) -> float | None:
        """Return after how many seconds the child is killed; where others run in it, it is not."""
        hard_s, _ = limits_of(args)
        return hard_s if self._limits.calls_each == 1 else None

    async def _take(self) -> Child:
        """Return a child that has time; the one that worked last, so that others may go."""
        while True:
            free = [each for each in self._living() if each.calls < self._limits.calls_each]
            if free:
                return max(free, key=lambda each: each.idle_since)
            if len(self._children) < self._limits.most:
                await self._bear_patiently()
            else:
                self._changed.clear()
                await self._changed.wait()

    async def _bear_patiently(self) -> None:
        """Start a child; when that fails, wait before it is tried again."""
        try:
            await self._bear()
        except WorkerLostError as error:
            logger.error("%s (the worker goes on trying)", error)
            await asyncio.sleep(PAUSE_S)

    def _living(self) -> list[Child]:
        return [each for each in self._children.values() if each and not each.is_over]

    async def _bear(self) -> None:
        numbers = range(1, self._limits.most + 1)
        number = next(each for each in numbers if each not in self._children)
        self._children[number] = None  # it is taken
        try:
            child = await Child.born(
                self._nursery,
                number,
                self._tasks,
                self._has_ended,
                is_shared=self._limits.calls_each > 1,
            )
            self._children[number] = child
            self._alive.add(child)
        except BaseException:
            del self._children[number]
            raise
        finally:
            self._changed.set()

    def _has_ended(self, child: Child) -> None:
        self._alive.discard(child)
        self._look_after(child)

    def _look_after(self, child: Child) -> None:
        """Replace a child that has died or has worn out, once it is idle."""
        if not child.is_over and (why := self._worn(child)):
            logger.debug("Child %d (pid %d) is replaced: %s", child.number, child.pid, why)
            child.let_go()
        if child.is_over and self._children.get(child.number) is child:
            del self._children[child.number]
            if len(self._children) < self._limits.fewest and not self._is_closed:
                self._in_background(self._bear_patiently())
        self._changed.set()

    def _worn(self, child: Child) -> str | None:
        limits = self._limits
        if limits.tasks_per_child is not None and child.done >= limits.tasks_per_child:
            return f"it has run {child.done} tasks"
        if limits.memory_per_child_kb is not None and child.memory_kb > limits.memory_per_child_kb:
            return f"it has {child.memory_kb:,} KiB"
        return None

    async def _shrink(self) -> None:
        """Let children go that have had nothing to do for a while."""
        while True:
            await asyncio.sleep(self._limits.keepalive_s / 2)
            long_ago = asyncio.get_running_loop().time() - self._limits.keepalive_s
            idle = [
                each for each in self._living() if not each.calls and each.idle_since < long_ago
            ]
            for child in idle[: max(0, len(self._children) - self._limits.fewest)]:
                child.let_go()
                del self._children[child.number]

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """End all children: at once those that run something."""
        self._is_closed = True
        for task in self._background:
            task.cancel()
        for child in self._alive:
            child.close()
        await self._nursery.close()
