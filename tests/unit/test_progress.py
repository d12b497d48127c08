"""How far a task is: read from its meta, and shown while it is waited for."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from io import StringIO
from typing import TYPE_CHECKING, Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from caraway import states
from caraway.aws.memory import MemoryAws
from caraway.cli import following
from caraway.cli.errors import INTERRUPTED, Failure
from caraway.cli.outcome import task_goes_on
from caraway.cli.progress import Progress, progress_of, state_text
from caraway.core.codec import encode
from caraway.core.port import run_now
from caraway.core.record import DONE, RUNNING, Record
from caraway.core.results import Seen
from caraway.core.waiting import wait
from tests.support import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.requests.base import Request


def shows(meta: Any, state: str = states.PROGRESS) -> Seen:
    """Return what is seen of a running task that shows a meta."""
    wire = encode(meta)
    return Seen(state, wire, Record("i", RUNNING, state=state, meta=json.dumps(wire)))


ENDED = Seen(states.SUCCESS, 5, Record("i", DONE, state=states.SUCCESS, result="5"))


# -- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ({"current": 3, "total": 10}, "3/10 (30%)"),
        ({"current": 0, "total": 10}, "0/10 (0%)"),
        ({"done": 1, "total": 3}, "1/3 (33%)"),
        ({"done": 1, "of": 2}, "1/2 (50%)"),
        ({"current": Decimal("1.5"), "total": 3}, "1.5/3 (50%)"),
        ({"current": 12, "total": 10}, "12/10 (100%)"),
        ({"percent": 42.4}, "42%"),
        ({"stage": "calculating", "percentage": 10}, "10% calculating"),
        ({"progress": 50, "message": "half"}, "50% half"),
        ({"current": 3, "total": 10, "percent": 30.0, "description": "rows"}, "3/10 (30%) rows"),
        ({"current": 0, "total": 0, "percent": 0}, "0%"),
    ],
)
def test_a_meta_that_counts_is_progress(meta: Any, told: str) -> None:
    assert str(progress_of(meta)) == told
    assert state_text(shows(meta)) == f"PROGRESS {told}"


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        (None, "null"),
        (0, "0"),
        (False, "false"),
        ("", ""),
        ([], "[]"),
        ({}, "{}"),
        ("sorting", "sorting"),
        ({"current": 3}, '{"current": 3}'),
        ({"current": 3, "total": 0}, '{"current": 3, "total": 0}'),
        ({"current": True, "total": 1}, '{"current": true, "total": 1}'),
        ({"current": "3", "total": "10"}, '{"current": "3", "total": "10"}'),
    ],
)
def test_any_other_meta_is_shown_as_it_is(meta: Any, told: str) -> None:
    assert progress_of(meta) is None
    assert state_text(shows(meta, "MINE")) == f"MINE {told}"


def test_what_a_task_says_is_one_short_line_that_moves_no_cursor() -> None:
    said = "one\ntwo\x1b[2J" + "x" * 1_000
    for meta in (said, {"percent": 5, "message": said}):
        shown = state_text(shows(meta))
        assert shown.isprintable()
        assert "one two" in shown
        assert len(shown) < 230
        assert shown.endswith("...")


def test_a_state_without_a_meta_is_shown_alone() -> None:
    assert state_text(Seen(states.PENDING)) == "PENDING"
    assert state_text(Seen(states.STARTED, None, Record("i", RUNNING))) == "STARTED"
    assert state_text(ENDED) == "SUCCESS"


@given(st.dictionaries(st.sampled_from(["current", "done", "total", "percent"]), st.floats()))
def test_no_number_makes_a_bar_longer_than_itself(meta: dict[str, float]) -> None:
    progress = progress_of(meta)
    assert progress is None or 0 <= progress.fraction <= 1


# -- waiting ----------------------------------------------------------------------------------


def test_who_waits_is_told_each_change_once_and_the_ending_last() -> None:
    records = [
        None,
        None,
        {"phase": RUNNING, "state": states.STARTED},
        {"phase": RUNNING, "state": states.PROGRESS, "meta": '{"current":0,"total":2}'},
        {"phase": RUNNING, "state": states.PROGRESS, "meta": '{"current":0,"total":2}', "ttl": 7},
        {"phase": RUNNING, "state": states.PROGRESS, "meta": "null"},
        {"phase": RUNNING, "state": states.PROGRESS, "meta": "0"},
        {"phase": DONE, "state": states.SUCCESS, "result": "null"},
    ]

    class Looked(MemoryAws):
        """An account whose record is another one at each look."""

        async def perform(self, request: Request[Any]) -> Any:
            return records.pop(0)

    told: list[tuple[str, Any]] = []

    def observe(seen: Seen) -> None:
        told.append((seen.state, seen.result))

    run_now(wait(Looked(), World().site, "i", None, None, observe))
    assert told == [
        (states.PENDING, None),
        (states.STARTED, None),
        (states.PROGRESS, {"current": 0, "total": 2}),
        (states.PROGRESS, None),
        (states.PROGRESS, 0),
        (states.SUCCESS, None),
    ]


def test_an_interrupted_wait_says_that_the_task_goes_on() -> None:
    with pytest.raises(Failure) as failed, task_goes_on("one"):
        raise KeyboardInterrupt
    assert failed.value.exit_code == INTERRUPTED
    assert failed.value.message == ("interrupted: the task goes on (caraway result one --follow)")


# -- showing ----------------------------------------------------------------------------------

STEPS: Sequence[Seen] = (
    Seen(states.PENDING),
    shows({"current": 1, "total": 4, "description": "[rows]"}),
    shows("sorting [x]"),
    shows({"current": 4, "total": 4}),
    ENDED,
)


class Terminal(StringIO):
    """A stream at which a person looks."""

    def isatty(self) -> bool:
        return True


def show_steps() -> None:
    with click.Context(click.Command("x")), following._display("i", as_lines_of_json=False) as show:
        for seen in STEPS:
            show(seen)


def test_without_rich_a_person_sees_a_bar_of_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    show_steps()
    lines = terminal.getvalue().split("\r\x1b[K")
    assert lines == [
        "",
        "PENDING",
        f"PROGRESS [{'#' * 8}{'.' * 22}] 1/4 (25%) [rows]",
        "PROGRESS sorting [x]",
        f"PROGRESS [{'#' * 30}] 4/4 (100%)",
        "SUCCESS",
        "",
    ]


def test_with_rich_a_person_sees_a_bar_or_a_spinner() -> None:
    terminal = Terminal()
    console = Console(file=terminal, force_terminal=True, width=80)
    drawn = []
    with following._rich_bar(console) as show:
        for seen in STEPS:
            before = len(terminal.getvalue())
            show(seen)
            drawn.append(terminal.getvalue()[before:])
    assert "PENDING" in drawn[0]
    assert "1/4 (25%) [rows]" in drawn[1]
    assert "sorting [x]" in drawn[2]
    assert ["\N{BOX DRAWINGS HEAVY HORIZONTAL}" in each for each in drawn] == [
        *(False, True, False, True, False)
    ]
    assert "4/4 (100%)" in drawn[3]
    assert "SUCCESS" in drawn[4]


def test_where_no_person_looks_each_change_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_steps()
    assert capsys.readouterr().err.splitlines() == [
        "PENDING",
        "PROGRESS 1/4 (25%) [rows]",
        "PROGRESS sorting [x]",
        "PROGRESS 4/4 (100%)",
        "SUCCESS",
    ]


def test_a_fraction_is_never_outside_of_a_bar() -> None:
    assert (Progress(-1, 2).fraction, Progress(5, 2).fraction) == (0.0, 1.0)
