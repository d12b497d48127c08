"""Conditional writes mean on every engine what :mod:`caraway.requests.items` says they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caraway.core.reading import get_items
from caraway.requests.dynamodb import (
    READ_LIMIT,
    BatchGetItem,
    ConditionFailed,
    DescribeTable,
    Found,
    GetItem,
    Scan,
    UpdateItem,
)
from caraway.requests.items import (
    Absent,
    Always,
    AtLeast,
    AtMost,
    BeginsWith,
    Change,
    Condition,
    Equals,
    OneOf,
    OrElse,
    Present,
    Sum,
)

if TYPE_CHECKING:
    from caraway.requests.items import Item
    from tests.contract.conftest import Harness

VALUES: tuple[Any, ...] = (
    *("", "a", "1", "Straße ☕ 种子 \N{SEEDLING}", "\x00\x1f\x7f"),
    *(0, 1, -1, 12345678901234567890, 0.0, 1.0, 1.5, -0.25, 1e-7, 1e22),
    *(1_735_689_600.123456, 0.1 + 0.2, True, False, None),
    *(b"", b"\x00\xff", {"a"}, {"a", "", "☕"}),
    *([], [1, "a", None, [True]], {}, {"k": 0, "nested": {"list": [1.5, {}]}}),
)
NUMBERS = (-1, 0, 1, 1.5, 2)
ANY = ("a", "b")
NUMERIC = ("m", "n")
"""Attributes that hold numbers or nothing, so that they can be added."""

values = st.sampled_from(VALUES)
comparable = st.sampled_from([value for value in VALUES if not isinstance(value, bool | None)])
"""What every engine compares alike; the others have a test of their own."""
numbers = st.sampled_from(NUMBERS)
items = st.builds(
    lambda plain, numeric: {**plain, **numeric},
    st.dictionaries(st.sampled_from(ANY), values),
    st.dictionaries(st.sampled_from(NUMERIC), numbers),
)
names = st.sampled_from((*ANY, *NUMERIC, "id"))
conditions: st.SearchStrategy[Condition] = st.recursive(
    st.one_of(
        st.builds(Absent, names),
        st.builds(Present, names),
        st.builds(BeginsWith, st.sampled_from(ANY), st.sampled_from(("a", "1", "Str"))),
        st.just(Always()),
        st.builds(Equals, names, comparable),
        st.builds(AtMost, st.sampled_from(NUMERIC), numbers),
        st.builds(AtLeast, st.sampled_from(NUMERIC), numbers),
        st.builds(OneOf, names, st.lists(comparable, min_size=1, max_size=3).map(tuple)),
    ),
    lambda inner: st.one_of(
        st.builds(lambda left, right: left & right, inner, inner),
        st.builds(lambda left, right: left | right, inner, inner),
    ),
    max_leaves=5,
)
sums = st.builds(
    Sum,
    st.builds(OrElse, st.sampled_from(NUMERIC), numbers),
    st.builds(OrElse, st.sampled_from(NUMERIC), numbers),
)
changes = st.builds(
    lambda plain, numeric, remove: Change(
        assign := {**plain, **numeric}, tuple(name for name in remove if name not in assign)
    ),
    st.dictionaries(st.sampled_from(ANY), values | st.builds(OrElse, st.sampled_from(ANY), values)),
    st.dictionaries(st.sampled_from(NUMERIC), numbers | sums),
    st.sets(st.sampled_from((*ANY, *NUMERIC))),
).filter(lambda change: bool(change.assign or change.remove))

on_an_engine = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def test_conditions_and_changes_mean_what_they_say(harness: Harness) -> None:
    table = harness.table()

    @on_an_engine
    @given(st.none() | items, conditions, changes)
    def agree(before: Item | None, condition: Condition, change: Change) -> None:
        harness.check_write(table, before, condition, change)

    agree()


@pytest.mark.without("moto", because="it compares values and not their types: True is 1 there")
@pytest.mark.parametrize(
    ("before", "condition"),
    [
        ({"a": True}, Equals("a", 1)),
        ({"a": 1}, Equals("a", True)),
        ({}, Equals("a", None)),
        ({"a": 0}, OneOf("a", (False, None, ""))),
        ({"a": "0"}, AtMost("a", 5)),
        ({"a": True}, AtMost("a", 5)),
    ],
    ids=repr,
)
def test_values_of_two_types_are_never_equal(
    harness: Harness, before: Item, condition: Condition
) -> None:
    assert not condition.holds(before)
    harness.check_write(harness.table(), before, condition, Change({"b": "written"}))


@pytest.mark.parametrize(
    ("before", "condition"),
    [
        ({"a": 1}, Equals("a", 1.0)),
        ({"a": "1"}, Equals("a", 1)),
        ({"a": None}, Equals("a", None)),
        pytest.param({"a": {"x", "y"}}, Equals("a", {"y", "x"}), id="sets"),
        ({"a": ""}, OneOf("a", (False, None, ""))),
        ({"a": None}, AtMost("a", 5)),
        ({}, AtMost("a", 5)),
        ({"a": 1_735_689_600.5}, AtMost("a", 1_735_689_600.25)),
        ({"a": 1_735_689_600.25}, AtMost("a", 1_735_689_600.25)),
        ({"a": None}, Absent("a")),
        (None, Absent("id")),
        ({}, Absent("id")),
        (None, Absent("id") | Equals("a", 1)),
        (None, Absent("id") & Equals("a", 1)),
    ],
    ids=repr,
)
def test_conditions_where_absence_or_the_last_digit_decides(
    harness: Harness, before: Item | None, condition: Condition
) -> None:
    harness.check_write(harness.table(), before, condition, Change({"b": "written"}))


def test_the_right_side_sees_the_item_before_the_write(harness: Harness) -> None:
    table = harness.table()
    change = Change(
        {"m": 10, "n": Sum(OrElse("m", 0), OrElse("n", 5)), "a": OrElse("a", "new")}, ("b",)
    )
    harness.check_write(table, {"m": 1, "b": "gone"}, Absent("a"), change)
    harness.check_write(table, None, Absent("id"), change)


def test_a_removal_alone_is_a_change(harness: Harness) -> None:
    harness.check_write(harness.table(), {"a": 1, "b": 2}, Absent("m"), Change({}, ("a", "n")))


def test_values_come_back_as_they_were_written(harness: Harness) -> None:
    table = harness.table()
    written = {f"v{place}": value for place, value in enumerate(VALUES)}
    harness.perform(UpdateItem(table, "i", Change(written), Absent("id")))
    read = harness.perform(GetItem(table, "i"))
    assert read == {"id": "i", **written}
    # True is 1 in Python: where equality does not tell, the type does.
    told_apart = (bool, str, bytes, set, type(None))
    assert {n: type(v) for n, v in written.items() if isinstance(v, told_apart)} == {
        n: type(v) for n, v in read.items() if isinstance(v, told_apart) and n != "id"
    }


def test_reserved_words_are_names_like_others(harness: Harness) -> None:
    table = harness.table()
    words = Change(
        {"state": 1, "result": 2, "ttl": 3, "token": 4, "queue": 5, "meta": 6}, ("lost",)
    )
    condition = Absent("state") & Absent("size")
    harness.check_write(table, None, condition, words)


def test_an_item_that_is_not_there_reads_as_none(harness: Harness) -> None:
    assert harness.perform(GetItem(harness.table(), "nobody")) is None


@pytest.mark.parametrize("consistent", [True, False])
def test_many_items_are_read_at_once_and_those_that_are_not_there_are_left_out(
    harness: Harness, consistent: bool
) -> None:
    table = harness.table()
    present: list[Item] = [
        {"id": "a\tb", "n": 1.5, "s": {"x", "y"}},
        {"id": "i", "nothing": None},
    ]
    for item in present:
        harness.put_item(table, item)
    read = harness.perform(BatchGetItem(table, ("a\tb", "nobody", "i"), consistent))
    assert read == Found({item["id"]: item for item in present})
    assert harness.perform(BatchGetItem(table, ("nobody",), consistent)) == Found()


def test_more_items_than_one_request_can_read_are_read_all_the_same(harness: Harness) -> None:
    table = harness.table()
    ids = [f"item {number}" for number in range(READ_LIMIT + 1)]
    for id in ids:
        harness.put_item(table, {"id": id})
    read = harness.run(get_items(harness.aws, table, [*ids, "nobody", ids[0]]))
    assert read == {id: {"id": id} for id in ids}


def test_writes_of_many_answer_each_for_itself(harness: Harness) -> None:
    table = harness.table()
    harness.put_item(table, {"id": "taken", "by": "other"})
    writes = [
        UpdateItem(table, id, Change({"by": "me"}), Absent("id")) for id in ("a", "taken", "b")
    ]
    first, refused, last = harness.run(harness.aws.perform_all(writes))
    assert first == {"id": "a", "by": "me"}
    assert last == {"id": "b", "by": "me"}
    assert isinstance(refused, ConditionFailed)
    assert refused.item == {"id": "taken", "by": "other"}


@pytest.mark.parametrize("page", [1, 3, None])
def test_a_table_is_read_page_by_page_and_answers_what_is_asked_for(
    harness: Harness, page: int | None
) -> None:
    table = harness.table()
    for number in range(7):
        done = {"done": 40 + number} if number % 2 else {}
        harness.put_item(table, {"id": f"i{number}", "name": "shop.add", "n": number, **done})
    harness.put_item(table, {"id": "workers\t", "sessions": {"a"}})
    late = AtLeast("done", 43) | (Absent("done") & AtLeast("n", 2))
    condition = Present("name") & BeginsWith("name", "shop.") & late
    read, found, after = 0, dict[str, Any](), None
    while True:
        answer = harness.perform(Scan(table, condition, ("id", "n", "state"), after, page))
        read += answer.read
        found.update({item["id"]: item for item in answer.items})
        assert answer.read <= (page or 8)
        if (after := answer.last) is None:
            break
    assert read == 8
    assert found == {f"i{number}": {"id": f"i{number}", "n": number} for number in range(2, 7)}


@pytest.mark.without("memory", because="its tables have no settings")
def test_a_table_describes_itself(harness: Harness) -> None:
    name = harness.table()
    described = harness.perform(DescribeTable(name))
    assert described["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert described["TableStatus"] == "ACTIVE"


SETS = [None, {"a"}, {"a", "b", "☕"}]


@pytest.mark.parametrize("before", SETS, ids=["none", "one", "three"])
@pytest.mark.parametrize("elements", [{"a"}, {"b", "c"}, {"a", "b", "☕"}], ids=len)
def test_elements_are_added_to_sets_and_taken_from_them_however_often(
    harness: Harness, before: set[str] | None, elements: set[str]
) -> None:
    table = harness.table()
    item: Item = {"n": 1} if before is None else {"n": 1, "s": before}
    added, taken = Change({"m": 2}, add={"s": elements}), Change(discard={"s": elements})
    harness.check_write(table, item, Always(), added)
    harness.check_write(table, {**item, "s": (before or set()) | elements}, Always(), added)
    harness.check_write(table, item, Always(), taken)
    harness.check_write(table, None, Always(), Change(add={"s": elements}))
