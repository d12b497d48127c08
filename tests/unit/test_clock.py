"""The clock believes the machine unless AWS's response dates contradict it."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.aws.clock import CHECK_EVERY_S, TICK_S, Clock

NOON = 1_767_268_800.0


class Wall:
    """A machine's clock, to be moved by hand."""

    def __init__(self, time: float = NOON) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time


def dated(time: float) -> dict[str, Any]:
    """Return a response of that time, in whole seconds as HTTP has them."""
    return {
        "ResponseMetadata": {"HTTPHeaders": {"date": formatdate(math.floor(time), usegmt=True)}}
    }


def test_without_a_response_the_machine_is_believed() -> None:
    assert Clock(Wall()).now() == datetime.fromtimestamp(NOON, timezone.utc)


@pytest.mark.parametrize("behind_s", [0.0, 0.3, 0.999])
def test_a_clock_that_a_date_does_not_contradict_is_left_alone(behind_s: float) -> None:
    wall = Wall()
    clock = Clock(wall)
    clock.learn(dated(NOON + behind_s), asked=NOON)
    assert clock.now().timestamp() == NOON


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_is_hours_off_is_shifted(hours: int) -> None:
    wall = Wall()
    clock = Clock(wall)
    clock.learn(dated(NOON + hours * 3600), asked=NOON)
    assert clock.now().timestamp() == pytest.approx(NOON + hours * 3600, abs=1)


@given(
    skew_s=st.floats(-1e6, 1e6),
    there_s=st.floats(0, 30),
    back_s=st.floats(0, 30),
    fraction=st.floats(0, 0.999),
)
def test_it_is_right_to_a_second_and_the_time_that_the_response_travelled(
    skew_s: float, there_s: float, back_s: float, fraction: float
) -> None:
    asked, dated_at = NOON + fraction, NOON + fraction + there_s
    answered = dated_at + back_s
    wall = Wall(answered - skew_s)
    clock = Clock(wall)
    clock.learn(dated(dated_at), asked=asked - skew_s)
    error_s = clock.now().timestamp() - answered
    assert abs(error_s) <= 1 + there_s + back_s + 1e-3
    believed = -(there_s + back_s) <= skew_s <= 0
    assert not believed or abs(error_s) <= abs(skew_s) + 1e-3


def test_dates_are_looked_at_now_and_then_only() -> None:
    wall = Wall()
    clock = Clock(wall)
    clock.learn(dated(NOON), asked=NOON)
    clock.learn(dated(NOON + 3600), asked=NOON)
    assert clock.now().timestamp() == NOON
    wall.time += CHECK_EVERY_S
    clock.learn(dated(NOON + 3600), asked=wall.time)
    assert clock.now().timestamp() == pytest.approx(NOON + 3600, abs=1)


def test_a_clock_that_was_set_back_is_looked_at_at_once() -> None:
    wall = Wall()
    clock = Clock(wall)
    clock.learn(dated(NOON), asked=NOON)
    wall.time -= 3600
    clock.learn(dated(NOON + 1), asked=wall.time)
    assert clock.now().timestamp() == pytest.approx(NOON + 1, abs=1)


def test_a_clock_that_was_mended_is_believed_again() -> None:
    wall = Wall(NOON - 3600)
    clock = Clock(wall)
    clock.learn(dated(NOON), asked=wall.time)
    wall.time = NOON + CHECK_EVERY_S
    clock.learn(dated(wall.time), asked=wall.time)
    assert clock.now().timestamp() == wall.time


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"ResponseMetadata": {}},
        {"ResponseMetadata": {"HTTPHeaders": {}}},
        {"ResponseMetadata": {"HTTPHeaders": {"date": "yesterday"}}},
        {"ResponseMetadata": {"HTTPHeaders": {"date": ""}}},
    ],
)
def test_a_response_without_a_date_teaches_nothing(response: dict[str, Any]) -> None:
    clock = Clock(Wall())
    clock.learn(response, asked=NOON)
    assert clock.now().timestamp() == NOON


@given(st.text() | st.from_regex(r"Wed, \d+ Oct \d+ \d+:\d+:\d+ [+-]?\w*", fullmatch=True))
def test_no_date_is_too_strange_to_be_passed_by(date: str) -> None:
    clock = Clock(Wall())
    clock.learn({"ResponseMetadata": {"HTTPHeaders": {"date": date}}}, asked=NOON)
    assert clock.now().tzinfo is timezone.utc


def test_what_is_asked_within_a_millisecond_is_told_one_time() -> None:
    wall = Wall()
    clock = Clock(wall)
    first = clock.now()
    wall.time = NOON + TICK_S / 2
    assert clock.now() is first
    wall.time = NOON + 2 * TICK_S
    assert clock.now().timestamp() == pytest.approx(wall.time)
    clock.learn(dated(NOON + 60), asked=wall.time)
    assert clock.now().timestamp() == pytest.approx(NOON + 60)
    wall.time = NOON - 60
    assert clock.now() < first


def test_now_is_in_utc() -> None:
    assert Clock().now().tzinfo is timezone.utc
