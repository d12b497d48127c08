"""What a worker may hold: messages for its slots, and as many more as will begin soon.

::

    receive ......  waits, claim ......  run  |  ending ......  delete ......
    `-- one for each slot, and those ahead -- | -- `SETTLING`, and then in place of others

A message is counted from the moment in which it is asked for. What has ended needs no slot while it
is recorded and deleted; but where that takes long, less and less is received.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from caraway.workers.slots import Slots

SETTLING: Final = 100
"""Messages that may be recorded and deleted at a time: those of 2,000 tasks a second where that
takes 50 ms."""


class Prefetch:
    """Counts the messages that are held.

    Attributes
    ----------
    taken
        Messages that were asked for, or have come and not ended.
    settling
        Messages that have ended and are not acknowledged.
    """

    def __init__(self, slots: Slots) -> None:
        self.taken = 0
        self.settling = 0
        self._slots = slots
        self._changes = 0
        self._sought = 0
        self._enough: asyncio.Future[bool] | None = None
        self._turns = asyncio.Lock()
        self._is_closed = False

    @property
    def limit(self) -> int:
        """Messages that may be held."""
        return self._slots.total + self._slots.ahead

    @property
    def free(self) -> int:
        """Messages that may be asked for; below 0 where slots are waited for that others have."""
        free = self.limit - self.taken
        return free if self.settling <= SETTLING else free - (self.settling - SETTLING)

    def take(self, count: int) -> None:
        """Count messages that are asked for, or have come unasked."""
        self.taken += count

    def give_back(self, count: int = 1) -> None:
        """Count them no more."""
        self.taken -= count
        self.changed()

    def hold(self) -> Hold:
        """Return the hold on a message that has come."""
        return Hold(self)

    async def reserve(self, wanted: int, patience_s: float) -> int:
        """Take room for so many, or after ``patience_s`` as there is, for one at least.

        Who asks first is served first, so that no queue starves another. 0 when the worker stops.
        """
        async with self._turns:
            await self._room(wanted, patience_s)
            count = 0 if self._is_closed else min(wanted, self.free)
            self.take(count)
            return count

    async def wait_for(self, wanted: int, patience_s: float) -> None:
        """Wait as :meth:`reserve` does, and take nothing."""
        async with self._turns:
            await self._room(wanted, patience_s)

    async def _room(self, wanted: int, patience_s: float) -> None:
        """Wait for room for so many; for one is enough once no other has followed for a while.

        Fuller receives make fuller batches of deletes: fewer requests a task. Where tasks are long
        nothing follows soon, and a slot must not stand idle for it.
        """
        loop = asyncio.get_running_loop()
        while (free := self.free) < wanted and not self._is_closed:
            self._sought = wanted if free > 0 else 1
            self._enough, changes = loop.create_future(), self._changes
            timer = loop.call_later(patience_s, self._wake, False) if free > 0 else None
            try:
                is_enough = await self._enough
            finally:
                self._enough = None
                if timer is not None:
                    timer.cancel()
            if not is_enough and changes == self._changes and self.free > 0:
                return

    def settled(self) -> None:
        """Count no more what has ended: where little has, there was room for others already."""
        self.settling -= 1
        if self.settling >= SETTLING:
            self.changed()

    def close(self) -> None:
        """Let nobody wait any more."""
        self._is_closed = True
        self._wake(True)

    def changed(self) -> None:
        """Look whether there is room enough now."""
        self._changes += 1
        if self._enough is not None and self.free >= self._sought:
            self._wake(True)

    def _wake(self, is_enough: bool) -> None:
        if self._enough is not None and not self._enough.done():
            self._enough.set_result(is_enough)


class Hold:
    """How long a message counts, or the messages of a group that are run one after the other."""

    __slots__ = ("_has_ended", "_prefetch")

    def __init__(self, prefetch: Prefetch) -> None:
        self._prefetch = prefetch
        self._has_ended = False

    def end(self) -> None:
        """Make room for another: what is held needs no slot any more."""
        if not self._has_ended:
            self._has_ended = True
            self._prefetch.settling += 1
            self._prefetch.give_back()

    def let_go(self) -> None:
        """Count it no more: it is acknowledged, or will not be."""
        if not self._has_ended:
            self.end()
        self._prefetch.settled()
