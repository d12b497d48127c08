"""The account in memory: it works, fails and loses answers as told."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from caraway.aws.memory import Fate, MemoryAws
from caraway.core.port import Returned, run_now
from caraway.exceptions import EndpointUnreachable, PayloadMissing, RequestFailed
from caraway.requests.base import Request
from caraway.requests.dynamodb import ConditionFailed, DescribeTable, GetItem, UpdateItem
from caraway.requests.items import Absent, Change, OrElse, Sum
from caraway.requests.s3 import GetObject, PutObject
from caraway.requests.sqs import (
    ChangeMessageVisibility,
    DeleteMessage,
    GetQueueUrl,
    PurgeQueue,
    ReceiveMessages,
    SendMessage,
)

URL = "memory://orders"
CREATE = UpdateItem("tasks", "i", Change({"by": "me"}), Absent("id"))
COUNT = UpdateItem("tasks", "i", Change({"n": Sum(OrElse("n", 0), OrElse("one", 1))}), Absent("x"))


def always(fate: Fate) -> MemoryAws:
    return MemoryAws(fate=lambda _request: fate)


def perform(aws: MemoryAws, request: Request[Any]) -> Any:
    return run_now(aws.perform(request))


# -- fates ----------------------------------------------------------------------------------------


def test_everything_works_by_default() -> None:
    aws = MemoryAws()
    assert perform(aws, CREATE) == {"id": "i", "by": "me"}
    assert aws.item("tasks", "i") == {"id": "i", "by": "me"}
    assert aws.requests == [CREATE]


def test_a_request_that_fails_never_arrives() -> None:
    aws = always("fail")
    with pytest.raises(EndpointUnreachable, match="did not arrive"):
        perform(aws, CREATE)
    assert aws.item("tasks", "i") is None
    assert aws.requests == []


def test_a_lost_answer_belongs_to_a_request_that_was_performed() -> None:
    aws = always("lose")
    with pytest.raises(EndpointUnreachable, match="answer was lost"):
        perform(aws, CREATE)
    assert aws.item("tasks", "i") == {"id": "i", "by": "me"}


def test_a_lost_answer_hides_a_refusal_too() -> None:
    aws = MemoryAws()
    perform(aws, CREATE)
    aws.fate = lambda _request: "lose"
    with pytest.raises(EndpointUnreachable):
        perform(aws, CREATE)


def test_a_repeated_request_is_performed_twice_and_answered_once() -> None:
    aws = always("repeat")
    assert perform(aws, COUNT)["n"] == 2
    perform(aws, SendMessage(URL, "body"))
    assert aws.bodies("orders") == ["body", "body"]


def test_a_repeated_write_meets_its_own_condition() -> None:
    with pytest.raises(ConditionFailed) as failed:
        perform(always("repeat"), CREATE)
    assert failed.value.item == {"id": "i", "by": "me"}


def test_each_request_has_its_own_fate() -> None:
    aws = MemoryAws(fate=lambda request: "fail" if isinstance(request, SendMessage) else "ok")
    sent, url = run_now(aws.perform_all([SendMessage(URL, "body"), GetQueueUrl("orders")]))
    assert isinstance(sent, EndpointUnreachable)
    assert url == URL


# -- time -----------------------------------------------------------------------------------------


def test_the_clock_moves_only_when_told() -> None:
    start = datetime(2026, 6, 1, tzinfo=timezone.utc)
    aws = MemoryAws(time=start)
    assert aws.now() == aws.now() == start
    run_now(aws.sleep(1.5))
    aws.pass_time(60)
    assert aws.now() == start + timedelta(seconds=61.5)


def test_a_delayed_message_is_received_when_it_is_due() -> None:
    aws = MemoryAws()
    perform(aws, SendMessage(URL, "later", delay_s=10))
    assert aws.bodies("orders") == ["later"]
    assert perform(aws, ReceiveMessages(URL)) == []
    assert aws.next_visible_at("orders") == aws.now() + timedelta(seconds=10)
    aws.pass_time(10)
    (received,) = perform(aws, ReceiveMessages(URL))
    assert received.body == "later"
    assert received.sent_at_s == aws.now().timestamp() - 10


def test_an_empty_queue_has_no_next_message() -> None:
    aws = MemoryAws()
    assert aws.next_visible_at("orders") is None
    assert aws.bodies("orders") == []


def test_a_message_that_nobody_deletes_comes_back() -> None:
    aws = MemoryAws()
    perform(aws, SendMessage(URL, "body"))
    (first,) = perform(aws, ReceiveMessages(URL, visibility_timeout_s=5))
    aws.pass_time(4)
    assert perform(aws, ReceiveMessages(URL)) == []
    aws.pass_time(1)
    (second,) = perform(aws, ReceiveMessages(URL))
    assert (first.receive_count, second.receive_count) == (1, 2)
    perform(aws, ChangeMessageVisibility(URL, second.receipt_handle, 0))
    (third,) = perform(aws, ReceiveMessages(URL))
    perform(aws, DeleteMessage(URL, first.receipt_handle))  # any receipt of it will do
    assert third.message_id == first.message_id
    assert aws.bodies("orders") == []


# -- what else it knows ---------------------------------------------------------------------------


def test_a_receive_takes_no_more_than_it_asks_for() -> None:
    aws = MemoryAws()
    for number in range(5):
        perform(aws, SendMessage(URL, f"{number}"))
    received = perform(aws, ReceiveMessages(URL, limit=3))
    assert [each.body for each in received] == ["0", "1", "2"]
    perform(aws, PurgeQueue(URL))
    assert aws.bodies("orders") == []


def test_an_item_that_was_read_is_the_readers_own() -> None:
    aws = MemoryAws()
    perform(aws, CREATE)["by"] = "changed"
    assert aws.item("tasks", "i") == {"id": "i", "by": "me"}
    perform(aws, GetItem("tasks", "i"))["by"] = "changed"
    assert aws.item("tasks", "i") == {"id": "i", "by": "me"}


def test_an_object_that_is_not_there_is_missed() -> None:
    aws = MemoryAws()
    perform(aws, PutObject("b", "k", b"data"))
    assert perform(aws, GetObject("b", "k")) == b"data"
    with pytest.raises(PayloadMissing, match="s3://b/other"):
        perform(aws, GetObject("b", "other"))


def test_user_code_runs_at_once() -> None:
    assert run_now(MemoryAws().call(len, "four")) == Returned(4)


def test_a_request_without_a_meaning_in_memory_is_refused() -> None:
    with pytest.raises(RequestFailed, match="DescribeTable has no meaning"):
        perform(MemoryAws(), DescribeTable("tasks"))
