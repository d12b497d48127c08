"""A timing in EventBridge's words: ``cron(...)``, which means UTC.

What a rule cannot say is fired too often rather than too seldom, and whoever receives the message
asks the timing itself (:mod:`caraway.core.occurrences`). There is no ``rate(...)``: it is counted
from whenever the rule was made, so nobody could say when it is due, and every change would move it.

=============================  ======================================  =========================
timing                         rule                                    asked again
=============================  ======================================  =========================
interval, counted from its     a ``cron`` that fires at all of its     unless it divides a day
start or from 1970             minutes
crontab in a zone without      ``cron(m h DAYS MONTHS ? *)`` or        where the days or minutes
clock changes                  ``cron(m h ? MONTHS WEEKDAYS *)``       move apart in UTC
crontab in another zone        the same, at the hours of summer and    yes, unless it is due at
                               winter                                  every hour of every day
crontab with both day fields   the field that has fewer days           yes: Celery means both
solar                          every quarter of the hours of UTC in    yes
                               which the sun can be there
clocked                        ``cron(m h d M ? year)``                if it has seconds
=============================  ======================================  =========================
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import product
from math import gcd
from typing import TYPE_CHECKING, Final

from caraway.core.timing import Timing, no_rule
from caraway.exceptions import ImproperlyConfigured
from caraway.lean import dataclass
from caraway.schedules import clocked, crontab, schedule, solar
from caraway.schedules.base import EPOCH, UTC
from caraway.schedules.crontab import (
    DAY_OF_MONTH,
    DAY_OF_WEEK,
    HOUR,
    MINUTE,
    MONTH_OF_YEAR,
    spell_runs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

_HOUR_S: Final = 3_600
_DAY_S: Final = 24 * _HOUR_S
_DAY_MIN: Final = 24 * 60
_MINUTE_S: Final = 60
_QUARTER_S: Final = 900
_WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_LONGEST: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of the months, in a leap year."""
_SURE: Final = (31, 28, *_LONGEST[2:])
"""Days that the months have in every year."""
_ENDS: Final = frozenset({28, 29, 30, 31})
"""Days that may be the last of a month."""
_AHEAD: Final = timedelta(days=800)
"""How far ahead a zone is looked at: every clock change recurs within two years."""
_A_YEAR: Final = timedelta(days=367)
"""How far ahead the sun is looked at."""


@dataclass(frozen=True)
class Firing:
    """What fires a timing.

    Attributes
    ----------
    expression
        The ScheduleExpression of a rule.
    covers_s
        Seconds from a firing on in which the occurrences lie that it stands for; None: it stands
        for itself, and need not be asked about.
    """

    expression: str
    covers_s: int | None = None


@dataclass(frozen=True)
class _Days:
    """On which days: every field must match; ``last`` is the last day of the month instead."""

    of_month: frozenset[int] = DAY_OF_MONTH.every
    months: frozenset[int] = MONTH_OF_YEAR.every
    of_week: frozenset[int] = DAY_OF_WEEK.every
    last: bool = False


def firing(timing: Timing, now: datetime) -> Firing:
    """Return what fires at every occurrence of a timing, and as seldom else as a rule can.

    Parameters
    ----------
    now
        From when on it must be right, with a time zone. A zone whose rules are changed later by
        its government is right again after the next sync.

    Raises
    ------
    ImproperlyConfigured
        If no rule can; the message says what can be had.
    """
    match timing.when:
        case schedule() as when:
            fired = _interval(when, timing.start)
        case crontab() as when:
            fired = _crontab(when, now)
        case solar() as when:
            fired = _solar(when, now)
        case clocked() as when:
            fired = _once(when.clocked_time)
        case other:
            raise no_rule(other)
    if fired.covers_s is None and (timing.start or timing.end):
        return replace(fired, covers_s=_MINUTE_S)
    return fired


# -- intervals -------------------------------------------------------------------------------------


