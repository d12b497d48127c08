"""A schedule in EventBridge's words: ``rate(...)`` and ``cron(...)``, which mean UTC.

What a rule cannot say raises; it is never replaced by something near.

=============================  =====================================================
Caraway                        EventBridge
=============================  =====================================================
every n whole minutes          ``rate(n minutes)``, counted from the rule's creation
every day of the week          ``cron(m h DAYS MONTHS ? *)``
every day of the month         ``cron(m h ? MONTHS WEEKDAYS *)``, Sunday is 1 or SUN
both day fields restricted     nothing: Celery means both, a rule takes one of them
another time zone              the same times in UTC, where they are always the same
=============================  =====================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import product
from typing import TYPE_CHECKING, Final

from caraway.exceptions import ImproperlyConfigured
from caraway.schedules import (
    DAY_OF_MONTH,
    DAY_OF_WEEK,
    HOUR,
    MINUTE,
    MONTH_OF_YEAR,
    crontab,
    schedule,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

_DAY_MIN: Final = 24 * 60
_WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_EVERY_WEEKDAY: Final = frozenset(range(DAY_OF_WEEK.low, DAY_OF_WEEK.high + 1))
_EVERY_DAY: Final = frozenset(range(DAY_OF_MONTH.low, DAY_OF_MONTH.high + 1))
_EVERY_MONTH: Final = frozenset(range(MONTH_OF_YEAR.low, MONTH_OF_YEAR.high + 1))
_LONGEST: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of the months, in a leap year."""
_SURE: Final = (31, 28, *_LONGEST[2:])
"""Days that the months have in every year."""
_AHEAD: Final = timedelta(days=800)
"""How far ahead a zone is looked at: every clock change recurs within two years."""


@dataclass(frozen=True)
class _Days:
    """On which days: every field must match; ``last`` is the last day of the month instead."""

    of_month: frozenset[int]
    months: frozenset[int]
    of_week: frozenset[int]
    last: bool = False


def expression(when: schedule | crontab, zone: tzinfo, now: datetime) -> str:
    """Return the ScheduleExpression of a rule that fires exactly when a schedule is due.

    Parameters
    ----------
    zone
        The time zone in which a crontab is meant; an interval has none.
    now
        From when on it must be exact, with a time zone. A zone whose rules are changed later by
        its government is right again after the next sync.

    Raises
    ------
    ImproperlyConfigured
        If no rule can say it; the message says what can be said.
    """
    if isinstance(when, schedule):
        return _rate(when)
    days = _days(when)
    offsets_min = _offsets_min(zone, now)
    try:
        said = {_cron(when, days, offset_min, zone) for offset_min in offsets_min}
    except ImproperlyConfigured:
        if len(offsets_min) == 1:
            raise
        said = set()
    if len(said) != 1:
        raise ImproperlyConfigured(
            f"{when!r} in {zone}: the clocks change there, and EventBridge rules fire in UTC: "
            "set timezone to 'UTC' and give the hours in UTC"
        )
    return said.pop()


def _rate(when: schedule) -> str:
    minutes, rest = divmod(when.run_every, timedelta(minutes=1))
    if rest:
        near = f"{minutes * 60} or {(minutes + 1) * 60}" if minutes else "60"
        raise ImproperlyConfigured(
            f"an interval of {when.seconds:g} s cannot be a rule, because EventBridge counts whole "
            f"minutes: use {near} s"
        )
    return f"rate({minutes} minute{'s' if minutes > 1 else ''})"


