"""Tasks that show what a pool does: one that keeps a CPU busy, one that waits."""

from __future__ import annotations

import time

from benchmarks.peers import QUEUE
from caraway import Caraway, Queue

CPU_S = 0.2
SLEEP_S = 0.1

app = Caraway("pools")
app.conf.update(task_queues=[Queue(QUEUE, consumer="ecs")], task_default_queue=QUEUE)


@app.task(name="compute", idempotent=True, ignore_result=True)
def compute(log: str) -> None:
    """Keep a CPU busy, and note the time of the end."""
    until = time.thread_time() + CPU_S
    while time.thread_time() < until:
        pass
    note(log)


@app.task(name="sleep", idempotent=True, ignore_result=True)
def sleep(log: str) -> None:
    """Wait, and note the time of the end."""
    time.sleep(SLEEP_S)
    note(log)


def note(log: str) -> None:
    with open(log, "a") as lines:  # one short line is appended whole, whoever else writes
        lines.write(f"{time.time()}\n")
