from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway import Caraway
from caraway.exceptions import ImproperlyConfigured, ParseException
from caraway.schedules import BaseSchedule, clocked, crontab, maybe_schedule, schedule, solar

EVERY = {
    "minute": range(60),
    "hour": range(24),
    "day_of_week": range(7),
    "day_of_month": range(1, 32),
    "month_of_year": range(1, 13),
}


@pytest.mark.parametrize(
    ("field", "spec", "meant"),
    [
        ("minute", "*", range(60)),
        ("minute", "*/15", [0, 15, 30, 45]),
        ("minute", 5, [5]),
        ("minute", "5", [5]),
        ("minute", "1,13,30-45,50-59/2", [1, 13, *range(30, 46), 50, 52, 54, 56, 58]),
        ("minute", " 1, 2 ", [1, 2]),
        ("minute", "*/7", range(0, 60, 7)),
        ("minute", "*/70", [0]),
        ("minute", {0, 30}, [0, 30]),
        ("minute", range(0, 60, 20), [0, 20, 40]),
        ("hour", "0,8-17/2", [0, 8, 10, 12, 14, 16]),
        ("hour", "22-4", [22, 23, 0, 1, 2, 3, 4]),
        ("hour", "22-4/3", [22, 1, 4]),
        ("hour", "7-7", [7]),
        ("day_of_week", "mon-fri", [1, 2, 3, 4, 5]),
        ("day_of_week", "fri-mon", [5, 6, 0, 1]),
        ("day_of_week", "sunday,TUES", [0, 2]),
        ("day_of_week", "*/2", [0, 2, 4, 6]),
        ("day_of_week", "sat", [6]),
        ("day_of_month", "*/10", [1, 11, 21, 31]),
        ("day_of_month", "1-7,15-21", [*range(1, 8), *range(15, 22)]),
        ("day_of_month", "2-30/2", range(2, 31, 2)),
        ("day_of_month", "30-2", [30, 31, 1, 2]),
        ("month_of_year", "*/3", [1, 4, 7, 10]),
        ("month_of_year", "2-12/2", [2, 4, 6, 8, 10, 12]),
        ("month_of_year", "nov-feb", [11, 12, 1, 2]),
        ("month_of_year", "june", [6]),
    ],
)
def test_a_field_means_what_it_means_in_celery(field: str, spec: Any, meant: Any) -> None:
    made = crontab(**{field: spec})
    assert getattr(made, field) == frozenset(meant)


def test_every_field_is_every_one_by_default() -> None:
    for field, numbers in EVERY.items():
        assert getattr(crontab(), field) == frozenset(numbers)


def test_the_parameters_are_in_celerys_order() -> None:
    assert crontab(1, 2, 3, 4, 5) == crontab(
        minute=1, hour=2, day_of_week=3, day_of_month=4, month_of_year=5
    )


@pytest.mark.parametrize(
    ("field", "spec", "problem"),
    [
        ("minute", "", "empty part"),
        ("minute", "1,", "empty part"),
        ("minute", "60", "60 is outside; expected numbers of 0-59"),
        ("minute", 60, "60 is outside"),
        ("minute", -1, "-1 is outside"),
        ("minute", "-1", "'-1' cannot be read"),
        ("minute", "*/0", "'0' is no step"),
        ("minute", "*/", "'' is no step"),
        ("minute", "0-30/x", "'x' is no step"),
        ("minute", "5/10", "a step needs a range, as in '5-59/10'"),
        ("minute", "mon", "'mon' is no number;"),
        ("minute", "1-5x", "'5x' is no number"),
        ("minute", [], "it is empty"),
        ("minute", ["1"], "'1' is no number"),
        ("minute", None, "not NoneType"),
        ("minute", 1.5, "not float"),
        ("hour", 24, "24 is outside; expected numbers of 0-23"),
        ("hour", "20-24", "24 is outside"),
        ("day_of_week", 7, "7 is outside; expected numbers of 0-6 or sun-sat"),
        ("day_of_week", "caturday", "'caturday' is no number or name"),
        ("day_of_week", "mo", "'mo' is no number or name"),
        ("day_of_month", 0, "0 is outside; expected numbers of 1-31"),
        ("month_of_year", "13", "13 is outside; expected numbers of 1-12 or jan-dec"),
    ],
)
def test_a_field_that_cannot_be_read_is_named_with_what_it_may_hold(
    field: str, spec: Any, problem: str
) -> None:
    with pytest.raises(ParseException) as raised:
        crontab(**{field: spec})
    assert str(raised.value).startswith(f"crontab({field}={spec!r}): ")
    assert problem in str(raised.value)
    assert isinstance(raised.value, ValueError)


