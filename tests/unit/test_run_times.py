"""The next times of a timing, and the last ones: the same as walking through all of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.core.run_times import LOOK_BACK, last_times, next_times
from caraway.core.timing import Timing
from caraway.schedules import BaseSchedule, clocked, crontab, schedule, solar

NOW = datetime(2026, 11, 29, 16, 17, 3, tzinfo=timezone.utc)


def utc(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=timezone.utc)  # type: ignore[misc,arg-type]


def test_the_next_times_come_in_order() -> None:
    assert next_times(Timing(crontab("*/15", "8-16", "mon-fri")), NOW, 3) == [
        utc(2026, 11, 30, 8, 0),
        utc(2026, 11, 30, 8, 15),
        utc(2026, 11, 30, 8, 30),
    ]
    assert next_times(Timing(schedule(90), start=utc(2026, 11, 29, 16)), NOW, 2) == [
        utc(2026, 11, 29, 16, 18),
        utc(2026, 11, 29, 16, 19, 30),
    ]


def test_there_may_be_fewer_than_were_asked_for() -> None:
    assert next_times(Timing(clocked(utc(2027, 1, 1))), NOW, 5) == [utc(2027, 1, 1)]
    assert next_times(Timing(clocked(utc(2026, 1, 1))), NOW, 5) == []
    ends = Timing(schedule(60), end=NOW + timedelta(minutes=2))
    assert len(next_times(ends, NOW, 5)) == 2
    assert next_times(Timing(crontab(day_of_month=31, month_of_year=2)), NOW, 5) == []
    last_day = utc(9999, 12, 31)
    assert next_times(Timing(schedule(timedelta(days=300))), last_day, 5) == []


def test_what_is_rare_is_found_as_often_as_it_is_asked_for() -> None:
    leap_mondays = next_times(Timing(crontab(0, 0, "mon", 29, 2)), NOW, 5)
    assert [each.year for each in leap_mondays] == [2044, 2072, 2112, 2140, 2168]


def test_the_last_times_are_the_latest_first_and_now_is_one_of_them() -> None:
    timing = Timing(crontab("*/15", "8-16", "mon-fri"))
    assert last_times(timing, NOW, 2) == [utc(2026, 11, 27, 16, 45), utc(2026, 11, 27, 16, 30)]
    assert last_times(timing, utc(2026, 11, 27, 16, 30), 1) == [utc(2026, 11, 27, 16, 30)]


def test_nobody_looks_further_back_than_records_are_kept() -> None:
    yearly = Timing(crontab(0, 0, day_of_month=1, month_of_year=1))
    assert last_times(yearly, NOW, 3) == []
    assert last_times(yearly, NOW, 3, timedelta(days=700)) == [utc(2026, 1, 1), utc(2025, 1, 1)]
    daily = last_times(Timing(crontab(0, 0)), NOW, 1_000)
    assert len(daily) == LOOK_BACK.days
    assert daily[-1] >= NOW - LOOK_BACK


def test_nothing_was_due_before_the_start_nor_after_the_end() -> None:
    hourly = Timing(crontab(0), start=utc(2026, 11, 29, 14), end=utc(2026, 11, 29, 15))
    assert last_times(hourly, NOW, 5) == [utc(2026, 11, 29, 15), utc(2026, 11, 29, 14)]


SCHEDULES: list[BaseSchedule] = [
    schedule(1),
    schedule(7),
    schedule(timedelta(hours=5)),
    crontab(),
    crontab("*/10", "22-4"),
    crontab(0, 9, "mon-fri", tz="Europe/Berlin"),
    crontab(30, 2, tz="Europe/Berlin"),
    crontab("*/20", tz="Australia/Lord_Howe"),
    crontab(0, 0, day_of_month=1),
    solar("sunset", 48.86, 2.35),
    clocked(utc(2026, 11, 1)),
]
moments = st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(timezone.utc))


@pytest.mark.parametrize("when", SCHEDULES, ids=repr)
@given(moment=moments, count=st.integers(1, 40))
def test_next_and_last_times_are_those_of_a_walk(
    when: BaseSchedule, moment: datetime, count: int
) -> None:
    timing = Timing(when)
    walked, at = list[datetime](), moment
    while len(walked) < count and (coming := timing.after(at)) is not None:
        walked.append(coming)
        at = coming
    ahead = next_times(timing, moment, count)
    assert ahead == walked
    assert all(first < second for first, second in pairwise([moment, *ahead]))
    if ahead:
        behind = last_times(timing, ahead[-1], count, timedelta(days=60))
        in_reach = [each for each in ahead if each >= ahead[-1] - timedelta(days=60)]
        assert behind[: len(in_reach)] == in_reach[::-1]


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", (2026, 3, 28)),
        ("Europe/Berlin", (2026, 10, 24)),
        ("Australia/Lord_Howe", (2026, 4, 4)),
        ("Australia/Lord_Howe", (2026, 10, 3)),
        ("America/St_Johns", (2026, 10, 31)),
        ("America/Havana", (2026, 3, 7)),
        ("America/Havana", (2026, 10, 31)),
        ("Asia/Kathmandu", (2026, 1, 1)),
    ],
)
@pytest.mark.parametrize(
    "when", [crontab("*/10"), crontab("*/15", "0-4"), crontab([0, 29, 30, 59], [1, 2, 23])]
)
def test_where_clocks_change_the_times_are_those_that_a_clock_shows(
    zone: str, day: tuple[int, int, int], when: crontab
) -> None:
    """Against a walk through all minutes: what comes twice counts once, but for every hour."""
    first, minute = utc(*day), timedelta(minutes=1)
    shown = [(first + n * minute).astimezone(ZoneInfo(zone)) for n in range(3 * 24 * 60)]
    expected = [
        clock.astimezone(timezone.utc)
        for clock in shown
        if clock.minute in when.minute
        and clock.hour in when.hour
        and (clock.fold == 0 or len(when.hour) == 24)
    ]
    assert Timing(when.in_zone(ZoneInfo(zone))).during(first, timedelta(days=3)) == expected
