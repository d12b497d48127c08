"""Where integration tests run: apps with all that they need, on moto or on the local engine."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from caraway import Caraway, Queue
from caraway.aws import sdk_data
from caraway.aws.clients import ClientSettings
from caraway.core.record import Record
from caraway.requests.items import from_item
from tests.measuring import untraced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caraway.local.engine import LocalEngine

REGION = "us-east-1"
SERVICES = ("sqs", "dynamodb", "s3")
PATIENCE_S = 120.0
"""Far longer than anything takes that is waited for, also on a busy machine."""

_numbers = count(1)


def wait_until(condition: Callable[[], Any]) -> Any:
    """Look again and again until something has come true; return it."""
    deadline = time.monotonic() + PATIENCE_S
    while not (come_true := condition()):
        assert time.monotonic() < deadline, "it has not come true"
        time.sleep(0.01)
    return come_true


@dataclass
class Place:
    """An AWS engine, with queues, tables and buckets for the apps of one test."""

    endpoint_url: str | None
    closing: ExitStack
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Return a boto3 client."""
        if service not in self.clients:
            client: Any = boto3.client(
                service,  # type: ignore[call-overload]
                region_name=REGION,
                endpoint_url=self.endpoint_url,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
            self.clients[service] = self.closing.enter_context(closing(client))
        return self.clients[service]

    def app(self, *queues: Queue, **conf: Any) -> Caraway:
        """Return an app of a name of its own, with all that it needs."""
        name = f"test-{os.getpid()}-{next(_numbers)}"
        app = Caraway(name)
        app.conf.update(
            aws_region=REGION,
            aws_endpoint_url=self.endpoint_url,
            queue_name_prefix=f"{name}-",
            task_table=name,
            payload_bucket=name,
            task_queues=queues or [Queue("default", consumer="ecs")],
            **conf,
        )
        for queue in app.site.router.queues.values():
            attributes = {"FifoQueue": "true"} if queue.fifo else {}
            for sqs_name in (queue.sqs_name(f"{name}-"), queue.dead_letter_sqs_name(f"{name}-")):
                self.client("sqs").create_queue(QueueName=sqs_name, Attributes=attributes)
        self.table(name)
        self.client("s3").create_bucket(Bucket=name)
        self.closing.callback(app.close)
        return app

    def table(self, name: str) -> None:
        """Create a table for task records."""
        self.client("dynamodb").create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def url(self, app: Caraway, queue: str = "default", *, dead_letters: bool = False) -> str:
        """Return the address of a queue, or of its dead-letter queue."""
        kind, prefix = app.site.router.queue(queue), app.conf.queue_name_prefix
        name = kind.dead_letter_sqs_name(prefix) if dead_letters else kind.sqs_name(prefix)
        url: str = self.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
        return url

    def receive(self, url: str, limit: int = 10, *, hidden_s: int = 30) -> list[dict[str, Any]]:
        """Receive the messages that are visible now."""
        received: list[dict[str, Any]] = []
        while len(received) < limit:
            found = self.client("sqs").receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=min(10, limit - len(received)),
                VisibilityTimeout=hidden_s,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            if not found.get("Messages"):
                break
            received += found["Messages"]
        return received

    def waiting(self, app: Caraway, queue: str = "default") -> list[str]:
        """Return the arguments of the messages that are visible now, and leave them so."""
        received = self.receive(self.url(app, queue), hidden_s=0, limit=1)
        return [str(json.loads(message["Body"])["args"]) for message in received]

    def letters(self, app: Caraway, queue: str = "default") -> list[tuple[str, str]]:
        """Return the dead letters of a queue: their bodies and the reasons."""
        received = self.receive(self.url(app, queue, dead_letters=True))
        return [
            (each["Body"], each["MessageAttributes"]["reason"]["StringValue"]) for each in received
        ]

    def depth(self, app: Caraway, queue: str = "default") -> int:
        """Return how many messages a queue holds, hidden ones and delayed ones included."""
        found = self.client("sqs").get_queue_attributes(
            QueueUrl=self.url(app, queue), AttributeNames=["All"]
        )["Attributes"]
        return sum(
            int(found[f"ApproximateNumberOfMessages{which}"])
            for which in ("", "NotVisible", "Delayed")
        )

    def record(self, app: Caraway, id: str) -> Record:
        """Return the record of a task."""
        found = self.client("dynamodb").get_item(
            TableName=app.conf.task_table, Key={"id": {"S": id}}, ConsistentRead=True
        )
        return Record.read(from_item(found["Item"]) if "Item" in found else {"id": id})


@pytest.fixture(autouse=True, scope="session")
def _moto_is_not_measured() -> Iterator[None]:
    """Let coverage look away from what moto does in this process: it would take twice as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BotocoreStubber, "process_request", untraced(BotocoreStubber.process_request))
        yield


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what this machine knows of AWS; there are credentials, and nothing else."""
    for name in os.environ:
        if name.startswith(("AWS_", "CARAWAY_")):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", REGION)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@pytest.fixture(scope="module")
def moto_account() -> Iterator[Place]:
    """Yield clients of moto in this process, for all tests of a module.

    Making a session and a client takes far longer than using them: everybody shares these.
    """
    with mock_aws(), pytest.MonkeyPatch.context() as patch, ExitStack() as closing:
        session = sdk_data.new_session(ClientSettings())
        patch.setattr(sdk_data, "new_session", lambda _settings: session)
        account = Place(None, closing)
        for service in SERVICES:
            account.client(service)
        yield account


@pytest.fixture
def moto(aws_environment: None, moto_account: Place) -> Iterator[Place]:
    """Yield moto in this process."""
    with ExitStack() as closing:
        yield Place(None, closing, moto_account.clients)


@pytest.fixture(scope="session")
def local_account(engine: LocalEngine) -> Iterator[Place]:
    """Yield clients of the local engine, for all tests."""
    with ExitStack() as closing:
        account = Place(engine.endpoint_url, closing)
        for service in SERVICES:
            account.client(service)
        yield account


@pytest.fixture
def local(aws_environment: None, local_account: Place) -> Iterator[Place]:
    """Yield the local engine."""
    with ExitStack() as closing:
        yield Place(local_account.endpoint_url, closing, local_account.clients)
