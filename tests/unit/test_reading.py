"""Reading many items: in hundreds, each id once, and again what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from caraway.aws.memory import MemoryAws
from caraway.core.port import run_now
from caraway.core.reading import FIRST_WAIT_S, IN_FLIGHT, LONGEST_WAIT_S, get_items
from caraway.exceptions import EndpointUnreachable, Throttled
from caraway.requests.dynamodb import READ_LIMIT, BatchGetItem, Found

IDS = [f"item {number}" for number in range(2_000)]


@dataclass
class Sparing(MemoryAws):
    """An account that reads only so many items of each request: the last number for ever."""

    generosity: list[int] = field(default_factory=lambda: [READ_LIMIT])

    def _answer(self, request: Any) -> Any:
        if not isinstance(request, BatchGetItem):
            return super()._answer(request)
        left = self.generosity
        count = left.pop(0) if len(left) > 1 else left[0]
        read: Found = super()._answer(BatchGetItem(request.table, request.ids[:count]))
        return Found(read.items, request.ids[count:])


def account(*generosity: int) -> Sparing:
    items = {("t", id): {"id": id} for id in IDS}
    return Sparing(items=items, generosity=list(generosity or (READ_LIMIT,)))


def asked(aws: MemoryAws) -> list[BatchGetItem]:
    return [each for each in aws.requests if isinstance(each, BatchGetItem)]


@pytest.mark.parametrize(
    ("count", "requests"), [(0, 0), (1, 1), (100, 1), (101, 2), (801, 9), (2_000, 20)]
)
def test_a_hundred_items_cost_one_request(count: int, requests: int) -> None:
    aws = account()
    assert run_now(get_items(aws, "t", IDS[:count])) == {id: {"id": id} for id in IDS[:count]}
    assert len(asked(aws)) == requests
    assert max((len(each.ids) for each in asked(aws)), default=0) <= READ_LIMIT


def test_an_id_named_twice_is_read_once_and_one_that_is_not_there_is_left_out() -> None:
    aws = account()
    found = run_now(get_items(aws, "t", ["item 1", "nobody", "item 1"], consistent=False))
    assert found == {"item 1": {"id": "item 1"}}
    assert asked(aws) == [BatchGetItem("t", ("item 1", "nobody"), consistent=False)]


def test_what_was_left_out_is_asked_for_again_after_a_wait() -> None:
    aws = account(60, 30, READ_LIMIT)
    began = aws.now()
    assert run_now(get_items(aws, "t", IDS[:100])).keys() == set(IDS[:100])
    assert [len(each.ids) for each in asked(aws)] == [100, 40, 10]
    assert (aws.now() - began).total_seconds() == 2 * FIRST_WAIT_S


def test_waits_grow_as_long_as_nothing_comes_and_no_longer() -> None:
    aws = account(0, 0, 50, 0, READ_LIMIT)
    began = aws.now()
    assert len(run_now(get_items(aws, "t", IDS[:100]))) == 100
    waits = [1, 2, 1, 2]
    assert (aws.now() - began).total_seconds() == pytest.approx(sum(waits) * FIRST_WAIT_S)


def test_it_does_not_ask_for_ever() -> None:
    aws = account(0)
    began = aws.now()
    with pytest.raises(Throttled, match="table 't' \\(100 items are left\\)"):
        run_now(get_items(aws, "t", IDS[:100]))
    assert (aws.now() - began).total_seconds() < 2 * LONGEST_WAIT_S


def test_no_more_than_so_many_requests_are_in_flight() -> None:
    flights: list[int] = []

    class Watched(Sparing):
        async def perform_all(self, requests: Any) -> Any:
            flights.append(len(requests))
            return await super().perform_all(requests)

    aws = Watched(items=account().items)
    assert len(run_now(get_items(aws, "t", IDS))) == len(IDS)
    assert flights == [IN_FLIGHT, IN_FLIGHT, 4]


def test_a_table_that_cannot_be_asked_is_an_error() -> None:
    aws = account()
    aws.fate = lambda _request: "fail"
    with pytest.raises(EndpointUnreachable):
        run_now(get_items(aws, "t", IDS))