specs = st.sampled_from(sorted(EVERY)).flatmap(
    lambda field: st.tuples(
        st.just(field), st.sets(st.sampled_from(list(EVERY[field])), min_size=1)
    )
)


@given(specs)
def test_numbers_mean_the_same_as_a_collection_and_as_text(spec: tuple[str, set[int]]) -> None:
    field, numbers = spec
    fields: dict[str, Any] = {field: numbers}
    listed = crontab(**fields)
    fields = {field: ",".join(map(str, numbers))}
    text = crontab(**fields)
    assert listed == text
    assert hash(listed) == hash(text)
    assert getattr(listed, field) == numbers


@given(st.sampled_from(sorted(EVERY)), st.integers(0, 59), st.integers(0, 59), st.integers(1, 70))
def test_a_range_goes_up_from_its_first_number_and_wraps_at_the_end(
    field: str, first: int, last: int, step: int
) -> None:
    numbers = list(EVERY[field])
    first, last = numbers[first % len(numbers)], numbers[last % len(numbers)]
    walked = [first]
    while walked[-1] != last:
        walked.append(numbers[(numbers.index(walked[-1]) + 1) % len(numbers)])
    fields: dict[str, Any] = {field: f"{first}-{last}/{step}"}
    made = crontab(**fields)
    assert getattr(made, field) == set(walked[::step])


def test_crontabs_that_mean_the_same_are_equal() -> None:
    assert crontab(minute="*/30") == crontab(minute=[0, 30]) == crontab(minute="0,30")
    assert crontab(minute=0) != crontab(minute=1)
    assert crontab(day_of_week="mon") != crontab(day_of_month=1)
    assert crontab() != "* * * * *"
    assert len({crontab(hour="0-23"), crontab()}) == 1


def test_a_crontab_shows_its_fields_as_they_were_written() -> None:
    shown = repr(crontab("*/15", "8-17", "mon-fri", month_of_year=[3, 1]))
    assert shown == "<crontab: */15 8-17 * 1,3 mon-fri (m/h/dM/MY/d)>"


def test_a_generator_is_read_once() -> None:
    made = crontab(minute=(minute for minute in (1, 2)))
    assert made.minute == {1, 2}
    assert repr(made) == "<crontab: 1,2 * * * * (m/h/dM/MY/d)>"


def test_a_line_of_a_unix_crontab_can_be_read() -> None:
    assert crontab.from_string("*/5 8-17 1 jan *") == crontab("*/5", "8-17", "*", 1, 1)
    with pytest.raises(ParseException, match="has 3 fields; expected five"):
        crontab.from_string("* * *")


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (crontab(), "* * * * *"),
        (crontab("*/15", "8-17", "mon-fri"), "*/15 8-17 * * 1-5"),
        (crontab("0,30", "22-4", "sun", "1-7", "jan-dec/3"), "0,30 0-4,22,23 1-7 */3 0"),
        (crontab("5-59/10", "8-18/2", day_of_month="*/10"), "5-55/10 8-18/2 */10 * *"),
    ],
)
def test_a_crontab_is_a_short_line_of_numbers(made: crontab, text: str) -> None:
    assert made.to_string() == text
    assert crontab.from_string(text) == made


@given(specs, st.integers(1, 40), st.integers(0, 40))
def test_the_line_of_a_crontab_means_the_same(
    spec: tuple[str, set[int]], step: int, first: int
) -> None:
    field, numbers = spec
    stepped = list(EVERY[field])[first % len(EVERY[field]) :: step]
    for each in (numbers, stepped):
        fields: dict[str, Any] = {field: each}
        made = crontab(**fields)
        assert crontab.from_string(made.to_string()) == made


