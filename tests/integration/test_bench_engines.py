"""What the benchmarks run against counts what it is asked, and lets it take longer if told so."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.engine.client import Engine
from caraway import Caraway, Queue
from caraway.workers.ecs import Worker
from tests.integration.conftest import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def stub() -> Iterator[Engine]:
    with Engine.stub() as started:
        yield started


@pytest.fixture(scope="module")
def proxy(stub: Engine) -> Iterator[Engine]:
    with Engine.proxy(stub.url) as started:
        yield started


@pytest.fixture(params=["stub", "proxy"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    either: Engine = request.getfixturevalue(request.param)
    either.reset()
    yield either
    either.latency(0)


@pytest.fixture
def queue(engine: Engine, request: pytest.FixtureRequest) -> str:
    name = f"{request.node.name.rpartition('[')[0]}-{time.monotonic_ns()}"
    url: str = engine.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    return url


@contextmanager
def asking(engine: Engine, operation: str, **params: Any) -> Iterator[None]:
    """Put something to SQS, and leave without an answer at the end of the block."""
    host, _, port = engine.address.partition(":")
    body = json.dumps(params)
    head = f"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.{operation}"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        yield


def test_requests_are_counted_by_operation_with_what_travels_in_them(
    engine: Engine, queue: str
) -> None:
    sqs = engine.client("sqs")
    entries = [{"Id": str(place), "MessageBody": '"ReceiptHandle":'} for place in range(3)]
    sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    assert len(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=2)["Messages"]) == 2
    assert len(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=2)["Messages"]) == 1
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)
    counts = engine.counts()
    assert counts.requests["sqs:SendMessageBatch"] == 1
    assert counts.entries["sqs:SendMessageBatch"] == 3
    assert counts.requests["sqs:ReceiveMessage"] == 3
    assert counts.entries["sqs:ReceiveMessage"] == 3
    assert counts.empty_receives == 1
    assert counts.total == 4  # with the queue's making


def test_counting_begins_anew(engine: Engine, queue: str) -> None:
    assert engine.counts().requests
    engine.reset()
    assert not engine.counts().requests
    assert not engine.counts().entries


def test_a_latency_that_is_set_holds_from_the_next_request_on(engine: Engine, queue: str) -> None:
    sqs = engine.client("sqs")
    sqs.get_queue_attributes(QueueUrl=queue)
    engine.latency(150)
    began = time.monotonic()
    sqs.get_queue_attributes(QueueUrl=queue)
    assert time.monotonic() - began >= 0.15
    assert engine.counts().latency_ms == pytest.approx(150)


def test_a_request_that_is_held_back_holds_back_no_other(engine: Engine, queue: str) -> None:
    engine.latency(600_000)
    with asking(engine, "GetQueueUrl", QueueName="held-back"):
        wait_until(lambda: engine.counts().requests["sqs:GetQueueUrl"])
        engine.latency(0)
        assert engine.client("sqs").get_queue_attributes(QueueUrl=queue)


def test_a_message_wakes_who_waits_for_it(engine: Engine, queue: str) -> None:
    sqs, came = engine.client("sqs"), []

    def wait() -> None:
        answer = engine.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=20)
        came.extend(answer["Messages"])

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: engine.counts().requests["sqs:ReceiveMessage"])
    sqs.send_message(QueueUrl=queue, MessageBody="woken")
    waiting.join(PATIENCE_S)
    assert [each["Body"] for each in came] == ["woken"]


def test_no_message_is_for_who_waited_and_has_gone(engine: Engine, queue: str) -> None:
    sqs = engine.client("sqs")
    with asking(engine, "ReceiveMessage", QueueUrl=queue, WaitTimeSeconds=20):
        wait_until(lambda: engine.counts().requests["sqs:ReceiveMessage"])
    sqs.get_queue_attributes(QueueUrl=queue)  # after which its going is heard of
    sqs.send_message(QueueUrl=queue, MessageBody="kept")
    assert sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"][0]["Body"] == "kept"


def test_a_task_of_caraway_is_sent_and_run_and_its_result_read(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in engine.aws().items():
        monkeypatch.setenv(name, value)
    with app_on(engine) as app:

        @app.task
        def double(number: int) -> int:
            worker.stop()
            return number * 2

        worker = Worker(app, concurrency=2, heartbeat_interval_s=0)
        sent = double.delay(21)
        assert worker.run() == 0
        assert sent.get(timeout=PATIENCE_S) == 42
    counts = engine.counts()
    assert counts.requests["sqs:SendMessage"] == 1
    assert counts.requests["dynamodb:UpdateItem"] >= 2  # the claim and the end


@contextmanager
def app_on(engine: Engine) -> Iterator[Caraway]:
    name = f"bench-{os.getpid()}-{time.monotonic_ns()}"
    app = Caraway(name)
    app.conf.update(
        queue_name_prefix=f"{name}-",
        task_table=name,
        task_queues=[Queue("default", consumer="ecs")],
    )
    for queue in app.site.router.queues.values():
        for sqs_name in (queue.sqs_name(f"{name}-"), queue.dead_letter_sqs_name(f"{name}-")):
            engine.client("sqs").create_queue(QueueName=sqs_name)
    engine.client("dynamodb").create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield app
    app.close()


def test_what_the_stub_does_not_know_is_refused(stub: Engine) -> None:
    with pytest.raises(Exception, match=r"stub has no 'sqs:ListQueueTags'") as refused:
        stub.client("sqs").list_queue_tags(QueueUrl="http://127.0.0.1/0/none")
    assert refused.value.response["Error"]["Code"] == "UnknownOperationException"  # type: ignore[attr-defined]


def test_turns_of_another_protocol_are_counted_and_take_longer() -> None:
    def echo(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            while data := connection.recv(1024):
                connection.sendall(data.upper())

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        listening.settimeout(PATIENCE_S)
        echoing = threading.Thread(target=echo, args=(listening,))
        echoing.start()
        with Engine.proxy(f"redis://127.0.0.1:{port}", latency_ms=50) as proxy:
            host, _, own = proxy.address.partition(":")
            with socket.create_connection((host, int(own))) as client:
                began = time.monotonic()
                for word in (b"ping", b"pong"):
                    client.sendall(word)
                    assert client.recv(1024) == word.upper()
                assert time.monotonic() - began >= 2 * 0.05
                assert proxy.counts().requests == {"tcp:turn": 2}
        echoing.join()
