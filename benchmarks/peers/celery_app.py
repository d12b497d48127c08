"""Celery, on SQS or on Redis, with or without results; as it comes, and tuned."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from celery import Celery, chord, group

from benchmarks.marks import one_more
from benchmarks.peers import CALLERS, PATIENCE_S, QUEUE, RESULTS_TABLE
from benchmarks.peers.producing import serve

TUNED = "BENCH_TUNED" in os.environ
REDIS = os.environ.get("BENCH_BROKER")
RESULTS = os.environ.get("BENCH_RESULTS")
ENDPOINT = os.environ.get("AWS_ENDPOINT_URL", "")
REGION = os.environ.get("AWS_REGION", "us-east-1")
KEYS = {"access_key_id": "test", "secret_access_key": "test"}
POLL_S = 0.02 if TUNED else 0.5
"""How often a result is asked for; half a second is Celery's own."""

app = Celery("bench", broker=REDIS or f"sqs://test:test@{urlsplit(ENDPOINT).netloc}")
app.conf.update(
    task_default_queue=QUEUE,
    task_ignore_result=RESULTS is None,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
)
if not REDIS:
    app.conf.broker_transport_options = {
        "region": REGION,
        "is_secure": False,
        "predefined_queues": {QUEUE: {"url": f"{ENDPOINT}/000000000000/{QUEUE}", **KEYS}},
        # Long polls alone keep the time; Celery's own adds a second after each that came back
        # empty. Ten messages with a receive need ten places.
        **({"wait_time_seconds": 20, "polling_interval": 0} if TUNED else {}),
    }
if TUNED:
    app.conf.update(worker_prefetch_multiplier=10, worker_send_task_events=False)
if RESULTS == "dynamodb":
    app.conf.update(
        result_backend=f"dynamodb://test:test@{REGION}/{RESULTS_TABLE}",
        dynamodb_endpoint_url=ENDPOINT,
    )
elif RESULTS == "redis":
    app.conf.update(result_backend=REDIS)


@app.task(name="work")  # type: ignore[untyped-decorator]
def work(number: int) -> int:
    """Run."""
    one_more()
    return number


@app.task(name="gathered")  # type: ignore[untyped-decorator]
def gathered(numbers: list[int]) -> int:
    """Run as the body of a chord."""
    one_more()
    return sum(numbers)


def loop(count: int) -> None:
    for number in range(count):
        work.delay(number)


def in_a_group(count: int) -> None:
    group(work.s(number) for number in range(count)).delay()


def from_threads(count: int) -> None:
    with ThreadPoolExecutor(CALLERS) as threads:
        list(threads.map(work.delay, range(count)))


def get(number: int) -> None:
    result: Any = work.delay(number)
    assert result.get(timeout=PATIENCE_S, interval=POLL_S) == number


def a_chord(size: int) -> None:
    header = [work.s(number) for number in range(size)]
    result = chord(header)(gathered.s())
    assert result.get(timeout=PATIENCE_S, interval=POLL_S) == sum(range(size))


if __name__ == "__main__":
    serve(
        {"loop": loop, "group": in_a_group, "threads": from_threads},
        {"get": get, "chord": a_chord},
    )