def _interval(when: schedule, start: datetime | None) -> Firing:
    seconds = int(when.seconds)
    if seconds != when.seconds:
        near = f"{seconds} or {seconds + 1} s" if seconds else "1 s"
        raise ImproperlyConfigured(
            f"an interval of {when.seconds:g} s cannot be kept, because SQS delays messages by "
            f"whole seconds: use {near}"
        )
    # Its times of day lie at this distance from one another, over all days together.
    step_s = gcd(seconds, _DAY_S)
    first_s = int(((start or EPOCH) - EPOCH).total_seconds()) % step_s
    if step_s % _HOUR_S == 0:
        hours = range(first_s // _HOUR_S, 24, step_s // _HOUR_S)
        minutes_of_hour = range(first_s % _HOUR_S // 60, first_s % _HOUR_S // 60 + 1)
    else:
        step_s = gcd(step_s, _HOUR_S)
        hours = range(24)
        minutes_of_hour = (
            range(60) if step_s % 60 else range(first_s % step_s // 60, 60, step_s // 60)
        )
    exact = step_s == seconds and seconds % 60 == 0 and first_s % 60 == 0
    said = _spelled(frozenset(minutes_of_hour), frozenset(hours), _Days())
    return Firing(said, None if exact else _MINUTE_S)


# -- crontabs --------------------------------------------------------------------------------------


def _crontab(when: crontab, now: datetime) -> Firing:
    """Return the rule of a crontab, whose times and days may move in UTC."""
    if not any(
        day <= _LONGEST[month - 1] for day, month in product(when.day_of_month, when.month_of_year)
    ):
        raise ImproperlyConfigured(
            f"crontab '{when.to_string()}': there is no such day in any year: take another "
            "day_of_month, or other months"
        )
    offsets_min = _offsets_min(when.tz, now.date())
    times = [
        frozenset(hour * 60 + minute - offset for hour, minute in product(when.hour, when.minute))
        for offset in offsets_min
    ]
    minutes = frozenset(at % 60 for each in times for at in each)
    hours = frozenset(at // 60 % 24 for each in times for at in each)
    moves = frozenset(at // _DAY_MIN for each in times for at in each)
    days, days_exact = _days_in_utc(when, moves)
    one_set = len({frozenset(at % _DAY_MIN for at in each) for each in times}) == 1
    times_exact = one_set and len(minutes) * len(hours) == len(times[0])
    # Where clocks change, days begin at two times of UTC; and an hour is left out only if named.
    steady = len(offsets_min) == 1 or (days == _Days() and when.hour == HOUR.every)
    exact = days_exact and times_exact and steady
    return Firing(_spelled(minutes, hours, days), None if exact else _MINUTE_S)


@lru_cache(maxsize=256)
def _offsets_min(zone: tzinfo, today: date) -> tuple[int, ...]:
    """Return the distances from UTC, in minutes, that a zone's clocks have from a date on."""
    noon = datetime.combine(today, time(12), UTC)
    offsets = {
        (noon + timedelta(days=day)).astimezone(zone).utcoffset() for day in range(_AHEAD.days)
    }
    return tuple(sorted(offset // timedelta(minutes=1) for offset in offsets if offset is not None))


def _days_in_utc(when: crontab, moves: AbstractSet[int]) -> tuple[_Days, bool]:
    """Return days of UTC that hold those of a crontab, and whether there are no others.

    ``moves`` are the days before (-1), on (0) and after (1) its own on which its times may fall.
    """
    days = _Days(when.day_of_month, when.month_of_year, when.day_of_week)
    if days == _Days():
        return days, True
    if days.of_month != DAY_OF_MONTH.every and days.of_week != DAY_OF_WEEK.every:
        by_month = len(days.of_month) * 7 < len(days.of_week) * 31
        one = (
            replace(days, of_week=DAY_OF_WEEK.every)
            if by_month
            else replace(days, of_month=DAY_OF_MONTH.every)
        )
        return _widened(one, moves), False
    if len(moves) == 1:
        (move,) = moves
        if (moved := _moved(days, move)) is not None:
            return moved, True
    return _widened(days, moves), False


def _moved(days: _Days, move: int) -> _Days | None:
    """Return exactly the days before (-1), on (0) or after (1) those given, if a rule can."""
    if move == 0:
        return days
    if days.of_month == DAY_OF_MONTH.every and days.months == MONTH_OF_YEAR.every:
        return _Days(of_week=frozenset((day + move) % 7 for day in days.of_week))
    if days.of_week != DAY_OF_WEEK.every:
        return None
    if move == -1 and days.of_month == {1}:
        return _Days(months=_months(days.months, -1), last=True)
    if all(
        day + move >= 1 and max(day, day + move) <= _SURE[month - 1]
        for day, month in product(days.of_month, days.months)
    ):
        return _Days(frozenset(day + move for day in days.of_month), days.months)
    return None


def _widened(days: _Days, moves: Iterable[int]) -> _Days:
    """Return days that hold those given and, for each move, those beside them."""
    of_month, months, of_week = set[int](), set(days.months), set[int]()
    for move in moves:
        of_week |= {(day + move) % 7 for day in days.of_week}
        of_month |= {day + move for day in days.of_month if 1 <= day + move <= 31}
        over = days.of_month & (_ENDS if move > 0 else {1}) if move else frozenset[int]()
        if over:
            of_month |= {1} if move > 0 else _ENDS
            months |= _months(days.months, move)
    return _Days(frozenset(of_month), frozenset(months), frozenset(of_week))


def _months(months: Iterable[int], move: int) -> frozenset[int]:
    return frozenset((month - 1 + move) % 12 + 1 for month in months)


# -- the sun, and once -----------------------------------------------------------------------------


def _solar(when: solar, now: datetime) -> Firing:
    """Return the rule that fires in every quarter of an hour in which the event may be."""
    hours: set[int] = set()
    moment = now
    while moment < now + _A_YEAR and (found := when.after(moment)) is not None:
        near = timedelta(seconds=_QUARTER_S)  # from year to year it moves by a minute or two
        hours |= {(found + each).hour for each in (-near, timedelta(), near)}
        moment = found
    if not hours:
        raise ImproperlyConfigured(f"{when!r}: that never happens there")
    quarters = frozenset(range(0, 60, _QUARTER_S // 60))
    return Firing(_spelled(quarters, frozenset(hours), _Days()), _QUARTER_S)


def _once(utc: datetime) -> Firing:
    days = _Days(frozenset({utc.day}), frozenset({utc.month}))
    said = _spelled(frozenset({utc.minute}), frozenset({utc.hour}), days, str(utc.year))
    return Firing(said, _MINUTE_S if utc.second or utc.microsecond else None)


# -- spelling --------------------------------------------------------------------------------------


def _spelled(
    minutes: AbstractSet[int], hours: AbstractSet[int], days: _Days, year: str = "*"
) -> str:
    """Return the ``cron`` of minutes, hours and days, of which one field is every one."""
    every_weekday = days.of_week == DAY_OF_WEEK.every
    fields = (
        _spell(minutes, MINUTE.low, MINUTE.high),
        _spell(hours, HOUR.low, HOUR.high),
        ("L" if days.last else _spell(days.of_month, 1, 31)) if every_weekday else "?",
        _spell(days.months, 1, 12),
        "?" if every_weekday else _spell(days.of_week, 0, 6, _WEEKDAYS),
        year,
    )
    return f"cron({' '.join(fields)})"


def _spell(numbers: AbstractSet[int], low: int, high: int, names: Sequence[str] = ()) -> str:
    """Return one field: ``*``, ``0/15``, or numbers and ranges, by name where they have one.

    The longest of each (pairs, as in ``0,1,3,4``) come to 238 characters together, and a rule takes
    256.
    """
    ordered = sorted(numbers)
    if len(ordered) == high - low + 1:
        return "*"
    step = ordered[1] - ordered[0] if len(ordered) > 2 else 0
    if step > 1 and not names and ordered == list(range(ordered[0], high + 1, step)):
        return f"{ordered[0]}/{step}"
    return spell_runs(ordered, lambda number: names[number] if names else str(number))
