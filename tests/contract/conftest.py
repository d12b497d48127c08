"""The places where the contract is kept: each engine and each port.

ministack, the local engine, is asked through each port. moto says the same through all of them: it
answers one in this process, and as a server in a thread the one that needs a server.
:class:`~caraway.aws.memory.MemoryAws` is engine and port at once. The stub of
the benchmarks keeps the parts of the contract that tasks and their records need.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import pytest
from moto import mock_aws
from moto.server import ThreadedMotoServer

from benchmarks.engine.client import Engine as Stub
from caraway.aws.asyncio_aws import AsyncioAws
from caraway.aws.blocking_aws import BlockingAws, Botocore
from caraway.aws.clients import ClientSettings
from caraway.aws.memory import MemoryAws
from caraway.aws.wires import AiobotocoreWire, ThreadWire
from caraway.core.port import Aws, run_now
from caraway.requests.dynamodb import ConditionFailed, GetItem, UpdateItem
from caraway.requests.items import to_item
from caraway.requests.sqs import GetQueueUrl, ReceivedMessage, ReceiveMessages
from tests.measuring import unmeasured

if TYPE_CHECKING:
    from caraway.local.engine import LocalEngine
    from caraway.requests.base import Request
    from caraway.requests.items import Change, Condition, Item

T = TypeVar("T")
Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]

REGION = "us-east-1"
PLACES = (
    ("memory", "memory"),
    ("moto", "blocking"),
    ("moto-server", "aiobotocore"),
    *(("ministack", port) for port in ("blocking", "aiobotocore", "threads")),
)
PLACES_OF_TASKS = (*PLACES, ("stub", "blocking"), ("stub", "aiobotocore"))
OF_TASKS = {"test_batches", "test_items", "test_queues", "test_records"}
LONG_POLL_S = 20
"""Far longer than anything here takes to become visible."""

_unique = count(1)


@dataclass
class Harness:
    """One engine through one port, with fresh queues, tables and buckets for the asking."""

    engine: str
    port: str
    aws: Aws
    settings: ClientSettings
    _run: Run
    _closing: ExitStack
    _admin: Botocore | None = None

    def run(self, decision: Coroutine[Any, Any, T]) -> T:
        """Run a decision to its end."""
        result: T = self._run(decision)
        return result

    def perform(self, request: Request[T]) -> T:
        """Perform one request."""
        return self.run(self.aws.perform(request))

    def another_port(self, settings: ClientSettings) -> Harness:
        """Return a harness with a new port of the same kind, made with other settings."""
        aws, run = self._closing.enter_context(_port(self.port, settings))
        return Harness(self.engine, self.port, aws, settings, run, self._closing, self._admin)

    def ask(self, service: str, operation: str, **params: Any) -> Any:
        """Put an operation to the engine, past the port."""
        return None if self._admin is None else self._admin(service, operation, params)

    def unique_name(self) -> str:
        """Return a name that no other test uses."""
        return f"contract-{os.getpid()}-{next(_unique)}"

    def queue_name(self, name: str | None = None, *, fifo: bool = False, **attributes: str) -> str:
        """Create a queue, of that name or of a fresh one; return its name."""
        name = name or self.unique_name() + (".fifo" if fifo else "")
        if name.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        self.ask("sqs", "create_queue", QueueName=name, Attributes=attributes)
        return name

    def queue(self, *, fifo: bool = False, **attributes: str) -> str:
        """Create a queue; return its address."""
        return self.perform(GetQueueUrl(self.queue_name(fifo=fifo, **attributes)))

    def table(self) -> str:
        """Create a table with the key ``id``; return its name."""
        name = self.unique_name()
        self.ask(
            "dynamodb",
            "create_table",
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        return name

    def put_item(self, table: str, item: Item) -> None:
        """Make an item what it is to be, past the port."""
        if isinstance(self.aws, MemoryAws):
            self.aws.items[table, item["id"]] = dict(item)
        self.ask("dynamodb", "put_item", TableName=table, Item=to_item(item))

    def check_write(
        self, table: str, before: Item | None, condition: Condition, change: Change
    ) -> None:
        """Write on the engine, and compare with what the condition and the change mean."""
        id = self.unique_name()
        present = {} if before is None else {**before, "id": id}
        if before is not None:
            self.put_item(table, present)
        write = UpdateItem(table, id, change, condition)
        if condition.holds(present):
            expected = {"id": id, **change.apply(present)}
            assert self.perform(write) == expected
            assert self.perform(GetItem(table, id)) == expected
        else:
            with pytest.raises(ConditionFailed) as failed:
                self.perform(write)
            assert failed.value.item == present

    def bucket(self) -> str:
        """Create a bucket; return its name."""
        name = self.unique_name()
        self.ask("s3", "create_bucket", Bucket=name)
        return name

    def visible_now(self, url: str, **options: Any) -> list[ReceivedMessage]:
        """Receive what is visible at this moment."""
        return self.perform(ReceiveMessages(url, wait_s=0, **options))

    def next_visible(self, url: str, **options: Any) -> list[ReceivedMessage]:
        """Receive what is visible, or becomes so before long."""
        if isinstance(self.aws, MemoryAws):
            due = self.aws.next_visible_at(url.removeprefix("memory://"))
            if due is not None and due > self.aws.time:
                self.aws.time = due
            return self.visible_now(url, **options)
        return self.perform(ReceiveMessages(url, wait_s=LONG_POLL_S, **options))


@contextmanager
def _port(kind: str, settings: ClientSettings) -> Iterator[tuple[Aws, Run]]:
    """Yield a port and what runs decisions over it."""
    if kind == "memory":
        yield MemoryAws(), run_now
    elif kind == "blocking":
        blocking = BlockingAws(settings)
        yield blocking, run_now
        blocking.close()
    else:
        wire = AiobotocoreWire(settings) if kind == "aiobotocore" else ThreadWire(settings)
        aws = AsyncioAws(wire)
        loop = asyncio.new_event_loop()
        yield aws, loop.run_until_complete
        loop.run_until_complete(aws.close())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """Yield the endpoint of a moto server in a thread of this process."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it logs every request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    assert server._server is not None
    server._server.server_close()


