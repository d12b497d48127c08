"""AWS's schedule expressions: by the examples of its documentation, and by another reading."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from caraway.core.cron import firing
from caraway.core.timing import Timing
from caraway.exceptions import ImproperlyConfigured
from caraway.local.expressions import read_expression
from caraway.schedules import crontab
from tests.aws_cron import AwsCron
from tests.unit.test_cron import NOW, ZONES, crontabs, minutes_of, moments

if TYPE_CHECKING:
    from collections.abc import Iterator

UTC = timezone.utc


def firings(text: str, since: str, zone: str = "UTC") -> Iterator[str]:
    """The firings after a moment, as the clock of the zone shows them."""
    read = read_expression(text, ZoneInfo(zone))
    at = read.after(datetime.fromisoformat(since).replace(tzinfo=ZoneInfo(zone)))
    while at is not None:
        yield at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")
        at = read.after(at)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # "Cron expressions reference", Amazon EventBridge User Guide.
        ("cron(0 10 * * ? *)", ["2026-07-01 10:00", "2026-07-02 10:00"]),
        ("cron(15 12 * * ? *)", ["2026-07-01 12:15", "2026-07-02 12:15"]),
        ("cron(0 18 ? * MON-FRI *)", ["2026-07-01 18:00", "2026-07-02 18:00", "2026-07-03 18:00"]),
        ("cron(0 8 1 * ? *)", ["2026-07-01 08:00", "2026-08-01 08:00"]),
        ("cron(0/15 * * * ? *)", ["2026-07-01 00:15", "2026-07-01 00:30"]),
        ("cron(0/10 * ? * MON-FRI *)", ["2026-07-01 00:10", "2026-07-01 00:20"]),
        ("cron(0/5 8-17 ? * MON-FRI *)", ["2026-07-01 08:00", "2026-07-01 08:05"]),
        ("cron(0 9 ? * 2#1 *)", ["2026-07-06 09:00", "2026-08-03 09:00", "2026-09-07 09:00"]),
        ("cron(0/30 20-23,0-2 ? * MON-FRI *)", ["2026-07-01 00:30", "2026-07-01 01:00"]),
        # "Cron-based schedules", EventBridge Scheduler User Guide.
        ("cron(15 10 ? * 6L 2026-2027)", ["2026-07-31 10:15", "2026-08-28 10:15"]),
        # Their words about each wildcard.
        ("cron(1/10 * * * ? *)", ["2026-07-01 00:01", "2026-07-01 00:11"]),
        ("cron(0 0 L * ? *)", ["2026-07-31 00:00", "2026-08-31 00:00", "2026-09-30 00:00"]),
        ("cron(0 0 ? * L *)", ["2026-07-04 00:00", "2026-07-11 00:00"]),
        ("cron(0 0 3W * ? *)", ["2026-07-03 00:00", "2026-08-03 00:00", "2026-09-03 00:00"]),
        ("cron(0 0 ? * 3#2 *)", ["2026-07-14 00:00", "2026-08-11 00:00"]),
        ("cron(0 0 1 JAN,FEB,MAR ? *)", ["2027-01-01 00:00", "2027-02-01 00:00"]),
        ("cron(0 0 1 1 ? 2028/2)", ["2028-01-01 00:00", "2030-01-01 00:00"]),
        # At the edges of months: the weekday lies in the month, what a month has not is left out.
        ("cron(0 0 1W * ? *)", ["2026-08-03 00:00", "2026-09-01 00:00", "2026-10-01 00:00"]),
        ("cron(0 0 31W * ? *)", ["2026-07-31 00:00", "2026-08-31 00:00", "2026-10-30 00:00"]),
        ("cron(0 0 LW * ? *)", ["2026-07-31 00:00", "2026-08-31 00:00", "2026-09-30 00:00"]),
        ("cron(0 0 31 * ? *)", ["2026-07-31 00:00", "2026-08-31 00:00", "2026-10-31 00:00"]),
        ("cron(0 0 29 2 ? *)", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("cron(0 0 ? * 1#5 *)", ["2026-08-30 00:00", "2026-11-29 00:00"]),
        (
            "cron(0 0 10,20-21,L * ? *)",
            ["2026-07-10 00:00", "2026-07-20 00:00", "2026-07-21 00:00"],
        ),
        ("cron(0 0 30 2 ? *)", []),
        ("cron(0 0 * * ? 2025)", []),
        ("rate(5 minutes)", ["2026-07-01 00:05", "2026-07-01 00:10"]),
        ("rate(1 hour)", ["2026-07-01 01:00", "2026-07-01 02:00"]),
        ("rate(7 days)", ["2026-07-02 00:00", "2026-07-09 00:00"]),
        ("at(2026-11-20T13:00:00)", ["2026-11-20 13:00"]),
        ("at(2026-06-30T13:00:00)", []),
    ],
)
def test_it_says_what_the_documentation_of_aws_says(text: str, expected: list[str]) -> None:
    assert list(islice(firings(text, "2026-07-01"), max(len(expected), 1))) == expected


def test_what_falls_into_the_gap_of_spring_is_left_out() -> None:
    found = firings("cron(30 2 * * ? *)", "2026-03-07", "America/New_York")
    assert list(islice(found, 2)) == ["2026-03-07 02:30", "2026-03-09 02:30"]


def test_what_falls_into_the_hour_that_comes_twice_fires_once() -> None:
    found = firings("cron(30 1 * * ? *)", "2026-10-31", "America/New_York")
    assert list(islice(found, 3)) == ["2026-10-31 01:30", "2026-11-01 01:30", "2026-11-02 01:30"]


def test_a_time_of_a_zone_is_met_in_that_zone() -> None:
    at = read_expression("at(2026-07-01T09:00:00)", ZoneInfo("Asia/Seoul"))
    assert at.after(NOW) == datetime(2026, 7, 1, tzinfo=UTC)


def test_a_rate_is_counted_from_its_origin() -> None:
    origin = datetime(2026, 7, 1, 0, 7, tzinfo=UTC)
    rate = read_expression("rate(1 hour)", origin=origin)
    assert rate.after(NOW) == origin
    assert rate.after(origin) == origin + timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected cron"),
        ("0 9 * * *", "expected cron"),
        ("cron(0 9 * * ?)", "6 fields"),
        ("cron(0 9 * * * *)", "exactly one of day of month and day of week is ?"),
        ("cron(0 9 ? * ? *)", "exactly one of day of month and day of week is ?"),
        ("cron(60 9 * * ? *)", "'60' is not 0 to 59"),
        ("cron(0 9 32 * ? *)", "'32' is not 1 to 31"),
        ("cron(0 9 ? * 0 *)", "'0' is not 1 to 7 or SUN to SAT"),
        ("cron(0 9 ? * FRI-MON *)", "does not wrap"),
        ("cron(0 9 ? * 3#1,6#3 *)", "with # there is only one day"),
        ("cron(0 9 ? * 3#6 *)", "'6' is not 1 to 5"),
        ("cron(0 9 XW * ? *)", "'XW' is no day"),
        ("cron(*/0 9 * * ? *)", "a step is a number above 0"),
        ("cron(0 9 * * ? 1969)", "'1969' is not 1970 to 2199"),
        ("rate(1 minutes)", "1 minute, or several minutes"),
        ("rate(5 minute)", "1 minute, or several minutes"),
        ("rate(0 minutes)", "a number above 0"),
        ("rate(30 seconds)", "minutes, hours or days"),
        ("at(2026-07-01)", "yyyy-mm-ddThh:mm:ss"),
        ("at(2026-02-30T00:00:00)", "day"),
    ],
)
def test_what_aws_would_refuse_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="is no schedule expression") as raised:
        read_expression(text)
    assert why in str(raised.value)


@settings(max_examples=150)
@given(crontabs, st.sampled_from(ZONES), moments)
def test_it_fires_as_another_reading_of_aws_does(when: crontab, zone: str, first: datetime) -> None:
    timing = Timing(when.in_zone(ZoneInfo(zone)))
    assume(timing.after(NOW) is not None)
    text = firing(timing, NOW).expression
    other, read = AwsCron(text), read_expression(text)
    end = first + timedelta(days=3)
    found, at = [], read.after(first - timedelta(minutes=1))
    while at is not None and at < end:
        found.append(at)
        at = read.after(at)
    assert found == [at for at in minutes_of(first, 3) if other.fires(at)]
