"""Requests per task, CPU per task and memory of one worker, against the local engine."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caraway.local.engine import LocalEngine

CONCURRENCY = 20


@dataclass(frozen=True)
class Measured:
    """One run: ``tasks`` enqueued in one go and consumed by one worker process."""

    task: str
    tasks: int
    sent: dict[str, int]
    worked: dict[str, int]
    worker_cpu_s: float
    wall_s: float
    rss_kb: dict[int, int]

    @property
    def per_task(self) -> float:
        """AWS requests per task, producer and worker together."""
        return (sum(self.sent.values()) + sum(self.worked.values())) / self.tasks


def prepare(engine: LocalEngine) -> None:
    """Make the queues and the table."""
    sqs, dynamodb = engine.client("sqs"), engine.client("dynamodb")
    for name in ("bench", "bench-dlq"):
        sqs.create_queue(QueueName=name)
    dynamodb.create_table(
        TableName="caraway-tasks",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def measure(task: str, tasks: int) -> Measured:
    """Enqueue so many tasks in one go, then let one worker consume them all."""
    from benchmarks import app as bench

    bench.asked.clear()
    call: Any = getattr(bench, task)

    async def enqueue() -> None:
        await asyncio.gather(*(call.adelay(number) for number in range(tasks)))

    asyncio.run(enqueue())
    sent = dict(bench.asked)
    began = time.perf_counter()
    worker = subprocess.run(
        [sys.executable, "-m", "benchmarks.worker", str(CONCURRENCY)],
        env={**os.environ, "BENCH_TASKS": str(tasks)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    wall_s = time.perf_counter() - began
    report = json.loads(worker.stdout.splitlines()[-1])
    return Measured(
        task,
        tasks,
        sent,
        report["requests"],
        report["cpu_s"],
        wall_s,
        {int(done): kb for done, kb in report["rss_kb"].items()},
    )
