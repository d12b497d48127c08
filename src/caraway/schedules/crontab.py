"""Celery's ``crontab``: whenever the fields of the clock and the calendar match.

================  ==============================  ==========================
crontab field     numbers                         names
================  ==============================  ==========================
``minute``        0-59
``hour``          0-23
``day_of_week``   0-6, Sunday is 0                ``sun`` ... ``saturday``
``day_of_month``  1-31
``month_of_year`` 1-12                            ``jan`` ... ``december``
================  ==============================  ==========================

A field is a number, a collection of numbers, or text of comma-separated parts, each ``*``, ``a`` or
``a-b``, the first and the last also with a step: ``*/15``, ``8-17/2``. A range may wrap: ``22-4``,
``fri-mon``. A step counts from the beginning of its range, so ``*/10`` days are 1, 11, 21 and 31.

Where the clocks change, a time that the clock leaves out does not occur, and one that comes twice
occurs once, unless it is due in every hour. Celery's beat runs what was left out an hour later, and
leaves out the second of two hours.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import product
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from caraway.exceptions import ParseException
from caraway.lean import dataclass
from caraway.schedules.base import FOREVER, UTC, BaseSchedule

if TYPE_CHECKING:
    from caraway.schedules.base import HasTimezone, Nowfun

Cronspec: TypeAlias = "int | str | Iterable[int]"
"""One field of a crontab, as it is written."""

_WEEKDAYS: Final = (
    *("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"),
)
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_PART = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\w*))?")


def spell_runs(ordered: Iterable[int], said: Callable[[int], str]) -> str:
    """Return numbers in their order as a crontab has them: three in a row or more as a range."""
    runs: list[list[int]] = []
    for number in ordered:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(
        f"{said(run[0])}-{said(run[-1])}" if len(run) > 2 else ",".join(map(said, run))
        for run in runs
    )


@dataclass(frozen=True)
class _Field:
    """What one field of a crontab may hold."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def every(self) -> frozenset[int]:
        """All that it may hold."""
        return frozenset(range(self.low, self.high + 1))

    def expand(self, spec: Any) -> frozenset[int]:
        """Return the numbers that a field means."""
        match spec:
            case str():
                numbers = [number for part in spec.split(",") for number in self._part(part, spec)]
            case int():
                numbers = [spec]
            case Iterable():
                numbers = list(spec)
            case _:
                raise self._error(spec, f"not {type(spec).__qualname__}")
        for number in numbers:
            if not isinstance(number, int):
                raise self._error(spec, f"{number!r} is no number")
            if not self.low <= number <= self.high:
                raise self._error(spec, f"{number} is outside")
        if not numbers:
            raise self._error(spec, "it is empty")
        return frozenset(numbers)

    def _part(self, part: str, spec: str) -> Iterable[int]:
        """Return the numbers of one of the comma-separated parts."""
        found = _PART.fullmatch(part.strip())
        if found is None:
            raise self._error(spec, f"{part!r} cannot be read" if part.strip() else "empty part")
        first, last, step = found["first"], found["last"], found["step"]
        if first is None:
            numbers = list(range(self.low, self.high + 1))
        elif last is None:
            if step is not None:
                raise self._error(spec, f"a step needs a range, as in '{first}-{self.high}/{step}'")
            return [self._number(first, spec)]
        else:
            start, end = self._number(first, spec), self._number(last, spec)
            numbers = list(range(start, end + 1)) or [
                *range(start, self.high + 1),
                *range(self.low, end + 1),
            ]
        if step is None:
            return numbers
        if not (step.isdecimal() and int(step)):
            raise self._error(spec, f"{step!r} is no step: write a number above 0 after '/'")
        return numbers[:: int(step)]

    def spell(self, numbers: Iterable[int]) -> str:
        """Return a short text that means these numbers."""
        ordered = sorted(numbers)
        if len(ordered) == self.high - self.low + 1:
            return "*"
        step = ordered[1] - ordered[0] if len(ordered) > 2 else 1
        if step > 1:
            if ordered == list(range(self.low, self.high + 1, step)):
                return f"*/{step}"
            if ordered == list(range(ordered[0], ordered[-1] + 1, step)):
                return f"{ordered[0]}-{ordered[-1]}/{step}"
        return spell_runs(ordered, str)

    def _number(self, text: str, spec: str) -> int:
        if text.isdecimal():
            number = int(text)
            if self.low <= number <= self.high:
                return number
            raise self._error(spec, f"{number} is outside")
        for number, name in enumerate(self.names, self.low):
            if len(text) >= 3 and name.startswith(text.lower()):
                return number
        raise self._error(spec, f"{text!r} is no number{' or name' if self.names else ''}")

    def _error(self, spec: object, problem: str) -> ParseException:
        names = f" or {self.names[0][:3]}-{self.names[-1][:3]}" if self.names else ""
        return ParseException(
            f"crontab({self.name}={spec!r}): {problem}; expected numbers of "
            f"{self.low}-{self.high}{names}, as in '*', '*/2', '{self.low},{self.low + 2}' or "
            f"'{self.low}-{self.low + 4}'"
        )