@pytest.fixture(scope="session")
def stub() -> Iterator[str]:
    """Yield the endpoint of the benchmarks' stub in a process of its own."""
    with Stub.stub() as started:
        yield started.url


@pytest.fixture(scope="session")
def kept() -> Iterator[tuple[dict[Any, Any], ExitStack]]:
    """Yield the ports that are in use already: making a client takes far longer than using it."""
    with ExitStack() as closing:
        yield {}, closing


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what this machine knows of AWS; there are credentials, and nothing else."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "without(engine, because): a case that this engine cannot play, whatever the port",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "harness" in metafunc.fixturenames:
        absent = {mark.args[0] for mark in metafunc.definition.iter_markers("without")}
        module = metafunc.module.__name__.rpartition(".")[2]
        every = PLACES_OF_TASKS if module in OF_TASKS else PLACES
        places = [(engine, port) for engine, port in every if engine.split("-")[0] not in absent]
        metafunc.parametrize("harness", places, indirect=True, ids="-".join)


@pytest.fixture
def harness(
    request: pytest.FixtureRequest,
    aws_environment: None,
    kept: tuple[dict[Any, Any], ExitStack],
) -> Iterator[Harness]:
    """Yield an engine through a port."""
    engine, port = request.param
    endpoint: str | None = None
    with ExitStack() as closing:
        if engine.startswith("moto"):
            # All of it is Python in this process; what we have is measured where ministack answers.
            closing.enter_context(unmeasured())
        if engine == "moto":
            closing.enter_context(mock_aws(config={"core": {"mock_credentials": False}}))
        elif engine == "moto-server":
            endpoint = request.getfixturevalue("moto_server")
        elif engine == "stub":
            endpoint = request.getfixturevalue("stub")
        elif engine == "ministack":
            local: LocalEngine = request.getfixturevalue("engine")
            endpoint = local.endpoint_url
        settings = ClientSettings(region=REGION, endpoint_url=endpoint)
        ports, until_the_end = kept
        if request.param not in ports:
            ports[request.param] = until_the_end.enter_context(_port(port, settings))
        admins = engine, "admin"
        if admins not in ports and engine != "memory":
            ports[admins] = Botocore(settings)
            until_the_end.callback(ports[admins].close)
        aws, run = ports[request.param]
        if isinstance(aws, MemoryAws):
            aws.requests.clear()
        yield Harness(engine, port, aws, settings, run, closing, ports.get(admins))
