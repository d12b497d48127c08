"""EventBridge's schedule expressions, as AWS reads them: ``cron(...)``, ``rate(...)``, ``at(...)``.

The rules are those of "Cron expressions reference" (Amazon EventBridge User Guide) and "Schedule
types in EventBridge Scheduler" (EventBridge Scheduler User Guide).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from calendar import monthrange
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from caraway.exceptions import ImproperlyConfigured
from caraway.lean import dataclass
from caraway.schedules.base import EPOCH, UTC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    Days = Callable[[int, int], AbstractSet[int]]
    """Returns the days of the month that match, in a year and month."""

_MONTHS: Final = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)
_WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2199
_UNITS_S: Final = {"minute": 60, "hour": 3_600, "day": 86_400}


class Expression(Protocol):
    """When something fires."""

    def after(self, moment: datetime) -> datetime | None:
        """Return the first firing after a moment, in UTC; None if there is none."""
        ...


def read_expression(text: str, zone: tzinfo = UTC, origin: datetime = EPOCH) -> Expression:
    """Return what a schedule expression says.

    Parameters
    ----------
    text
        Such as ``cron(0 9 ? * MON-FRI *)``, ``rate(5 minutes)`` or ``at(2026-03-01T09:00:00)``.
    zone
        The zone that cron and at are meant in. Where its clocks go forward, what falls into the gap
        is left out; where they go back, what falls into the hour that comes twice fires once, the
        first time.
    origin
        From when on a rate is counted, with a time zone.

    Raises
    ------
    ImproperlyConfigured
        If AWS would refuse it; the message says why.
    """
    found = re.fullmatch(r"(cron|rate|at)\((.*)\)", text.strip())
    if found is None:
        raise _wrong(text, "expected cron(...), rate(...) or at(...)")
    kind, inside = found.groups()
    try:
        if kind == "cron":
            return _cron(inside, zone)
        return _rate(inside, origin) if kind == "rate" else _at(inside, zone)
    except ValueError as error:
        raise _wrong(text, str(error)) from error


def _wrong(text: str, why: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{text!r:.200} is no schedule expression: {why}")


# -- at, rate --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class At:
    """Once."""

    time: datetime

    def after(self, moment: datetime) -> datetime | None:
        """Return the time if it is after a moment."""
        return self.time if self.time > moment else None


@dataclass(frozen=True)
class Rate:
    """At a distance, from the origin on, which is the first."""

    every: timedelta
    origin: datetime

    def after(self, moment: datetime) -> datetime | None:
        """Return the first firing after a moment."""
        if moment < self.origin:
            return self.origin
        passed = (moment - self.origin) // self.every
        return self.origin + (passed + 1) * self.every


def _at(text: str, zone: tzinfo) -> At:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text):
        raise ValueError("a time is written yyyy-mm-ddThh:mm:ss")
    return At(datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC))


def _rate(text: str, origin: datetime) -> Rate:
    found = re.fullmatch(r"(\d+) (minute|hour|day)(s?)", text)
    if found is None or int(found[1]) < 1:
        raise ValueError("a rate is a number above 0 and minutes, hours or days")
    if (found[1] == "1") == bool(found[3]):
        raise ValueError(f"1 {found[2]}, or several {found[2]}s")
    return Rate(timedelta(seconds=int(found[1]) * _UNITS_S[found[2]]), origin)


# -- cron ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cron:
    """At the minutes of a clock on which all fields match.

    Attributes
    ----------
    times
        Minutes of the day, in order.
    days
        Which days of a month.
    """

    times: tuple[int, ...]
    months: frozenset[int]
    years: frozenset[int]
    days: Days
    zone: tzinfo

    def after(self, moment: datetime) -> datetime | None:
        """Return the first firing after a moment, in UTC; None if there is none."""
        try:
            clock = moment.astimezone(self.zone)
        except OverflowError:
            return None
        # An hour that comes twice fires the first time, which the clock shows again later.
        today, passed = clock.date(), clock.hour * 60 + clock.minute
        for day in self._days_from(today):
            first = bisect_right(self.times, passed - 1) if day == today else 0
            for minute in self.times[first:]:
                at = self._in_utc(day, minute)
                if at is not None and at > moment:
                    return at
        return None

    def _days_from(self, first: date) -> Iterator[date]:
        for year in range(max(first.year, _FIRST_YEAR), _LAST_YEAR + 1):
            if year not in self.years:
                continue
            for month in sorted(self.months):
                if (year, month) < (first.year, first.month):
                    continue
                for day in sorted(self.days(year, month)):
                    if (found := date(year, month, day)) >= first:
                        yield found

    def _in_utc(self, day: date, minute: int) -> datetime | None:
        clock = datetime.combine(day, time(*divmod(minute, 60)), self.zone)
        utc = clock.astimezone(UTC)
        if self.zone is not UTC and utc.astimezone(self.zone).replace(tzinfo=None) != clock.replace(
            tzinfo=None
        ):
            return None  # the clock never shows it on that day
        return utc


def _cron(text: str, zone: tzinfo) -> Cron:
    fields = text.split()
    if len(fields) != 6:
        raise ValueError(
            "cron has 6 fields: minutes, hours, day of month, month, day of week, year"
        )
    minutes, hours, of_month, months, of_week, years = fields
    if (of_month == "?") == (of_week == "?"):
        raise ValueError("exactly one of day of month and day of week is ?")
    return Cron(
        tuple(
            sorted(
                hour * 60 + minute
                for hour in _numbers(hours, 0, 23)
                for minute in _numbers(minutes, 0, 59)
            )
        ),
        _numbers(months, 1, 12, _MONTHS),
        _numbers(years, _FIRST_YEAR, _LAST_YEAR),
        lru_cache(maxsize=64)(_of_week(of_week) if of_month == "?" else _of_month(of_month)),
        zone,
    )


def _numbers(field: str, low: int, high: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    """Return what a field of numbers, names, lists, ranges and steps says."""
    numbers: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        if slash and (not step.isdecimal() or int(step) < 1):
            raise ValueError(f"{part!r}: a step is a number above 0")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _number(first, low, high, names)
            end = _number(last, low, high, names) if dash else (high if slash else start)
        if start > end:
            raise ValueError(f"{part!r}: a range does not wrap, write it as two")
        numbers.update(range(start, end + 1, int(step or 1)))
    return frozenset(numbers)


def _number(text: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if text.upper() in names:
        return names.index(text.upper()) + low
    if not text.isdecimal() or not low <= int(text) <= high:
        allowed = f"{low} to {high}" + (f" or {names[0]} to {names[-1]}" if names else "")
        raise ValueError(f"{text!r} is not {allowed}")
    return int(text)


def _of_month(field: str) -> Days:
    """Return the days that a day-of-month field says: numbers, ``L`` and ``3W``."""
    if re.fullmatch(r"[\d,*/-]+", field):
        numbers = _numbers(field, 1, 31)
        return lambda year, month: frozenset(
            day for day in numbers if day <= monthrange(year, month)[1]
        )
    parts = [_special_day(part) for part in field.split(",")]
    return lambda year, month: frozenset().union(*(part(year, month) for part in parts))


def _special_day(part: str) -> Days:
    if part == "L":
        return lambda year, month: frozenset({monthrange(year, month)[1]})
    if part == "LW":
        return lambda year, month: _nearest_weekday(year, month, monthrange(year, month)[1])
    if found := re.fullmatch(r"(\d+)W", part):
        day = _number(found[1], 1, 31, ())
        return lambda year, month: _nearest_weekday(year, month, day)
    return _of_month(part) if re.fullmatch(r"[\d*/-]+", part) else _nothing(part)


def _nothing(part: str) -> Days:
    raise ValueError(f"{part!r} is no day: a number, a range, L or 3W")


def _nearest_weekday(year: int, month: int, day: int) -> frozenset[int]:
    """Return the day from Monday to Friday that is nearest to a day, in the same month."""
    length = monthrange(year, month)[1]
    if day > length:
        return frozenset()
    weekday = date(year, month, day).weekday()
    if weekday == 5:
        return frozenset({day - 1 if day > 1 else day + 2})
    if weekday == 6:
        return frozenset({day + 1 if day < length else day - 2})
    return frozenset({day})


def _of_week(field: str) -> Days:
    """Return the days that a day-of-week field says: numbers, names, ``L``, ``6L`` and ``3#2``."""
    if found := re.fullmatch(r"(\w+)#(\d)", field):
        weekday, nth = _number(found[1], 1, 7, _WEEKDAYS), _number(found[2], 1, 5, ())
        return lambda year, month: frozenset(_every(year, month, weekday)[nth - 1 : nth])
    if "#" in field:
        raise ValueError(f"{field!r}: with # there is only one day in the field")
    if found := re.fullmatch(r"(\w+)L", field):
        weekday = _number(found[1], 1, 7, _WEEKDAYS)
        return lambda year, month: frozenset(_every(year, month, weekday)[-1:])
    numbers = frozenset({7}) if field == "L" else _numbers(field, 1, 7, _WEEKDAYS)
    return lambda year, month: frozenset(
        day for weekday in numbers for day in _every(year, month, weekday)
    )


def _every(year: int, month: int, weekday: int) -> list[int]:
    """Return the days of a month that fall on a weekday, of which Sunday is the first."""
    starts_on, length = monthrange(year, month)
    first = (weekday - 2 - starts_on) % 7 + 1
    return list(range(first, length + 1, 7))
