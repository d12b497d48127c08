"""The time, as AWS sees it."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TICK_S: Final = 0.001
"""How long one time is told: it is made, and written, once for calls that follow on one another."""
CHECK_EVERY_S: Final = 30.0
"""How often a response's date is looked at: parsing one costs ten microseconds."""


class Clock:
    """UTC by this machine's clock, corrected where AWS's response dates contradict it.

    A date has whole seconds, so the true time at AWS lies between it and a second later, give or
    take the time that the response travelled. While the machine's clock fits in there it is
    believed; else it is shifted by as much as is needed.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._offset_s = 0.0
        self._checked = float("-inf")
        self._told: tuple[float, float, datetime] | None = None

    def now(self) -> datetime:
        """Return the time in UTC, to a millisecond."""
        wall, offset_s, told = self._wall(), self._offset_s, self._told
        if told is not None and told[1] == offset_s and 0 <= wall - told[0] < TICK_S:
            return told[2]
        now = datetime.fromtimestamp(wall + offset_s, timezone.utc)
        self._told = wall, offset_s, now
        return now

    def learn(self, response: Mapping[str, Any], asked: float) -> None:
        """Look at a response; ``asked`` is this machine's time when the request was sent."""
        answered = self._wall()
        if 0 <= answered - self._checked < CHECK_EVERY_S:  # below 0: the clock was set back
            return
        date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date is None:
            return
        self._checked = answered
        try:
            stamp = parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError):
            return
        earliest, latest = stamp - answered, stamp + 1 - asked
        self._offset_s = min(max(0.0, earliest), latest)

    def wall(self) -> float:
        """Return this machine's time, for :meth:`learn`."""
        return self._wall()
