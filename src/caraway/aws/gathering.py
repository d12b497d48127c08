"""Coroutines that make requests at the same time share batches.

Requests wait until they are enough for a batch, or until a turn of the loop brought nothing new to
them: then every step that can run waits for something, and a lone caller has waited for nothing.
Writes of records wait a few milliseconds for company while user code runs, which may bring it;
deletes wait a little longer. At most :func:`~caraway.aws.lanes.flights` batches of a lane are under
way; what comes meanwhile waits, and leaves together. ::

    turn 1   a, b, c come     turn 2   d comes      turn 3   nothing comes: [ a, b, c, d ] leave
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from caraway.aws.lanes import Waiting, batches, flights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from caraway.aws.coalesce import Batch
    from caraway.aws.lanes import Lane
    from caraway.aws.travel import Travel

    Member = tuple[Any, asyncio.Future[Any]]

PATIENCE_S: Final = 0.005
"""How long the oldest waits at most while every turn of the loop brings a new one."""


class _Line:
    """What there is of one lane.

    Attributes
    ----------
    waiting
        Requests that wait for company.
    ready
        Batches for which there was no room yet.
    under_way
        Batches that were sent and are not answered.
    departures
        How often those that waited have left: tells them from those that came after them.
    since
        When the oldest of those that wait came, by the loop's clock.
    is_watched
        Whether each turn of the loop asks if it is time to leave.
    is_due
        Whether those that wait would have left, had there been room.
    """

    def __init__(self, batch: Batch) -> None:
        self.waiting: Waiting[asyncio.Future[Any]] = Waiting(batch)
        self.ready: deque[Sequence[Member]] = deque()
        self.under_way = self.departures = 0
        self.since = 0.0
        self.is_watched = self.is_due = False


class Gathering:
    """Lets the coroutines of an event loop share batches.

    Parameters
    ----------
    travel
        Sends a batch.
    is_busy
        Says whether user code runs, which may bring company.
    """

    def __init__(self, travel: Travel, is_busy: Callable[[], bool]) -> None:
        self._travel = travel
        self._is_busy = is_busy
        self._lines: dict[Lane, _Line] = {}
        self._flights: set[asyncio.Task[None]] = set()

    def join(self, lane: Lane, request: Any) -> asyncio.Future[Any]:
        """Let a request wait for company; return its answer, or its own failure, to come."""
        loop, batch = asyncio.get_running_loop(), lane[0]
        line = self._lines.get(lane)
        if line is None:
            line = self._lines[lane] = _Line(batch)
        if not line.waiting.members:
            line.since = loop.time()
            if batch.linger_s:
                loop.call_later(batch.linger_s, self._lingered, lane, line, line.departures)
        answer: asyncio.Future[Any] = loop.create_future()
        if line.waiting.put(request, answer):
            self._depart(lane, line)
        elif not line.is_watched and not self._lingers(batch):
            line.is_watched = True
            loop.call_soon(self._watch, lane, line, line.departures, 0)
        return answer

    async def close(self) -> None:
        """Send what waits for company, and wait for what is under way."""
        while self._lines:
            for lane, line in list(self._lines.items()):
                self._depart(lane, line)
            if self._flights:
                await asyncio.wait(self._flights)

    def _lingers(self, batch: Batch) -> bool:
        """Say whether a batch waits: where nothing runs, nothing would come of it."""
        return bool(batch.linger_s) and (batch.lingers_alone or self._is_busy())

    def _lingered(self, lane: Lane, line: _Line, departures: int) -> None:
        if line.departures == departures:
            self._depart(lane, line)

    def _watch(self, lane: Lane, line: _Line, departures: int, seen: int) -> None:
        """Leave when the last turn of the loop brought nothing new."""
        if line.departures != departures:
            return
        loop, count = asyncio.get_running_loop(), len(line.waiting.members)
        if count == seen or loop.time() - line.since >= PATIENCE_S:
            self._depart(lane, line)
        else:
            loop.call_soon(self._watch, lane, line, departures, count)

    def _depart(self, lane: Lane, line: _Line) -> None:
        """Let those that wait leave, as soon as there is room for one more batch."""
        line.is_due = line.under_way >= flights(lane)
        if line.is_due:
            return
        waited, line.waiting = line.waiting.members, Waiting(lane[0])
        line.departures += 1
        line.is_watched = False
        left = [each for each in waited if not each[1].cancelled()]
        line.ready += (left[some] for some in batches(lane[0], [request for request, _ in left]))
        self._send(lane, line)

    def _send(self, lane: Lane, line: _Line) -> None:
        """Send what is ready, as far as there is room; then what waited for that."""
        while line.ready and line.under_way < flights(lane):
            line.under_way += 1
            flight = asyncio.get_running_loop().create_task(self._fly(lane, line.ready.popleft()))
            self._flights.add(flight)
            # Not at its end: a loop that closes cancels what has not begun, too.
            flight.add_done_callback(partial(self._land, lane, line))
        if line.is_due and not line.ready:
            self._depart(lane, line)
        elif not (line.under_way or line.waiting.members):
            self._lines.pop(lane, None)

    def _land(self, lane: Lane, line: _Line, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        line.under_way -= 1
        self._send(lane, line)

    async def _fly(self, lane: Lane, members: Sequence[Member]) -> None:
        """Perform a batch and hand each caller its answer."""
        outcomes = await self._travel.go(lane, [request for request, _ in members])
        for (_, answer), outcome in zip(members, outcomes, strict=True):
            if answer.done():
                continue  # its caller was cancelled
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)
