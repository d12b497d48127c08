"""The benchmarks in short: a worker and a producer on the stub, measured from outside."""

from __future__ import annotations

from benchmarks.brokers import broker_of
from benchmarks.measures import Scale
from benchmarks.running import running
from benchmarks.systems import BY_NAME

TASKS = 20


def test_a_worker_is_measured_by_what_it_asks_and_uses_for_the_tasks_on_its_queue() -> None:
    system = BY_NAME["caraway"]
    with running(system, broker_of(system)) as at_work:
        sent = at_work.fill("group", TASKS)
        worked = at_work.work(TASKS, looks=2)
        (seconds,) = at_work.wait_for("get", 7, 1, tasks=1)
    assert sent.requests == {"sqs:SendMessageBatch": TASKS / 10}
    assert sent.cpu_s > 0
    assert worked.tasks == TASKS
    assert worked.requests["sqs:ReceiveMessage"] >= TASKS / 10
    assert worked.requests["dynamodb:BatchExecuteStatement"] >= 1
    assert worked.requests.total() < TASKS
    assert list(worked.memory_mb) == [TASKS / 2, TASKS]
    assert seconds > 0


def test_the_number_of_tasks_can_be_scaled() -> None:
    scale = Scale(part=0.01).times(0.5)
    assert scale.tasks(10_000) == 50
    assert scale.tasks(10) == 10
    assert [system.name for system in Scale(only=("celery",)).systems()] == ["celery"]
