"""The envelope: what is written can be read, and what cannot be read is refused with a reason."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.core.envelope import DEPTH_LIMIT, parse_envelope
from caraway.core.fields import COUNT_LIMIT, NAME_LIMIT, read_time, signature_fault
from caraway.core.message import Message, digest_of, read_message
from caraway.exceptions import InvalidMessage

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
ENVELOPE: dict[str, Any] = {"caraway": 1, "id": "i", "task": "t"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
times = st.datetimes(timezones=st.just(timezone.utc))
signatures = st.fixed_dictionaries(
    {"task": names, "args": st.lists(json_values, max_size=2), "options": st.just({})}
)
messages = st.builds(
    Message,
    id=names,
    task=names,
    args=st.lists(json_values, max_size=3).map(tuple),
    kwargs=st.dictionaries(st.text(), json_values, max_size=3),
    attempt=st.integers(0, 9),
    retries=st.integers(0, 9),
    root_id=st.none() | names,
    parent_id=st.none() | names,
    sent_at=st.none() | times,
    eta=st.none() | times,
    expires=st.none() | times,
    headers=st.dictionaries(st.text(), json_values, max_size=2),
    stamps=st.dictionaries(st.text(), json_values, max_size=2),
    link=st.lists(signatures, max_size=2).map(tuple),
    link_error=st.lists(signatures, max_size=2).map(tuple),
    ignore_result=st.none() | st.booleans(),
    soft_time_limit=st.none() | st.floats(0.1, 900),
    time_limit=st.none() | st.integers(1, 900),
    group_id=st.none() | names,
    schedule=st.none() | names,
    scheduled_time=st.none() | times,
)


def read(body: str) -> Message:
    return read_message(parse_envelope(body))


@given(messages)
def test_what_is_written_is_read_again(message: Message) -> None:
    assert read(message.to_body()) == message


def test_the_arguments_are_written_also_where_there_are_none() -> None:
    message = Message("i", "shop.send")
    for each in (message, message.next_attempt(), read(message.next_attempt().to_body())):
        assert each.to_json()["args"] == []


@given(messages)
def test_what_is_written_again_has_the_same_text(message: Message) -> None:
    assert read(message.to_body()).to_body() == message.to_body()


def test_a_plain_message_is_short_and_readable() -> None:
    message = Message("i", "shop.send", ("서울",))
    assert json.loads(message.to_body()) == {
        "caraway": 1,
        "id": "i",
        "task": "shop.send",
        "args": ["서울"],
        "digest": message.digest,
    }
    assert "서울" in message.to_body()


def test_text_that_sqs_refuses_is_escaped() -> None:
    body = Message("i", "t", ("\ud800",)).to_body()
    assert body.isascii()
    assert read(body).args == ("\ud800",)


def test_a_message_of_another_language_needs_a_version_an_id_and_a_task() -> None:
    message = read('{"caraway":1,"id":"i","task":"t"}')
    assert (message.args, message.kwargs, message.attempt) == ((), {}, 0)
    assert message.digest == digest_of("t", [], {})


def test_null_is_no_value() -> None:
    assert read('{"caraway":1,"id":"i","task":"t","eta":null,"args":null}').args == ()


def test_fields_of_a_newer_producer_are_passed_over() -> None:
    assert read('{"caraway":1,"id":"i","task":"t","later":1}').id == "i"


# -- the digest ------------------------------------------------------------------------------


def test_equal_calls_have_one_digest_and_others_have_others() -> None:
    digests = {
        digest_of("t", [1], {"a": 1, "b": 2}),
        digest_of("t", (1,), {"b": 2, "a": 1}),
        digest_of("t", [2], {"a": 1, "b": 2}),
        digest_of("u", [1], {"a": 1, "b": 2}),
        digest_of("t", [1], {}),
    }
    assert len(digests) == 4


def test_a_digest_is_of_the_first_arguments_and_stays() -> None:
    first = Message("i", "t", (1,))
    later = first.next_attempt().changed({"args": [2]})
    assert (later.args, later.digest) == ((2,), first.digest)
    assert read(later.to_body()).digest == first.digest


# -- what a retry changes --------------------------------------------------------------------


def test_a_retry_changes_fields_from_json() -> None:
    changed = Message("i", "t").changed({"eta": NOW.isoformat(), "args": [1], "retries": 2})
    assert (changed.eta, changed.args, changed.retries) == (NOW, (1,), 2)


def test_none_takes_a_field_back_to_its_default() -> None:
    message = Message("i", "t", (1,), headers={"a": 1}, eta=NOW)
    changed = message.changed({"eta": None, "headers": None, "args": None})
    assert (changed.eta, changed.headers, changed.args) == (None, {}, ())


@pytest.mark.parametrize("name", ["id", "task", "attempt", "digest", "sent_at", "queue"])
def test_a_retry_cannot_change_what_makes_the_task(name: str) -> None:
    with pytest.raises(InvalidMessage, match=f"cannot change {name}"):
        Message("i", "t").changed({name: "x"})


def test_a_retry_cannot_give_a_field_a_value_of_another_type() -> None:
    with pytest.raises(InvalidMessage, match="args"):
        Message("i", "t").changed({"args": "abc"})


# -- times -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["2026-01-01T12:00:00Z", "2026-01-01T12:00:00", "2026-01-01T14:00:00+02:00"],
)
def test_times_are_read_as_utc(text: str) -> None:
    time = read_time(text, "eta")
    assert (time, time.tzinfo) == (NOW, timezone.utc)


@pytest.mark.parametrize("text", ["", "soon", "0001-01-01T00:00:00+14:00", "2026-13-01"])
def test_what_is_no_time_is_refused_by_its_fields_name(text: str) -> None:
    with pytest.raises(InvalidMessage, match="eta"):
        read_time(text, "eta")


def test_a_message_is_asked_for_when_it_was_sent_or_is_due() -> None:
    later = NOW + timedelta(days=1)
    assert Message("i", "t").asked_for_s is None
    assert Message("i", "t", sent_at=NOW).asked_for_s == NOW.timestamp()
    assert Message("i", "t", sent_at=NOW, eta=later).asked_for_s == later.timestamp()
    assert Message("i", "t", scheduled_time=NOW).asked_for_s == NOW.timestamp()


# -- occurrences of a schedule ---------------------------------------------------------------


def occurrence(time: str) -> Message:
    return read_message({"caraway": 1, "task": "t", "schedule": "nightly", "scheduled_time": time})


def test_an_occurrence_that_is_fired_twice_is_one_task() -> None:
    ids = {
        occurrence("2026-01-01T00:00:00Z").id,
        occurrence("2026-01-01T00:00:31Z").id,
        occurrence("2026-01-01T09:00:00+09:00").id,
    }
    assert len(ids) == 1


def test_two_occurrences_are_two_tasks() -> None:
    assert occurrence("2026-01-01T00:00:00Z").id != occurrence("2026-01-01T00:01:00Z").id


def test_a_message_without_an_id_must_be_an_occurrence() -> None:
    with pytest.raises(InvalidMessage, match="neither an id nor a schedule"):
        read('{"caraway":1,"task":"t","schedule":"s"}')


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not JSON"),
        ("null", "not a task message"),
        ("{}", "no 'caraway' version"),
        ('{"caraway":"1"}', "version '1' is not known"),
        ('{"caraway":true}', "version True is not known"),
        ('{"caraway":1.0}', "version 1.0 is not known"),
        ('{"caraway":1,"args":[NaN]}', "not JSON"),
        ('{"caraway":1,"args":[1e999]}', "no JSON number"),
        ('{"caraway":1,"args":[' + "9" * 5_000 + "]}", "not JSON"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_body_that_is_no_envelope_is_refused_with_the_reason(body: str, reason: str) -> None:
    with pytest.raises(InvalidMessage, match=reason):
        parse_envelope(body)


def test_a_body_that_could_not_be_written_again_is_refused() -> None:
    deep = "[" * (DEPTH_LIMIT + 1) + "]" * (DEPTH_LIMIT + 1)
    with pytest.raises(InvalidMessage, match="nested deeper"):
        parse_envelope(f'{{"caraway":1,"args":{deep}}}')


def test_many_brackets_side_by_side_are_not_deep() -> None:
    wide = ",".join(["[]"] * (DEPTH_LIMIT + 1))
    assert len(parse_envelope(f'{{"caraway":1,"args":[{wide}]}}')["args"]) == DEPTH_LIMIT + 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 5),
        ("id", ""),
        ("id", "x" * (NAME_LIMIT + 1)),
        ("id", "a\nb"),
        ("id", "\ud800"),
        ("task", ["t"]),
        ("args", {}),
        ("args", "abc"),
        ("kwargs", []),
        ("attempt", -1),
        ("attempt", True),
        ("attempt", 1.0),
        ("attempt", COUNT_LIMIT),
        ("retries", -1),
        ("headers", []),
        ("ignore_result", 1),
        ("time_limit", 0),
        ("time_limit", True),
        ("soft_time_limit", -1),
        ("eta", 5),
        ("eta", "soon"),
        ("link", {}),
        ("link", ["t"]),
        ("link", [{"args": []}]),
        ("link_error", [{"task": "t", "args": "ab"}]),
        ("link_error", [{"task": "t", "options": [1]}]),
        ("link_error", [{"task": ""}]),
    ],
)
def test_a_field_of_another_type_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidMessage, match=f"^{field}: "):
        read_message({**ENVELOPE, field: value})


def test_arguments_without_a_digest_are_refused() -> None:
    with pytest.raises(InvalidMessage, match="no digest"):
        read_message({**ENVELOPE, "args": [float("nan")]})


def test_a_signature_may_leave_out_what_it_does_not_need() -> None:
    assert signature_fault({"task": "t"}) is None
    assert signature_fault({"task": "t", "args": None, "kwargs": None, "options": None}) is None
