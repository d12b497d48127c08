"""Requests to DynamoDB that travel together mean on every engine what each means alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from caraway.requests.dynamodb import ConditionFailed, GetItem, UpdateItem
from caraway.requests.items import Absent, Always, AtMost, Change, Condition, Equals

if TYPE_CHECKING:
    from caraway.requests.items import Item
    from tests.contract.conftest import Harness

VALUES: tuple[Any, ...] = (
    "",
    "a",
    "Straße ☕",
    0,
    1.5,
    True,
    None,
    {"a", "☕"},
    [1, "a"],
    {"k": 0},
)
NAMES = ("a", "state", "token")
"""One of them is a reserved word."""

values = st.sampled_from(VALUES)
items = st.builds(
    lambda plain, number: {**plain, "n": number},
    st.dictionaries(st.sampled_from(NAMES), values),
    st.sampled_from([0, 2]),
)
equalities = st.builds(Equals, st.sampled_from(NAMES), st.sampled_from(["", "a", 0, 1.5]))
conditions: st.SearchStrategy[Condition] = st.one_of(
    equalities,
    st.builds(lambda one, other: one & other, equalities, equalities),
    st.builds(lambda one: Absent("id") | (AtMost("n", 1) & one), equalities),
    st.just(Absent("id")),
)
changes = st.builds(
    lambda assign, remove: Change(assign, tuple(remove - assign.keys())),
    st.dictionaries(st.sampled_from(NAMES), values, min_size=1),
    st.sets(st.sampled_from(NAMES)),
)
writes = st.lists(
    st.tuples(st.none() | items, conditions, changes, st.booleans(), st.booleans()),
    min_size=2,
    max_size=8,
)

on_an_engine = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # to shrink over a wire takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def outcome(answer: Any) -> Any:
    """Return an answer so that it can be compared."""
    return ("failed", answer.item) if isinstance(answer, ConditionFailed) else answer


def test_writes_together_mean_what_each_means_alone(harness: Harness) -> None:
    table = harness.table()

    @on_an_engine
    @given(writes)
    def agree(planned: list[tuple[Item | None, Condition, Change, bool, bool]]) -> None:
        requests: list[UpdateItem] = []
        answers: list[Any] = []
        left: list[Item | None] = []
        for before, condition, change, is_first, answers_item in planned:
            id = harness.unique_name()
            present = {} if before is None else {**before, "id": id}
            if present:
                harness.put_item(table, present)
            requests.append(UpdateItem(table, id, change, condition, is_first, answers_item))
            if condition.holds(present):
                left.append({"id": id, **change.apply(present)})
                answers.append(left[-1] if answers_item else {})
            else:
                left.append(present or None)
                answers.append(("failed", present))
        assert list(map(outcome, harness.run(harness.aws.perform_all(requests)))) == answers
        reads = harness.run(harness.aws.perform_all([GetItem(table, each.id) for each in requests]))
        assert reads == left

    agree()


@pytest.mark.without("memory", because="a table there is made by its first item")
def test_a_table_that_is_missing_is_each_ones_own_failure(harness: Harness) -> None:
    reads = [GetItem("no-such-table", f"{number}") for number in range(3)]
    answers = harness.run(harness.aws.perform_all(reads))
    assert [type(each).__name__ for each in answers] == ["ResourceMissing"] * 3


def test_many_who_read_one_item_each_have_their_own(harness: Harness) -> None:
    table = harness.table()
    harness.put_item(table, {"id": "a", "n": [1]})
    asked = [GetItem(table, "a"), GetItem(table, "b"), GetItem(table, "a")]
    first, missing, last = harness.run(harness.aws.perform_all(asked))
    assert (first, missing, last) == ({"id": "a", "n": [1]}, None, {"id": "a", "n": [1]})
    assert first is not last


def test_of_many_additions_to_one_item_the_last_sees_all(harness: Harness) -> None:
    table = harness.table()
    add = UpdateItem(table, "node", Change({"ttl": 7}), Always())
    adds = [replace(add, change=Change({"ttl": 7}, add={"members": {name}})) for name in "abcabcd"]
    answers: list[Any] = harness.run(harness.aws.perform_all(adds))
    assert [sorted(each["members"]) for each in answers] == [
        list(seen) for seen in ("a", "ab", "abc", "abc", "abc", "abc", "abcd")
    ]
    assert harness.perform(GetItem(table, "node")) == answers[-1]
    assert answers[-1]["ttl"] == 7
