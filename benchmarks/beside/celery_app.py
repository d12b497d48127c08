"""Celery's side, with the settings of a careful user; runs where Celery is installed.

``python -m benchmarks.beside.celery_app CALLS`` sends calls, each ``[id, seconds, countdown]``;
with ``--chords IDS`` it sends chords whose bodies have these ids.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any
from urllib.parse import urlsplit

from celery import Celery, chord

from benchmarks.beside.effects import CHORD_SIZE, QUEUE, RESULTS, VISIBILITY_S, sum_up, take_time

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
KEYS = {"access_key_id": "test", "secret_access_key": "test"}

app = Celery("beside", broker=f"sqs://test:test@{urlsplit(ENDPOINT).netloc}")
app.conf.update(
    broker_transport_options={
        "region": os.environ["AWS_REGION"],
        "is_secure": False,
        "visibility_timeout": VISIBILITY_S,
        "predefined_queues": {QUEUE: {"url": os.environ["BESIDE_URL"], **KEYS}},
        "wait_time_seconds": 5,
        "polling_interval": 0.1,
    },
    task_default_queue=QUEUE,
    # A message is to be acknowledged when its task has ended, and kept when its process dies.
    task_acks_late=os.environ.get("BESIDE_ACKS_LATE", "1") == "1",
    task_reject_on_worker_lost=os.environ.get("BESIDE_ACKS_LATE", "1") == "1",
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
)
if "BESIDE_RESULTS" in os.environ:
    app.conf.update(
        result_backend=f"dynamodb://test:test@{os.environ['AWS_REGION']}/{RESULTS}",
        dynamodb_endpoint_url=ENDPOINT,
    )


@app.task(bind=True, name="work")  # type: ignore[untyped-decorator]
def work(self: Any, n: int, seconds: float) -> int:
    take_time(self.request.id, seconds)
    return n


@app.task(bind=True, name="total")  # type: ignore[untyped-decorator]
def total(self: Any, values: list[int]) -> int:
    return sum_up(self.request.id, values)


def main() -> None:
    """Send what is asked for."""
    if sys.argv[1] == "--chords":
        for id in json.loads(sys.argv[2]):
            header = [work.s(n, 0.0) for n in range(CHORD_SIZE)]
            chord(header, total.s().set(task_id=id)).apply_async()
        return
    for n, (id, seconds, countdown) in enumerate(json.loads(sys.argv[1])):
        work.apply_async((n, seconds), task_id=id, countdown=countdown or None)


if __name__ == "__main__":
    main()
