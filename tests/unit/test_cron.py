"""What a rule fires, against what a schedule means: two readings written apart.

:class:`tests.aws_cron.AwsCron` is EventBridge's half: it reads only the expression's text. Celery's
half, ``is_due``, looks at the clock of the zone, minute by minute. Three years of hundreds of
crontabs are in ``test_cron_years.py``, published examples in ``test_cron_tables.py``.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from caraway.core.cron import Firing, firing
from caraway.core.timing import Timing
from caraway.exceptions import ImproperlyConfigured, InvalidMessage
from caraway.schedules import BaseSchedule, clocked, crontab, schedule, solar
from caraway.schedules.solar import EVENTS
from tests.aws_cron import AwsCron
from tests.depth import examples

pytestmark = pytest.mark.usefixtures("unmeasured")

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
UTC = timezone.utc


def is_due(when: crontab, zone: tzinfo, at: datetime) -> bool:
    """A minute of UTC, seen on the clock of a zone; an hour that comes twice counts once."""
    clock = at.astimezone(zone)
    return (
        clock.minute in when.minute
        and clock.hour in when.hour
        and clock.month in when.month_of_year
        and clock.day in when.day_of_month
        and clock.isoweekday() % 7 in when.day_of_week
        and (clock.fold == 0 or len(when.hour) == 24)
    )


def minutes_of(first: datetime, days: int) -> list[datetime]:
    return [first + timedelta(minutes=minute) for minute in range(days * 1440)]


def fired(timing: Timing, now: datetime, first: datetime, days: int) -> list[datetime]:
    """What a worker is left with, of all that a rule fires in some days."""
    rule, end = firing(timing, now), first + timedelta(days=days)
    found: list[datetime] = []
    for at in AwsCron(rule.expression).during(first - timedelta(minutes=15), days):
        covers = timedelta(seconds=rule.covers_s or 0)
        found += timing.during(at, covers) if covers else [at]
    assert sorted(set(found)) == sorted(found), "no occurrence comes of two firings"
    return [each for each in sorted(found) if first <= each < end - timedelta(minutes=15)]


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


crontabs = st.builds(
    lambda minute, hour, month, day, weekday: crontab(minute, hour, weekday, day, month),
    numbers(0, 59),
    numbers(0, 23),
    st.just("*") | numbers(1, 12),
    st.just("*") | numbers(1, 31),
    st.just("*") | numbers(0, 6),
)
ZONES = [
    *("UTC", "Asia/Seoul", "Asia/Kolkata", "America/Bogota", "Pacific/Kiritimati", "Pacific/Niue"),
    *("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca"),
]
CHANGES = [
    *((2026, 3, 7), (2026, 10, 31), (2026, 3, 28), (2026, 10, 24), (2026, 4, 4), (2026, 10, 3)),
    *((2026, 2, 14), (2026, 3, 21), (2027, 2, 27), (2028, 2, 28), (2026, 12, 31), (2027, 12, 31)),
]
"""Days before something happens: clocks change, a month is short, a year ends."""
moments = st.sampled_from(CHANGES).map(lambda day: datetime(*day, tzinfo=UTC)) | st.datetimes(
    datetime(2026, 1, 1), datetime(2027, 12, 1), timezones=st.just(UTC)
).map(lambda time: time.replace(second=0, microsecond=0))


@settings(deadline=None, max_examples=examples(50))
@given(crontabs, st.sampled_from(ZONES), moments)
@example(crontab(30, 2), "America/New_York", datetime(2026, 3, 7, tzinfo=UTC))
@example(crontab(30, 1), "America/New_York", datetime(2026, 10, 31, tzinfo=UTC))
@example(crontab(15), "America/New_York", datetime(2026, 10, 31, tzinfo=UTC))
@example(crontab("*/15", "0-3"), "Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC))
@example(crontab(0, 0, "mon", "1-7"), "UTC", datetime(2026, 6, 30, tzinfo=UTC))
@example(crontab(0, 3, day_of_month=31), "Asia/Seoul", datetime(2026, 3, 29, tzinfo=UTC))
@example(crontab(0, 3, day_of_month=1), "Asia/Seoul", datetime(2027, 2, 27, tzinfo=UTC))
@example(crontab(0, 22, day_of_month=31), "America/Bogota", datetime(2026, 12, 30, tzinfo=UTC))
@example(crontab("*/15", 9), "Asia/Kolkata", datetime(2026, 5, 1, tzinfo=UTC))
def test_a_rule_and_the_question_after_it_give_exactly_what_the_crontab_says(
    when: crontab, zone: str, first: datetime
) -> None:
    timing = Timing(when.in_zone(ZoneInfo(zone)))
    assume(timing.after(NOW) is not None)
    due = [at for at in minutes_of(first, 3)[:-15] if is_due(when, ZoneInfo(zone), at)]
    assert fired(timing, NOW, first, 3) == due


@settings(deadline=None, max_examples=examples(100))
@given(crontabs, st.sampled_from(ZONES), moments)
def test_the_next_occurrence_is_the_first_minute_that_is_due(
    when: crontab, zone: str, first: datetime
) -> None:
    coming = when.in_zone(ZoneInfo(zone)).after(first)
    due = (at for at in minutes_of(first, 3)[1:] if is_due(when, ZoneInfo(zone), at))
    if (found := next(due, None)) is None:
        assert coming is None or coming > first + timedelta(days=3) - timedelta(minutes=1)
    else:
        assert coming == found


@settings(deadline=None, max_examples=examples(100))
@given(crontabs, st.sampled_from(ZONES))
def test_an_expression_is_never_longer_than_aws_takes(when: crontab, zone: str) -> None:
    timing = Timing(when.in_zone(ZoneInfo(zone)))
    assume(timing.after(NOW) is not None)
    AwsCron(firing(timing, NOW).expression)  # which asserts it, and that AWS can read it


@pytest.mark.parametrize(
    ("when", "zone", "fields"),
    [
        (crontab(), "UTC", "* * * * ? *"),
        (crontab(0, 9), "UTC", "0 9 * * ? *"),
        (crontab("*/15", "8-17", "mon-fri"), "UTC", "0/15 8-17 ? * MON-FRI *"),
        (crontab(0, 0, "sun"), "UTC", "0 0 ? * SUN *"),
        (crontab(0, "22-4", "fri-mon"), "UTC", "0 0-4,22,23 ? * SUN,MON,FRI,SAT *"),
        (crontab(0, 0, "0-6", "1,15", "*/3"), "UTC", "0 0 1,15 1/3 ? *"),
        (crontab("0,30", 3, day_of_month="*/10"), "UTC", "0,30 3 1/10 * ? *"),
        (crontab(0, 0, day_of_month=29, month_of_year=2), "UTC", "0 0 29 2 ? *"),
        (crontab(0, 9), "Asia/Seoul", "0 0 * * ? *"),
        (crontab(0, 3), "Asia/Seoul", "0 18 * * ? *"),
        (crontab(0, 3, "mon"), "Asia/Seoul", "0 18 ? * SUN *"),
        (crontab(0, 22, "sat"), "America/Bogota", "0 3 ? * SUN *"),
        (crontab(0, 3, day_of_month=1), "Asia/Seoul", "0 18 L * ? *"),
        (crontab(0, 3, day_of_month=1, month_of_year="3"), "Asia/Seoul", "0 18 L 2 ? *"),
        (crontab(0, 3, day_of_month=15), "Asia/Seoul", "0 18 14 * ? *"),
        (crontab(0, 9), "Asia/Kolkata", "30 3 * * ? *"),
        (crontab("*/30"), "Asia/Kolkata", "0,30 * * * ? *"),
        (crontab(15), "Europe/Berlin", "15 * * * ? *"),
    ],
)
def test_what_a_rule_can_say_needs_no_question(when: crontab, zone: str, fields: str) -> None:
    said = firing(Timing(when.in_zone(ZoneInfo(zone))), NOW)
    assert said == Firing(f"cron({fields})")


@pytest.mark.parametrize(
    ("when", "zone", "fields"),
    [
        # At the hours of winter and of summer.
        (crontab(0, 9), "Europe/Berlin", "0 7,8 * * ? *"),
        (crontab(0, 9, "mon-fri"), "America/New_York", "0 13,14 ? * MON-FRI *"),
        # On the days that the hours have in UTC.
        (crontab(0, "8-17", "mon-fri"), "Asia/Seoul", "0 0-8,23 ? * SUN-FRI *"),
        (crontab(0, 3, day_of_month=31), "Asia/Seoul", "0 18 30 * ? *"),
        (crontab(0, 3, day_of_month="1,15"), "Asia/Seoul", "0 18 14,28-31 * ? *"),
        (crontab(0, 3, month_of_year="mar"), "Asia/Seoul", "0 18 * 2,3 ? *"),
        (crontab("*/15", 9), "Asia/Kolkata", "0/15 3,4 * * ? *"),
        # On the days of the field that has fewer.
        (crontab(0, 0, "mon", "1-7"), "UTC", "0 0 ? * MON *"),
        (crontab(0, 0, "mon-fri", 13), "UTC", "0 0 13 * ? *"),
    ],
)
def test_what_no_rule_can_say_is_fired_at_the_nearest_times_and_asked_again(
    when: crontab, zone: str, fields: str
) -> None:
    said = firing(Timing(when.in_zone(ZoneInfo(zone))), NOW)
    assert said == Firing(f"cron({fields})", covers_s=60)


def test_a_zone_is_looked_at_from_now_on() -> None:
    # Seoul had summer time until 1988, Istanbul until 2016, Casablanca has it around Ramadan.
    for zone in ("Asia/Seoul", "Europe/Istanbul"):
        assert firing(Timing(crontab(0, 12, tz=zone)), NOW).covers_s is None
    for zone in ("Africa/Casablanca", "America/New_York"):
        for weeks in range(0, 54, 3):
            timing = Timing(crontab(0, 12, tz=zone))
            assert firing(timing, NOW + timedelta(weeks=weeks)).covers_s == 60


def test_a_day_that_no_year_has_is_refused() -> None:
    never = crontab(0, 0, day_of_month=31, month_of_year="feb")
    assert never.after(NOW) is None
    with pytest.raises(ImproperlyConfigured, match="no such day in any year"):
        firing(Timing(never), NOW)


def test_a_leap_day_on_a_monday_is_found_also_around_a_year_that_is_no_leap_year() -> None:
    assert crontab(0, 0, "mon", 29, 2).after(NOW) == datetime(2044, 2, 29, tzinfo=UTC)
    late = datetime(2072, 3, 1, tzinfo=UTC)
    assert crontab(0, 0, "mon", 29, 2).after(late) == datetime(2112, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "fields", "covers_s"),
    [
        (60, "* * * * ? *", None),
        (600, "0/10 * * * ? *", None),
        (7_200, "0 0/2 * * ? *", None),
        (timedelta(days=1), "0 0 * * ? *", None),
        (timedelta(days=2), "0 0 * * ? *", 60),
        (5_400, "0,30 * * * ? *", 60),
        (420, "* * * * ? *", 60),
    ],
)
def test_an_interval_is_a_cron_that_is_counted_from_the_epoch(
    every: float | timedelta, fields: str, covers_s: int | None
) -> None:
    for relative in (True, False):
        said = firing(Timing(schedule(every, relative)), NOW)
        assert said == Firing(f"cron({fields})", covers_s)


@settings(deadline=None, max_examples=examples(60))
@given(
    st.integers(1, 400) | st.integers(1, 3_000).map(lambda minutes: minutes * 60),
    st.none() | moments,
    moments,
)
def test_the_occurrences_of_an_interval_are_as_far_apart_as_it_is_long(
    seconds: int, start: datetime | None, first: datetime
) -> None:
    timing = Timing(schedule(seconds, relative=True), start)
    found = fired(timing, NOW, first, 1)
    end = first + timedelta(minutes=1440 - 15)
    counted_from = start or datetime(1970, 1, 1, tzinfo=UTC)
    offset_s = int((first - counted_from).total_seconds())
    whole = range(-(-offset_s // seconds) * seconds, offset_s + 1440 * 60, seconds)
    due = [counted_from + timedelta(seconds=second) for second in whole if second >= 0]
    assert found == [each for each in due if first <= each < end]


@pytest.mark.parametrize(("every", "near"), [(0.5, "use 1 s"), (60.5, "use 60 or 61 s")])
def test_parts_of_seconds_are_refused_with_the_nearest(every: float, near: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=near):
        firing(Timing(schedule(every)), NOW)


@settings(deadline=None, max_examples=examples(15))
@given(crontabs, st.sampled_from(ZONES), moments, st.integers(0, 4_000), st.integers(0, 4_000))
def test_nothing_occurs_before_its_start_or_after_its_end(
    when: crontab, zone: str, first: datetime, start_min: int, length_min: int
) -> None:
    start = first + timedelta(minutes=start_min)
    end = start + timedelta(minutes=length_min)
    free, bounded = (
        Timing(when.in_zone(ZoneInfo(zone))),
        Timing(when.in_zone(ZoneInfo(zone)), start, end),
    )
    assume(free.after(NOW) is not None)
    all_of_them = fired(free, NOW, first, 3)
    assert fired(bounded, NOW, first, 3) == [each for each in all_of_them if start <= each <= end]


@pytest.mark.parametrize("event", sorted(EVENTS))
@pytest.mark.parametrize("place", [(48.86, 2.35), (-33.87, 151.21), (69.65, 18.96), (1.35, 103.8)])
def test_the_sun_is_met_on_every_day_that_it_keeps_its_appointment(
    event: str, place: tuple[float, float]
) -> None:
    timing = Timing(solar(event, *place))
    for first in (datetime(2026, 6, 20, tzinfo=UTC), datetime(2027, 12, 20, tzinfo=UTC)):
        due, moment = [], first - timedelta(seconds=1)
        while (coming := solar(event, *place).after(moment)) is not None:
            if coming >= first + timedelta(days=2) - timedelta(minutes=15):
                break
            due.append(coming)
            moment = coming
        assert fired(timing, NOW, first, 2) == due


def test_a_sun_that_never_sets_is_said() -> None:
    with pytest.raises(ImproperlyConfigured, match="never happens there"):
        firing(Timing(solar("dawn_astronomical", 90, 0), None, None), NOW.replace(month=7))


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (datetime(2026, 7, 4, 12, 30, tzinfo=UTC), Firing("cron(30 12 4 7 ? 2026)")),
        (datetime(2026, 7, 4, 12, 30, 5, tzinfo=UTC), Firing("cron(30 12 4 7 ? 2026)", 60)),
    ],
)
def test_a_moment_is_a_cron_of_one_year(time: datetime, said: Firing) -> None:
    assert firing(Timing(clocked(time)), NOW) == said
    assert fired(Timing(clocked(time)), NOW, time - timedelta(hours=1), 1) == [time]


timings = st.builds(
    Timing,
    st.builds(lambda when, zone: when.in_zone(ZoneInfo(zone)), crontabs, st.sampled_from(ZONES))
    | st.builds(schedule, st.integers(1, 100_000))
    | st.builds(solar, st.sampled_from(sorted(EVENTS)), st.floats(-60, 60), st.floats(-180, 180))
    | st.builds(clocked, moments),
    st.none() | moments,
    st.none() | moments,
)


@given(timings)
def test_a_timing_survives_json(timing: Timing) -> None:
    assert Timing.read(json.loads(json.dumps(timing.to_json()))) == timing


@pytest.mark.parametrize(
    "wire",
    [
        {},
        {"crontab": "* * * * *"},
        {"crontab": "* * * *", "tz": "UTC"},
        {"crontab": "* * * * *", "tz": "Atlantis"},
        {"crontab": 5, "tz": "UTC"},
        {"crontab": "* * * * *", "tz": "UTC", "every_s": 5},
        {"every_s": "often"},
        {"every_s": 0},
        {"every_s": 5, "start": "soon"},
        {"every_s": 5, "start": 5},
        {"solar": ["sunset"]},
        {"solar": ["sunste", 1, 1]},
        {"solar": ["sunset", "north", 1]},
        {"clocked": "later"},
        {"clocked": None},
    ],
)
def test_what_is_no_timing_is_said(wire: Any) -> None:
    with pytest.raises(InvalidMessage, match="is no timing"):
        Timing.read(wire)


def test_a_schedule_of_ones_own_has_no_rule() -> None:
    class Never(BaseSchedule):
        def __repr__(self) -> str:
            return "<never>"

    with pytest.raises(ImproperlyConfigured, match="<never> has no rule in EventBridge"):
        firing(Timing(Never()), NOW)
