"""The demo's app, as a user would write it: its tasks count the words of texts in S3."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime  # noqa: TC003 - annotations of tasks are read at run time
from typing import Any

from caraway import Caraway, Queue
from caraway.lean import dataclass

LARGE = "large"
"""The queue that an ECS-style worker consumes."""
INPUTS = "demo/"
"""Below this prefix of the payload bucket are the texts, where the worker's role may read them."""
SCHEDULE = "tick"

app = Caraway("demo")
app.conf.update(
    task_queues=[Queue("default"), Queue(LARGE, consumer="ecs")],
    task_routes={"caraway.demo.app.count_words_large": {"queue": LARGE}},
    beat_schedule={SCHEDULE: {"task": "caraway.demo.app.tick", "schedule": 60.0}},
)

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")


@dataclass(frozen=True)
class Words:
    """How often each word of a text occurs, in lower case."""

    total: int
    counts: dict[str, int]


def words_of(text: str) -> Words:
    """Count the words of a text; a word is letters, with apostrophes between them."""
    counts = Counter(word.lower() for word in _WORD.findall(text))
    return Words(counts.total(), dict(counts))


@app.task
def count_words(key: str) -> Words:
    """Count the words of a text in the payload bucket; a Lambda function runs this."""
    return words_of(_read(key))


@app.task
def count_words_large(key: str) -> Words:
    """Count the words of a larger text; its route sends it to an ECS-style worker."""
    return words_of(_read(key))


@app.task(bind=True, autoretry_for=(ConnectionError,), default_retry_delay=2)
def flaky(self: Any) -> str:
    """Fail at the first attempt, as a service that is just starting does."""
    if self.request.retries == 0:
        raise ConnectionError("nobody answers yet")
    return f"at attempt {self.request.retries + 1}"


@app.task(bind=True)
def tick(self: Any) -> datetime | None:
    """Return for when an EventBridge rule sent this, which it does once a minute."""
    due: datetime | None = self.request.scheduled_time
    return due


def _read(key: str) -> str:
    import boto3

    s3: Any = boto3.client("s3")
    found = s3.get_object(Bucket=app.conf.payload_bucket, Key=key)
    return str(found["Body"].read(), errors="replace")
