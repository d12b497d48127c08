"""What a rule fires, against what a crontab means: two readings written apart.

``AwsCron`` below is EventBridge's half: it reads only the expression's text, by the rules of "Cron
expressions reference" in the Amazon EventBridge User Guide, and is checked against that page's own
examples.
"""

from __future__ import annotations

import calendar
from datetime import date, datetime, timedelta, timezone, tzinfo
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from caraway.core.cron import expression
from caraway.exceptions import ImproperlyConfigured
from caraway.schedules import crontab, schedule

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
UTC = timezone.utc
DAYS = [date(2027, 12, 1) + timedelta(days=day) for day in range(460)]
"""With February in a leap year and in one that is none."""
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


class AwsCron:
    """An EventBridge cron expression."""

    def __init__(self, text: str) -> None:
        assert text.startswith("cron(")
        assert text.endswith(")")
        assert len(text) <= 256
        minutes, hours, self.days, months, weekdays, year = text[5:-1].split(" ")
        # "If you specify a value or a * in one of the day fields, you must use a ? in the other."
        assert (self.days == "?") != (weekdays == "?")
        assert year == "*"
        self.times = frozenset(
            hour * 60 + minute
            for hour, minute in product(self.read(hours, 0, 23), self.read(minutes, 0, 59))
        )
        self.months = self.read(months, 1, 12, MONTHS)
        self.weekdays = None if weekdays == "?" else self.read(weekdays, 1, 7, WEEKDAYS)

    @staticmethod
    def read(field: str, low: int, high: int, names: list[str] | None = None) -> set[int]:
        def number(text: str) -> int:
            value = names.index(text) + low if names and text in names else int(text)
            assert low <= value <= high
            return value

        numbers: set[int] = set()
        for part in field.split(","):
            base, _, step = part.partition("/")
            first, _, last = base.partition("-")
            if base == "*":
                start, end = low, high
            elif last:
                start, end = number(first), number(last)
                assert start <= end, "EventBridge knows no range that wraps"
            else:
                start = number(first)
                end = high if step else start
            numbers.update(range(start, end + 1, int(step or 1)))
        return numbers

    def on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        if self.weekdays is not None:
            return day.isoweekday() % 7 + 1 in self.weekdays
        if self.days == "L":
            return day.day == calendar.monthrange(day.year, day.month)[1]
        return day.day in self.read(self.days, 1, 31)


def celery_times(when: crontab) -> frozenset[int]:
    return frozenset(hour * 60 + minute for hour in when.hour for minute in when.minute)


def celery_on(when: crontab, day: date) -> bool:
    return (
        day.month in when.month_of_year
        and day.day in when.day_of_month
        and day.isoweekday() % 7 in when.day_of_week
    )


@pytest.mark.parametrize(
    ("text", "fires", "does_not"),
    [
        ("cron(0 10 * * ? *)", "2026-07-01 10:00", "2026-07-01 10:01"),
        ("cron(15 12 * * ? *)", "2026-07-01 12:15", "2026-07-01 12:00"),
        ("cron(0 18 ? * MON-FRI *)", "2026-07-03 18:00", "2026-07-04 18:00"),
        ("cron(0 8 1 * ? *)", "2026-07-01 08:00", "2026-07-02 08:00"),
        ("cron(0/15 * * * ? *)", "2026-07-01 08:45", "2026-07-01 08:50"),
        ("cron(0/10 * ? * MON-FRI *)", "2026-07-03 23:50", "2026-07-05 23:50"),
        ("cron(0/5 8-17 ? * MON-FRI *)", "2026-07-03 17:55", "2026-07-03 18:00"),
        ("cron(1/10 * * * ? *)", "2026-07-03 17:31", "2026-07-03 17:30"),
        ("cron(0 0 L * ? *)", "2026-02-28 00:00", "2026-03-28 00:00"),
    ],
)
def test_the_reading_of_aws_agrees_with_the_examples_of_its_documentation(
    text: str, fires: str, does_not: str
) -> None:
    for time, due in ((fires, True), (does_not, False)):
        at = datetime.fromisoformat(time)
        read = AwsCron(text)
        assert (read.on(at.date()) and at.hour * 60 + at.minute in read.times) is due


def numbers(low: int, high: int) -> st.SearchStrategy[Any]:
    """A field as people write it, or any numbers at all."""
    single = st.integers(low, high)
    ranged = st.tuples(single, single).map(lambda ends: f"{ends[0]}-{ends[1]}")
    stepped = st.tuples(st.sampled_from(["*", f"{low}-{high}"]) | ranged, st.integers(1, 20))
    return (
        st.just("*")
        | single
        | ranged
        | stepped.map(lambda parts: f"{parts[0]}/{parts[1]}")
        | st.sets(single, min_size=1)
    )


