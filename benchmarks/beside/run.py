"""One case on one system, and what it came to."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from benchmarks.beside.effects import QUEUE, RESULTS, TABLE, VISIBILITY_S
from benchmarks.beside.systems import Workers
from caraway.local.engine import LocalEngine
from caraway.local.environ import surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.beside.cases import Case
    from benchmarks.beside.systems import System

PATIENCE_S = 45.0
"""How long nothing may begin or end before what has not ended counts as lost or stuck."""
LONGEST_S = 150.0
"""After so long it is judged as it is: some tasks come back for ever."""
SETTLED_S = 2.0 * VISIBILITY_S
"""How long it stays quiet, with empty queues, before it is over: what runs again shall be seen."""
WORKERS = 2
LOOK_S = 0.5


@dataclass(frozen=True)
class Came:
    """What a case came to.

    Attributes
    ----------
    lost
        Tasks that never ended, and whose messages are gone.
    stuck
        Tasks that never ended, whose messages are still there.
    twice
        Tasks that took effect more than once.
    most
        How often the one that did so most often did.
    """

    tasks: int
    lost: int
    stuck: int
    twice: int
    most: int


def run(system: System, case: Case, folder: Path, seed: int = 1) -> Came:
    """Run a case; the logs are in `folder`."""
    with LocalEngine(port=0, log=folder / "engine.log") as engine:
        url = prepare(engine)
        environ = surroundings(
            {
                **engine.environ(),
                "AWS_REGION": engine.region,
                "BESIDE_FOLDER": str(folder),
                "BESIDE_URL": url,
                "BESIDE_ACKS_LATE": "1" if case.acks_late else "0",
                "CARAWAY_TASK_TABLE": TABLE,
                "PYTHONPATH": ".",
                **({"BESIDE_RESULTS": "1"} if case.chords else {}),
            }
        )
        expected = send(system, case, environ)
        copy(engine, url, case, seed)
        with Workers(system, WORKERS, environ, folder) as workers:
            stop = threading.Event()
            killer = threading.Thread(target=kill, args=(case, workers, folder, seed, stop))
            killer.start()
            left = wait(engine, url, expected, folder)
            stop.set()
            killer.join()
    ended = Counter(id for event, id, *_ in effects(folder) if event == "end" and id in expected)
    missing = len(expected - set(ended))
    stuck = min(missing, left)
    repeated = [count for count in ended.values() if count > 1]
    return Came(len(expected), missing - stuck, stuck, len(repeated), max(repeated, default=1))


def prepare(engine: LocalEngine) -> str:
    """Make the queue and both tables; return the queue's address."""
    sqs, dynamodb = engine.client("sqs"), engine.client("dynamodb")
    attributes = {"VisibilityTimeout": str(VISIBILITY_S)}
    url: str = sqs.create_queue(QueueName=QUEUE, Attributes=attributes)["QueueUrl"]
    sqs.create_queue(QueueName=f"{QUEUE}-dlq")
    for table in (TABLE, RESULTS):
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    return url


def send(system: System, case: Case, environ: Mapping[str, str]) -> set[str]:
    """Send everything; return the ids of what has to take effect, for chords of their bodies."""
    if case.chords:
        bodies = [f"body-{number}" for number in range(case.chords)]
        system.send(environ, "--chords", json.dumps(bodies))
        return set(bodies)
    ids = [f"task-{number}" for number in range(case.tasks)]
    calls = [(id, case.seconds, case.countdown_s) for id in ids]
    system.send(environ, json.dumps(calls))
    return set(ids)


def copy(engine: LocalEngine, url: str, case: Case, seed: int) -> None:
    """Put a second copy of some messages on the queue, before anybody runs them."""
    if not case.copies:
        return
    sqs, rng, messages = engine.client("sqs"), Random(f"copies {seed}"), []
    while more := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=1, MessageAttributeNames=["All"]
    ).get("Messages"):
        messages += more
        for message in more:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    for message in messages:
        for _ in range(2 if rng.random() < case.copies else 1):
            attributes = message.get("MessageAttributes", {})
            sqs.send_message(
                QueueUrl=url, MessageBody=message["Body"], MessageAttributes=attributes
            )


def kill(case: Case, workers: Workers, folder: Path, seed: int, stop: threading.Event) -> None:
    """Kill whom the case names, at moments that the seed decides, while tasks are run."""
    rng = Random(f"kills {seed}")
    while case.kills and not stop.wait(rng.uniform(0.5, 1.5) * case.kill_every_s):
        busy = sorted(running(folder))
        if not busy:
            continue
        if case.kills == "worker":
            workers.kill(rng.randrange(WORKERS))
        else:
            with suppress(ProcessLookupError):
                os.kill(rng.choice(busy), signal.SIGKILL)


def running(folder: Path) -> set[int]:
    """Return the processes that have begun a task lately and not ended it."""
    begun: dict[int, float] = {}
    for event, _, pid, at in effects(folder):
        if event == "end":
            begun.pop(int(pid), None)
        else:
            begun[int(pid)] = float(at)
    return {pid for pid, at in begun.items() if at > time.time() - 2}


def effects(folder: Path) -> list[list[str]]:
    """Return the lines of the effects log."""
    log = folder / "effects.log"
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def wait(engine: LocalEngine, url: str, expected: set[str], folder: Path) -> int:
    """Wait until it is over, or nothing happens any more; return how many messages are left."""
    sqs, seen = engine.client("sqs"), 0
    began = moved = time.monotonic()
    while True:
        lines = effects(folder)
        answer: Any = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        left = sum(
            int(count)
            for name, count in answer["Attributes"].items()
            if name.startswith("ApproximateNumberOfMessages")
        )
        if len(lines) != seen:
            seen, moved = len(lines), time.monotonic()
        quiet_s = time.monotonic() - moved
        ended = {id for event, id, *_ in lines if event == "end"}
        is_over = expected <= ended and not left and quiet_s > SETTLED_S
        if is_over or quiet_s > PATIENCE_S or time.monotonic() - began > LONGEST_S:
            return left
        time.sleep(LOOK_S)
