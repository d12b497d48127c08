"""What a task costs in requests, producer and worker together: speed, and most of the bill."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Queue
from caraway.aws import gathering
from caraway.aws.coalesce import DELETES, WRITES
from caraway.aws.wires import AiobotocoreWire, ThreadWire
from caraway.core import revoked_stamps
from caraway.planning.counts import counts
from caraway.planning.workload import Workload
from caraway.workers import line, receiving
from caraway.workers.ecs import Worker
from tests.integration.conftest import PATIENCE_S
from tests.integration.test_lambda_door import Door

if TYPE_CHECKING:
    from caraway import Caraway
    from caraway.planning.counts import Counts
    from tests.integration.conftest import Place

pytestmark = pytest.mark.usefixtures("unmeasured")

TASKS = 100


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the requests of this process, but for receives that bring nothing."""
    counts: Counter[str] = Counter()

    def counted(send: Any) -> Any:
        async def counting(wire: Any, service: str, operation: str, params: Any) -> Any:
            response = await send(wire, service, operation, params)
            if operation != "receive_message" or response.get("Messages"):
                counts[operation] += 1
            return response

        return counting

    for wire in (AiobotocoreWire, ThreadWire):
        monkeypatch.setattr(wire, "send", counted(wire.send))
    # A machine that is busy with other things must not make batches leave half full.
    for batch in (WRITES, DELETES):
        monkeypatch.setattr(type(batch), "linger_s", 10.0)
    for module in (gathering, receiving):
        monkeypatch.setattr(module, "PATIENCE_S", 10.0)
    return counts


def run_all(
    app: Caraway, pool: str, *, stamps: dict[str, Any] | None = None, **options: Any
) -> None:
    """Enqueue all tasks at once, and let one worker run them."""
    ran: list[int] = []

    def run(number: int) -> int:
        ran.append(number)
        if len(ran) == TASKS:
            worker.stop()
        return number

    async def run_async(number: int) -> int:
        return run(number)

    function: Any = run_async if pool == "asyncio" else run
    one = app.task(name="one", **options)(function)

    async def enqueue() -> None:
        calls = (one.aapply_async((number,), stamps=stamps) for number in range(TASKS))
        await asyncio.gather(*calls)

    worker = Worker(app, pool=pool, concurrency=20, heartbeat_interval_s=0)
    asyncio.run(enqueue())
    assert worker.run() == 0
    assert sorted(ran) == list(range(TASKS))


def planned(**options: Any) -> Counts:
    """Return what ``caraway estimate`` takes a task to cost."""
    return counts(Workload(1, sent_together=10, worker_concurrency=20, **options), "ecs")


@pytest.mark.parametrize("pool", ["asyncio", "threads"])
def test_a_task_with_a_record_costs_half_a_request(
    local: Place, asked: Counter[str], pool: str
) -> None:
    run_all(local.app(), pool)
    plan = planned()
    assert asked["send_message_batch"] == plan.sends * TASKS == TASKS / 10
    assert asked["receive_message"] == plan.receives * TASKS == TASKS / 10
    assert asked["update_item"] <= 1
    # Nothing but the claim and the ending: a task that is over soon needs no heartbeat.
    assert set(asked) - {"get_queue_url", "update_item", "delete_message"} == {
        *("send_message_batch", "receive_message", "batch_execute_statement"),
        "delete_message_batch",
    }
    assert sum(asked.values()) / TASKS <= 0.60
    assert sum(asked.values()) / TASKS == pytest.approx(plan.requests, abs=0.1)


def test_tasks_with_stamps_cost_one_read_more_for_all_of_them(
    local: Place, asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revoked_stamps, "FRESH_S", 3_600.0)  # however long the machine takes
    run_all(local.app(), "asyncio", stamps={"customer": 17})
    assert asked["get_item"] == 1
    assert sum(asked.values()) / TASKS <= 0.61


