"""Once, at a moment."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from caraway.exceptions import ImproperlyConfigured
from caraway.schedules.base import FOREVER, UTC, BaseSchedule, aware

if TYPE_CHECKING:
    from caraway.schedules.base import HasTimezone, Nowfun


class clocked(BaseSchedule):  # noqa: N801 - the name that Celery's users know
    """Once: ``clocked(datetime(2027, 1, 1, tzinfo=timezone.utc))``.

    Parameters
    ----------
    clocked_time
        When; a time without a zone is in UTC.
    nowfun, app
        As of every schedule.

    Raises
    ------
    ImproperlyConfigured
        If it is no datetime.
    """

    def __init__(
        self,
        clocked_time: datetime,
        nowfun: Nowfun | None = None,
        app: HasTimezone | None = None,
    ) -> None:
        super().__init__(nowfun, app)
        if not isinstance(clocked_time, datetime):
            raise ImproperlyConfigured(f"clocked({clocked_time!r}): expected a datetime")
        self.clocked_time: Final = aware(clocked_time).astimezone(UTC)

    def after(self, moment: datetime, until: datetime = FOREVER) -> datetime | None:
        """Return its time, unless that is past, or not before ``until``."""
        return self.clocked_time if moment < self.clocked_time < until else None

    def __eq__(self, other: object) -> bool:
        """Compare the moments, in whatever zone they are written."""
        if not isinstance(other, clocked):
            return NotImplemented
        return self.clocked_time == other.clocked_time

    def __hash__(self) -> int:
        return hash(self.clocked_time)

    def __repr__(self) -> str:
        return f"<clocked: {self.clocked_time.isoformat(' ')}>"
