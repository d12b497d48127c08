"""What workflows cost in requests: their producer, one worker, and whoever waits for the result."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from caraway import chain, chord, group
from caraway.workers.ecs import Worker
from tests.integration.conftest import PATIENCE_S
from tests.integration.test_requests_per_task import asked

if TYPE_CHECKING:
    from collections import Counter

    from caraway import Caraway, Signature
    from tests.integration.conftest import Place

pytestmark = pytest.mark.usefixtures("unmeasured")

__all__ = ["asked"]


class Stage:
    """An app, and one worker that runs until the task ``last`` has run."""

    def __init__(self, app: Caraway) -> None:
        self.app = app
        worker = Worker(app, pool="asyncio", concurrency=20, heartbeat_interval_s=0)
        self._worker = worker

        @app.task
        async def same(value: Any) -> Any:
            return value

        @app.task
        async def last(value: Any) -> Any:
            worker.stop()
            return value

        self.same, self.last = same, last

    def run(self, workflow: Signature[Any]) -> Any:
        """Send a workflow that ends with ``last``, run it, and return its value."""
        result = asyncio.run(workflow.adelay())
        assert self._worker.run() == 0
        return asyncio.run(result.aget(timeout=PATIENCE_S))


@pytest.fixture
def stage(local: Place) -> Stage:
    return Stage(local.app())


@pytest.mark.parametrize("size", [1, 10, 25, 100, 205])
def test_a_group_is_sent_ten_at_a_time(stage: Stage, asked: Counter[str], size: int) -> None:
    asyncio.run(group(stage.same.s(number) for number in range(size)).adelay())
    del asked["get_queue_url"]  # once for each process
    assert asked == ({"send_message": 1} if size == 1 else {"send_message_batch": -(-size // 10)})


def test_a_chord_of_a_hundred_costs_less_than_a_request_for_each_member(
    stage: Stage, asked: Counter[str]
) -> None:
    members = [stage.same.s(number) for number in range(100)]
    assert stage.run(chord(members, stage.last.s())) == list(range(100))
    assert asked["send_message_batch"] == 10
    assert asked["receive_message"] == 11  # the members ten at a time, and the body
    assert asked["batch_get_item"] == 2  # the values: the node, and the members' records
    assert asked["get_item"] == 1  # whoever waits
    assert sum(asked.values()) <= 80


def test_a_member_costs_the_same_in_a_large_chord(stage: Stage, asked: Counter[str]) -> None:
    members = [stage.same.s(number) for number in range(500)]
    assert stage.run(chord(members, stage.last.s())) == list(range(500))
    assert asked["send_message_batch"] == 50
    assert sum(asked.values()) / 500 <= 0.80


def test_a_chain_of_five_costs_what_five_tasks_do(stage: Stage, asked: Counter[str]) -> None:
    links = [stage.same.s() for _ in range(3)]
    assert stage.run(chain(stage.same.s(1), *links, stage.last.s())) == 1
    for each in ("get_queue_url", "get_item", "batch_get_item"):
        del asked[each]
    # Each is sent, received, claimed and ended; deletes may share a request.
    deletes = asked.pop("delete_message", 0) + asked.pop("delete_message_batch", 0)
    assert sum(asked.values()) == 5 * 4
    assert 1 <= deletes <= 5
