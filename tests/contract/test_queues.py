"""What SQS is asked, every engine answers alike through every port."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from caraway.core.message import Message
from caraway.core.publish import DEFAULT_GROUP
from caraway.exceptions import RequestFailed, ResourceMissing
from caraway.requests.sqs import (
    DELAY_LIMIT_S,
    MESSAGE_LIMIT_BYTES,
    ChangeMessageVisibility,
    DeleteMessage,
    GetQueueAttributes,
    GetQueueUrl,
    PurgeQueue,
    ReceiptExpired,
    SendMessage,
)

if TYPE_CHECKING:
    from caraway.requests.sqs import ReceivedMessage
    from tests.contract.conftest import Harness

UNICODE = 'caraway ☕ 种子 \N{SEEDLING} "\\" \t\r\n \x7f end'


def drain(harness: Harness, url: str, expected: int) -> list[ReceivedMessage]:
    """Receive and delete until so many messages have come."""
    received: list[ReceivedMessage] = []
    while len(received) < expected:
        batch = harness.next_visible(url)
        assert batch, f"{len(received)} of {expected} messages came"
        received += batch
        deletes = [DeleteMessage(url, each.receipt_handle) for each in batch]
        assert harness.run(harness.aws.perform_all(deletes)) == [None] * len(batch)
    return received


def test_a_message_arrives_as_it_was_sent(harness: Harness) -> None:
    url = harness.queue()
    id = harness.perform(SendMessage(url, UNICODE, attributes={"reason": "größer", "queue": "q"}))
    (received,) = harness.next_visible(url)
    assert received.message_id == id
    assert received.body == UNICODE
    assert received.attributes == {"reason": "größer", "queue": "q"}
    assert received.receive_count == 1
    assert received.group_id is None
    age = harness.aws.now().timestamp() - received.sent_at_s
    assert abs(age) < timedelta(hours=1).total_seconds()  # seconds since the epoch, not milli


def test_a_received_message_is_hidden_until_it_is_made_visible(harness: Harness) -> None:
    url = harness.queue()
    harness.perform(SendMessage(url, "again"))
    (first,) = harness.next_visible(url, visibility_timeout_s=600)
    assert harness.visible_now(url) == []
    harness.perform(ChangeMessageVisibility(url, first.receipt_handle, 0))
    (second,) = harness.next_visible(url)
    assert second.message_id == first.message_id
    assert second.receive_count == 2


def test_time_brings_delayed_messages_but_not_one_whose_visibility_was_extended(
    harness: Harness,
) -> None:
    url = harness.queue()
    harness.perform(SendMessage(url, "long"))
    while True:
        (first,) = harness.next_visible(url, visibility_timeout_s=1)
        try:
            harness.perform(ChangeMessageVisibility(url, first.receipt_handle, 900))
            break
        except ReceiptExpired:  # the machine was busy for a second
            continue
    harness.perform(SendMessage(url, "much later", delay_s=DELAY_LIMIT_S))
    harness.perform(SendMessage(url, "later", delay_s=1))
    # By the time it comes, the first one's second is over.
    assert [each.body for each in harness.next_visible(url)] == ["later"]


def test_a_deleted_message_does_not_come_back(harness: Harness) -> None:
    url = harness.queue()
    harness.perform(SendMessage(url, "once"))
    (received,) = harness.next_visible(url, visibility_timeout_s=0)
    harness.perform(DeleteMessage(url, received.receipt_handle))
    assert harness.visible_now(url) == []


def test_a_purged_queue_is_empty(harness: Harness) -> None:
    url = harness.queue()
    harness.perform(SendMessage(url, "gone"))
    harness.perform(PurgeQueue(url))
    assert harness.visible_now(url) == []


def test_a_queue_is_looked_up_once(harness: Harness) -> None:
    name = harness.queue_name()
    url = harness.perform(GetQueueUrl(name))
    harness.ask("sqs", "delete_queue", QueueUrl=url)
    assert harness.perform(GetQueueUrl(name)) == url


@pytest.mark.without("memory", because="its queues exist by being used")
def test_a_look_up_that_failed_is_asked_again(harness: Harness) -> None:
    name = harness.unique_name()
    with pytest.raises(ResourceMissing):
        harness.perform(GetQueueUrl(name))
    harness.ask("sqs", "create_queue", QueueName=name)
    assert harness.perform(GetQueueUrl(name)).endswith(name)


@pytest.mark.without("memory", because="its queues have no attributes")
def test_attributes_of_a_queue_are_text(harness: Harness) -> None:
    url = harness.queue(VisibilityTimeout="77")
    harness.perform(SendMessage(url, "deep"))
    attributes = harness.perform(GetQueueAttributes(url))
    assert attributes["VisibilityTimeout"] == "77"
    assert attributes["ApproximateNumberOfMessages"] == "1"


# -- FIFO -----------------------------------------------------------------------------------------


@pytest.mark.without("stub", because="it has standard queues only")
def test_a_fifo_queue_keeps_the_order_of_a_group(harness: Harness) -> None:
    url = harness.queue(fifo=True)
    bodies = [f"{number}" for number in range(25)]
    sends = [
        SendMessage(url, body, group_id=DEFAULT_GROUP, deduplication_id=f"{body}:0")
        for body in bodies
    ]
    ids = harness.run(harness.aws.perform_all(sends))
    received = drain(harness, url, len(bodies))
    assert [each.body for each in received] == bodies
    assert [each.message_id for each in received] == ids
    assert {each.group_id for each in received} == {DEFAULT_GROUP}


@pytest.mark.without("stub", because="it has standard queues only")
def test_a_message_in_flight_holds_its_group_back_and_no_other(harness: Harness) -> None:
    url = harness.queue(fifo=True)
    for group, body in (("a", "a1"), ("a", "a2"), ("b", "b1")):
        harness.perform(SendMessage(url, body, group_id=group, deduplication_id=body))
    (first,) = harness.next_visible(url, limit=1)
    assert first.body == "a1"
    assert [each.body for each in harness.visible_now(url)] == ["b1"]
    harness.perform(DeleteMessage(url, first.receipt_handle))
    assert [each.body for each in harness.next_visible(url)] == ["a2"]


@pytest.mark.without("stub", because="it has standard queues only")
def test_a_fifo_queue_takes_the_same_attempt_once(harness: Harness) -> None:
    url = harness.queue(fifo=True)
    for body in ("first", "again"):
        harness.perform(SendMessage(url, body, group_id="g", deduplication_id="id:0"))
    harness.perform(SendMessage(url, "next", group_id="g", deduplication_id="id:1"))
    assert [each.body for each in drain(harness, url, 2)] == ["first", "next"]


# -- many at once ---------------------------------------------------------------------------------


def test_many_messages_are_sent_and_deleted_each_with_its_own_answer(harness: Harness) -> None:
    url = harness.queue()
    bodies = [f"{number}" for number in range(25)]
    ids = harness.run(harness.aws.perform_all([SendMessage(url, body) for body in bodies]))
    received = drain(harness, url, len(bodies))
    assert {each.message_id: each.body for each in received} == dict(zip(ids, bodies, strict=True))
    assert harness.visible_now(url) == []


def test_messages_to_several_queues_are_sent_together(harness: Harness) -> None:
    urls = [harness.queue(), harness.queue()]
    sends = [SendMessage(urls[number % 2], f"{number}") for number in range(6)]
    ids = harness.run(harness.aws.perform_all(sends))
    for parity, url in enumerate(urls):
        received = {each.message_id: each.body for each in drain(harness, url, 3)}
        assert received == {ids[number]: f"{number}" for number in range(6) if number % 2 == parity}


def test_more_bytes_than_one_batch_takes_are_sent(harness: Harness) -> None:
    url = harness.queue()
    body = "x" * (MESSAGE_LIMIT_BYTES // 2 - 100)
    attributes = {"padding": "y" * 400}
    sends = [SendMessage(url, body, attributes=attributes) for _ in range(3)]
    answers = harness.run(harness.aws.perform_all(sends))
    assert all(isinstance(answer, str) for answer in answers)
    assert {len(each.body) for each in drain(harness, url, 3)} == {len(body)}


@pytest.mark.without("memory", because="it takes any receipt handle")
def test_one_entry_that_fails_fails_its_own_caller_only(harness: Harness) -> None:
    url = harness.queue()
    harness.run(harness.aws.perform_all([SendMessage(url, f"{number}") for number in range(4)]))
    received: list[ReceivedMessage] = []
    while len(received) < 4:
        received += harness.next_visible(url)
    handles = [each.receipt_handle for each in received]
    handles[2:2] = ["no such handle"]
    changes = [ChangeMessageVisibility(url, handle, 600) for handle in handles]
    deletes = [DeleteMessage(url, handle) for handle in handles]
    for answers in (
        harness.run(harness.aws.perform_all(changes)),
        harness.run(harness.aws.perform_all(deletes)),
    ):
        refused = answers.pop(2)
        assert isinstance(refused, RequestFailed)
        assert refused.code == "ReceiptHandleIsInvalid"
        assert answers == [None] * 4
    attributes = harness.perform(GetQueueAttributes(url))
    assert attributes["ApproximateNumberOfMessagesNotVisible"] == "0"


@pytest.mark.without("memory", because="its queues exist by being used")
def test_a_batch_that_fails_fails_each_caller_with_an_exception_of_its_own(
    harness: Harness,
) -> None:
    url = harness.queue() + "-gone"
    first, second = harness.run(
        harness.aws.perform_all([SendMessage(url, "1"), SendMessage(url, "2")])
    )
    assert isinstance(first, ResourceMissing)
    assert isinstance(second, ResourceMissing)
    assert first is not second
    assert first.__cause__ is not None


def test_a_whole_task_message_travels(harness: Harness) -> None:
    url = harness.queue()
    message = Message(id="i", task="shop.send", args=(UNICODE, [1, 2.5, None]), kwargs={"k": {}})
    harness.perform(SendMessage(url, message.to_body()))
    (received,) = harness.next_visible(url)
    assert received.body == message.to_body()


def test_a_standard_queue_takes_a_tenant_and_a_delay_together(harness: Harness) -> None:
    url = harness.queue()
    harness.perform(SendMessage(url, "now", group_id="customer-42"))
    harness.perform(SendMessage(url, "later", delay_s=1, group_id="customer-42"))
    received = drain(harness, url, expected=2)
    assert {(each.body, each.group_id) for each in received} == {
        ("now", "customer-42"),
        ("later", "customer-42"),
    }
