"""Fires what is stored by a clock that goes, beside everything else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from caraway.exceptions import CarawayError
from caraway.local.firing import Firing
from caraway.local.virtual import Virtual

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.core.signing import Signing
    from caraway.local.clock import RunningClock
    from caraway.local.firing import Fired
    from caraway.local.sources import Call

LOOK_S: Final = 5.0
"""A look takes two requests and a few milliseconds of the engine."""
_SHORTEST_S: Final = 0.1


class Ticking:
    """Looks at each whole minute of its clock, and every few seconds at least.

    Parameters
    ----------
    call
        Performs the requests.
    clock
        Says when it is.
    fired
        Is handed what was fired, after each look.
    told
        Is told of what failed, and whose firing it was; of the same only once. It goes on.
    signing
        Returns what signs messages that a clock of its own changes.
    """

    def __init__(
        self,
        call: Call,
        clock: RunningClock,
        fired: Callable[[list[Fired]], None],
        told: Callable[[str], None],
        signing: Callable[[], Signing | None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._fired = fired
        self._told = told
        self._known: set[str] = set()
        self._over = threading.Event()
        virtual = None if clock.is_real else Virtual(clock.at, signing)
        self._firing = Firing(call, clock.now(), virtual=virtual, told=self._tell)
        self._thread = threading.Thread(target=self._run, name="schedules", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is being sent is sent."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._pause_s()):
            try:
                self._fired(self._firing.fire(self._clock.now()))
            except (CarawayError, BotoCoreError, ClientError) as error:  # noqa: PERF203
                if not self._over.is_set():
                    self._tell("", error)

    def _pause_s(self) -> float:
        return max(min(self._clock.real_s_to_next_minute(), LOOK_S), _SHORTEST_S)

    def _tell(self, name: str, error: Exception) -> None:
        text = f"{name} cannot be fired: {error}" if name else f"Nothing is fired: {error}"
        if text not in self._known:
            self._known.add(text)
            self._told(text)
