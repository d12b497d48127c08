"""Where the systems run: AWS played by the stub or by the local engine, and Redis.

Each is started for one system and ends after it, so that no system meets what another has left.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from benchmarks.engine.client import Engine
from benchmarks.peers import QUEUE, RESULTS_TABLE
from benchmarks.redis_server import Redis
from caraway.local.engine import LocalEngine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from benchmarks.systems import System

TABLE = "caraway-tasks"
RECEIVE = "sqs:ReceiveMessage"


class Broker(Protocol):
    """What a benchmark needs of a place where messages and results are kept."""

    @property
    def environ(self) -> Mapping[str, str]:
        """What leads a process to it."""

    def latency(self, ms: float) -> None:
        """Let each request take so much longer."""

    def counts(self) -> Counter[str]:
        """Return the requests since the last reset by operation, without empty receives."""

    def reset(self) -> None:
        """Begin to count anew."""


class Aws:
    """SQS and DynamoDB."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.environ = engine.environ({"CARAWAY_TASK_TABLE": TABLE})

    def prepare(self) -> None:
        """Make the queue and both tables."""
        sqs, dynamodb = self.engine.client("sqs"), self.engine.client("dynamodb")
        for name in (QUEUE, f"{QUEUE}-dlq"):
            sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "600"})
        for table in (TABLE, RESULTS_TABLE):
            dynamodb.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )

    def latency(self, ms: float) -> None:
        """Let each request take so much longer."""
        self.engine.latency(ms)

    def counts(self) -> Counter[str]:
        """Return the requests since the last reset, without empty receives."""
        said = self.engine.counts()
        counted = Counter(said.requests)
        counted[RECEIVE] -= said.empty_receives
        return +counted

    def reset(self) -> None:
        """Begin to count anew."""
        self.engine.reset()


@contextmanager
def stub() -> Iterator[Broker]:
    """Play AWS in memory."""
    with Engine.stub() as engine:
        aws = Aws(engine)
        aws.prepare()
        yield aws


@contextmanager
def local() -> Iterator[Broker]:
    """Play AWS by the local engine, behind a proxy."""
    with LocalEngine(port=0) as behind, Engine.proxy(behind.endpoint_url) as engine:
        aws = Aws(engine)
        aws.prepare()
        yield aws


@contextmanager
def redis() -> Iterator[Broker]:
    """Run Redis."""
    with Redis() as server:
        yield server


def broker_of(system: System) -> AbstractContextManager[Broker]:
    """Return where a system runs when its own speed is measured."""
    return redis() if system.broker == "redis" else stub()
