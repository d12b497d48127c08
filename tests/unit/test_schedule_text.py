"""Schedules as a person types them: what is read, what is refused, and back to the same text."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.exceptions import ImproperlyConfigured, ParseException
from caraway.schedules import BaseSchedule, clocked, crontab, schedule, solar
from caraway.schedules.written import from_text, to_text

UTC = timezone.utc


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("*/15 8-18 * * mon-fri", crontab("*/15", "8-18", "mon-fri", tz=UTC)),
        ("  0 0 1 jan *  ", crontab(0, 0, "*", 1, 1, tz=UTC)),
        ("every 90s", schedule(90)),
        ("every 10m", schedule(600)),
        ("Every 1h30m", schedule(5_400)),
        ("every 2 d", schedule(timedelta(days=2))),
        ("at 2026-12-24T18:00", clocked(datetime(2026, 12, 24, 18, tzinfo=UTC))),
        ("at 2026-12-24 18:00:05", clocked(datetime(2026, 12, 24, 18, 0, 5, tzinfo=UTC))),
        ("at 2026-12-24T18:00z", clocked(datetime(2026, 12, 24, 18, tzinfo=UTC))),
        ("at 2026-12-24T18:00+01:00", clocked(datetime(2026, 12, 24, 17, tzinfo=UTC))),
        ("solar sunset 48.86 -2.35", solar("sunset", 48.86, -2.35)),
    ],
)
def test_a_text_is_read_as_a_schedule(text: str, when: BaseSchedule) -> None:
    assert from_text(text) == when


def test_crontabs_and_times_are_in_the_zone_that_is_named() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert from_text("0 9 * * *", "Europe/Berlin") == crontab(0, 9, tz=berlin)
    assert from_text("at 2026-07-01T09:00", berlin) == clocked(datetime(2026, 7, 1, 7, tzinfo=UTC))
    assert from_text("at 2026-07-01T09:00Z", berlin) == clocked(datetime(2026, 7, 1, 9))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "schedule '': expected the five fields of a crontab such as"),
        ("* * * *", "expected the five fields"),
        ("@daily", "'every 10m'"),
        ("10m", "'every 10m'"),
        ("every", "'' is no interval, such as 90s, 10m or 1h30m"),
        ("every 10", "'10' is no interval"),
        ("every 0s", "'0s' is no interval"),
        ("every -5m", "'-5m' is no interval"),
        ("every 5 fortnights", "'5 fortnights' is no interval"),
        ("every 10s5m", "'10s5m' is no interval"),
        ("every 99999999999999d", "an interval is above 0 and finite"),
        ("at noon", "'noon' is no time, such as 2026-12-24T18:00"),
        ("at 2026-02-31T00:00", "is no time"),
        ("solar", "expected an event, a latitude and a longitude"),
        ("solar sunset Paris", "expected an event, a latitude and a longitude"),
        ("solar sunsed 1 2", "no event 'sunsed', did you mean 'sunset'?"),
        ("solar sunset 91 2", "expected degrees from -90 to 90"),
    ],
)
def test_what_is_no_schedule_is_refused_with_what_is_expected(text: str, problem: str) -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        from_text(text)
    assert problem in str(raised.value)
    assert repr(text) in str(raised.value)


def test_a_field_of_a_crontab_is_named_and_so_is_a_zone() -> None:
    with pytest.raises(ParseException, match="hour='25'"):
        from_text("0 25 * * *")
    with pytest.raises(ImproperlyConfigured, match="did you mean 'Europe/Berlin'"):
        from_text("0 0 * * *", "Europe/Berln")


@given(
    st.one_of(
        st.integers(1, 10**7).map(schedule),
        st.datetimes(datetime(2000, 1, 1)).map(clocked),
        st.builds(
            lambda minute, hour, weekday: crontab(minute, hour, weekday, tz=UTC),
            st.sets(st.integers(0, 59), min_size=1),
            st.sets(st.integers(0, 23), min_size=1),
            st.sets(st.integers(0, 6), min_size=1),
        ),
        st.builds(solar, st.just("sunset"), st.floats(-90, 90), st.floats(-180, 180)),
    )
)
def test_the_text_of_a_schedule_is_read_as_the_same(when: BaseSchedule) -> None:
    assert from_text(to_text(when)) == when


def test_texts_are_short() -> None:
    assert to_text(schedule(93_784)) == "every 1d2h3m4s"
    assert to_text(schedule(600)) == "every 10m"
    assert to_text(schedule(0.5)) == "every 0.5s"
    assert to_text(clocked(datetime(2026, 12, 24, 18))) == "at 2026-12-24T18:00:00Z"


def test_a_schedule_of_somebodys_own_is_shown_by_its_repr() -> None:
    class Tides(BaseSchedule):
        def __repr__(self) -> str:
            return "<tides>"

    assert to_text(Tides()) == "<tides>"
