"""From a call to a durable message: what is decided, what is refused, what is sent."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from caraway.aws.memory import MemoryAws
from caraway.core.ids import derived_id
from caraway.core.message import Message, digest_of
from caraway.core.options import NO_MEANING, OPTIONS, check_options, delay_for
from caraway.core.outcomes import all_done
from caraway.core.port import run_now
from caraway.core.publish import DEFAULT_GROUP, Outgoing, Site, describe, from_call
from caraway.core.routing import Queue, Router
from caraway.core.sending import request_to_send, send, send_all, send_each
from caraway.core.workflow import Call, decided, prepended, steps_of
from caraway.exceptions import (
    AccessDenied,
    EndpointUnreachable,
    InvalidOption,
    QueueNotFound,
    UnknownOption,
)
from caraway.requests.sqs import SendMessage
from tests.support import Fates, signature

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
SITE = Site(Router(["default", Queue("orders", fifo=True)]), queue_prefix="dev-")


def call(*args: Any, parent: Message | None = None, **options: Any) -> Outgoing:
    return describe(SITE, "task", args, {}, options, now=NOW, new_id=lambda _: "new", parent=parent)


# -- what is decided -------------------------------------------------------------------------


def test_everything_about_a_call_is_decided_when_it_is_described() -> None:
    outgoing = call(1, 2)
    assert outgoing == Outgoing(
        Message("new", "task", (1, 2), root_id="new", sent_at=NOW), Queue("default"), 0
    )


def test_an_id_may_be_chosen_or_derived_from_the_digest() -> None:
    assert call(task_id="mine").message.id == "mine"
    made = describe(SITE, "task", [1], {}, {}, now=NOW, new_id=lambda digest: digest)
    assert made.message.id == digest_of("task", [1], {})


def test_a_child_belongs_to_its_parents_workflow() -> None:
    parent = Message("p", "task", root_id="r")
    child = call(parent=parent).message
    assert (child.root_id, child.parent_id) == ("r", "p")
    orphan = call(parent=Message("p", "task")).message
    assert (orphan.root_id, orphan.parent_id) == ("p", "p")


@pytest.mark.parametrize(
    "options",
    [
        {"countdown": 60},
        {"countdown": timedelta(minutes=1)},
        {"eta": NOW + timedelta(minutes=1)},
        {"eta": "2026-01-01T00:01:00Z"},
        {"eta": (NOW + timedelta(minutes=1)).astimezone(timezone(timedelta(hours=9)))},
    ],
)
def test_a_countdown_is_an_eta_and_a_delay(options: dict[str, Any]) -> None:
    outgoing = call(**options)
    assert (outgoing.message.eta, outgoing.delay_s) == (NOW + timedelta(minutes=1), 60)


def test_what_is_due_already_has_no_delay() -> None:
    assert call(countdown=-5).delay_s == 0
    assert call(eta=NOW).delay_s == 0


def test_a_delay_is_of_whole_seconds_and_never_too_short() -> None:
    assert call(countdown=0.2).delay_s == 1
    assert call(countdown=900).delay_s == 900
    assert call(countdown=86_400.5).delay_s == 86_401


@pytest.mark.parametrize("expires", [60, 60.0, timedelta(minutes=1), NOW + timedelta(minutes=1)])
def test_expires_is_a_time_or_seconds_from_now(expires: Any) -> None:
    assert call(expires=expires).message.expires == NOW + timedelta(minutes=1)


def test_a_fifo_message_has_a_group() -> None:
    assert call(queue="orders").message.group_id == DEFAULT_GROUP
    assert call(queue="orders", message_group_id="c-5").message.group_id == "c-5"
    assert call().message.group_id is None


def test_links_travel_as_signatures() -> None:
    message = call(link=signature("a"), link_error=[signature("b"), signature("c")]).message
    assert message.link == (signature("a"),)
    assert message.link_error == (signature("b"), signature("c"))


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"countdown": 5, "eta": NOW}, "countdown or eta, not both"),
        ({"countdown": "5"}, "countdown='5': expected seconds, not str"),
        ({"countdown": True}, "expected seconds, not bool"),
        ({"countdown": float("nan")}, "countdown=nan"),
        ({"countdown": 1e300}, "countdown=1e\\+300"),
        ({"eta": 5}, "eta=5: expected a datetime, not int"),
        ({"eta": datetime(2026, 1, 1)}, "has no time zone"),
        ({"eta": "soon"}, "not an ISO 8601 time"),
        ({"eta": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))}, "no time in UTC"),
        ({"expires": "soon"}, "expires"),
        ({"expires": float("inf")}, "expires=inf"),
        ({"expires": [5]}, "expires"),
        ({"queue": "orders", "countdown": 5}, "queue 'orders' is FIFO"),
        ({"link": "task"}, "link='task': expected a signature"),
        ({"link_error": [{"args": []}]}, "link_error"),
        ({"task_id": 5}, "task_id=5: expected printable text"),
        ({"task_id": ""}, "task_id=''"),
        ({"task_id": "a\nb"}, "task_id"),
        ({"task_id": "x" * 201}, "at most 200"),
        ({"headers": "x"}, "headers='x': expected a dict"),
        ({"ignore_result": "yes"}, "ignore_result='yes'"),
        ({"time_limit": 0}, "time_limit=0: expected seconds above 0"),
        ({"soft_time_limit": "5"}, "soft_time_limit='5'"),
        ({"queue": "orders", "message_group_id": "a b"}, "message_group_id='a b'"),
    ],
)
def test_a_value_that_cannot_work_is_refused_at_once(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOption, match=says):
        call(**options)


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UnknownOption, match="did you mean 'countdown'"):
        call(countdwon=5)


@pytest.mark.parametrize("name", NO_MEANING)
def test_an_option_of_celery_without_a_meaning_says_what_takes_its_place(name: str) -> None:
    with pytest.raises(UnknownOption, match=f"'{name}' has no meaning here: "):
        check_options({name: 1})
    assert name not in OPTIONS


def test_an_unknown_queue_is_refused() -> None:
    with pytest.raises(QueueNotFound, match="did you mean 'orders'"):
        call(queue="order")


def test_a_task_needs_a_name() -> None:
    with pytest.raises(InvalidOption, match="task=''"):
        describe(SITE, "", (), {}, {}, now=NOW, new_id=lambda _: "new")


def test_a_delay_is_of_any_length_but_on_fifo_of_none() -> None:
    assert delay_for(None, Queue("a", fifo=True), NOW) == 0
    assert delay_for(NOW + timedelta(days=1), Queue("a"), NOW) == 86_400
    with pytest.raises(InvalidOption, match="'a' is FIFO"):
        delay_for(NOW + timedelta(days=1), Queue("a", fifo=True), NOW)


# -- callbacks -------------------------------------------------------------------------------


def callback(
    wire: dict[str, Any],
    *prepend: Any,
    parent: Message = Message("p", "task"),  # noqa: B008
) -> Message:
    (step,) = prepended(decided(steps_of(wire), derived_id("link:0", "p")), *prepend)
    assert isinstance(step, Call)
    return from_call(SITE, step, parent, NOW).message


def test_a_callbacks_id_derives_from_its_parent_and_its_role() -> None:
    assert callback(signature("a"), 1).id == derived_id("link:0", "p")
    assert callback(signature("a", task_id="mine"), 1).id == "mine"


def test_a_callback_takes_its_parents_value_in_front_unless_it_is_immutable() -> None:
    assert callback(signature("a", 2), 1).args == (1, 2)
    assert callback({**signature("a", 2), "immutable": True}, 1).args == (2,)


def test_a_callback_may_say_no_more_than_its_task() -> None:
    wire = {"task": "a", "args": None, "kwargs": None, "options": {"queue": None}}
    assert callback(wire, 1) == Message(
        derived_id("link:0", "p"), "a", (1,), root_id="p", parent_id="p", sent_at=NOW
    )


# -- sending ---------------------------------------------------------------------------------


def test_a_message_is_sent_to_its_queue_with_its_delay() -> None:
    aws = MemoryAws()
    run_now(send(aws, SITE, call(countdown=5)))
    (request,) = [each for each in aws.requests if isinstance(each, SendMessage)]
    assert (request.queue_url, request.delay_s) == ("memory://dev-default", 5)
    assert (request.group_id, request.deduplication_id) == (None, None)


@pytest.mark.parametrize("id", ["i", "order 17", "주문-17", "x" * 200])
def test_a_fifo_message_is_deduplicated_by_its_id_and_attempt(id: str) -> None:
    request = sent(queue="orders", task_id=id)
    deduplication_id = request.deduplication_id or ""
    assert 0 < len(deduplication_id) <= 128
    assert deduplication_id.isascii()
    assert " " not in deduplication_id
    assert (deduplication_id == f"{id}:0") is (id == "i")


def test_several_messages_are_sent_at_once_and_the_first_failure_raised() -> None:
    aws = MemoryAws(fate=Fates().on(SendMessage, "fail", nth=2))
    requests = [run_now(request_to_send(aws, SITE, call(n))) for n in range(3)]
    with pytest.raises(EndpointUnreachable):
        run_now(send_all(aws, requests))
    assert len(aws.bodies("dev-default")) == 2


def failing(times: int) -> MemoryAws:
    fates = Fates()
    for _ in range(times):
        fates.on(SendMessage, "fail")
    return MemoryAws(fate=fates)


def test_a_send_is_repeated_while_aws_does_not_answer() -> None:
    aws = failing(3)
    began = aws.now()
    all_done(run_now(send_each(aws, SITE, [call()], {})))
    assert len(aws.bodies("dev-default")) == 1
    assert (aws.now() - began).total_seconds() == pytest.approx(0.4)  # 0, 0.2, 0.2


def test_of_several_messages_only_those_that_were_not_taken_are_sent_again() -> None:
    aws = failing(2)
    all_done(run_now(send_each(aws, SITE, [call(n) for n in range(3)], {})))
    assert len(set(aws.bodies("dev-default"))) == len(aws.bodies("dev-default")) == 3


def test_a_send_gives_up_after_its_last_retry() -> None:
    with pytest.raises(EndpointUnreachable):
        all_done(run_now(send_each(failing(4), SITE, [call()], {})))
    with pytest.raises(EndpointUnreachable):
        all_done(run_now(send_each(failing(1), SITE, [call()], {"max_retries": 0})))


def test_a_send_may_be_repeated_for_ever() -> None:
    aws = failing(50)
    policy = {"max_retries": None, "interval_start": 1, "interval_step": 1, "interval_max": 3}
    began = aws.now()
    all_done(run_now(send_each(aws, SITE, [call()], policy)))
    assert (aws.now() - began).total_seconds() == 1 + 2 + 3 * 48


def test_what_waiting_does_not_mend_is_raised_at_once() -> None:
    aws = MemoryAws()

    def denied(_request: Any) -> Any:
        raise AccessDenied("not allowed")

    aws._answer = denied  # type: ignore[assignment]
    began = aws.now()
    with pytest.raises(AccessDenied):
        all_done(run_now(send_each(aws, SITE, [call()], {"max_retries": None})))
    assert aws.now() == began


# -- message groups ---------------------------------------------------------------------------


def sent(**options: Any) -> SendMessage:
    request = run_now(request_to_send(MemoryAws(), SITE, call(**options)))
    assert isinstance(request, SendMessage)
    return request


def test_a_group_and_a_deduplication_id_have_two_names_each() -> None:
    ours = sent(queue="orders", message_group_id="order-7", message_deduplication_id="paid-7")
    assert (ours.group_id, ours.deduplication_id) == ("order-7", "paid-7")
    assert ours == sent(queue="orders", MessageGroupId="order-7", MessageDeduplicationId="paid-7")


def test_a_call_without_a_deduplication_id_is_known_by_its_task_id() -> None:
    assert sent(queue="orders", task_id="7").deduplication_id == "7:0"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"message_group_id": "a", "MessageGroupId": "b"}, "give message_group_id or MessageGroup"),
        ({"MessageGroupId": "a b"}, "message_group_id='a b': expected 1 to 128"),
        ({"MessageDeduplicationId": 7}, "message_deduplication_id=7: expected 1 to 128"),
    ],
)
def test_a_group_that_sqs_would_refuse_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        call(queue="orders", **options)


def test_a_standard_queue_tells_no_duplicates_and_says_what_does() -> None:
    with pytest.raises(InvalidOption, match=r"queue 'default' is standard.*give a task_id"):
        call(message_deduplication_id="x")


def test_what_a_task_of_a_group_leads_to_stays_in_the_group() -> None:
    parent = call(queue="orders", message_group_id="order-7").message
    wire = signature("tell", queue="orders")
    assert callback(wire, parent=parent).group_id == "order-7"
    named = signature("tell", queue="orders", message_group_id="other")
    assert callback(named, parent=parent).group_id == "other"
    assert call(parent=parent).message.group_id is None  # a standard queue keeps no order
    assert call(queue="orders").message.group_id == DEFAULT_GROUP
