"""What commands print for people: aligned text, durations, counts."""

from __future__ import annotations

import pytest

from caraway.cli.output import aligned, count, duration, steps_of


def test_columns_are_aligned_and_lines_end_where_their_text_ends() -> None:
    rows = [["NAME", "DEPTH", "NOTE"], ["a", "10", ""], ["longer", "7", "x"]]
    assert aligned(rows, [False, True, False]) == (
        "NAME    DEPTH  NOTE\na          10\nlonger      7  x"
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3_600, "1 h"),
        (7_500, "2 h 5 min"),
        (86_399.9, "1 d"),
        (349_200, "4 d 1 h"),
    ],
)
def test_a_duration_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_one_is_singular() -> None:
    assert (count(1, "queue"), count(0, "queue"), count(2, "queue")) == (
        "1 queue",
        "0 queues",
        "2 queues",
    )


def test_many_steps_are_told_by_tenths_where_nobody_looks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with steps_of(2_000, "schedules", least=100) as step:
        for _ in range(1_999):
            step()
    told = capsys.readouterr().err.splitlines()
    assert (len(told), told[0], told[-1]) == (
        9,
        "200 of 2,000 schedules",
        "1,800 of 2,000 schedules",
    )


def test_few_steps_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    with steps_of(99, "schedules", least=100) as step:
        for _ in range(99):
            step()
    assert capsys.readouterr().err == ""
