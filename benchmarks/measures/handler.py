"""A Lambda function's invocations with a batch of ten: requests that the handler makes, and time.

The real handler runs in a process of its own. Ten messages are sent, received as Lambda's poller
does (these requests are not the handler's), and handed to it as an event.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.brokers import stub
from benchmarks.measures import say
from benchmarks.peers import QUEUE
from benchmarks.processes import Group
from benchmarks.running import Running, asking
from benchmarks.systems import BY_NAME

if TYPE_CHECKING:
    from benchmarks.brokers import Aws
    from benchmarks.measures import Row, Scale

BATCH = 10
INVOCATIONS = 30
LATENCIES_MS = (0, 20)
CONCURRENCIES = (1, 10)
"""Tasks that a function runs at a time: 1 by default."""
SYSTEM = BY_NAME["caraway-threads"]


def measure(scale: Scale) -> list[Row]:
    """Measure invocations that run one task after the other, and all ten together."""
    rows: list[Row] = []
    if not scale.has(SYSTEM.name):
        return rows
    for turn in range(scale.rounds):
        for concurrency in CONCURRENCIES:
            say(f"handler, round {turn + 1}: {concurrency} at a time")
            rows += [{"round": turn, **row} for row in of(concurrency, scale)]
    return rows


def of(concurrency: int, scale: Scale) -> list[Row]:
    """Measure a handler."""
    rows: list[Row] = []
    with ExitStack() as stack:
        aws: Any = stack.enter_context(stub())
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        at_work = Running(SYSTEM, aws, folder)
        stack.enter_context(at_work.producer())
        command = [str(SYSTEM.python), "-m", "benchmarks.peers.caraway_handler", str(concurrency)]
        log = folder / "handler.log"
        handler = stack.enter_context(Group(command, at_work.environ, log, talks=True))
        asking(handler, ten(at_work, aws))  # its connections are not in these times
        for ms in LATENCIES_MS:
            for _ in range(scale.tasks(INVOCATIONS, least=2)):
                event = ten(at_work, aws)
                aws.reset()
                aws.latency(ms)
                taken = asking(handler, event)
                aws.latency(0)
                rows.append(
                    {
                        "concurrency": concurrency,
                        "ms": ms,
                        "tasks": BATCH,
                        **taken,
                        "requests": dict(aws.counts()),
                    }
                )
    return rows


def ten(at_work: Running, aws: Aws) -> dict[str, Any]:
    """Return an event of ten messages, as Lambda's poller hands it over."""
    at_work.send("group", BATCH)
    sqs = aws.engine.client("sqs")
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    records: list[dict[str, Any]] = []
    while len(records) < BATCH:
        answer = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=BATCH, AttributeNames=["All"], WaitTimeSeconds=1
        )
        records += map(record, answer.get("Messages", []))
    return json.loads(json.dumps({"Records": records}))  # type: ignore[no-any-return]


def record(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message as a record of an event."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SenderId": "AROAEXAMPLE:producer",
            "ApproximateFirstReceiveTimestamp": "4102444800005",
            **message.get("Attributes", {}),
        },
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{QUEUE}",
        "awsRegion": "us-east-1",
    }
