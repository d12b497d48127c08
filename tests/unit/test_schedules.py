from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.exceptions import ImproperlyConfigured, ParseException
from caraway.schedules import crontab, maybe_schedule, schedule

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
    listed = crontab(**{field: numbers})
    text = crontab(**{field: ",".join(map(str, numbers))})
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
    made = crontab(**{field: f"{first}-{last}/{step}"})
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


@pytest.mark.parametrize("made", [crontab("*/5", day_of_week="mon"), schedule(90)])
def test_schedules_can_be_pickled(made: schedule | crontab) -> None:
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


def test_importing_schedules_imports_nothing_heavy() -> None:
    heavy = "{'boto3', 'botocore', 'pydantic', 'asyncio', 'zoneinfo'}"
    code = f"import sys, caraway.schedules; print(*{heavy} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == ""