@pytest.mark.parametrize(
    "made",
    [
        crontab("*/5", day_of_week="mon", tz="Asia/Seoul"),
        schedule(90),
        clocked(datetime(2026, 1, 1)),
        solar("sunset", 1, 2),
    ],
)
def test_schedules_can_be_pickled(made: BaseSchedule) -> None:
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    assert repr(again) == repr(made)


def test_an_interval_is_a_timedelta_or_seconds() -> None:
    assert schedule(300).run_every == timedelta(minutes=5)
    assert schedule(timedelta(minutes=5)) == schedule(300.0)
    assert schedule(300).seconds == 300.0
    assert schedule(300) != schedule(301)


def test_a_schedule_equals_its_interval_as_in_celery() -> None:
    assert schedule(60) == timedelta(minutes=1)
    assert hash(schedule(60)) == hash(timedelta(minutes=1))
    assert schedule(60) != 60
    assert schedule(60) != crontab()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.5, "<freq: 0.50 second>"),
        (1, "<freq: 1.00 second>"),
        (30, "<freq: 30.00 seconds>"),
        (60, "<freq: 1.00 minute>"),
        (90, "<freq: 1.50 minutes>"),
        (7_200, "<freq: 2.00 hours>"),
        (86_400, "<freq: 1.00 day>"),
    ],
)
def test_an_interval_is_shown_in_the_largest_unit_that_it_fills(seconds: float, shown: str) -> None:
    assert repr(schedule(seconds)) == shown


@pytest.mark.parametrize("bad", [0, -1, timedelta(0), float("inf"), float("nan"), 1e300])
def test_an_interval_is_above_zero_and_finite(bad: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="above 0 and finite"):
        schedule(bad)


@pytest.mark.parametrize("bad", ["60", None, True])
def test_an_interval_of_another_kind_is_refused(bad: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="expected a timedelta or a number of seconds"):
        schedule(bad)


def test_an_entry_may_give_seconds_a_timedelta_or_a_schedule() -> None:
    every = crontab(minute=0)
    assert maybe_schedule(every) is every
    assert maybe_schedule(60) == maybe_schedule(timedelta(minutes=1)) == schedule(60)
    for bad in ("* * * * *", None, True):
        with pytest.raises(ImproperlyConfigured, match="is no schedule: expected crontab"):
            maybe_schedule(bad)


# -- asked by hand -------------------------------------------------------------------------------

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)


def at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


@pytest.mark.parametrize(
    ("made", "last_run", "state"),
    [
        # An interval: from the last run.
        (schedule(60, nowfun=at(NOON)), NOON - timedelta(seconds=60), (True, 60.0)),
        (schedule(60, nowfun=at(NOON)), NOON - timedelta(seconds=90), (True, 60.0)),
        (schedule(60, nowfun=at(NOON)), NOON - timedelta(seconds=45), (False, 15.0)),
        # At round times.
        (schedule(3_600, True, at(NOON)), NOON - timedelta(minutes=5), (True, 3_600.0)),
        (schedule(3_600, True, at(NOON)), NOON, (False, 3_600.0)),
        (crontab(0, nowfun=at(NOON)), NOON - timedelta(minutes=5), (True, 3_600.0)),
        (crontab(0, nowfun=at(NOON)), NOON, (False, 3_600.0)),
        (crontab(30, 14, nowfun=at(NOON), tz="Europe/Berlin"), NOON, (False, 1_800.0)),
        # Once.
        (clocked(NOON, at(NOON)), NOON - timedelta(days=1), (True, None)),
        (clocked(NOON, at(NOON)), NOON, (False, None)),
        (crontab(0, 0, "*", 31, 2, at(NOON)), NOON, (False, None)),
    ],
)
def test_a_schedule_says_whether_it_is_due_and_when_it_will_be(
    made: BaseSchedule, last_run: datetime, state: tuple[bool, float | None]
) -> None:
    assert made.is_due(last_run) == state
    assert made.is_due(last_run.astimezone(ZoneInfo("Asia/Tokyo"))) == state
    assert made.is_due(last_run.replace(tzinfo=None)) == state, "without a zone it is in UTC"


