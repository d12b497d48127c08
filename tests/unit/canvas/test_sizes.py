"""Large groups and chords: what they cost a member is the same, and so is the memory."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from caraway import chord, group
from caraway.core.group_tree import WIDTH
from caraway.requests.dynamodb import BatchGetItem, UpdateItem
from caraway.requests.sqs import SendMessage
from tests.yard import Yard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway import Signature

pytestmark = pytest.mark.usefixtures("unmeasured")


def test_a_group_of_a_thousand_has_its_values_in_order() -> None:
    yard = Yard(copies=2, seed=1)
    result = group(yard.ident.s(number) for number in range(1_000)).delay()
    yard.work()
    assert result.get(timeout=1) == list(range(1_000))
    assert yard.ran("ident") == 1_000


def test_the_body_of_a_chord_of_two_thousand_takes_effect_once() -> None:
    yard = Yard(seed=2)
    result = chord([yard.ident.s(number) for number in range(2_000)], yard.total.s()).delay()
    yard.work()
    assert result.get(timeout=1) == sum(range(2_000))
    assert (yard.ran("ident"), yard.ran("total")) == (2_000, 1)
    assert hottest_node(yard) == WIDTH


@pytest.mark.parametrize("copies", [1, 2])
def test_no_node_is_written_more_often_than_its_members_come(copies: int) -> None:
    yard = Yard(copies=copies, seed=3)
    chord([yard.ident.s(number) for number in range(1_000)], yard.total.s()).delay()
    yard.work()
    # The root has ten elements. A delivery that finds a node full tells the node above again.
    assert hottest_node(yard) <= WIDTH * copies
    assert yard.ran("total") == 1


def hottest_node(yard: Yard) -> int:
    """Return how often the node of a group was written that was written most often."""
    writes = Counter(each.id for each in yard.aws.requests if isinstance(each, UpdateItem))
    return max(times for id, times in writes.items() if id.startswith("group\t"))


@pytest.mark.parametrize("size", [100, 1_000])
def test_a_member_costs_three_writes_and_its_message(size: int) -> None:
    yard = Yard()
    result = chord([yard.ident.s(number) for number in range(size)], yard.total.s()).delay()
    yard.work()
    assert result.get(timeout=1) == sum(range(size))
    counts = Counter(type(each) for each in yard.aws.requests)
    # A claim, an ending and an element for each; an element for each node of a hundred that is not
    # the root; a claim and an ending for the body.
    nodes = size // WIDTH
    assert counts[UpdateItem] == 3 * size + (nodes if nodes > 1 else 0) + 2
    assert counts[SendMessage] == size + 1
    # The values: the nodes, a hundred a request, and the members' records, a hundred a request.
    assert counts[BatchGetItem] == 1 + nodes


def test_a_producer_keeps_nothing_of_what_its_generator_gave() -> None:
    """Nor does the result: an object for each member would be 16 bytes at least.

    What is kept once (by a tracer that meets a line, too) is in some hundreds, what each member
    keeps would be in all of them.
    """
    yard, held = Yard(), []

    def tasks() -> Iterator[Signature[int]]:
        for number in range(2_001):
            if number % 500 == 0:
                yard.aws.queues.clear()
                yard.aws.requests.clear()
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
            yield yard.ident.s(number)

    tracemalloc.start()
    try:
        result = group(tasks()).delay()
    finally:
        tracemalloc.stop()
    assert len(result) == 2_001
    assert min(after - before for before, after in pairwise(held[1:])) < 16 * 500
