"""Every so often: Celery's ``schedule``."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from caraway.exceptions import ImproperlyConfigured
from caraway.schedules.base import EPOCH, FOREVER, UTC, BaseSchedule, aware, schedstate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.schedules.base import HasTimezone, Nowfun


class schedule(BaseSchedule):  # noqa: N801 - Celery's name
    """Every so often: ``schedule(timedelta(minutes=5))`` or ``schedule(300)``.

    Parameters
    ----------
    run_every
        A timedelta, or seconds; above 0.
    relative
        Count from 1970-01-01 00:00 UTC, so that it is due at round times, such as every full ten
        minutes. False: from the last run. In ``beat_schedule`` nothing remembers a last run: there
        both count from the entry's ``start``, or from 1970.
    nowfun, app
        As of every schedule.

    Raises
    ------
    ImproperlyConfigured
        If the interval is neither, or not above 0.
    """

    def __init__(
        self,
        run_every: timedelta | float,
        relative: bool = False,
        nowfun: Nowfun | None = None,
        app: HasTimezone | None = None,
    ) -> None:
        super().__init__(nowfun, app)
        if isinstance(run_every, bool) or not isinstance(run_every, timedelta | int | float):
            raise ImproperlyConfigured(
                f"schedule({run_every!r}): expected a timedelta or a number of seconds"
            )
        try:
            every = run_every if isinstance(run_every, timedelta) else timedelta(seconds=run_every)
        except (OverflowError, ValueError):  # infinite, or not a number
            every = timedelta()
        if every <= timedelta():
            raise ImproperlyConfigured(
                f"schedule({run_every!r}): an interval is above 0 and finite"
            )
        self.run_every: Final = every
        self.relative: Final = relative

    @property
    def seconds(self) -> float:
        """The interval in seconds."""
        return self.run_every.total_seconds()

    @property
    def human_seconds(self) -> str:
        """The interval in the largest unit that it fills, such as ``5.00 minutes``."""
        units = {"day": 86_400, "hour": 3_600, "minute": 60}
        unit, length_s = next(
            ((unit, length_s) for unit, length_s in units.items() if self.seconds >= length_s),
            ("second", 1),
        )
        count = self.seconds / length_s
        return f"{count:.2f} {unit}{'s' if count > 1 else ''}"

    def after(self, moment: datetime, until: datetime = FOREVER) -> datetime | None:
        """Return the moment an interval later, or the next round one, if it is before ``until``."""
        return next(self.each_after(moment, until), None)

    def each_after(self, moment: datetime, until: datetime = FOREVER) -> Iterator[datetime]:
        """Give the moments that are whole intervals after one, or the round ones."""
        return self.each_since(EPOCH if self.relative else moment, moment, until)

    def each_since(
        self, origin: datetime, moment: datetime, until: datetime = FOREVER
    ) -> Iterator[datetime]:
        """Give the moments after one that are whole intervals from an origin, in UTC."""
        since = moment.astimezone(UTC)
        with suppress(OverflowError):  # beyond the year 9999
            coming = since + self.run_every - (since - origin) % self.run_every
            while coming < until:
                yield coming
                coming += self.run_every

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Tell whether the interval has passed since the last run, and seconds until it has."""
        due, next_s = super().is_due(aware(last_run_at))
        return schedstate(due, self.seconds if due and not self.relative else next_s)

    def __eq__(self, other: object) -> bool:
        """Compare intervals; a schedule also equals its own interval."""
        if isinstance(other, schedule):
            return (self.run_every, self.relative) == (other.run_every, other.relative)
        return self.run_every == other if isinstance(other, timedelta) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.run_every)

    def __repr__(self) -> str:
        return f"<freq: {self.human_seconds}>"
