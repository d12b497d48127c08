"""DynamoDB items and expressions: their wire form, their text, and their meaning.

That the engines agree with the meaning is the contract suite's business.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.requests.dynamodb import BatchGetItem, ConditionFailed, Found, GetItem, UpdateItem
from caraway.requests.items import (
    Absent,
    AtLeast,
    AtMost,
    BeginsWith,
    Change,
    Condition,
    Equals,
    Names,
    OneOf,
    OrElse,
    Present,
    Sum,
    as_read,
    from_attribute,
    from_item,
    to_attribute,
    to_item,
)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.text()
    | st.binary()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sets(st.text(), min_size=1, max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(min_size=1), values, max_size=4))
def test_an_item_comes_back_from_its_wire_form(item: dict[str, Any]) -> None:
    assert from_item(to_item(item)) == item


@given(st.dictionaries(st.text(min_size=1), values | st.tuples(values), max_size=4))
def test_what_an_item_comes_back_as_is_known_without_its_wire_form(item: dict[str, Any]) -> None:
    assert repr(as_read(item)) == repr(from_item(to_item(item)))


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ("x", {"S": "x"}),
        (True, {"BOOL": True}),
        (5, {"N": "5"}),
        (1.5, {"N": "1.5"}),
        (Decimal("0.1"), {"N": "0.1"}),
        (None, {"NULL": True}),
        (b"x", {"B": b"x"}),
        ({"b", "a"}, {"SS": ["a", "b"]}),
        ([1, "x"], {"L": [{"N": "1"}, {"S": "x"}]}),
        ({"a": 1}, {"M": {"a": {"N": "1"}}}),
    ],
)
def test_each_value_has_dynamodbs_type(value: Any, wire: dict[str, Any]) -> None:
    assert to_attribute(value) == wire


def test_a_value_without_a_type_is_refused() -> None:
    with pytest.raises(TypeError, match="no type for object"):
        to_attribute(object())


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("-5", -5), ("1.5", 1.5), ("1E+3", 1000.0)])
def test_numbers_are_whole_where_they_can_be(text: str, value: float) -> None:
    assert from_attribute({"N": text}) == value


# -- conditions ------------------------------------------------------------------------------

A = Equals("a", 1)
B = Equals("b", 2)


@pytest.mark.parametrize(
    ("condition", "holds", "does_not"),
    [
        (Absent("a"), [{}, {"b": 1}], [{"a": None}, {"a": 0}]),
        (A, [{"a": 1}], [{}, {"a": 2}, {"a": None}]),
        (AtMost("a", 5), [{"a": 5}, {"a": -1}, {"a": 4.9}], [{}, {"a": 5.1}]),
        (AtLeast("a", 5), [{"a": 5}, {"a": 5.1}], [{}, {"a": 4.9}, {"a": "6"}, {"a": True}]),
        (Present("a"), [{"a": None}, {"a": 0}], [{}, {"b": 1}]),
        (BeginsWith("a", "x."), [{"a": "x."}, {"a": "x.y"}], [{}, {"a": "y.x."}, {"a": 1}]),
        (OneOf("a", ("x", "y")), [{"a": "x"}], [{}, {"a": "z"}]),
        (A & B, [{"a": 1, "b": 2}], [{"a": 1}, {"b": 2}, {}]),
        (A | B, [{"a": 1}, {"b": 2}], [{}, {"a": 2}]),
        (A | Absent("a") & B, [{"a": 1}, {"b": 2}], [{"a": 3, "b": 2}, {}]),
    ],
)
def test_a_condition_means_what_it_says(
    condition: Condition, holds: list[dict[str, Any]], does_not: list[dict[str, Any]]
) -> None:
    assert all(condition.holds(item) for item in holds)
    assert not any(condition.holds(item) for item in does_not)


def test_a_condition_is_rendered_with_placeholders_for_every_name_and_value() -> None:
    names = Names()
    condition = Absent("id") | (Equals("state", "x") & AtMost("open_at", 5))
    assert condition.render(names) == (
        "(attribute_not_exists(#id) OR (#state = :0 AND #open_at <= :1))"
    )
    assert names.attributes == {"#id": "id", "#state": "state", "#open_at": "open_at"}
    assert names.values == {":0": "x", ":1": 5}


def test_equal_values_share_a_placeholder_and_equal_numbers_of_other_types_do_not() -> None:
    names = Names()
    text = OneOf("a", (1, 1, True, 1.0)).render(names)
    assert text == "#a IN (:0, :0, :1, :2)"


# -- changes ---------------------------------------------------------------------------------


def test_a_change_sees_the_item_as_it_was() -> None:
    change = Change({"a": 5, "b": OrElse("a", 0), "c": Sum(OrElse("a", 0), OrElse("d", 7))})
    assert change.apply({}) == {"a": 5, "b": 0, "c": 7}
    assert change.apply({"a": 1}) == {"a": 5, "b": 1, "c": 8}


def test_a_change_removes_and_leaves_the_item_that_it_was_given() -> None:
    before = {"a": 1, "b": 2}
    assert Change({"c": 3}, ("a", "z")).apply(before) == {"b": 2, "c": 3}
    assert before == {"a": 1, "b": 2}


def test_a_change_is_rendered_as_dynamodb_writes_it() -> None:
    names = Names()
    change = Change({"a": 5, "b": OrElse("a", 0), "c": Sum(OrElse("a", 0), OrElse("d", 7))}, ("e",))
    assert change.render(names) == (
        "SET #a = :0, #b = if_not_exists(#a, :1), "
        "#c = if_not_exists(#a, :1) + if_not_exists(#d, :2) REMOVE #e"
    )
    assert Change({"a": 1}).render(Names()) == "SET #a = :0"


# -- requests --------------------------------------------------------------------------------


def test_an_update_asks_for_the_item_whether_it_succeeds_or_not() -> None:
    params = UpdateItem("t", "i", Change({"a": 1}), Absent("id")).params()
    assert params == {
        "TableName": "t",
        "Key": {"id": {"S": "i"}},
        "UpdateExpression": "SET #a = :0",
        "ConditionExpression": "attribute_not_exists(#id)",
        "ExpressionAttributeNames": {"#a": "a", "#id": "id"},
        "ExpressionAttributeValues": {":0": {"N": "1"}},
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def test_an_item_that_nobody_reads_does_not_travel_unless_the_condition_fails() -> None:
    update = UpdateItem("t", "i", Change({"a": 1}), Absent("id"), answers_item=False)
    params = update.params()
    assert params["ReturnValues"] == "NONE"
    assert params["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
    assert update.answer({}) == {}


def test_a_failed_condition_brings_the_item_as_it_is_or_an_empty_one() -> None:
    update = UpdateItem("t", "i", Change({"a": 1}), Absent("id"))
    code = "ConditionalCheckFailedException"
    for response, item in (({"Item": {"a": {"N": "2"}}}, {"a": 2}), ({}, {})):
        refusal = update.refusal(code, response)
        assert isinstance(refusal, ConditionFailed)
        assert refusal.item == item
    assert update.refusal("Another", {}) is None


def test_a_read_of_many_says_what_was_found_and_what_was_left_out() -> None:
    get = BatchGetItem("t", ("i", "j", "k"), consistent=False)
    keys = [{"id": {"S": id}} for id in get.ids]
    assert get.params() == {"RequestItems": {"t": {"Keys": keys, "ConsistentRead": False}}}
    response = {
        "Responses": {"t": [{"id": {"S": "j"}, "n": {"N": "2"}}]},
        "UnprocessedKeys": {"t": {"Keys": [keys[2]], "ConsistentRead": False}},
    }
    assert get.answer(response) == Found({"j": {"id": "j", "n": 2}}, ("k",))
    assert get.answer({"Responses": {"t": []}, "UnprocessedKeys": {}}) == Found()


def test_an_item_that_does_not_exist_is_none() -> None:
    get = GetItem("t", "i")
    assert get.answer({}) is None
    assert get.answer({"Item": {"id": {"S": "i"}}}) == {"id": "i"}
    assert get.params()["ConsistentRead"] is True
