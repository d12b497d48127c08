"""The line of an invocation's messages: who is claimed when, who runs next, who is told when.

Tasks that are quick share their requests: all are claimed in one, and their endings are written
in another. Any other, or one of which that is not known, is claimed by itself when nobody is before
it; the claim travels with the ending of the one before. ::

    quick     claim 1 2 3 4 ...  [run 1][run 2][run 3][run 4]  end 1 2 3 4
    others    claim 1  [run 1 ...........]  end 1, claim 2  [run 2 ...........]  end 2

What keeps the promises: a claim that is made ahead of its run is given back if the run does not
begin soon, and is not counted as a lost worker's (:class:`caraway.core.turns.Terms`); an ending is
written soon, and before anything begins that was not claimed with it. A message that comes back,
whose worker may have died of it, and a task that may begin once only, are always by themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from caraway.core.turns import Terms

if TYPE_CHECKING:
    from collections.abc import Callable

AHEAD_S: Final = 0.5
"""A task is claimed ahead if those before it are expected to be over by then."""
PATIENCE_S: Final = 2.0
"""If they are not, it is given back: a record must not say for longer that it runs."""
TOLD_S: Final = 0.1
"""How long an ending waits for those of the tasks that were claimed with it."""
_FORGETS: Final = 0.9
"""What is left, with each run that was quicker, of how long a task is expected to take."""


class Line:
    """Where the messages of a function wait for each other.

    Parameters
    ----------
    places
        Functions that run at a time.
    stuck
        Gives what keeps a function from beginning though its place is free, None if nothing does.
    """

    def __init__(self, places: int, stuck: Callable[[], asyncio.Future[None] | None]) -> None:
        self._places = places
        self._stuck = stuck
        self._expected_s: dict[str, float] = {}
        self._wanting: list[Turn] = []
        self._inside: list[Turn] = []
        self._next: deque[Turn] = deque()
        self._running: set[Turn] = set()
        self._untold: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def turn(self, lease_s: Callable[[], float]) -> Turn:
        """Return the turn of one message; ``lease_s`` gives its lease when it is claimed."""
        return Turn(self, lease_s)

    # -- in: who is claimed ------------------------------------------------------------------

    async def let_in(self, turn: Turn) -> None:
        """Wait until a task may be claimed."""
        self._wanting.append(turn)
        self._open()
        await turn.has_come
        if not turn.is_quick and (stuck := self._stuck()) is not None:
            await asyncio.wait([stuck])

    def _open(self) -> bool:
        """Let in all who may come; tell those who have ended, whose requests go with theirs."""
        has_come = False
        while (turn := self._first()) is not None:
            self._wanting.remove(turn)
            self._inside.append(turn)
            turn.is_quick = self._is_quick(turn)
            if not turn.has_come.done():
                turn.has_come.set_result(None)
            has_come = True
        if has_come or not self._inside:
            self._tell()
        return has_come

    def _first(self) -> Turn | None:
        """Return who may come in, the quick ones before the others; None if all have to wait."""
        is_room = len(self._inside) < self._places
        for turn in self._wanting:
            if self._is_quick(turn) and (is_room or self._leads_s() <= AHEAD_S):
                return turn
        return self._wanting[0] if is_room and self._wanting else None

    def _leads_s(self) -> float:
        """Return how long those inside are expected to take."""
        if not all(each.is_quick for each in self._inside):
            return float("inf")
        return sum(self._takes_s(each) for each in self._inside) / self._places

    def _takes_s(self, turn: Turn) -> float:
        """Return how long a task is expected to run, infinity where nobody knows."""
        return self._expected_s.get(turn.task, float("inf"))

    def _is_quick(self, turn: Turn) -> bool:
        """Say whether a task may be claimed with others."""
        return not turn.is_alone and self._takes_s(turn) <= AHEAD_S

    # -- turns: who runs ---------------------------------------------------------------------

    async def begin(self, turn: Turn) -> bool:
        """Wait for a place to run in; False when none gets free in time."""
        patience_s = PATIENCE_S if turn.is_quick else None
        if len(self._running) < self._places:
            self._running.add(turn)
        elif not await self._gets_a_place(turn, patience_s):
            return False
        if (stuck := self._stuck()) is not None:
            await asyncio.wait([stuck], timeout=patience_s)
            if not stuck.done():
                return False
        turn.began = time.monotonic()
        return True

    async def _gets_a_place(self, turn: Turn, patience_s: float | None) -> bool:
        loop = asyncio.get_running_loop()
        turn.begins = loop.create_future()
        self._next.append(turn)
        if patience_s is None:
            return await turn.begins
        timer = loop.call_later(patience_s, self._give_up, turn)
        try:
            return await turn.begins
        finally:
            timer.cancel()

    def _give_up(self, turn: Turn) -> None:
        """Let a turn go on without a place."""
        if turn.begins is not None and not turn.begins.done():
            self._next.remove(turn)
            turn.begins.set_result(False)

    async def end(self, turn: Turn) -> None:
        """Let the next one begin; wait for the endings of those who were claimed with it."""
        took_s, expected_s = time.monotonic() - turn.began, self._expected_s.get(turn.task, 0.0)
        self._expected_s[turn.task] = max(took_s, _FORGETS * expected_s)
        self._pass_on(turn)
        is_last = not self._inside
        if self._open() or is_last or not turn.is_quick:
            return
        loop = asyncio.get_running_loop()
        told: asyncio.Future[None] = loop.create_future()
        self._untold.append(told)
        if self._timer is None:
            self._timer = loop.call_later(TOLD_S, self._tell)
        await told

    def leave(self, turn: Turn) -> None:
        """Forget a turn, whatever has become of it."""
        for each in (self._wanting, self._next):
            if turn in each:
                each.remove(turn)
        if turn in self._inside:
            self._pass_on(turn)
            self._open()

    def _pass_on(self, turn: Turn) -> None:
        self._inside.remove(turn)
        self._running.discard(turn)
        while self._next and len(self._running) < self._places:
            following = self._next.popleft()
            self._running.add(following)
            if following.begins is not None and not following.begins.done():
                following.begins.set_result(True)

    def _tell(self) -> None:
        """Let all endings be written that wait for each other."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        untold, self._untold = self._untold, []
        for told in untold:
            if not told.done():
                told.set_result(None)


class Turn:
    """The turn of one message: :class:`caraway.core.turns.Turn`.

    Attributes
    ----------
    task, is_alone
        What it is of, and whether it may not be with others.
    is_quick
        Whether it was claimed as one that may be with others.
    has_come
        Done when it is to be claimed.
    began
        When its function began, by the monotonic clock.
    """

    def __init__(self, line: Line, lease_s: Callable[[], float]) -> None:
        self._line = line
        self._lease_s = lease_s
        self.task = ""
        self.is_alone = False
        self.is_quick = False
        self.has_come: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.begins: asyncio.Future[bool] | None = None
        self.began = 0.0

    async def admit(self, task: str, *, alone: bool) -> Terms:
        """Wait until the task is to be claimed; ``alone`` is one that may not be with others."""
        self.task, self.is_alone = task, alone
        await self._line.let_in(self)
        return Terms(self._lease_s(), counts=not self.is_quick)

    async def comes(self) -> bool:
        """Wait until the function may begin; False if that does not come soon after the claim."""
        return await self._line.begin(self)

    async def is_over(self, *, hooked: bool = False) -> None:  # noqa: ARG002 - not in its place
        """Let the next one begin; wait until the ending is to be written."""
        await self._line.end(self)

    def leave(self) -> None:
        """Let go of its place, whatever has become of it."""
        self._line.leave(self)
