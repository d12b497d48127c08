"""The app that the benchmarks run, and its worker, which counts its own AWS requests."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from collections import Counter
from typing import Any

from benchmarks import pools
from caraway import Caraway, Queue
from caraway.aws.asyncio_aws import AiobotocoreWire

app = Caraway("bench")
app.conf.update(task_queues=[Queue("bench", consumer="ecs")], task_default_queue="bench")

TOTAL = int(os.environ.get("BENCH_TASKS", "1000"))
asked: Counter[str] = Counter()
rss_kb: dict[int, int] = {}
_lock = threading.Lock()
_done = 0


def _one_more() -> None:
    """Count a task; look at the memory now and then, and stop the worker after the last."""
    global _done
    with _lock:
        _done += 1
        done = _done
    if done % max(1, TOTAL // 10) == 0:
        with open("/proc/self/statm") as statm:
            rss_kb[done] = int(statm.read().split()[1]) * resource.getpagesize() // 1024
    if done == TOTAL:
        os.kill(os.getpid(), signal.SIGTERM)


@app.task(idempotent=True, ignore_result=True)
def cheapest(number: int) -> None:
    """Run without a claim and without a result."""
    assert number >= 0
    _one_more()


@app.task
def usual(number: int) -> int:
    """Run with a claim and a result."""
    _one_more()
    return number


@app.task
def gathered(numbers: list[int]) -> int:
    """Run as the body of a chord."""
    _one_more()
    return sum(numbers)


@app.task(idempotent=True, ignore_result=True)
def compute(log: str) -> None:
    """Keep a CPU busy, and note the time of the end."""
    until = time.thread_time() + pools.CPU_S
    while time.thread_time() < until:
        pass
    _note_the_time(log)


@app.task(idempotent=True, ignore_result=True)
def sleep(log: str) -> None:
    """Wait, and note the time of the end."""
    time.sleep(pools.SLEEP_S)
    _note_the_time(log)


def _note_the_time(log: str) -> None:
    with open(log, "a") as lines:  # one short line is appended whole, whoever else writes
        lines.write(f"{time.time()}\n")


def count_requests() -> None:
    """Count the SDK calls of this process by operation, leaving out empty receives."""
    send = AiobotocoreWire.send

    async def counting(
        wire: AiobotocoreWire, service: str, operation: str, params: dict[str, Any]
    ) -> dict[str, Any]:
        response = await send(wire, service, operation, params)
        if operation != "receive_message" or response.get("Messages"):
            asked[operation] += 1
        return response

    setattr(AiobotocoreWire, "send", counting)  # noqa: B010 - a method of another module


def main() -> None:
    """Consume until the last task has run, then print what was counted as JSON."""
    from caraway.workers.ecs import Worker

    count_requests()
    Worker(app, concurrency=int(sys.argv[1])).run()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "requests": asked,
                "rss_kb": rss_kb,
                "peak_kb": used.ru_maxrss,
                "cpu_s": used.ru_utime + used.ru_stime,
            }
        )
    )
