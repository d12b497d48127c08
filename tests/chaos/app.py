"""The app of the chaos runs: tasks that say when they run, in a log outside of AWS."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Final

from caraway import Caraway, Queue
from caraway.exceptions import Reject

VISIBILITY_S: Final = 3
"""Of the ECS queue: short, so that leases run out in the course of a run."""

MAX_DELIVERIES: Final = 4

app = Caraway("chaos")
app.conf.update(
    task_queues=[
        Queue("default"),
        Queue("orders.fifo"),
        Queue("short", consumer="ecs", visibility_timeout_s=VISIBILITY_S),
        Queue("short-orders.fifo", consumer="ecs", visibility_timeout_s=VISIBILITY_S),
    ],
    # Kills hit the same task again and again here: what is judged is the ending of its own, unless
    # being quarantined is what is tried.
    task_max_deliveries=MAX_DELIVERIES if "CHAOS_QUARANTINE" in os.environ else 1_000,
)


def note(event: str, request: Any) -> None:
    """Add one line to the effects log; lines that short are never torn."""
    line = f"{event} {request.id} {request.token or '-'} {os.getpid()} {time.time():.3f}\n"
    path = os.path.join(os.environ["CHAOS_FOLDER"], "effects.log")
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(log, line.encode())
    finally:
        os.close(log)


def take_time(self: Any, seconds: float) -> None:
    """Run for so long, and say so."""
    note("begin", self.request)
    time.sleep(seconds)
    note("end", self.request)


@app.task(bind=True)
def usual(self: Any, n: int, seconds: float) -> int:
    take_time(self, seconds)
    return n * 7


@app.task(bind=True, idempotent=True)
def idempotent(self: Any, n: int, seconds: float) -> int:
    take_time(self, seconds)
    return n * 7


@app.task(bind=True, autoretry_for=(ConnectionError,), default_retry_delay=1, max_retries=5)
def flaky(self: Any, n: int, seconds: float, failures: int) -> list[int]:
    """Succeed at the attempt after so many failures, and not before."""
    take_time(self, seconds)
    if self.request.retries < failures:
        raise ConnectionError(n)
    return [n, self.request.retries]


@app.task(bind=True)
def failing(self: Any, n: int, seconds: float) -> None:
    take_time(self, seconds)
    raise ValueError(n)


@app.task(bind=True)
def rejected(self: Any, n: int, seconds: float) -> None:
    take_time(self, seconds)
    raise Reject(f"no use for {n}")


@app.task(bind=True)
def overrun(self: Any, n: int, seconds: float) -> int:
    """Outlast the function's time, the first time, so that AWS cuts it off.

    The process stands still: a task that merely takes long is ended, and recorded, before that.
    """
    note("begin", self.request)
    marker = os.path.join(os.environ["CHAOS_FOLDER"], f"overrun-{self.request.id}")
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        os.kill(os.getpid(), signal.SIGSTOP)
    except FileExistsError:
        time.sleep(seconds)
    note("end", self.request)
    return n * 7


@app.task(bind=True, at_most_once=True)
def once(self: Any, n: int, seconds: float) -> int:
    take_time(self, seconds)
    return n * 7


@app.task(bind=True)
def killer(self: Any, n: int) -> None:
    """Take along whoever runs it."""
    note("begin", self.request)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(bind=True)
def total(self: Any, values: list[int]) -> int:
    """Sum up the values of a chord."""
    take_time(self, 0.0)
    return sum(values)


@app.task(bind=True)
def after(self: Any, value: int) -> int:
    """Follow another task, with its value."""
    take_time(self, 0.0)
    return value + 1
