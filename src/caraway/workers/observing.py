"""What a worker does with the executor's events: a line of its log, and a signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caraway.announcing import EventSignals
from caraway.workers.logs import LogEvents

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.app import Caraway
    from caraway.core.events import Event


def observer(app: Caraway, hostname: str) -> Callable[[Event], None]:
    """Return the observer of both doors."""
    log, announce = LogEvents(app.tasks), EventSignals(app.tasks, hostname)

    def observe(event: Event) -> None:
        log(event)
        announce(event)

    return observe
