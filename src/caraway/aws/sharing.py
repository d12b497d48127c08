"""Threads that make requests at the same time share batches: what waits travels together.

A request that finds nothing under way leaves at once, so a lone caller waits for nothing. What
comes meanwhile gathers, and leaves when it is enough for a batch, when nothing is under way any
more, or after :data:`PATIENCE_S`; never more than :func:`~caraway.aws.lanes.flights` at a time. ::

    thread 1   [ request 1 ............ ]
    thread 2     waits ................ [ request 2, 3 and 4 ............ ]
    thread 3      waits ............... |
    thread 4             waits ........ |
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from caraway.aws.clients import GIVEN_UP_S
from caraway.aws.lanes import Waiting, flights
from caraway.exceptions import EndpointUnreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from caraway.aws.lanes import Lane
    from caraway.requests.base import Request

    Go = Callable[[Lane, Sequence[Request[Any]]], Awaitable[list[Any]]]

PATIENCE_S: Final = 0.05
"""How long a request waits at most for those under way: AWS usually answers sooner, and one that
hangs holds up no other."""
FORSAKEN_S: Final = 2 * GIVEN_UP_S
"""After so long the thread that was to make the request is not coming back."""


class _Gathering:
    """Requests that leave together; the thread that began it sends them.

    Attributes
    ----------
    outcomes
        The answer or the exception of each, None until they are there.
    is_closed
        Whether nothing joins it any more.
    """

    def __init__(self, lane: Lane, lock: threading.RLock) -> None:
        self.waiting: Waiting[None] = Waiting(lane[0])
        self.outcomes: list[Any] | None = None
        self.is_closed = False
        self.changed = threading.Condition(lock)

    @property
    def requests(self) -> list[Any]:
        """What gathered, in its order."""
        return [request for request, _ in self.waiting.members]


class Sharing:
    """Lets the threads of a process share batches.

    Parameters
    ----------
    go
        Performs requests of a lane together, in batches; gives the outcome of each.
    """

    def __init__(self, go: Go) -> None:
        self._go = go
        self._lock = threading.RLock()  # a signal handler may come in between
        self._landed = threading.Condition(self._lock)
        self._gathering: dict[Lane, _Gathering] = {}
        self._under_way: Counter[Lane] = Counter()

    async def perform(self, lane: Lane, request: Request[Any]) -> Any:
        """Perform a request with those that other threads make; return its answer.

        Raises
        ------
        Exception
            Its own failure; ``EndpointUnreachable`` if the thread that was to send it was
            interrupted, so that nobody knows what became of it.
        """
        gathering, place = self._join(lane, request)
        if place == 0:
            await self._lead(lane, gathering)
        outcome = self._outcomes(gathering)[place]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _join(self, lane: Lane, request: Request[Any]) -> tuple[_Gathering, int]:
        with self._lock:
            gathering = self._gathering.get(lane)
            if gathering is None:
                gathering = self._gathering[lane] = _Gathering(lane, self._lock)
            place = len(gathering.waiting.members)
            if gathering.waiting.put(request, None):
                self._close(lane, gathering)
            return gathering, place

    def _close(self, lane: Lane, gathering: _Gathering) -> None:
        gathering.is_closed = True
        if self._gathering.get(lane) is gathering:
            del self._gathering[lane]
        gathering.changed.notify_all()

    async def _lead(self, lane: Lane, gathering: _Gathering) -> None:
        """Send a gathering when its time has come, and tell those who wait for it."""
        outcomes: list[Any] = []
        is_under_way = False
        try:
            with self._lock:
                gathering.changed.wait_for(
                    lambda: gathering.is_closed or not self._under_way[lane], PATIENCE_S
                )
                # More may join meanwhile: it leaves when there is room.
                self._landed.wait_for(lambda: self._under_way[lane] < flights(lane), FORSAKEN_S)
                self._close(lane, gathering)
                self._under_way[lane] += 1
                is_under_way = True
            outcomes = await self._go(lane, gathering.requests)
        finally:
            with self._lock:
                self._close(lane, gathering)
                self._under_way[lane] -= is_under_way
                gathering.outcomes = outcomes or [
                    EndpointUnreachable("the request was interrupted: send it again")
                    for _ in gathering.requests
                ]
                gathering.changed.notify_all()
                self._landed.notify_all()
                waiting = self._gathering.get(lane)
                if waiting is not None and not self._under_way[lane]:
                    waiting.changed.notify_all()

    def _outcomes(self, gathering: _Gathering) -> list[Any]:
        with self._lock:
            gathering.changed.wait_for(lambda: gathering.outcomes is not None, FORSAKEN_S)
            if gathering.outcomes is None:
                raise EndpointUnreachable("nobody has sent the request: send it again")
            return gathering.outcomes
