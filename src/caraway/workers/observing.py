"""What a worker does with the executor's events: a line of its log, and a signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from caraway.announcing import EventSignals
from caraway.core.events import Event, Received
from caraway.workers.logs import LogEvents

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from caraway.app import Caraway

MEANWHILE_S: Final = 0.005
"""After so long the claims of an event's messages are on their way."""


def observer(app: Caraway, hostname: str) -> Callable[[Event], None]:
    """Return the observer of both doors."""
    log, announce = LogEvents(app.tasks), EventSignals(app.tasks, hostname)

    def observe(event: Event) -> None:
        log(event)
        announce(event)

    return observe


class Meanwhile:
    """Tells that messages have been received while their claims are on their way.

    To write it down takes as long as to read the messages, and nothing else is to be done then. It
    is told before anything that comes after it, and before user code runs (:meth:`tell`).

    Parameters
    ----------
    observe
        Is told.
    loop
        Where events come from.
    """

    def __init__(self, observe: Callable[[Event], None], loop: asyncio.AbstractEventLoop) -> None:
        self._observe = observe
        self._loop = loop
        self._received: list[Received] = []
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, event: Event) -> None:
        """Tell of an event."""
        if isinstance(event, Received):
            self._received.append(event)
            if self._timer is None:
                self._timer = self._loop.call_later(MEANWHILE_S, self.tell)
            return
        self.tell()
        self._observe(event)

    def tell(self) -> None:
        """Tell of all messages that have been received."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        received, self._received = self._received, []
        for event in received:
            self._observe(event)
