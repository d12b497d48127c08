"""The times around a moment at which a timing occurs: those that come next, and those that were."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

from caraway.core.record import HORIZON_S
from caraway.schedules.base import TICK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.core.timing import Timing

LOOK_BACK: Final = timedelta(seconds=HORIZON_S)
"""As long as the record of a run is kept, whose time it is."""
_FIRST_LOOK: Final = timedelta(minutes=1)


def next_times(timing: Timing, moment: datetime, count: int) -> list[datetime]:
    """Return the next occurrences after a moment, in UTC: so many, or as many as there are."""
    return list(islice(timing.each_after(moment), count))


def last_times(
    timing: Timing, moment: datetime, count: int, back: timedelta = LOOK_BACK
) -> list[datetime]:
    """Return the last occurrences up to a moment, as :func:`each_before` gives them: so many."""
    return list(islice(each_before(timing, moment, back), count))


def each_before(
    timing: Timing, moment: datetime, back: timedelta = LOOK_BACK
) -> Iterator[datetime]:
    """Give the occurrences up to a moment, the latest first, in UTC.

    Parameters
    ----------
    back
        How long before the moment they may lie.
    """
    # A timing is asked forwards only, so looks lie one before another, each twice as long: what
    # occurs every second is found in the first, and what does once a year costs few looks.
    until, earliest, length = moment + TICK, moment - back, _FIRST_LOOK
    while until > earliest:
        since = max(until - length, earliest)
        yield from reversed(timing.during(since, until - since))
        until, length = since, 2 * length
