"""Counting the members of groups, and gathering their values."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway import states
from caraway.aws.memory import Fate, MemoryAws
from caraway.core.claim_check import Store, keep_text
from caraway.core.group_tree import OPEN_LIMIT, Element, Growth, Tree, growth_key, node_key
from caraway.core.ids import member_id
from caraway.core.joins import (
    NODE_S,
    Member,
    arrive,
    arrive_added,
    arrive_with,
    close,
    values,
)
from caraway.core.port import run_now
from caraway.core.publish import Site
from caraway.core.record import DONE, FAILED, HORIZON_S, RUNNING
from caraway.core.routing import Queue, Router
from caraway.core.transitions import Records
from caraway.exceptions import ChordError, EndpointUnreachable, PayloadMissing
from caraway.requests.base import Json
from caraway.requests.dynamodb import BatchGetItem, UpdateItem
from caraway.requests.s3 import GetObject

SITE = Site(Router([Queue("default")]), records=Records("tasks"))
UNTIL = 1_800_000_000.0


def counted(aws: MemoryAws, index: int, size: int | None, **options: Any) -> bool:
    return run_now(arrive(aws, SITE, Member("g", index, size), UNTIL, **options))


def asked(aws: MemoryAws, kind: type[Any]) -> int:
    return sum(isinstance(each, kind) for each in aws.requests)


def succeed(aws: MemoryAws, id: str, value: Json, **attributes: Any) -> None:
    """Record a task that has succeeded."""
    record = {"phase": DONE, "state": states.SUCCESS, "result": json.dumps(value), **attributes}
    aws.items["tasks", id] = {"id": id, **record}


def gathered(aws: MemoryAws, size: int, site: Site = SITE) -> list[Json]:
    return run_now(values(aws, site, "g", size))


# -- counting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 99, 100, 101, 200, 10_000, 10_001])
def test_the_last_of_all_sees_the_group_complete(size: int) -> None:
    aws = MemoryAws()
    order = list(range(size))
    random.Random(size).shuffle(order)
    seen = [counted(aws, index, size) for index in order]
    assert seen == [False] * (size - 1) + [True]
    nodes = sum(1 for table, id in aws.items if "\t" in id and table == "tasks")
    assert asked(aws, UpdateItem) == len(aws.requests) == size + nodes - 1  # not above the root
    assert nodes - 1 <= size / 100 + size / 10_000 + 2


@pytest.mark.parametrize(
    ("size", "depth"),
    [(1, 1), (100, 1), (101, 2), (10_000, 2), (10_001, 3), (10**6, 3), (10**6 + 1, 4), (None, 3)],
)
def test_a_tree_is_as_high_as_its_group_needs(size: int | None, depth: int) -> None:
    assert Tree(size).depth == depth


@pytest.mark.parametrize("size", [1, 100, 101, 10_000])
@pytest.mark.parametrize("when", ["first", "last"])
def test_a_group_of_unknown_size_is_complete_when_it_is_closed(size: int, when: str) -> None:
    aws = MemoryAws()
    if when == "first":
        assert not run_now(close(aws, SITE, "g", size, UNTIL))
        assert len(aws.requests) == 4
    seen = [counted(aws, index, None) for index in range(size)]
    if when == "last":
        assert not any(seen)
        assert run_now(close(aws, SITE, "g", size, UNTIL))
        assert run_now(close(aws, SITE, "g", size, UNTIL))
        assert counted(aws, 0, None)  # whoever repeats what they did sees it too
    else:
        assert seen == [False] * (size - 1) + [True]
    assert asked(aws, UpdateItem) <= size + 2 * (size // 100) + 2 * 4 + 3


def test_a_group_without_members_is_complete_at_once_and_costs_nothing() -> None:
    aws = MemoryAws()
    assert run_now(close(aws, SITE, "g", 0, UNTIL))
    assert gathered(aws, 0) == []
    assert aws.requests == []


def test_a_group_is_not_closed_twice_with_different_sizes() -> None:
    aws = MemoryAws()
    run_now(close(aws, SITE, "g", 250, UNTIL))
    before = {key: dict(item) for key, item in aws.items.items()}
    with pytest.raises(ChordError, match="group g has 250 members, and is closed again with 101"):
        run_now(close(aws, SITE, "g", 101, UNTIL))
    assert aws.items == before  # nobody was misled


def test_what_cannot_be_a_member_is_refused() -> None:
    for index, size in ((-1, 3), (3, 3), (0, 0), (OPEN_LIMIT, None)):
        with pytest.raises(ValueError, match="has no member"):
            Member("g", index, size)
    with pytest.raises(ValueError, match="needs the group's id"):
        Member("g", 0, 1, nested=2)
    with pytest.raises(ValueError, match="1,000,000 members at most"):
        run_now(close(MemoryAws(), SITE, "g", OPEN_LIMIT + 1, UNTIL))


def test_a_group_that_outlives_its_members_records_is_complete_and_says_which_are_gone() -> None:
    aws, day_s = MemoryAws(), 86_400
    for index, day in ((0, 0), (1, 365)):
        now = UNTIL + day * day_s
        for key in [key for key, item in aws.items.items() if item["ttl"] < now]:
            del aws.items[key]
        succeed(aws, member_id("g", index), index, ttl=now + 2 * HORIZON_S)
        until = now + HORIZON_S
        complete = run_now(arrive(aws, SITE, Member("g", index, 2), until))
    assert complete
    with pytest.raises(ChordError, match=f"{member_id('g', 0)}.* has no record"):
        gathered(aws, 2)


def test_nodes_outlive_the_deadline_of_their_group() -> None:
    aws = MemoryAws()
    counted(aws, 0, None)
    run_now(close(aws, SITE, "g", 101, UNTIL))
    run_now(arrive_with(aws, SITE, Member("g", 1, None), ["x"], UNTIL))
    assert {item["ttl"] for item in aws.items.values()} == {int(UNTIL) + NODE_S}


def test_keys_of_nodes_cannot_be_ids_of_tasks() -> None:
    assert not node_key("g", 0, 0).isprintable()
    assert not growth_key("g", 0).isprintable()
    assert member_id("g", 1) == member_id("g", 1) != member_id("g", 11)


elements = st.builds(
    lambda index, grown, at, nested: Element(index, grown, at, nested if at else None),
    st.integers(0, 10**7),
    st.booleans(),
    st.none() | st.text(min_size=1),
    st.none() | st.integers(0, 10**6),
)


@given(elements)
def test_an_element_is_read_as_it_was_written(element: Element) -> None:
    assert Element.read(str(element)) == element


def test_what_is_no_element_is_named() -> None:
    with pytest.raises(ValueError, match="'seven' is no element"):
        Element.read("seven")


@given(st.data())
def test_whatever_fails_and_is_repeated_the_group_completes_once_all_have_arrived(
    data: st.DataObject,
) -> None:
    width = data.draw(st.integers(2, 9), label="width")
    size = data.draw(st.integers(1, min(60, width**3)), label="size")
    is_open = data.draw(st.booleans(), label="open")
    fates = data.draw(st.randoms(use_true_random=False), label="fates")
    worst: list[Fate] = ["ok", "ok", "fail", "lose", "repeat"]
    aws = MemoryAws(fate=lambda _request: fates.choice(worst))
    everybody = [*range(size), *([-1] if is_open else [])]
    waiting = data.draw(st.permutations(everybody * 2), label="order")
    asked_for: set[int] = set()
    was_seen = False
    while waiting:
        who = waiting.pop(0)
        try:
            if who < 0:
                found = run_now(close(aws, SITE, "g", size, UNTIL, width=width))
            else:
                found = counted(aws, who, None if is_open else size, width=width)
        except EndpointUnreachable:
            waiting.append(who)
            continue
        finally:
            asked_for.add(who)
        assert not found or asked_for == set(everybody)
        was_seen |= found
    assert was_seen


# -- growing --------------------------------------------------------------------------------------


def test_a_member_is_complete_with_all_that_it_has_added() -> None:
    aws = MemoryAws()
    adder = Member("g", 1, 2)
    assert not counted(aws, 0, 2)
    assert not run_now(arrive_added(aws, SITE, adder, "y", UNTIL))
    assert not run_now(arrive_with(aws, SITE, adder, ["x", "y"], UNTIL))
    assert not run_now(arrive_added(aws, SITE, adder, "x", UNTIL, added=["z"]))
    assert run_now(arrive_added(aws, SITE, adder, "z", UNTIL))
    assert run_now(arrive_added(aws, SITE, adder, "y", UNTIL))  # repeated
    assert run_now(arrive_with(aws, SITE, adder, ["x", "y"], UNTIL))


def test_what_an_attempt_without_a_record_has_added_is_not_waited_for() -> None:
    aws = MemoryAws()
    adder = Member("g", 0, 1)
    assert not run_now(arrive_added(aws, SITE, adder, "lost", UNTIL))
    assert run_now(arrive_with(aws, SITE, adder, [], UNTIL))
    assert not run_now(arrive_added(aws, SITE, adder, "lost", UNTIL))
    succeed(aws, member_id("g", 0), "own")
    assert gathered(aws, 1) == ["own"]


def test_added_ones_that_name_each_other_are_no_loop() -> None:
    growth = Growth({None: ["x", "x"], "x": ["y"], "y": ["x"]}, {})
    assert growth.is_full()
    assert list(growth.places()) == ["x", "y"]


# -- gathering ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "reads"),
    [(1, 1 + 1), (100, 1 + 1), (101, 1 + 2), (10_000, 1 + 100), (10_001, 2 + 101)],
)
def test_values_come_in_order_for_one_read_in_a_hundred_and_the_nodes(
    size: int, reads: int
) -> None:
    aws = MemoryAws()
    for index in range(size):
        counted(aws, index, size)
        succeed(aws, member_id("g", index), index)
    aws.requests.clear()
    assert gathered(aws, size) == list(range(size))
    assert asked(aws, BatchGetItem) == len(aws.requests) == reads
    assert all(isinstance(each, BatchGetItem) and each.consistent for each in aws.requests)


def test_a_value_is_where_the_element_says() -> None:
    aws = MemoryAws()
    for index, at in enumerate([None, "elsewhere", "a=b*3\N{SEEDLING}"]):
        run_now(arrive(aws, SITE, Member("g", index, 3, at=at), UNTIL))
        succeed(aws, at or member_id("g", index), index)
    assert gathered(aws, 3) == [0, 1, 2]


def test_the_value_of_a_group_is_a_list_of_its_values() -> None:
    aws = MemoryAws()
    sizes = {"inner": 2, "empty": 0, "deep": 1}
    run_now(arrive(aws, SITE, Member("deep", 0, 1, at="inner", nested=2), UNTIL))
    for index in range(2):
        run_now(arrive(aws, SITE, Member("inner", index, 2), UNTIL))
        succeed(aws, member_id("inner", index), f"inner {index}")
    for index, (group, size) in enumerate(sizes.items()):
        run_now(arrive(aws, SITE, Member("g", index, 4, at=group, nested=size), UNTIL))
    run_now(arrive(aws, SITE, Member("g", 3, 4), UNTIL))
    succeed(aws, member_id("g", 3), [])
    inner = ["inner 0", "inner 1"]
    aws.requests.clear()
    assert gathered(aws, 4) == [inner, [], [inner], []]
    # For each depth its nodes and its records, however many groups there are.
    assert len(aws.requests) <= 2 * 3


def test_values_that_were_added_come_last_in_the_order_of_adding() -> None:
    aws = MemoryAws()
    late, early = Member("g", 2, 3), Member("g", 0, 3, at="replaced")
    run_now(arrive_with(aws, SITE, late, ["b"], UNTIL))
    run_now(arrive_added(aws, SITE, late, "b", UNTIL))
    run_now(arrive_added(aws, SITE, early, "d", UNTIL, at="other"))
    run_now(arrive_added(aws, SITE, early, "c", UNTIL, added=["e"]))
    run_now(arrive_added(aws, SITE, early, "e", UNTIL))
    run_now(arrive_with(aws, SITE, early, ["d", "c"], UNTIL))
    assert counted(aws, 1, 3)
    for id in ("replaced", "other", "b", "c", "e"):
        succeed(aws, id, id)
    for index in (1, 2):
        succeed(aws, member_id("g", index), index)
    assert gathered(aws, 3) == ["replaced", 1, 2, "other", "c", "e", "b"]


def test_falsy_values_expired_ones_and_forgotten_ones_are_values() -> None:
    aws = MemoryAws()
    falsy: list[Json] = [None, False, 0, "", [], {}]
    for index, value in enumerate(falsy):
        succeed(aws, member_id("g", index), value, expires_at=aws.now().timestamp() - 1)
    del aws.items["tasks", member_id("g", 0)]["result"]  # nothing was kept of None
    assert gathered(aws, len(falsy)) == falsy


def test_large_values_come_from_s3_and_compressed_ones_from_where_they_are() -> None:
    aws = MemoryAws()
    kinds = [
        Store("bucket", result_limit_bytes=10),
        Store("bucket", result_limit_bytes=10, result_compression="gzip"),
        Store("bucket", result_compression="gzip", compression_threshold_bytes=10),
    ]
    size = 60
    for index in range(size):
        id, text = member_id("g", index), json.dumps(f"{index} " * 50)
        kept = run_now(keep_text(aws, kinds[index % 3], id, "token", text))
        succeed(aws, id, None, result=kept)
    aws.requests.clear()
    site = replace(SITE, store=kinds[0])
    assert gathered(aws, size, site) == [f"{index} " * 50 for index in range(size)]
    assert asked(aws, GetObject) == 40
    aws.objects.clear()
    with pytest.raises(PayloadMissing, match=member_id("g", 0)):
        gathered(aws, size, site)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (None, "has no record"),
        ({"phase": RUNNING, "state": states.STARTED}, r"has no value: it is STARTED \(running\)"),
        ({"phase": FAILED, "state": states.FAILURE, "result": "1"}, r"FAILURE \(failed\)"),
        ({"phase": DONE, "state": states.REVOKED, "result": "1"}, r"REVOKED \(done\)"),
    ],
)
def test_a_member_without_a_value_is_named(record: dict[str, Any] | None, said: str) -> None:
    aws = MemoryAws()
    succeed(aws, member_id("g", 0), 1)
    id = member_id("g", 1)
    if record is not None:
        aws.items["tasks", id] = {"id": id, **record}
    with pytest.raises(ChordError, match=f"task {id}, a member of group g, .*{said}"):
        gathered(aws, 2)
