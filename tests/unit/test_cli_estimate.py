"""``caraway estimate`` and the page about scaling: what they say, and that they agree."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from caraway.cli import main
from caraway.cli.estimate import _OPTIONS
from caraway.planning.estimate import estimate
from caraway.planning.page import markdown
from caraway.planning.report import dollars, duration, number
from caraway.planning.workload import Workload

if TYPE_CHECKING:
    from click.testing import Result

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
INFINITE = float("inf")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["estimate", *arguments], prog_name="caraway")


def test_the_page_is_what_the_command_writes() -> None:
    assert PAGE.read_text() == markdown(), "run: make docs"


def test_every_field_of_a_load_is_an_option() -> None:
    assert set(_OPTIONS) == {each.name for each in fields(Workload)}


def test_it_shows_bill_needs_and_limits() -> None:
    shown = run("--tasks-per-day", "1e9", "--mean-ms", "200", "--payload-kb", "2").output
    at = estimate(Workload(1e9, payload_kb=2))
    assert "1,000,000,000 tasks a day, 11,574 a second" in shown
    for each in at.values():
        assert dollars(each.dollars) in shown
        assert all(limit.remedy in shown for limit in each.limits if limit.is_near)
    assert "never" in shown
    assert "without the free tier" in shown


def test_a_load_that_meets_no_limit_says_so() -> None:
    assert "No limit is near." in run("--tasks-per-day", "1e5").output


def test_json_has_it_all() -> None:
    shown: dict[str, Any] = json.loads(run("--tasks-per-day", "1e9", "--spot", "--json").output)
    at = estimate(Workload(1e9, spot=True))
    assert shown["workload"]["cpu_ms"] == 40
    assert shown["ecs"]["dollars"] == pytest.approx(at["ecs"].dollars)
    assert shown["lambda"]["counts"]["requests"] == pytest.approx(at["lambda"].counts.requests)
    assert shown["lambda"]["burst"]["drained_s"] is None
    assert [each["what"] for each in shown["ecs"]["limits"]] == [
        each.what for each in at["ecs"].limits
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing option '--tasks-per-day'"),
        (("--tasks-per-day", "many"), "is not a valid float"),
        (("--tasks-per-day", "nan"), "tasks_per_day = nan: expected 1 to"),
        (("--tasks-per-day", "1e6", "--batch-size", "0"), "batch_size = 0: expected 1 to 10"),
        (("--tasks-per-day", "1e6", "--cpu-ms", "300"), "computes for 0 to 200"),
        (("--tasks-per-day", "1e6", "--network", "carrier-pigeon"), "is not one of"),
    ],
)
def test_nonsense_ends_with_two_and_a_sentence(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_it_needs_neither_an_app_nor_an_sdk() -> None:
    program = (
        "import sys, caraway.cli.estimate\n"
        "print([name for name in ('boto3', 'caraway.app', 'asyncio') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (172_800, "2 d")],
)
def test_a_duration_has_the_unit_that_suits_it(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_numbers_have_three_figures_or_all_of_them() -> None:
    assert [number(value) for value in (0.31, 12, 12.345, 123.4, 1e9, INFINITE)] == [
        *("0.31", "12", "12.3", "123", "1,000,000,000", "without end"),
    ]
    assert [dollars(amount) for amount in (None, 0.1, 99.999, 100, 12_345.6)] == [
        *("", "0.10", "100.00", "100", "12,346"),
    ]