dates = numbers(1, 31).map(lambda spec: {"day_of_month": spec})
weekdays = numbers(0, 6).map(lambda spec: {"day_of_week": spec})
crontabs = st.builds(
    lambda minute, hour, months, days: crontab(
        minute=minute, hour=hour, month_of_year=months, **days
    ),
    numbers(0, 59),
    numbers(0, 23),
    numbers(1, 12),
    dates | weekdays,
)


def test_a_cron_expression_says_what_the_crontab_says() -> None:
    said = {
        crontab(): "* * * * ? *",
        crontab(minute=0, hour=9): "0 9 * * ? *",
        crontab(minute="*/15", hour="8-17", day_of_week="mon-fri"): "0/15 8-17 ? * MON-FRI *",
        crontab(0, 0, "sun"): "0 0 ? * SUN *",
        crontab(0, "22-4", "fri-mon"): "0 0-4,22,23 ? * SUN,MON,FRI,SAT *",
        crontab(0, 0, "0-6", "1,15", "*/3"): "0 0 1,15 1/3 ? *",
        crontab("0,30", 3, day_of_month="*/10"): "0,30 3 1/10 * ? *",
        crontab(0, 0, day_of_month=29, month_of_year=2): "0 0 29 2 ? *",
    }
    for when, fields in said.items():
        assert expression(when, UTC, NOW) == f"cron({fields})"


@settings(deadline=None, max_examples=300)
@given(crontabs)
@example(
    crontab(
        minute=[m for m in range(60) if m % 3 < 2],
        hour=[h for h in range(24) if h % 3 < 2],
        day_of_month=[d for d in range(1, 32) if d % 3],
        month_of_year=[m for m in range(1, 13) if m % 3],
    )
)
def test_in_utc_a_rule_fires_exactly_when_the_crontab_is_due(when: crontab) -> None:
    assume(any(celery_on(when, day) for day in DAYS))
    read = AwsCron(expression(when, UTC, NOW))
    assert read.times == celery_times(when)
    assert [read.on(day) for day in DAYS] == [celery_on(when, day) for day in DAYS]


@settings(deadline=None, max_examples=300)
@given(crontabs, st.integers(-12 * 4, 14 * 4).map(lambda quarters: quarters * 15))
@example(crontab(0, 3, day_of_month=1), 9 * 60)
@example(crontab(0, 3, day_of_month=1, month_of_year="*/3"), 9 * 60)
@example(crontab(0, 3, day_of_month="2-28"), 9 * 60)
@example(crontab(0, 23, day_of_month="1-27"), -5 * 60)
@example(crontab(0, 23, day_of_month="1-30", month_of_year="jan"), -5 * 60)
@example(crontab(0, 3, day_of_month=29, month_of_year="feb"), 9 * 60)
@example(crontab(0, 3, "fri-mon"), 9 * 60)
@example(crontab(0, 3), 5 * 60 + 30)
def test_in_a_zone_ahead_of_utc_or_behind_a_rule_is_exact_or_refused(
    when: crontab, offset_min: int
) -> None:
    zone = timezone(timedelta(minutes=offset_min))
    try:
        read = AwsCron(expression(when, zone, NOW))
    except ImproperlyConfigured:
        return
    # A day of UTC holds the end of one local day and the beginning of another.
    parts = {
        move: {
            time + move * 1440 - offset_min
            for time in celery_times(when)
            if 0 <= time + move * 1440 - offset_min < 1440
        }
        for move in (-1, 0, 1)
    }
    due: dict[tuple[int, ...], set[int]] = {}
    for day in DAYS:
        moves = tuple(move for move in parts if celery_on(when, day + timedelta(days=move)))
        if moves not in due:
            due[moves] = set().union(*(parts[move] for move in moves))
        assert due[moves] == (read.times if read.on(day) else set()), day