MINUTE: Final = _Field("minute", 0, 59)
HOUR: Final = _Field("hour", 0, 23)
DAY_OF_WEEK: Final = _Field("day_of_week", 0, 6, _WEEKDAYS)
DAY_OF_MONTH: Final = _Field("day_of_month", 1, 31)
MONTH_OF_YEAR: Final = _Field("month_of_year", 1, 12, _MONTHS)


_DAY: Final = timedelta(days=1)
_YEARS: Final = 41
"""A 29 February that is a Monday recurs within 40 years, also around a year like 2100."""


class crontab(BaseSchedule):  # noqa: N801 - Celery's name
    """Whenever minute, hour, day of the week, day of the month and month all match.

    Unlike Unix cron, a day must match ``day_of_week`` *and* ``day_of_month``, as in Celery.

    Parameters
    ----------
    minute, hour, day_of_week, day_of_month, month_of_year
        A number, a collection of numbers, or text such as ``"*/15"``, ``"0,8-17/2"`` or
        ``"mon-fri"``; ``"*"``, the default, is every one.
    nowfun, app, tz
        As of every schedule; the fields are times in that zone.

    Attributes
    ----------
    minute, hour, day_of_week, day_of_month, month_of_year
        The numbers that the fields mean, as frozen sets; Sunday is day 0 of the week.

    Raises
    ------
    ParseException
        If a field cannot be read; the message names it.
    """

    def __init__(
        self,
        minute: Cronspec = "*",
        hour: Cronspec = "*",
        day_of_week: Cronspec = "*",
        day_of_month: Cronspec = "*",
        month_of_year: Cronspec = "*",
        nowfun: Nowfun | None = None,
        app: HasTimezone | None = None,
        *,
        tz: tzinfo | str | None = None,
    ) -> None:
        super().__init__(nowfun, app, tz=tz)
        self.minute: Final = MINUTE.expand(minute)
        self.hour: Final = HOUR.expand(hour)
        self.day_of_week: Final = DAY_OF_WEEK.expand(day_of_week)
        self.day_of_month: Final = DAY_OF_MONTH.expand(day_of_month)
        self.month_of_year: Final = MONTH_OF_YEAR.expand(month_of_year)
        written = (minute, hour, day_of_month, month_of_year, day_of_week)
        numbers = (self.minute, self.hour, self.day_of_month, self.month_of_year, self.day_of_week)
        self._hours: Final = sorted(self.hour)
        self._minutes: Final = [timedelta(minutes=minute) for minute in sorted(self.minute)]
        self._text = " ".join(
            spec if isinstance(spec, str) else ",".join(map(str, sorted(meant)))
            for spec, meant in zip(written, numbers, strict=True)
        )

    @classmethod
    def from_string(cls, text: str, *, tz: tzinfo | str | None = None) -> crontab:
        """Return the crontab of a line of a Unix crontab, such as ``"*/5 8-17 * * mon-fri"``.

        Its fields are minute, hour, day of month, month and day of week.

        Raises
        ------
        ParseException
            If it has not five fields, or one cannot be read.
        """
        fields = text.split()
        if len(fields) != 5:
            raise ParseException(
                f"crontab {text!r} has {len(fields)} fields; expected five: "
                "minute, hour, day of month, month, day of week"
            )
        minute, hour, day_of_month, month_of_year, day_of_week = fields
        return cls(minute, hour, day_of_week, day_of_month, month_of_year, tz=tz)

    def to_string(self) -> str:
        """Return what :meth:`from_string` reads, in numbers and short: ``*/15 8-17 * * 1-5``."""
        minute, hour, day_of_week, day_of_month, month_of_year = self._numbers()
        return " ".join(
            field.spell(meant)
            for field, meant in (
                (MINUTE, minute),
                (HOUR, hour),
                (DAY_OF_MONTH, day_of_month),
                (MONTH_OF_YEAR, month_of_year),
                (DAY_OF_WEEK, day_of_week),
            )
        )

    def in_zone(self, tz: tzinfo) -> crontab:
        """Return this crontab in a zone, unless it has one of its own."""
        if self.own_tz is not None:
            return self
        days = (self.day_of_week, self.day_of_month, self.month_of_year)
        return crontab(self.minute, self.hour, *days, self.nowfun, self.app, tz=tz)

    def after(self, moment: datetime, until: datetime = FOREVER) -> datetime | None:
        """Return the first occurrence after a moment, in UTC.

        None if none comes before ``until``, or there is no such day.
        """
        return next(self.each_after(moment, until), None)

    def each_after(self, moment: datetime, until: datetime = FOREVER) -> Iterator[datetime]:
        """Give the occurrences after a moment and before ``until``, in order, in UTC."""
        zone = self.tz
        clock = moment.astimezone(zone)
        last = until.date() + _DAY if until < FOREVER else date.max  # in whatever zone
        for day in self._days(clock.date(), last):
            first_hour = clock.hour if day == clock.date() else 0
            for hour in self._hours[bisect_left(self._hours, first_hour) :]:
                for at in self._moments(datetime.combine(day, time(hour), zone), moment):
                    if at >= until:
                        return
                    yield at

    def _moments(self, hour: datetime, moment: datetime) -> Iterator[datetime]:
        """Give the moments of an hour that come after another moment, in UTC."""
        if not _is_whole(hour):
            yield from (at for at in self._moments_of(hour) if at > moment)
            return
        begins = hour.astimezone(UTC)
        for minute in self._minutes[bisect_right(self._minutes, moment - begins) :]:
            yield begins + minute

    def _moments_of(self, hour: datetime) -> list[datetime]:
        """Return the moments of an hour in which the clock is changed, in UTC."""
        # A job of every hour runs in an hour that comes twice, too.
        folds = (0, 1) if self.hour == HOUR.every else (0,)
        found = set()
        for minute, fold in product(self.minute, folds):
            local = hour.replace(minute=minute, fold=fold)
            at = local.astimezone(UTC)
            if at.astimezone(local.tzinfo) == local:  # by the clock: else the zone leaves it out
                found.add(at)
        return sorted(found)

    def _days(self, first: date, last: date) -> Iterator[date]:
        """Give the days that match, from one to another."""
        months = first.year * 12 + first.month - 1
        seen = months
        while months - seen <= _YEARS * 12:
            year, month = months // 12, months % 12 + 1
            if (year, month) > (last.year, last.month):
                return
            for number_of_day in sorted(self.day_of_month) if month in self.month_of_year else ():
                try:
                    day = date(year, month, number_of_day)
                except ValueError:  # this month is shorter
                    break
                if day >= first and day.isoweekday() % 7 in self.day_of_week:
                    seen = months
                    yield day
            months += 1

    def _numbers(self) -> tuple[frozenset[int], ...]:
        days = (self.day_of_week, self.day_of_month, self.month_of_year)
        return (self.minute, self.hour, *days)

    def __eq__(self, other: object) -> bool:
        """Compare what two crontabs mean, however they are written."""
        if not isinstance(other, crontab):
            return NotImplemented
        return (self._numbers(), self.own_tz) == (other._numbers(), other.own_tz)

    def __hash__(self) -> int:
        return hash(self._numbers())

    def __repr__(self) -> str:
        return f"<crontab: {self._text} (m/h/dM/MY/d)>"


def _is_whole(hour: datetime) -> bool:
    """Say whether the clock goes through an hour once, from its beginning to its end."""
    ends = hour.replace(minute=59, second=59, fold=1)
    return hour.utcoffset() == hour.replace(fold=1).utcoffset() == ends.utcoffset()
