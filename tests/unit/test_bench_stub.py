"""The benchmarks' stub answers as AWS does where a client that is too fast would notice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from benchmarks.engine.dynamodb import DynamoDb
from benchmarks.engine.meter import Meter, entries_of, operation_of
from benchmarks.engine.refused import Refused
from benchmarks.engine.sqs import Sqs

TABLE = {"TableName": "t", "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}
UPDATE = 'UPDATE "t" SET "n" = ? WHERE "id" = ? AND "token" = ? RETURNING ALL NEW *'


@pytest.fixture
def sqs() -> Any:
    """Return what performs an operation on a service that has one queue."""
    operations = Sqs("http://stub").operations
    url = operations["CreateQueue"]({"QueueName": "q"})["QueueUrl"]  # type: ignore[index]

    def perform(operation: str, **params: Any) -> Any:
        return operations[operation]({"QueueUrl": url, **params})

    return perform


@pytest.fixture
def dynamodb() -> Any:
    """Return what performs an operation on a service that has one table."""
    operations = DynamoDb().operations
    operations["CreateTable"](TABLE)
    return lambda operation, **params: operations[operation]({"TableName": "t", **params})


def test_a_receipt_of_an_earlier_delivery_deletes_nothing(sqs: Any) -> None:
    sqs("SendMessage", MessageBody="m")
    (first,) = sqs("ReceiveMessage", VisibilityTimeout=0)["Messages"]
    (second,) = sqs("ReceiveMessage", MessageSystemAttributeNames=["All"])["Messages"]
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    sqs("DeleteMessage", ReceiptHandle=first["ReceiptHandle"])
    sqs("ChangeMessageVisibility", ReceiptHandle=second["ReceiptHandle"], VisibilityTimeout=0)
    assert sqs("ReceiveMessage")["Messages"]


def test_a_message_that_is_not_in_flight_has_no_visibility_to_change(sqs: Any) -> None:
    sqs("SendMessage", MessageBody="m")
    (received,) = sqs("ReceiveMessage", VisibilityTimeout=0)["Messages"]
    with pytest.raises(Refused) as refused:
        sqs("ChangeMessageVisibility", ReceiptHandle=received["ReceiptHandle"], VisibilityTimeout=9)
    assert refused.value.code == "MessageNotInflight"


def test_a_delayed_message_is_counted_and_not_handed_out(sqs: Any) -> None:
    sqs("SendMessage", MessageBody="later", DelaySeconds=900)
    assert sqs("ReceiveMessage") == {}
    told = sqs("GetQueueAttributes", AttributeNames=["ApproximateNumberOfMessagesDelayed"])
    assert told == {"Attributes": {"ApproximateNumberOfMessagesDelayed": "1"}}


def test_receives_that_wait_are_served_in_turn(sqs: Any) -> None:
    async def waited() -> list[str]:
        polls = [sqs("ReceiveMessage", WaitTimeSeconds=20) for _ in range(3)]
        polls[0].cancel()  # who has gone
        await asyncio.sleep(0)
        for body in ("a", "b"):
            sqs("SendMessage", MessageBody=body)
        return [(await poll)["Messages"][0]["Body"] for poll in polls[1:]]

    assert asyncio.run(waited()) == ["a", "b"]


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([], "EmptyBatchRequest"),
        ([{"Id": str(n), "MessageBody": ""} for n in range(11)], "TooManyEntriesInBatchRequest"),
        ([{"Id": "same", "MessageBody": ""}] * 2, "BatchEntryIdsNotDistinct"),
        ([{"Id": "1", "MessageBody": "x" * 1_048_577}], "BatchRequestTooLong"),
    ],
)
def test_a_batch_that_sqs_would_not_take_is_refused(
    sqs: Any, entries: list[dict[str, str]], code: str
) -> None:
    with pytest.raises(Refused) as refused:
        sqs("SendMessageBatch", Entries=entries)
    assert refused.value.code == code


def test_each_statement_of_a_batch_fails_alone(dynamodb: Any) -> None:
    id, token = {"S": "i"}, {"S": "mine"}
    insert = {
        "Statement": "INSERT INTO \"t\" VALUE {'id': ?, 'token': ?}",
        "Parameters": [id, token],
    }

    def update(id: Any, token: Any) -> dict[str, Any]:
        return {
            "Statement": UPDATE,
            "Parameters": [{"N": "1"}, id, token],
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    statements = [
        insert,
        insert,
        update(id, {"S": "another's"}),
        update({"S": "none"}, token),
        update(id, token),
    ]
    answers = dynamodb("BatchExecuteStatement", Statements=statements)["Responses"]
    errors = [each.get("Error", {}) for each in answers]
    assert [each.get("Code") for each in errors] == [
        None,
        "DuplicateItem",
        "ConditionalCheckFailed",
        "ConditionalCheckFailed",
        None,
    ]
    assert [each.get("Item") for each in errors] == [
        *(None, None),
        {"id": id, "token": token},
        *(None, None),
    ]
    assert answers[-1]["Item"] == {"id": id, "token": token, "n": {"N": "1"}}


def test_celerys_counter_is_raised(dynamodb: Any) -> None:
    dynamodb("PutItem", Item={"id": {"S": "chord"}, "chord_count": {"N": "9"}})
    raised = dynamodb(
        "UpdateItem",
        Key={"id": {"S": "chord"}},
        UpdateExpression="set chord_count = chord_count + :num",
        ExpressionAttributeValues={":num": {"N": "1"}},
        ReturnValues="UPDATED_NEW",
    )
    assert raised == {"Attributes": {"chord_count": {"N": "10"}}}


@pytest.mark.parametrize("text", ["SET a.b = :v", "SET a = nothing(b)", "MOVE a", "SET a", "SET"])
def test_an_expression_that_is_not_understood_is_refused(dynamodb: Any, text: str) -> None:
    with pytest.raises(Refused, match="does not understand"):
        dynamodb("UpdateItem", Key={"id": {"S": "i"}}, UpdateExpression=text)


def test_more_keys_than_one_request_may_name_are_refused(dynamodb: Any) -> None:
    keys = [{"id": {"S": str(number)}} for number in range(101)]
    with pytest.raises(Refused) as refused:
        dynamodb("BatchGetItem", RequestItems={"t": {"Keys": keys}})
    assert refused.value.code == "ValidationException"


def test_what_travels_in_a_request_is_counted() -> None:
    assert entries_of({"Entries": [1, 2]}) == 2
    assert entries_of({"Statements": [1, 2, 3]}) == 3
    assert entries_of({"RequestItems": {"a": {"Keys": [1, 2]}, "b": {"Keys": [3]}}}) == 3
    assert entries_of({"MessageBody": ""}) == 1
    assert operation_of("DynamoDB_20120810.GetItem", "POST") == "dynamodb:GetItem"
    assert operation_of("", "PUT") == "rest:PUT"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/_bench/reset"), ("POST", "/_bench/latency"), ("POST", "/_bench/latency?ms=many")],
)
def test_a_control_that_is_not_there_does_nothing(method: str, path: str) -> None:
    meter = Meter(latency_ms=7)
    assert meter.control(method, path) is None
    assert meter.latency_s == 0.007
