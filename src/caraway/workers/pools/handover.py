"""Things on their way to the thread of an event loop."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

T = TypeVar("T")


class Handover(Generic[T]):
    """Takes things to the thread of an event loop; those that come together share one wake-up.

    To wake a loop costs a write to its self-pipe and a turn of it: as much as the rest of a small
    task. ::

        other threads   put a: wake   put b   put c                    put d: wake
        the loop                                    take a, b, c                      take d

    Parameters
    ----------
    take
        Is called with each thing in the loop's thread, in their order. It must not raise.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[T], object]) -> None:
        self._loop = loop
        self._take = take
        self._things: deque[T] = deque()
        self._is_waking = False

    def put(self, thing: T) -> None:
        """Hand a thing over, from any thread; once the loop is closed it is dropped."""
        # A thing is there before one looks whether the loop wakes; the loop says that it does not
        # before it looks for things. Whoever is later sees what the other did: none is forgotten.
        self._things.append(thing)
        if self._is_waking:
            return
        self._is_waking = True
        try:
            self._loop.call_soon_threadsafe(self._take_all)
        except RuntimeError:  # it is closed
            self._things.clear()

    def _take_all(self) -> None:
        self._is_waking = False
        while True:
            try:
                # Not `while self._things`: a length may be read without the lock that both sides
                # of a deque take where Python has no lock of its own.
                thing = self._things.popleft()
            except IndexError:
                return
            self._take(thing)
