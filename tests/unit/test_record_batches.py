"""Writes and reads of records that travel together end as if each had travelled alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from caraway.aws.asyncio_aws import AsyncioAws
from caraway.aws.blocking_aws import BlockingAws
from caraway.aws.coalesce import WRITES
from caraway.aws.lanes import lane_of
from caraway.aws.memory import MemoryAws
from caraway.aws.travel import DOUBTED_S, PAUSES_S, REFUSED_S
from caraway.core.port import run_now
from caraway.exceptions import EndpointUnreachable, RequestFailed, ResourceMissing, Throttled
from caraway.requests import partiql
from caraway.requests.dynamodb import READ_LIMIT, ConditionFailed, GetItem, UpdateItem
from caraway.requests.items import (
    Absent,
    Always,
    AtMost,
    Change,
    Condition,
    Equals,
    OrElse,
    to_item,
)
from tests.unit.test_coalesce import run, turns

TABLE = "tasks"
MINE = Equals("token", "mine") & Equals("phase", "running")
FREE = Absent("id") | AtMost("open_at", 5)
TRIES = 1 + len(PAUSES_S)


def claim(id: str, *, is_first: bool = True) -> UpdateItem:
    taken = {"token": "mine", "phase": "running", "open_at": 9, "lost": OrElse("lost", 0)}
    return UpdateItem(TABLE, id, Change(taken, ("result",)), FREE, is_first)


def finish(id: str) -> UpdateItem:
    return UpdateItem(TABLE, id, Change({"phase": "done", "result": "1"}, ("open_at",)), MINE)


def add(id: str, *elements: str, ttl: int = 7) -> UpdateItem:
    return UpdateItem(TABLE, id, Change({"ttl": ttl}, add={"members": set(elements)}), Always())


def refusal(code: str, operation: str = "batch_execute_statement", **more: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "no"}, **more}
    return ClientError(response, operation)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=sorted)


@dataclass
class DynamoDB:
    """A wire to a table in memory, which knows the requests that will be put to it.

    Attributes
    ----------
    lags
        How many turns of the loop each request takes, over and over.
    troubles
        Error codes that an item's entries in batches meet, one after the other; ``Silent`` writes
        and does not say what.
    refuses
        What a whole batch meets instead of an answer.
    down
        Numbers of the requests, from 0, that nobody answers.
    """

    requests: Sequence[Any] = ()
    lags: tuple[int, ...] = (0,)
    troubles: dict[str, list[str]] = field(default_factory=dict)
    refuses: dict[str, Exception] = field(default_factory=dict)
    down: frozenset[int] = frozenset()
    memory: MemoryAws = field(default_factory=MemoryAws)
    operations: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._known = {_key(each.params()): each for each in self.requests}
        for each in self.requests:
            if isinstance(each, UpdateItem) and partiql.can_be_said(each):
                self._known[_key(partiql.statement(each))] = each

    async def send(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        assert service == "dynamodb"
        number = len(self.operations)
        self.operations.append(operation)
        await turns(self.lags[number % len(self.lags)])
        if number in self.down:
            raise EndpointConnectionError(endpoint_url="http://dynamodb")
        if operation in self.refuses:
            raise self.refuses[operation]
        if operation == "batch_execute_statement":
            return {"Responses": self._statements(params["Statements"])}
        if operation == "batch_get_item":
            return self._read(params["RequestItems"][TABLE])
        request = self._known[_key(params)]
        try:
            item = run_now(self.memory.perform(request))
        except ConditionFailed as failed:
            code = "ConditionalCheckFailedException"
            raise refusal(code, operation, Item=to_item(failed.item)) from failed
        return {"Attributes" if operation == "update_item" else "Item": to_item(item)}

    async def renew(self) -> None:
        """Have no credentials."""

    async def close(self) -> None:
        pass

    def _statements(self, statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
        asked = [self._known[_key(each)] for each in statements]
        self.sizes.append(len(asked))
        assert 2 <= len(asked) <= partiql.STATEMENT_LIMIT or self.troubles
        assert len({each.id for each in asked}) == len(asked), "one key twice in a batch"
        return [self._entry(each) for each in asked]

    def _entry(self, request: UpdateItem) -> dict[str, Any]:
        troubles = self.troubles.get(request.id)
        code = troubles.pop(0) if troubles else ""
        if code not in {"", "Silent"}:
            return {"Error": {"Code": code, "Message": "as told"}}
        present = self.memory.item(TABLE, request.id)
        if request.is_first and present is not None:
            return {"Error": {"Code": "DuplicateItem", "Message": "it is there"}}
        try:
            item = run_now(self.memory.perform(request))
        except ConditionFailed as failed:
            error = {"Code": "ConditionalCheckFailed", "Message": "no"}
            return {"Error": {**error, "Item": to_item(failed.item)} if failed.item else error}
        if request.is_first or code == "Silent":
            return {"TableName": TABLE}
        return {"TableName": TABLE, "Item": to_item(item)}

    def _read(self, asked: dict[str, Any]) -> dict[str, Any]:
        ids = [key["id"]["S"] for key in asked["Keys"]]
        self.sizes.append(len(ids))
        assert len(set(ids)) == len(ids) <= READ_LIMIT
        left = [id for id in ids if self.troubles.get(id) and self.troubles[id].pop(0)]
        found = [self.memory.item(TABLE, id) for id in ids if id not in left]
        keys = [to_item({"id": id}) for id in left]
        return {
            "Responses": {TABLE: [to_item(item) for item in found if item is not None]},
            "UnprocessedKeys": {TABLE: {"Keys": keys}} if left else {},
        }


def all_of(wire: DynamoDB, aws: AsyncioAws | None = None) -> list[Any]:
    """Perform everything at once."""

    async def main() -> list[Any]:
        return await (aws or AsyncioAws(wire)).perform_all(list(wire.requests))

    return run(main())


def told(outcome: Any) -> Any:
    """Return an outcome so that it can be compared."""
    return ("failed", outcome.item) if isinstance(outcome, ConditionFailed) else outcome


# -- any interleaving -----------------------------------------------------------------------------

ITEMS: tuple[Any, ...] = (
    None,
    {"token": "mine", "phase": "running", "open_at": 9, "lost": 1},
    {"token": "mine", "phase": "done", "result": "1"},
    {"token": "other", "phase": "running", "open_at": 3},
)
TROUBLES = ("ThrottlingError", "TransactionConflict", "InternalServerError", "ValidationError")


@dataclass(frozen=True)
class Plan:
    """One write, the turn in which it is made, the item before it, and what its entry meets."""

    request: UpdateItem
    turn: int
    before: Any
    troubles: tuple[str, ...]

    def expected(self) -> Any:
        """Return what it comes to alone, but for what AWS has no room for three times."""
        if len([each for each in self.troubles[:TRIES] if each != "ValidationError"]) == TRIES:
            return "no room"
        present = {} if self.before is None else {"id": self.request.id, **self.before}
        if not self.request.condition.holds(present):
            return "failed", present
        return {"id": self.request.id, **self.request.change.apply(present)}


@st.composite
def plans(draw: st.DrawFn) -> list[Plan]:
    made = []
    for number in range(draw(st.integers(1, 60))):
        make = draw(st.sampled_from([claim, claim, finish, lambda id: claim(id, is_first=False)]))
        troubles = draw(st.sampled_from([(), (), ()]) | st.lists(st.sampled_from(TROUBLES)))
        before = draw(st.sampled_from(ITEMS))
        made.append(Plan(make(f"{number}"), draw(st.integers(0, 5)), before, tuple(troubles)))
    return made


@given(plans(), st.lists(st.integers(0, 4), min_size=1, max_size=5).map(tuple), st.booleans())
def test_any_interleaving_and_any_partial_failure_ends_as_if_each_had_travelled_alone(
    planned: list[Plan], lags: tuple[int, ...], is_refused: bool
) -> None:
    wire = DynamoDB([plan.request for plan in planned], lags)
    if is_refused:
        wire.refuses["batch_execute_statement"] = refusal("UnknownOperationException")
    for plan in planned:
        wire.troubles[plan.request.id] = list(plan.troubles)
        if plan.before is not None:
            wire.memory.items[TABLE, plan.request.id] = {"id": plan.request.id, **plan.before}

    async def caller(aws: AsyncioAws, plan: Plan) -> Any:
        await turns(plan.turn)
        return await aws.perform(plan.request)

    async def all_together() -> list[Any]:
        aws = AsyncioAws(wire)
        callers = (caller(aws, plan) for plan in planned)
        return await asyncio.gather(*callers, return_exceptions=True)

    for plan, outcome in zip(planned, run(all_together()), strict=True):
        if isinstance(outcome, Throttled | EndpointUnreachable):
            assert plan.expected() == "no room"
        elif plan.expected() == "no room":  # it travelled alone, where there is room
            assert not isinstance(outcome, Exception) or isinstance(outcome, ConditionFailed)
        else:
            assert told(outcome) == plan.expected()


# -- writes ---------------------------------------------------------------------------------------


def test_a_hundred_claims_and_a_hundred_endings_are_eight_requests() -> None:
    wire = DynamoDB([claim(f"{n}") for n in range(100)] + [finish(f"{n}") for n in range(100)])

    async def main() -> None:
        aws = AsyncioAws(wire)
        await aws.perform_all(list(wire.requests[:100]))
        await aws.perform_all(list(wire.requests[100:]))

    run(main())
    assert wire.operations == ["batch_execute_statement"] * 8
    assert all(item["phase"] == "done" for item in wire.memory.items.values())


def test_a_lone_write_is_put_as_it_is() -> None:
    wire = DynamoDB([claim("1")])
    assert all_of(wire)[0]["token"] == "mine"
    assert wire.operations == ["update_item"]


def test_a_duplicate_falls_to_its_whole_condition_and_brings_the_old_item_back() -> None:
    wire = DynamoDB([claim("done"), claim("open"), claim("new")])
    wire.memory.items[TABLE, "done"] = done = {"id": "done", "phase": "done", "result": "1"}
    wire.memory.items[TABLE, "open"] = {"id": "open", "open_at": 5, "lost": 2}
    refused, taken, new = all_of(wire)
    assert told(refused) == ("failed", done)
    assert (taken["lost"], new["lost"]) == (2, 0)
    assert wire.operations == ["batch_execute_statement", "update_item", "update_item"]


def test_a_failed_update_brings_the_old_item_back_in_the_same_request() -> None:
    wire = DynamoDB([finish("1"), finish("2")])
    wire.memory.items[TABLE, "1"] = other = {"id": "1", "token": "other", "phase": "running"}
    wire.memory.items[TABLE, "2"] = {"id": "2", "token": "mine", "phase": "running"}
    refused, done = all_of(wire)
    assert told(refused) == ("failed", other)
    assert done["phase"] == "done"
    assert wire.operations == ["batch_execute_statement"]


def test_an_item_that_nobody_reads_is_answered_with_a_failure_only() -> None:
    mine, others = (replace(finish(id), answers_item=False) for id in "12")
    wire = DynamoDB([mine, others])
    wire.memory.items[TABLE, "1"] = {"id": "1", "token": "mine", "phase": "running"}
    wire.memory.items[TABLE, "2"] = other = {"id": "2", "token": "other", "phase": "running"}
    done, refused = all_of(wire)
    assert done == {}
    assert told(refused) == ("failed", other)
    assert wire.memory.items[TABLE, "1"]["phase"] == "done"
    assert wire.operations == ["batch_execute_statement"]


def test_a_place_that_does_not_say_whether_it_wrote_is_asked_one_by_one() -> None:
    several = [replace(finish(id), answers_item=False) for id in "12"]
    wire = DynamoDB(several, troubles={"1": ["Silent"], "2": ["Silent"]})
    assert list(map(told, all_of(wire))) == [("failed", {})] * 2
    assert wire.operations == ["batch_execute_statement", "update_item", "update_item"]


def test_an_update_creates_nothing() -> None:
    wire = DynamoDB([finish("1"), finish("2")])
    assert list(map(told, all_of(wire))) == [("failed", {})] * 2
    assert wire.memory.items == {}


def test_one_item_is_never_twice_in_a_batch() -> None:
    wire = DynamoDB([finish("1"), finish("2"), claim("1"), claim("3")])
    all_of(wire)
    assert sum(wire.sizes) == 4


def test_an_entry_without_its_item_is_asked_for_by_itself() -> None:
    wire = DynamoDB([finish("1"), finish("2")], troubles={"1": ["Silent"]})
    for id in "12":
        wire.memory.items[TABLE, id] = {"id": id, "token": "mine", "phase": "running"}
    first, second = all_of(wire)
    # It was written, and who wrote it sees its own token, as after any answer that was lost.
    assert told(first)[1]["phase"] == second["phase"] == "done"
    assert wire.operations == ["batch_execute_statement", "update_item"]


def test_what_has_no_room_is_asked_again_after_a_while_and_nothing_else_is() -> None:
    wire = DynamoDB([claim(f"{n}") for n in range(5)], troubles={"3": ["ThrottlingError"] * 2})

    async def main() -> float:
        await AsyncioAws(wire).perform_all(list(wire.requests))
        return asyncio.get_running_loop().time()

    assert 0 < run(main()) <= sum(PAUSES_S)
    assert wire.sizes == [5, 1, 1]


def test_what_has_no_room_for_long_is_its_own_callers_failure() -> None:
    wire = DynamoDB([claim("1"), claim("2")], troubles={"2": ["ThrottlingError"] * TRIES})
    first, second = all_of(wire)
    assert first["token"] == "mine"
    assert isinstance(second, Throttled)


def test_a_table_that_is_missing_is_said_to_each() -> None:
    wire = DynamoDB([claim("1"), claim("2")], troubles={id: ["ResourceNotFound"] for id in "12"})
    answers = all_of(wire)
    assert all(isinstance(each, ResourceMissing) and TABLE in str(each) for each in answers)
    assert answers[0] is not answers[1]


def test_a_batch_that_nobody_answers_is_not_tried_one_by_one() -> None:
    wire = DynamoDB([claim("1"), claim("2")], down=frozenset({0}))
    assert [type(each) for each in all_of(wire)] == [EndpointUnreachable] * 2
    assert wire.operations == ["batch_execute_statement"]


def test_batches_are_bounded_in_bytes() -> None:
    large = [UpdateItem(TABLE, id, Change({"result": "x" * 600_000}), MINE) for id in "123"]
    assert list(WRITES.cut([large[0], finish("4"), large[1], finish("5"), large[2]])) == [2, 2, 1]


@pytest.mark.parametrize(
    ("change", "condition"),
    [
        (Change({"a": OrElse("a", 1)}), Equals("b", 1)),
        (Change({"a": 1}, discard={"s": {"x"}}), Equals("b", 1)),
        (Change({"a": 1}, add={"s": {"x"}}), Equals("b", 1)),
        (Change({"a": 1}), Always()),
        (Change({"a": 1}), FREE),
        (Change({"a": 1}), MINE | Equals("b", 1)),
        (Change({"a": 1}), MINE & Absent("b")),
    ],
    ids=repr,
)
def test_what_partiql_cannot_say_exactly_goes_alone(change: Change, condition: Condition) -> None:
    assert lane_of(UpdateItem(TABLE, "1", change, condition)) is None


def test_a_write_that_cannot_create_is_no_insert() -> None:
    assert lane_of(UpdateItem(TABLE, "1", Change({"a": 1}), AtMost("b", 1), is_first=True)) is None


# -- places that have no batches ------------------------------------------------------------------


@pytest.mark.parametrize("code", ["UnknownOperationException", "ValidationException", "500"])
def test_a_place_without_the_operation_is_found_out_and_remembered(code: str) -> None:
    wire = DynamoDB([claim(f"{n}") for n in range(3)] + [finish(f"{n}") for n in range(3)])
    wire.refuses["batch_execute_statement"] = refusal(code)

    async def main() -> list[Any]:
        aws = AsyncioAws(wire)
        await aws.perform_all(list(wire.requests[:3]))
        return await aws.perform_all(list(wire.requests[3:]))

    assert [each["phase"] for each in run(main())] == ["done"] * 3
    assert wire.operations == ["batch_execute_statement", *["update_item"] * 6]


def test_what_was_refused_is_tried_again_after_a_while() -> None:
    wire, now = DynamoDB([claim(f"{n}") for n in range(6)]), [0.0]
    wire.refuses["batch_execute_statement"] = refusal("AccessDeniedException")

    async def main() -> None:
        aws = AsyncioAws(wire)
        aws._travel._clock = lambda: now[0]
        await aws.perform_all(list(wire.requests[:2]))
        wire.refuses.clear()
        await aws.perform_all(list(wire.requests[2:4]))
        now[0] = REFUSED_S + 1
        await aws.perform_all(list(wire.requests[4:]))

    run(main())
    batch = "batch_execute_statement"
    assert wire.operations == [batch, *["update_item"] * 4, batch]


def test_a_refusal_that_may_be_of_one_request_counts_for_a_moment_and_longer_if_it_stays() -> None:
    wire, now = DynamoDB([claim(f"{n}") for n in range(12)]), [0.0]
    groups = [list(wire.requests[first : first + 2]) for first in range(0, 12, 2)]
    batch, alone = "batch_execute_statement", ["update_item"] * 2

    async def asked(aws: AsyncioAws, group: list[Any]) -> list[str]:
        before = len(wire.operations)
        await aws.perform_all(group)
        return wire.operations[before:]

    async def main() -> None:
        aws = AsyncioAws(wire)
        aws._travel._clock = lambda: now[0]
        wire.refuses[batch] = refusal("ValidationException")
        assert await asked(aws, groups[0]) == [batch, *alone]
        now[0] = DOUBTED_S
        assert await asked(aws, groups[1]) == [batch, *alone]
        now[0] = 2 * DOUBTED_S
        assert await asked(aws, groups[2]) == alone
        wire.refuses.clear()
        now[0] = 3 * DOUBTED_S
        assert await asked(aws, groups[3]) == [batch]
        wire.refuses[batch] = refusal("ValidationException")
        assert await asked(aws, groups[4]) == [batch, *alone]
        now[0] = 4 * DOUBTED_S  # what was taken in between has ended the doubt
        assert await asked(aws, groups[5]) == [batch, *alone]

    run(main())


def test_writes_that_nothing_can_take_say_nothing_of_the_place() -> None:
    wire = DynamoDB([claim("1"), claim("2")])
    wire.refuses = {
        operation: refusal("ValidationException", operation)
        for operation in ("batch_execute_statement", "update_item")
    }

    async def main() -> list[Any]:
        aws = AsyncioAws(wire)
        answers = await aws.perform_all(list(wire.requests))
        assert not aws._travel._refused_until
        return answers

    assert [type(each) for each in run(main())] == [RequestFailed] * 2


# -- when they leave ------------------------------------------------------------------------------


def test_writes_wait_for_company_while_user_code_runs_and_no_longer() -> None:
    async def task(aws: AsyncioAws, number: int) -> None:
        await aws.call(asyncio.sleep, number * WRITES.linger_s / 10)
        await aws.perform(claim(f"{number}"))

    async def main() -> float:
        aws = AsyncioAws(wire)
        await asyncio.gather(*(task(aws, number) for number in range(1, 5)))
        return asyncio.get_running_loop().time()

    wire = DynamoDB([claim(f"{number}") for number in range(1, 5)])
    assert run(main()) == pytest.approx(4 * WRITES.linger_s / 10)
    assert wire.sizes == [4]


def test_a_write_does_not_wait_long_for_user_code_that_is_slow() -> None:
    async def main() -> float:
        aws = AsyncioAws(wire)
        slow = asyncio.ensure_future(aws.call(asyncio.sleep, 60))
        await turns(1)
        await aws.perform(wire.requests[0])
        slow.cancel()
        return asyncio.get_running_loop().time()

    wire = DynamoDB([claim("1")])
    assert run(main()) == pytest.approx(WRITES.linger_s)


# -- additions and reads --------------------------------------------------------------------------


def test_additions_to_one_item_are_one_write_and_the_last_sees_all() -> None:
    united = add("node", *"abc")
    wire = DynamoDB([united, add("node", "a"), add("node", "b"), add("node", "c")])
    wire.memory.items[TABLE, "node"] = {"id": "node", "members": {"x"}}

    async def main() -> list[Any]:
        return await AsyncioAws(wire).perform_all(list(wire.requests[1:]))

    first, second, last = run(main())
    assert wire.operations == ["update_item"]
    assert last["members"] == {"x", "a", "b", "c"}
    assert second["members"] == {"x", "a", "b"}
    assert first["members"] == {"x", "a"}


def test_additions_that_say_other_things_too_are_not_united() -> None:
    lanes = {lane_of(each) for each in (add("a", "1"), add("b", "1"), add("a", "1", ttl=8))}
    assert len(lanes) == 3


def test_reads_of_many_are_a_hundred_a_request_and_of_one_item_one() -> None:
    wire = DynamoDB([GetItem(TABLE, f"{n // 2}") for n in range(400)])
    wire.memory.items = {(TABLE, f"{n}"): {"id": f"{n}", "n": n} for n in range(0, 200, 2)}
    answers = all_of(wire)
    for number, answer in enumerate(answers):
        id = number // 2
        assert answer == (None if id % 2 else {"id": f"{id}", "n": id})
    assert wire.operations == ["batch_get_item"] * 4


def test_reads_that_were_left_out_are_asked_for_again() -> None:
    wire = DynamoDB(
        [GetItem(TABLE, id) for id in "abc"], troubles={"b": ["left"], "c": ["left"] * 9}
    )
    wire.memory.items = {(TABLE, id): {"id": id} for id in "abc"}
    first, second, last = all_of(wire)
    assert (first, second) == ({"id": "a"}, {"id": "b"})
    assert isinstance(last, Throttled)
    assert wire.sizes == [3, 2, 1]


def test_the_blocking_port_writes_and_reads_in_batches_too(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[Any] = [
        claim("1"),
        GetItem(TABLE, "1"),
        claim("2"),
        GetItem(TABLE, "2"),
        finish("1"),
    ]
    wire, aws = DynamoDB(requests, troubles={"2": ["ThrottlingError"]}), BlockingAws()
    aws._send = lambda *asked: run_now(wire.send(*asked))  # type: ignore[assignment]
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    answers: list[Any] = run_now(aws.perform_all(requests))
    assert [each["phase"] for each in answers] == ["running", "done", "running", "running", "done"]
    assert len(slept) == 1
    assert Counter(wire.operations)["batch_get_item"] == 1