def _offsets_min(zone: tzinfo, now: datetime) -> set[int]:
    """Return the distances from UTC, in minutes, that a zone's clocks have from now on."""
    offsets = {
        (now + timedelta(days=day)).astimezone(zone).utcoffset() for day in range(_AHEAD.days)
    }
    return {offset // timedelta(minutes=1) for offset in offsets if offset is not None}


def _cron(when: crontab, days: _Days, offset_min: int, zone: tzinfo) -> str:
    """Return the expression for a zone that is always ``offset_min`` ahead of UTC."""
    times = [hour * 60 + minute - offset_min for hour, minute in product(when.hour, when.minute)]
    minutes = {time % 60 for time in times}
    hours = {time // 60 % 24 for time in times}
    if len(minutes) * len(hours) != len(times):
        raise ImproperlyConfigured(
            f"{when!r} in {zone}: its minutes fall into different hours of UTC, in which "
            "EventBridge rules fire: split it into one entry for each minute"
        )
    if days != _Days(_EVERY_DAY, _EVERY_MONTH, _EVERY_WEEKDAY):
        moves = {time // _DAY_MIN for time in times}
        if len(moves) > 1:
            raise ImproperlyConfigured(
                f"{when!r} in {zone}: its hours fall on different days of UTC, in which "
                "EventBridge rules fire: split it into an entry with the hours "
                f"{_local_hours(when, offset_min)} and one with the others"
            )
        days = _moved(days, moves.pop(), f"{when!r} in {zone}")
    every_weekday = days.of_week == _EVERY_WEEKDAY
    fields = (
        _spell(minutes, MINUTE.low, MINUTE.high),
        _spell(hours, HOUR.low, HOUR.high),
        ("L" if days.last else _spell(days.of_month, 1, 31)) if every_weekday else "?",
        _spell(days.months, 1, 12),
        "?" if every_weekday else _spell(days.of_week, 0, 6, _WEEKDAYS),
        "*",
    )
    return f"cron({' '.join(fields)})"


def _local_hours(when: crontab, offset_min: int) -> str:
    """Name those of the hours that fall on the day itself, for an error message."""
    same = [hour for hour in when.hour if 0 <= hour * 60 - offset_min < _DAY_MIN]
    return repr(_spell(set(same), HOUR.low, HOUR.high))


def _days(when: crontab) -> _Days:
    if when.day_of_month != _EVERY_DAY and when.day_of_week != _EVERY_WEEKDAY:
        raise ImproperlyConfigured(
            f"{when!r}: it restricts both day_of_week and day_of_month; Celery means both, and an "
            "EventBridge rule takes one: restrict one, and check the other in the task"
        )
    if not any(
        day <= _LONGEST[month - 1] for day, month in product(when.day_of_month, when.month_of_year)
    ):
        raise ImproperlyConfigured(f"{when!r}: there is no such day in any year")
    return _Days(when.day_of_month, when.month_of_year, when.day_of_week)


def _moved(days: _Days, move: int, what: str) -> _Days:
    """Return the days before (-1), on (0) or after (1) those given."""
    if move == 0:
        return days
    if days.of_month == _EVERY_DAY and days.months == _EVERY_MONTH:
        return _Days(_EVERY_DAY, _EVERY_MONTH, frozenset((day + move) % 7 for day in days.of_week))
    if days.of_week == _EVERY_WEEKDAY:
        if move == -1 and days.of_month == {1}:
            before = frozenset((month - 2) % 12 + 1 for month in days.months)
            return _Days(_EVERY_DAY, before, _EVERY_WEEKDAY, last=True)
        if all(
            day + move >= 1 and max(day, day + move) <= _SURE[month - 1]
            for day, month in product(days.of_month, days.months)
        ):
            of_month = frozenset(day + move for day in days.of_month)
            return _Days(of_month, days.months, _EVERY_WEEKDAY)
    raise ImproperlyConfigured(
        f"{what}: in UTC, in which EventBridge rules fire, its days are those "
        f"{'before' if move < 0 else 'after'} them, which may lie in another month, and no rule "
        "says that: choose another hour, or set timezone to 'UTC'"
    )


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
    runs: list[list[int]] = []
    for number in ordered:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    text = [names[number] if names else str(number) for number in range(high + 1)]
    return ",".join(
        f"{text[run[0]]}-{text[run[-1]]}" if len(run) > 2 else ",".join(text[each] for each in run)
        for run in runs
    )
