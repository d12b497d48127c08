"""The proxy against the local engine: each fault is what a client of AWS sees of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError

from caraway.core.envelope import parse_envelope
from caraway.core.message import read_message
from caraway.core.transitions import Records
from caraway.requests.partiql import statement
from tests.chaos.faults import (
    NOTHING,
    Delay,
    FailEntries,
    Fault,
    Lose,
    Plan,
    Redeliver,
    Refuse,
    Resend,
    Rule,
)
from tests.chaos.proxy import Proxy
from tests.chaos.wire import STATEMENT_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from caraway.local.engine import LocalEngine

pytestmark = pytest.mark.usefixtures("unmeasured")


def client(service: str, endpoint_url: str) -> Any:
    """Return a client that asks once."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


@pytest.fixture
def queue(engine: LocalEngine) -> str:
    url: str = engine.client("sqs").create_queue(QueueName=f"proxied-{uuid4()}")["QueueUrl"]
    return url


@contextmanager
def proxied(engine: LocalEngine, operation: str = "", *faults: Fault) -> Iterator[Proxy]:
    rules = tuple(Rule(operation, fault, 1.0) for fault in faults)
    with Proxy(engine.endpoint_url, Plan(1, rules) if rules else NOTHING) as proxy:
        yield proxy


def received(engine: LocalEngine, queue: str) -> list[str]:
    answer = engine.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    return [message["Body"] for message in answer.get("Messages", [])]


def test_without_a_plan_everything_passes(engine: LocalEngine, queue: str) -> None:
    bucket = f"proxied-{uuid4()}"
    with proxied(engine) as proxy:
        client("sqs", proxy.endpoint_url).send_message(QueueUrl=queue, MessageBody="hello")
        s3 = client("s3", proxy.endpoint_url)
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="a/b c", Body=b"\0\xff" * 1_000)
        assert s3.get_object(Bucket=bucket, Key="a/b c")["Body"].read() == b"\0\xff" * 1_000
        assert proxy.noted.bodies == [(queue, "hello")]
        assert not proxy.noted.faults
    assert received(engine, queue) == ["hello"]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("executed", [False, True])
def test_a_lost_request_is_not_performed_and_one_whose_answer_is_lost_is(
    engine: LocalEngine, queue: str, executed: bool, reset: bool
) -> None:
    with proxied(engine, "sqs:SendMessage", Lose(executed, reset)) as proxy:
        sqs = client("sqs", proxy.endpoint_url)
        with pytest.raises((ConnectionClosedError, HTTPClientError)):
            sqs.send_message(QueueUrl=queue, MessageBody="hello")
    assert received(engine, queue) == (["hello"] if executed else [])


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("bad_request", "InvalidParameterValue"),
        ("internal", "InternalFailure"),
        ("unavailable", "ServiceUnavailable"),
        ("throttled", "RequestThrottled"),
    ],
)
def test_a_refusal_reads_as_one_of_aws(
    engine: LocalEngine, queue: str, kind: Any, code: str
) -> None:
    with proxied(engine, "sqs:SendMessage", Refuse(kind)) as proxy:
        sqs = client("sqs", proxy.endpoint_url)
        with pytest.raises(ClientError) as caught:
            sqs.send_message(QueueUrl=queue, MessageBody="hello")
    assert caught.value.response["Error"]["Code"] == code
    assert received(engine, queue) == []


@pytest.mark.parametrize("executed", [False, True])
def test_single_entries_of_a_batch_fail(engine: LocalEngine, queue: str, executed: bool) -> None:
    bodies = [str(number) for number in range(10)]
    entries = [{"Id": body, "MessageBody": body} for body in bodies]
    with proxied(engine, "sqs:SendMessageBatch", FailEntries(0.5, executed)) as proxy:
        sqs = client("sqs", proxy.endpoint_url)
        answer = sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    good = {each["Id"] for each in answer["Successful"]}
    bad = {each["Id"] for each in answer["Failed"]}
    assert good
    assert bad
    assert good | bad == set(bodies)
    assert set(received(engine, queue)) == (set(bodies) if executed else good)


def test_a_batch_of_which_every_entry_fails_is_not_performed(
    engine: LocalEngine, queue: str
) -> None:
    with proxied(engine, "sqs:SendMessageBatch", FailEntries(1.0)) as proxy:
        answer = client("sqs", proxy.endpoint_url).send_message_batch(
            QueueUrl=queue, Entries=[{"Id": "a", "MessageBody": "hello"}]
        )
    assert [each["Id"] for each in answer["Failed"]] == ["a"]
    assert received(engine, queue) == []


