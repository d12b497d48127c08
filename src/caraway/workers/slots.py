"""Slots: how many functions run at a time, and who is next.

A slot is a running function's. A message that finds none free waits for one, and where functions
are quick its claim is made meanwhile, so that the function begins as soon as another one ends::

    a slot is free    [claim][run ...]  ending
    none is, quick    claim  waits [run ...]  ending
    none is, others   waits [claim][run ...]  ending

As in an invocation of Lambda (:mod:`caraway.workers.line`) a claim that is made ahead is given back
if a slot does not come soon, and is not counted as a lost worker's. A message that comes back, and
a task that may begin once only, are never claimed ahead.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Final

from caraway.core.disposition import Leave
from caraway.core.job import Decided
from caraway.core.turns import Terms
from caraway.requests.sqs import BATCH_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

AHEAD_S: Final = 0.2
"""What is held ahead of the slots is expected to begin by then: another worker that is idle would
have run it at once."""
PATIENCE_S: Final = 2.0
"""If it does not, it is given back: a record must not say for longer that it runs."""
_FORGETS: Final = 0.9
"""What is left, with each function that was quicker, of how long the next is expected to take."""
_OF_A_LEASE: Final = 6
"""Parts of a lease that a wait takes at most: it is renewed while the function runs only."""


class Slots:
    """Counts running functions.

    Attributes
    ----------
    total
        Functions that run at a time.
    running
        Slots that are taken.
    ahead
        Messages that may be held beside those in a slot: as many as soon begin, at most a batch,
        and none where functions are not known to be quick.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.running = 0
        self.ahead = 0
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._longest_s = math.inf
        self._is_closed = False

    def turn(self, lease_s: float, ends: Callable[[], None]) -> Turn:
        """Return the turn of one message; ``ends`` is called when it needs no slot any more."""
        return Turn(self, lease_s, ends)

    def take(self) -> bool:
        """Take a slot, if one is free."""
        if self.running >= self.total:
            return False
        self.running += 1
        return True

    async def wait(self, patience_s: float) -> bool:
        """Take the next slot; False if none is free in time, or the worker stops."""
        if self._is_closed:
            return False
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(waiting)
        timer = loop.call_later(patience_s, self._give_up, waiting)
        try:
            return await waiting
        finally:
            timer.cancel()

    def give_back(self) -> None:
        """Give a slot to who waits longest."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(True)
                return
        self.running -= 1

    def close(self) -> None:
        """Let nobody wait any more; slots that are free may be taken still."""
        self._is_closed = True
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(False)

    def took(self, seconds: float) -> None:
        """Learn how long a function took; the longest is forgotten slowly."""
        known = self._longest_s if self._longest_s < math.inf else 0.0
        self._expect(max(seconds, _FORGETS * known))

    def _expect(self, seconds: float) -> None:
        self._longest_s = seconds
        if seconds > AHEAD_S:
            self.ahead = 0
        else:
            soon = self.total * AHEAD_S
            self.ahead = BATCH_LIMIT if soon >= BATCH_LIMIT * seconds else int(soon / seconds)

    def _give_up(self, waiting: asyncio.Future[bool]) -> None:
        if not waiting.done():
            waiting.set_result(False)
            self._expect(max(self._longest_s, PATIENCE_S))


class Turn:
    """The turn of one message: :class:`caraway.core.turns.Turn`."""

    def __init__(self, slots: Slots, lease_s: float, ends: Callable[[], None]) -> None:
        self._slots = slots
        self._lease_s = lease_s
        self._ends = ends
        self._patience_s = min(PATIENCE_S, lease_s / _OF_A_LEASE)
        self._has_slot = False
        self._has_left = False
        self._began = 0.0

    async def admit(self, task: str, *, alone: bool) -> Terms:
        """Wait until the task is to be claimed; ``alone`` is one that is not claimed ahead."""
        slots = self._slots
        self._has_slot = slots.take()
        if not self._has_slot and (alone or not slots.ahead):
            self._has_slot = await slots.wait(self._patience_s)
            if not self._has_slot:
                raise Decided(Leave(0, f"no slot was free for {task} in time"))
        return Terms(self._lease_s, counts=self._has_slot)

    async def comes(self) -> bool:
        """Wait for a slot; False if none is free soon."""
        if not self._has_slot:
            self._has_slot = self._slots.take() or await self._slots.wait(self._patience_s)
        self._began = asyncio.get_running_loop().time()
        return self._has_slot

    async def is_over(self, *, hooked: bool = False) -> None:
        """Let the next one begin, unless hooks follow: they run where the function did."""
        self._slots.took(asyncio.get_running_loop().time() - self._began)
        if not hooked:
            self.leave()

    def leave(self) -> None:
        """Let go of the slot, whatever has become of it; only once."""
        if self._has_left:
            return
        self._has_left = True
        if self._has_slot:
            self._slots.give_back()
        self._ends()
