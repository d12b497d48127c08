"""Groups complete on every engine, and their values are where they should be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from caraway import states
from caraway.core.claim_check import Store
from caraway.core.group_tree import node_key
from caraway.core.ids import member_id
from caraway.core.joins import Member, arrive, arrive_added, arrive_with, close, values
from caraway.core.publish import Site
from caraway.core.record import DONE
from caraway.core.routing import Queue, Router
from caraway.core.transitions import Records
from caraway.exceptions import ChordError
from caraway.requests.dynamodb import UpdateItem
from caraway.requests.items import Always, Change

if TYPE_CHECKING:
    from caraway.requests.base import Json
    from tests.contract.conftest import Harness

UNTIL = 1_800_000_000.0
WIDTH = 3


class Group:
    """A group on an engine, in narrow nodes."""

    def __init__(self, harness: Harness) -> None:
        self.run, self.aws = harness.run, harness.aws
        self.harness, self.table = harness, harness.table()
        self.site = Site(Router([Queue("default")]), Records(self.table), Store())

    def succeed(self, id: str, value: Json) -> None:
        record = {"phase": DONE, "state": states.SUCCESS, "result": json.dumps(value)}
        self.harness.put_item(self.table, {"id": id, **record})

    def arrive(self, index: int, size: int | None) -> bool:
        self.succeed(member_id("g", index), index)
        member = Member("g", index, size)
        return self.run(arrive(self.aws, self.site, member, UNTIL, width=WIDTH))

    def values(self, size: int) -> list[Json]:
        return self.run(values(self.aws, self.site, "g", size, width=WIDTH))


def test_the_last_member_sees_the_group_complete_and_so_does_its_repeat(harness: Harness) -> None:
    group = Group(harness)
    assert [group.arrive(index, 10) for index in range(10)] == [False] * 9 + [True]
    assert group.arrive(9, 10)
    assert group.values(10) == list(range(10))


def test_elements_that_are_added_at_once_are_all_there(harness: Harness) -> None:
    table = harness.table()
    adds = [
        UpdateItem(table, node_key("g", 0, 0), Change(add={"members": {f"{index}"}}), Always())
        for index in range(20)
    ]
    answers = harness.run(harness.aws.perform_all(adds))
    seen = [node["members"] for node in answers if not isinstance(node, Exception)]
    assert len(seen) == len(adds)
    # Whichever came last has seen them all, so there is somebody who goes on from a full node.
    assert {f"{index}" for index in range(20)} in seen


def test_a_group_of_unknown_size_is_closed(harness: Harness) -> None:
    group = Group(harness)
    assert not any(group.arrive(index, None) for index in range(5))
    assert group.run(close(group.aws, group.site, "g", 5, UNTIL, width=WIDTH))
    assert group.values(5) == list(range(5))
    with pytest.raises(ChordError, match="has 5 members"):
        group.run(close(group.aws, group.site, "g", 4, UNTIL, width=WIDTH))


def test_a_member_grows(harness: Harness) -> None:
    group = Group(harness)
    adder = Member("g", 1, 2)
    for id in (member_id("g", 1), "x", "\N{SEEDLING}"):
        group.succeed(id, id)
    seen = [
        group.arrive(0, 2),
        group.run(arrive_added(group.aws, group.site, adder, "x", UNTIL)),
        group.run(arrive_with(group.aws, group.site, adder, ["\N{SEEDLING}", "x"], UNTIL)),
        group.run(arrive_added(group.aws, group.site, adder, "\N{SEEDLING}", UNTIL)),
    ]
    assert seen == [False, False, False, True]
    assert group.values(2) == [0, member_id("g", 1), "\N{SEEDLING}", "x"]