def test_what_remains_is_counted_from_now() -> None:
    hourly = crontab(0, nowfun=at(NOON + timedelta(minutes=10)))
    assert hourly.remaining_estimate(NOON) == timedelta(minutes=50)
    assert hourly.remaining_estimate(NOON - timedelta(hours=2)) == -timedelta(minutes=70)
    assert clocked(NOON).remaining_estimate(NOON) == timedelta.max


def test_without_a_nowfun_the_clock_is_this_machines() -> None:
    before = datetime.now(timezone.utc)
    assert before <= crontab().now() <= datetime.now(timezone.utc)
    assert crontab().is_due(before - timedelta(minutes=2)).is_due


def test_a_crontab_is_in_its_own_zone_or_the_apps_or_utc() -> None:
    app = Caraway("zoned", set_as_current=False)
    app.conf.timezone = "Asia/Seoul"
    assert str(crontab(app=app).tz) == "Asia/Seoul"
    assert str(crontab(app=app, tz="Europe/Berlin").tz) == "Europe/Berlin"
    assert crontab().tz is timezone.utc
    assert crontab(tz="Asia/Seoul") != crontab()
    with pytest.raises(ImproperlyConfigured, match="did you mean 'Europe/Berlin'"):
        crontab(tz="Europe/Belrin")


def test_an_interval_beyond_the_calendar_never_comes() -> None:
    assert schedule(timedelta(days=4_000_000)).after(NOON) is None


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (lambda: solar("sunste", 0, 0), "no event 'sunste', did you mean 'sunset'"),
        (lambda: solar("sunset", 91, 0), "lat=91: expected degrees from -90 to 90"),
        (lambda: solar("sunset", 0, -181), "lon=-181: expected degrees from -180 to 180"),
        (
            lambda: clocked("tomorrow"),  # type: ignore[arg-type]
            "clocked('tomorrow'): expected a datetime",
        ),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(made: Callable[[], Any], problem: str) -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        made()
    assert problem in str(raised.value)


def test_a_solar_schedule_without_ephem_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ephem", None)
    with pytest.raises(ImproperlyConfigured, match=r"pip install 'caraway\[solar\]'"):
        solar("sunset", 10.5, 20.5).after(NOON)


def test_the_sun_is_where_the_almanac_says() -> None:
    # London's midsummer day lasts from 4:43 to 21:21, an hour ahead of UTC.
    midsummer = datetime(2026, 6, 21, tzinfo=timezone.utc)
    rises = solar("sunrise", 51.48, 0.0).after(midsummer)
    sets = solar("sunset", 51.48, 0.0).after(midsummer)
    assert rises is not None
    assert sets is not None
    assert abs(rises - midsummer.replace(hour=3, minute=43)) < timedelta(minutes=2)
    assert abs(sets - midsummer.replace(hour=20, minute=21)) < timedelta(minutes=2)


def test_a_place_may_have_no_such_event_until_months_later() -> None:
    tromso = solar("sunset", 69.65, 18.96)
    coming = tromso.after(datetime(2026, 6, 1, tzinfo=timezone.utc))
    assert coming is not None
    assert coming.month == 7
    assert solar("sunset", 90, 0).after(NOON, NOON + timedelta(days=30)) is None


def test_equal_schedules_are_one_key() -> None:
    same = [solar("sunset", 1, 2), solar("sunset", 1, 2), clocked(NOON), clocked(NOON)]
    assert len(set(same)) == 2
    assert solar("sunset", 1, 2) != solar("sunrise", 1, 2) != clocked(NOON) != crontab()
    assert repr(same[0]) == "<solar: sunset at latitude 1, longitude: 2>"
    assert repr(same[2]) == "<clocked: 2026-06-01 12:00:00+00:00>"


def test_importing_schedules_imports_nothing_heavy() -> None:
    heavy = "{'boto3', 'botocore', 'pydantic', 'asyncio', 'zoneinfo'}"
    code = f"import sys, caraway.schedules; print(*{heavy} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == ""
