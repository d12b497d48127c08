"""What a task gets of a Lambda function's time."""

from __future__ import annotations

import pytest

from caraway.workers.function_time import LAST_S, Share


def test_a_task_gets_what_is_left_but_for_the_time_to_record_its_end() -> None:
    assert Share.of(60, 50, None) == Share(50 - LAST_S, True, True)
    assert Share.of(60, LAST_S - 1, None).hard_s == 0


@pytest.mark.parametrize(("own_s", "is_the_functions"), [(5, False), (58, True), (100, True)])
def test_its_own_limit_counts_where_it_comes_first(own_s: float, is_the_functions: bool) -> None:
    share = Share.of(60, 60, own_s)
    assert share.hard_s == min(own_s, 60 - LAST_S)
    assert share.is_the_functions is is_the_functions


@pytest.mark.parametrize(
    ("budget_s", "left_s", "is_a_chance"),
    [(60, 48, True), (60, 47, False), (900, 899, True), (9, 8, True), (9, 7.9, False)],
)
def test_most_of_the_functions_time_is_a_chance(
    budget_s: float, left_s: float, is_a_chance: bool
) -> None:
    assert Share.of(budget_s, left_s, None).is_a_chance is is_a_chance
