"""The one log of ``caraway dev``: whose line it is, when, and how bad."""

from __future__ import annotations

import re

import pytest

from caraway.local.console import Console
from caraway.local.logs import Record, records_of

TRACEBACK = [
    "[2026-11-24 11:44:08,038: ERROR/MainThread] Task x[1] failed: ValueError",
    "Traceback (most recent call last):",
    "ValueError: no stock",
    "[2026-11-24 11:44:09,000: INFO/pool-1] Task y[2] received",
]


def test_a_traceback_belongs_to_the_line_that_it_explains() -> None:
    assert records_of(TRACEBACK) == [
        Record(
            "Task x[1] failed: ValueError\n"
            "Traceback (most recent call last):\nValueError: no stock",
            "ERROR",
            "11:44:08",
        ),
        Record("Task y[2] received", "INFO", "11:44:09"),
    ]


def test_lines_of_a_format_of_the_users_own_stay_as_they_are() -> None:
    assert records_of(["{'level': 'info'}", "more"]) == [Record("{'level': 'info'}\nmore")]


def test_each_line_begins_with_its_door_and_a_record_with_time_and_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console(color=False)
    console.show("worker", records_of(TRACEBACK[:3]))
    console.show("lambda", [Record("printed", clock="11:44:10")])
    console.show("worker", [Record("\n.> banner\n\n")])
    assert capsys.readouterr().out.splitlines() == [
        "worker | 11:44:08 ERROR   Task x[1] failed: ValueError",
        "worker |          Traceback (most recent call last):",
        "worker |          ValueError: no stock",
        "lambda | 11:44:10 printed",
        "worker | .> banner",
    ]


def test_doors_and_bad_levels_have_colours_where_colours_are_wanted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console(color=True)
    console.show("worker", [Record("a", "ERROR"), Record("b", "WARNING")])
    console.show("lambda", [Record("c", "INFO")])
    colors = [re.findall(r"\x1b\[(3\d)m", line) for line in capsys.readouterr().out.splitlines()]
    (worker, red), (same, yellow), (function,) = colors
    assert worker == same != function
    assert (red, yellow) == ("31", "33")


@pytest.mark.parametrize(("terminal", "no_color"), [(False, ""), (True, "1")])
def test_no_colours_reach_a_file_or_a_person_who_wants_none(
    terminal: bool,
    no_color: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    monkeypatch.setenv("NO_COLOR", no_color)
    Console().tell("changed", "ERROR")
    assert "\x1b" not in capsys.readouterr().out


def test_how_long_the_start_took_is_told_with_its_parts() -> None:
    console = Console(color=False)
    with console.phase("engine"):
        pass
    with console.phase("stack"):
        pass
    assert re.fullmatch(r"\d+\.\d s \(engine 0\.\d, stack 0\.\d\)", console.phases())
