"""The app of the end-to-end tests: its tasks run on Lambda and on an ECS-style worker."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel

from caraway import Caraway, Queue, chord
from caraway.exceptions import Ignore, Reject, SoftTimeLimitExceeded

# Two queues of the template, two that only workers consume which a test has started, and two of
# groups, one for each door.
app = Caraway("corridor")
app.conf.update(
    task_queues=[
        Queue("default"),
        Queue("large", consumer="ecs"),
        Queue("signals", consumer="ecs"),
        Queue("mortal", consumer="ecs", visibility_timeout_s=10),
        Queue("orders.fifo"),
        Queue("parcels.fifo", consumer="ecs"),
    ],
    accept_content=["pickle"],
    beat_schedule={
        "minutely": {"task": "tests.e2e.corridor.scheduled", "schedule": 60},
        "thrice": {"task": "tests.e2e.corridor.scheduled", "schedule": 20},
    },
)

if arn := os.environ.get("SIGNING_KEYS_SECRET_ARN"):  # on Lambda, as docs/security.md says
    from aws_lambda_powertools.utilities.parameters import get_secret

    app.conf.task_signing_keys = get_secret(arn, transform="json")


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Price:
    amount: Decimal
    currency: str


class Order(BaseModel):
    id: UUID
    due: date
    price: Price
    colours: list[Colour]


class NoSuchShelf(Exception):
    """An exception type of the user's own."""


@app.task
def wait_until_told() -> str:
    try:
        threading.Event().wait()
    except SoftTimeLimitExceeded:
        return "told"
    return "never here"


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task(idempotent=True)
def add_again(x: int, y: int) -> int:
    return x + y


@app.task(at_most_once=True)
def add_once(x: int, y: int) -> int:
    return x + y


@app.task
async def aadd(x: int, y: int) -> int:
    await asyncio.sleep(0)
    return x + y


@app.task
def postponed(order: Order) -> Order:
    return order.model_copy(update={"due": date(2030, 1, 1)})


@app.task
def fail(shelf: str) -> None:
    raise NoSuchShelf(shelf)


@app.task(bind=True)
def in_an_hour(self: Any) -> None:
    raise self.retry(countdown=3_600)


@app.task(bind=True, autoretry_for=(ConnectionError,), default_retry_delay=0, max_retries=2)
def at_the_third_attempt(self: Any) -> int:
    if self.request.retries < 2:
        raise ConnectionError("not yet")
    return int(self.request.retries)


@app.task
def ignore() -> None:
    raise Ignore("nothing to do")


@app.task
def echo(text: str) -> str:
    return text


@app.task
def same(value: Any) -> Any:
    return value


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(serializer="pickle", compression="zlib")
def dearest(prices: Any) -> str:
    """Take what JSON would bring as a list of dicts."""
    return str(max(prices, key=lambda price: price.amount).amount)


@app.task(bind=True)
def mark(self: Any, folder: str, *_: Any) -> str:
    """Leave an object whose key nobody else has: the number of objects is the number of runs."""
    put(f"{folder}/{uuid4()}")
    return str(self.request.parent_id)


@app.task(bind=True)
def replaced(self: Any, folder: str, queue: str) -> Any:
    """Let a chord take its place, whose tasks are others' and run elsewhere."""
    put(f"{folder}/{uuid4()}")
    header = [same.s(n).set(queue=queue) for n in range(3)]
    return self.replace(chord(header, total.s().set(queue=queue)))


@app.task(bind=True)
def grows(self: Any, n: int, queue: str) -> int:
    """Add a member to the chord, which runs elsewhere, and so on down to 0."""
    if n > 0:
        self.add_to_chord(grows.s(n - 1, queue).set(queue=queue))
    return n


@app.task
def hold(folder: str) -> str:
    """Say that it has begun, and end when it is let go."""
    put(f"{folder}/begun/{uuid4()}")
    for _ in range(600):
        if keys(f"{folder}/let-go"):
            return "let go"
        time.sleep(0.05)
    return "forgotten"


@app.task(bind=True, default_retry_delay=0, message_group_id=lambda group, _step: group)
def advance(self: Any, _group: str, step: str) -> tuple[int, int]:
    """Take a step of a group's; returns when it began and ended, by the machine's clock."""
    began = time.monotonic_ns()
    if step == "retry" and self.request.retries < 2:
        raise self.retry(countdown=self.request.retries)
    if step == "refuse":
        raise Reject("no such step")
    return began, time.monotonic_ns()


@app.task(bind=True)
def scheduled(self: Any) -> str:
    return str(self.request.scheduled_time)


def put(key: str) -> None:
    """Put an object into the payload bucket."""
    _s3().put_object(Bucket=app.conf.payload_bucket, Key=f"tests/{key}", Body=b"")


def keys(prefix: str) -> list[str]:
    """Return the keys of the objects below a prefix."""
    found = _s3().list_objects_v2(Bucket=app.conf.payload_bucket, Prefix=f"tests/{prefix}")
    return [each["Key"] for each in found.get("Contents", [])]


def _s3() -> Any:
    import boto3

    return boto3.client("s3")