@pytest.mark.parametrize("pool", ["asyncio", "threads"])
def test_a_task_without_a_record_costs_a_third_of_a_request(
    local: Place, asked: Counter[str], pool: str
) -> None:
    run_all(local.app(), pool, idempotent=True, ignore_result=True)
    del asked["get_queue_url"]  # once for each process
    plan = planned(idempotent=True, ignore_result=True)
    assert asked["send_message_batch"] == plan.sends * TASKS == TASKS / 10
    assert asked["receive_message"] == plan.receives * TASKS == TASKS / 10
    assert plan.writes == 0
    assert sum(asked.values()) / TASKS <= 0.32
    assert sum(asked.values()) / TASKS == pytest.approx(plan.requests, abs=0.02)


def test_a_thousand_sends_at_once_are_a_hundred_requests(local: Place, asked: Counter[str]) -> None:
    app = local.app()

    @app.task
    def one(number: int) -> int:
        return number

    async def enqueue() -> None:
        await asyncio.gather(*(one.adelay(number) for number in range(1_000)))

    asyncio.run(enqueue())
    assert asked == {"get_queue_url": 1, "send_message_batch": 100}


def test_a_batch_of_a_thousand_calls_is_a_hundred_requests(
    local: Place, asked: Counter[str]
) -> None:
    app = local.app()

    @app.task
    def one(number: int) -> int:
        return number

    async def enqueue() -> None:
        async with app.batch():
            for number in range(1_000):
                await one.adelay(number)

    asyncio.run(enqueue())
    assert asked == {"get_queue_url": 1, "send_message_batch": 100}
    assert local.depth(app) == 1_000


def requests_of_ten(door: Door, task: Any, asked: Counter[str]) -> int:
    """Return how many requests the handler makes for ten messages."""
    for number in range(10):
        task.delay(number)
    event = door.event()
    assert len(event["Records"]) == 10
    asked.clear()
    assert door.invoke(event) == []
    return sum(asked.values())


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a machine that is busy with other things pass for a quick one."""
    monkeypatch.setattr(line, "AHEAD_S", PATIENCE_S)
    monkeypatch.setattr(line, "PATIENCE_S", PATIENCE_S)
    monkeypatch.setattr(line, "TOLD_S", PATIENCE_S)


@pytest.mark.usefixtures("loggers_as_they_were", "unhurried")
def test_a_batch_of_ten_quick_tasks_on_lambda_costs_two_requests(
    local: Place, asked: Counter[str]
) -> None:
    app = local.app(Queue("default"))
    door, task = Door(local, app), app.task(name="one")(lambda number: number)
    # Whether a task is quick is known when it has run once.
    assert requests_of_ten(door, task, asked) == 3
    assert requests_of_ten(door, task, asked) == 2
    plan = counts(Workload(1, mean_ms=5), "lambda")
    assert 10 * plan.of_worker("lambda") == 2


@pytest.mark.usefixtures("loggers_as_they_were")
def test_a_batch_of_ten_slow_tasks_on_lambda_costs_eleven_requests(
    local: Place, asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "AHEAD_S", 0.0)
    app = local.app(Queue("default"))
    door, task = Door(local, app), app.task(name="one")(lambda number: number)
    for _ in range(2):
        assert requests_of_ten(door, task, asked) == 11
    plan = counts(Workload(1, mean_ms=2_000), "lambda")
    assert 10 * plan.of_worker("lambda") == pytest.approx(11)


@pytest.mark.usefixtures("loggers_as_they_were", "unhurried")
def test_a_batch_of_ten_on_lambda_costs_two_requests_if_its_tasks_run_together(
    local: Place, asked: Counter[str]
) -> None:
    app = local.app(Queue("default"))
    together = threading.Barrier(10)

    @app.task
    def one(number: int) -> int:
        together.wait(PATIENCE_S)
        return number

    assert requests_of_ten(Door(local, app, 10), one, asked) == 2
    plan = counts(Workload(1, lambda_concurrency=10), "lambda")
    assert 10 * plan.of_worker("lambda") == 2
