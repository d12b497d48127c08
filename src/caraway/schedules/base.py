"""What all schedules have in common: when they are due next, as seen from a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from caraway.exceptions import ImproperlyConfigured
from caraway.schedules.zones import zone_named

UTC: Final = timezone.utc
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""What intervals are counted from, where nothing else is said."""
FOREVER: Final = datetime.max.replace(tzinfo=UTC)
TICK: Final = timedelta(microseconds=1)
"""From a moment to the next one."""

Nowfun: TypeAlias = Callable[[], datetime]
"""What tells the time; a moment without a zone is in UTC."""


class HasTimezone(Protocol):
    """An app, as far as a schedule asks it anything."""

    @property
    def timezone(self) -> tzinfo:
        """The zone of the app's crontabs."""
        ...


class schedstate(NamedTuple):  # noqa: N801 - Celery's name
    """Whether a schedule is due, and when to look again.

    Attributes
    ----------
    is_due
        Run it now.
    next
        Seconds until it is due (again); None when it never is.
    """

    is_due: bool
    next: float | None


class BaseSchedule:
    """When something is due. It holds no state: what ran last is an argument.

    Parameters
    ----------
    nowfun
        What tells the time; None: the clock of this machine.
    app
        Whose ``timezone`` it is in, where ``tz`` says nothing.
    tz
        The time zone that it is in, as a tzinfo or by its IANA name, such as ``"Europe/Paris"``;
        None: the app's, else UTC.

    Raises
    ------
    ImproperlyConfigured
        If there is no zone of that name.
    """

    def __init__(
        self,
        nowfun: Nowfun | None = None,
        app: HasTimezone | None = None,
        *,
        tz: tzinfo | str | None = None,
    ) -> None:
        self.nowfun = nowfun
        self.app = app
        self.own_tz: Final = zone_of(tz)

    @property
    def tz(self) -> tzinfo:
        """The time zone: its own, or the app's, or UTC."""
        if self.own_tz is not None:
            return self.own_tz
        return UTC if self.app is None else self.app.timezone

    def now(self) -> datetime:
        """Return the time, with a zone."""
        return aware(datetime.now(UTC) if self.nowfun is None else self.nowfun())

    def after(self, moment: datetime, until: datetime = FOREVER) -> datetime | None:
        """Return the first occurrence after a moment, in UTC; None if none comes before ``until``.

        Both have a zone. No clock is read.
        """
        raise NotImplementedError

    def each_after(self, moment: datetime, until: datetime = FOREVER) -> Iterator[datetime]:
        """Give the occurrences after a moment and before ``until``, in order, in UTC."""
        coming = self.after(moment, until)
        while coming is not None:
            yield coming
            coming = self.after(coming, until)

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Return how long it is from now until the occurrence that follows the last run.

        Negative when that is past, ``timedelta.max`` when none comes.
        """
        coming = self.after(aware(last_run_at))
        return timedelta.max if coming is None else coming - self.now()

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Tell whether an occurrence has come since the last run, and when the next one will.

        ``(True, 20.0)`` is: run it now, and look again in 20 seconds.
        """
        now, coming = self.now(), self.after(aware(last_run_at))
        due = coming is not None and coming <= now
        if due:
            coming = self.after(now)
        return schedstate(due, None if coming is None else (coming - now).total_seconds())

    def __getstate__(self) -> dict[str, Any]:
        # Neither is part of what it means, and an app is not copied.
        return {**self.__dict__, "nowfun": None, "app": None}


def aware(moment: datetime) -> datetime:
    """Return a moment with a zone; one without is in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def zone_of(tz: tzinfo | str | None) -> tzinfo | None:
    """Return a zone, which may be given by its IANA name.

    Raises
    ------
    ImproperlyConfigured
        If there is none of that name; the message says the nearest.
    """
    if not isinstance(tz, str):
        return tz
    try:
        return zone_named(tz)
    except ValueError as error:
        raise ImproperlyConfigured(f"tz={tz!r}: {error}") from error