@pytest.mark.parametrize(
    ("when", "zone", "fields"),
    [
        (crontab(0, 9), "Asia/Seoul", "0 0 * * ? *"),
        (crontab(0, 3), "Asia/Seoul", "0 18 * * ? *"),
        (crontab(0, 3, "mon"), "Asia/Seoul", "0 18 ? * SUN *"),
        (crontab(0, 22, "sat"), "America/Bogota", "0 3 ? * SUN *"),
        (crontab(0, 3, day_of_month=1), "Asia/Seoul", "0 18 L * ? *"),
        (crontab(0, 3, day_of_month=1, month_of_year="3"), "Asia/Seoul", "0 18 L 2 ? *"),
        (crontab(0, 3, day_of_month=15), "Asia/Seoul", "0 18 14 * ? *"),
        (crontab(0, 9), "Asia/Kolkata", "30 3 * * ? *"),
        (crontab("*/30"), "Asia/Kolkata", "0,30 * * * ? *"),
    ],
)
def test_a_zone_without_clock_changes_is_said_in_utc(when: crontab, zone: str, fields: str) -> None:
    assert expression(when, ZoneInfo(zone), NOW) == f"cron({fields})"


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe"])
@given(when=crontabs, start=st.integers(0, 365), hour=st.integers(0, 23))
@example(when=crontab("*/15"), start=0, hour=0)
@settings(max_examples=20, deadline=None)
def test_where_the_clocks_change_a_rule_is_exact_or_refused(
    zone: str, when: crontab, start: int, hour: int
) -> None:
    try:
        read = AwsCron(expression(when, ZoneInfo(zone), NOW))
    except ImproperlyConfigured:
        return
    times = celery_times(when)
    for number in range(0, 366, 7):
        at = NOW + timedelta(days=start + number, hours=hour)
        for minute in range(60):
            utc = at + timedelta(minutes=minute)
            local = utc.astimezone(ZoneInfo(zone))
            due = celery_on(when, local.date()) and (local.hour * 60 + local.minute in times)
            assert due is (read.on(utc.date()) and utc.hour * 60 + utc.minute in read.times)


def test_every_hour_is_the_same_hour_where_the_clocks_change() -> None:
    assert expression(crontab(minute=15), ZoneInfo("Europe/Berlin"), NOW) == "cron(15 * * * ? *)"


def test_a_zone_is_looked_at_from_now_on() -> None:
    # Seoul had summer time until 1988, Istanbul until 2016, Casablanca has it around Ramadan.
    for zone in ("Asia/Seoul", "Europe/Istanbul"):
        assert expression(crontab(0, 12), ZoneInfo(zone), NOW).startswith("cron(0 ")
    for zone in ("Africa/Casablanca", "America/New_York"):
        for weeks in range(0, 54, 3):
            with pytest.raises(ImproperlyConfigured, match="the clocks change there"):
                expression(crontab(0, 12), ZoneInfo(zone), NOW + timedelta(weeks=weeks))


@pytest.mark.parametrize(
    ("when", "zone", "advice"),
    [
        (crontab(0, 9), "Europe/Berlin", "set timezone to 'UTC' and give the hours in UTC"),
        (crontab(0, "8-20", "mon-fri"), "Europe/Berlin", "set timezone to 'UTC'"),
        (crontab(0, "8-17", "mon-fri"), "Asia/Seoul", "an entry with the hours '9-17'"),
        (crontab(0, 3, day_of_month=31), "Asia/Seoul", "choose another hour"),
        (crontab(0, 3, day_of_month="1,15"), "Asia/Seoul", "choose another hour"),
        (crontab(0, 3, month_of_year="mar"), "Asia/Seoul", "choose another hour"),
        (crontab(0, 3, "mon", month_of_year="mar"), "Asia/Seoul", "choose another hour"),
        (crontab("*/15", 9), "Asia/Kolkata", "one entry for each minute"),
        (crontab(0, 0, "mon", "1-7"), "UTC", "restrict one, and check the other in the task"),
        (crontab(0, 0, day_of_month=31, month_of_year="feb"), "UTC", "no such day in any year"),
    ],
)
def test_what_no_rule_can_say_is_refused_with_what_can_be_done(
    when: crontab, zone: str, advice: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        expression(when, ZoneInfo(zone), NOW)
    assert repr(when) in str(raised.value)
    assert advice in str(raised.value)


@pytest.mark.parametrize(
    ("every", "said"),
    [
        (60, "rate(1 minute)"),
        (300, "rate(5 minutes)"),
        (3_600, "rate(60 minutes)"),
        (timedelta(days=1), "rate(1440 minutes)"),
    ],
)
def test_whole_minutes_are_a_rate(every: float | timedelta, said: str) -> None:
    zones: list[tzinfo] = [UTC, ZoneInfo("Europe/Berlin")]
    assert {expression(schedule(every), zone, NOW) for zone in zones} == {said}


@pytest.mark.parametrize(
    ("every", "near"),
    [(10, "use 60 s"), (90, "use 60 or 120 s"), (60.5, "use 60 or 120 s")],
)
def test_other_intervals_are_refused_with_the_nearest(every: float, near: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=near):
        expression(schedule(every), UTC, NOW)