def test_a_message_is_received_twice(engine: LocalEngine, queue: str) -> None:
    engine.client("sqs").send_message(QueueUrl=queue, MessageBody="hello")
    with proxied(engine, "sqs:ReceiveMessage", Redeliver()) as proxy:
        answer = client("sqs", proxy.endpoint_url).receive_message(QueueUrl=queue)
    assert [message["Body"] for message in answer["Messages"]] == ["hello", "hello"]


def test_a_copy_of_a_message_comes_again(engine: LocalEngine, queue: str) -> None:
    engine.client("sqs").send_message(QueueUrl=queue, MessageBody="hello")
    with proxied(engine, "sqs:ReceiveMessage", Resend()) as proxy:
        answer = client("sqs", proxy.endpoint_url).receive_message(QueueUrl=queue)
    assert [message["Body"] for message in answer["Messages"]] == ["hello"]
    assert received(engine, queue) == ["hello"]


def test_a_late_answer_is_the_same_answer(engine: LocalEngine, queue: str) -> None:
    with proxied(engine, "sqs:SendMessage", Delay(0.01, 0.01)) as proxy:
        client("sqs", proxy.endpoint_url).send_message(QueueUrl=queue, MessageBody="hello")
        assert proxy.noted.faults == {"Delay": 1}
    assert received(engine, queue) == ["hello"]


def test_every_fault_is_logged(engine: LocalEngine, queue: str, tmp_path: Path) -> None:
    plan = Plan(1, (Rule("sqs:*", Delay(), 1.0),))
    with Proxy(engine.endpoint_url, plan, tmp_path / "faults.log") as proxy:
        client("sqs", proxy.endpoint_url).send_message(QueueUrl=queue, MessageBody="hello")
    (line,) = (tmp_path / "faults.log").read_text().splitlines()
    assert '"operation": "sqs:SendMessage", "number": 0' in line


@pytest.fixture
def table(engine: LocalEngine) -> str:
    name = f"proxied-{uuid4()}"
    engine.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    return name


@pytest.mark.parametrize("executed", [False, True])
def test_single_statements_of_a_batch_fail(engine: LocalEngine, table: str, executed: bool) -> None:
    ids = [f"{number:02}" for number in range(20)]
    messages = [
        read_message(parse_envelope(f'{{"caraway": 1, "task": "t", "id": "{id}"}}')) for id in ids
    ]
    claims = [Records(table).claim(message, "t1", 1.0, 3.0) for message in messages]
    fault = FailEntries(0.5, executed)
    with proxied(engine, "dynamodb:BatchExecuteStatement", fault) as proxy:
        answer = client("dynamodb", proxy.endpoint_url).batch_execute_statement(
            Statements=[statement(each) for each in claims]
        )
        noted = {write.id for write in proxy.noted.writes}
    said = dict(zip(ids, answer["Responses"], strict=True))
    failed = {id: each["Error"]["Code"] for id, each in said.items() if "Error" in each}
    assert 0 < len(failed) < len(ids)
    assert set(failed.values()) <= set(STATEMENT_ERRORS)
    there = {item["id"]["S"] for item in engine.client("dynamodb").scan(TableName=table)["Items"]}
    assert there == noted == (set(ids) if executed else set(ids) - set(failed))


def test_writes_are_noted_with_the_token_that_wrote_them(engine: LocalEngine, table: str) -> None:
    message = read_message(parse_envelope('{"caraway": 1, "task": "t", "id": "a"}'))
    with proxied(engine) as proxy:
        dynamodb = client("dynamodb", proxy.endpoint_url)
        dynamodb.update_item(**Records(table).claim(message, "t1", 1.0, 3.0).params())
        with pytest.raises(ClientError):  # the condition does not hold
            dynamodb.update_item(**Records(table).heartbeat("a", "t2", 1.0, 3.0).params())
        (write,) = proxy.noted.writes
    assert (write.id, write.writer, write.owner, write.phase) == ("a", "t1", "t1", "running")


def test_writes_that_travel_together_are_noted_one_by_one(engine: LocalEngine, table: str) -> None:
    records = Records(table)
    bodies = [f'{{"caraway": 1, "task": "t", "id": "{id}"}}' for id in "ab"]
    messages = [read_message(parse_envelope(body)) for body in bodies]
    claims = [records.claim(message, f"{message.id}1", 1.0, 3.0) for message in messages]
    beats = [records.heartbeat("a", "a1", 2.0, 3.0), records.heartbeat("b", "other", 2.0, 3.0)]
    with proxied(engine) as proxy:
        dynamodb = client("dynamodb", proxy.endpoint_url)
        for together in (claims, [*beats, *claims]):
            dynamodb.batch_execute_statement(Statements=[statement(each) for each in together])
    noted = [(write.id, write.writer, write.phase, write.open_at) for write in proxy.noted.writes]
    assert noted == [
        ("a", "a1", "running", 4),
        ("b", "b1", "running", 4),
        ("a", "a1", "running", 5),
    ]
