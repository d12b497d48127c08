"""Whether a worker is alive: what its loops have said they will have done by when."""

from __future__ import annotations

import asyncio
import time
from dataclasses import field
from datetime import datetime, timezone
from math import inf
from typing import TYPE_CHECKING, Any, Final

from caraway.lean import dataclass
from caraway.utils.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = get_logger("worker")

TURN_S: Final = 1.0
"""How often the event loop says that it turns."""
BLOCKED_S: Final = 30.0
"""An event loop that has not turned for so long is blocked: it renews nothing any more."""
SLACK_S: Final = 30.0
"""What a loop gets beyond the time that it says it needs, on a machine that has much to do."""
SILENT_S: Final = 300.0
"""How long AWS may answer nothing at all before the worker is taken for cut off. Another worker in
its place helps if the container has lost its network, not if AWS is down: so it is long."""
FIRST_RESTART_S: Final = 1.0
LONGEST_RESTART_S: Final = 30.0
RESTARTS: Final = 8
"""Restarts of a loop in a row, over about two minutes, before the worker ends instead."""


class Watch:
    """One loop of a worker, which says by when it will be heard of again.

    Attributes
    ----------
    done_at
        When it last did what it is for; None before the first time.
    rests
        Whether it waits for something that may take as long as it likes, such as a free slot.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.done_at: float | None = None
        self._clock = clock
        self._began = clock()
        self._due = inf

    @property
    def rests(self) -> bool:
        """Whether nothing is expected of it."""
        return self._due == inf

    def expect(self, within_s: float) -> None:
        """Say that it will be heard of within so many seconds."""
        self._began = self._clock()
        self._due = self._began + within_s

    def rest(self) -> None:
        """Say that nothing is to be expected until the next word."""
        self._due = inf

    def done(self) -> None:
        """Say that it has done what it is for."""
        self.done_at = self._clock()

    def trouble(self) -> str | None:
        """Return what is wrong, if it has not been heard of in time."""
        now = self._clock()
        if now <= self._due:
            return None
        return f"{self.name}: nothing for {now - self._began:.0f} s"


@dataclass(frozen=True)
class Report:
    """What a worker says of itself.

    Attributes
    ----------
    problems
        Why it is not healthy; none if it is.
    facts
        The rest, for people.
    """

    problems: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Return it as ``/health`` shows it."""
        status = "ok" if self.healthy else "failing"
        return {"status": status, "problems": list(self.problems), **self.facts}


class Vitals:
    """What is known of a worker's loops; written by them, read by the thread of ``/health``.

    Attributes
    ----------
    ready, stopping
        Whether the worker has begun; whether it was told to stop.
    running
        Says how many tasks run.
    heard_at
        Says when AWS last answered anything, by the same clock.
    """

    def __init__(self, hostname: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.hostname = hostname
        self.ready = False
        self.stopping = False
        self.since = datetime.now(timezone.utc)
        self.running: Callable[[], int] = lambda: 0
        self.heard_at: Callable[[], float] = lambda: self._began
        self._clock = clock
        self._began = clock()
        self._loop = Watch("the event loop is blocked", clock)
        self._loops: dict[str, Watch] = {}
        self._queues: dict[str, Watch] = {}

    def watch(self, name: str) -> Watch:
        """Return the watch of a loop."""
        return self._loops.setdefault(name, Watch(name, self._clock))

    def watch_queue(self, name: str) -> Watch:
        """Return the watch of the loop that polls a queue."""
        return self._queues.setdefault(name, Watch(f"polling of {name}", self._clock))

    async def turn(self) -> None:
        """Say that the event loop turns, until cancelled."""
        while True:
            self._loop.expect(BLOCKED_S)
            await asyncio.sleep(TURN_S)

    def report(self) -> Report:
        """Return what the worker says of itself now; from any thread."""
        now = self._clock()
        facts = {
            "hostname": self.hostname,
            "since": self.since.isoformat(timespec="seconds"),
            "stopping": self.stopping,
            "running": self.running(),
            "aws_answered_s_ago": _age(now, max(self.heard_at(), self._began)),
            "queues": {
                name: {"received_s_ago": _age(now, queue.done_at), "full": queue.rests}
                for name, queue in list(self._queues.items())
            },
        }
        return Report(tuple(self._problems(now)), facts)

    def _problems(self, now: float) -> list[str]:
        if not self.ready:
            return ["the worker has not begun yet"]
        queues = list(self._queues.values())
        watches = [self._loop, *list(self._loops.values()), *([] if self.stopping else queues)]
        problems = [trouble for each in watches if (trouble := each.trouble())]
        silent_s = now - max(self.heard_at(), self._began)
        if silent_s > SILENT_S and not all(queue.rests for queue in queues):
            problems.append(f"AWS has answered nothing for {silent_s:.0f} s")
        return problems


def _age(now: float, then: float | None) -> float | None:
    return None if then is None else round(max(0.0, now - then), 1)


class LoopFailedError(Exception):
    """A loop of the worker failed again and again, and will not be started once more."""


async def kept_running(
    name: str,
    loop: Callable[[], Awaitable[None]],
    pause: Callable[[float], Awaitable[object]],
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Run a loop of the worker; start it again when it fails for a reason that nobody foresaw.

    Parameters
    ----------
    pause
        Waits so many seconds, or less when the worker stops.
    progress
        Something that changes when the loop does what it is for: then its failures are counted
        from nothing.

    Raises
    ------
    LoopFailedError
        If it failed more than :data:`RESTARTS` times in a row without any progress. The worker
        then ends, for ECS to replace: whatever is wrong with it, it does not pass.
    """
    failures, reached = 0, progress()
    while True:
        try:
            return await loop()
        except Exception as error:
            before, reached = reached, progress()
            failures = failures + 1 if reached == before else 1
            if failures > RESTARTS:
                raise LoopFailedError(
                    f"{name} failed {failures} times in a row: {error}"
                ) from error
            logger.exception("%s failed; it is started again", name)
        await pause(min(LONGEST_RESTART_S, FIRST_RESTART_S * 2.0 ** (failures - 1)))
