"""An event loop whose time passes only while everybody waits: what takes how long is exact."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Waits for nothing, and says for how long it would have waited."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for ever"
            self.passed_s += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a time of its own, which begins at 0."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the seconds that have passed."""
        return self._virtual.passed_s


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for time only, not for threads or sockets.

    What it leaves running is cancelled, as by :func:`asyncio.run`.
    """
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        for left in asyncio.all_tasks(loop):
            left.cancel()
            loop.run_until_complete(asyncio.wait([left]))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
