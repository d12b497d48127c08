"""From one attempt to the next: what is recorded, what is sent, and who completes it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from caraway import states
from caraway.core.claim_check import Store
from caraway.core.context import Context
from caraway.core.disposition import Delete, Leave
from caraway.core.record import DONE, FAILED, RETRY
from caraway.core.retry import RetryPolicy
from caraway.core.routing import Queue
from caraway.exceptions import EndpointUnreachable, Reject, Retry
from caraway.requests.dynamodb import UpdateItem
from caraway.requests.sqs import SendMessage
from tests.support import FakeTask, Fates, World, doing, signature, to_phase

BUCKET = Store("bucket", message_limit_bytes=2_000, result_limit_bytes=100)
AUTO = RetryPolicy(autoretry_for=(ConnectionError,), default_retry_delay_s=10)


def world_with(*outcomes: Any, fifo: bool = False, **options: Any) -> World:
    task = {name: options.pop(name) for name in list(options) if name in FakeTask.__annotations__}
    queue = Queue("default", fifo=fifo)
    return World(FakeTask("task", doing(*outcomes), **task), queues=[queue], **options)


# -- on a standard queue ---------------------------------------------------------------------


def test_a_retry_is_recorded_then_sent_with_its_delay_then_the_old_message_deleted() -> None:
    world = world_with(ConnectionError("down"), 2, policy=AUTO)
    sent = world.send("task", 7)

    assert world.deliver() == Delete("attempt 1 is next")

    record = world.record(sent)
    assert (record.phase, record.state, record.attempt) == (RETRY, states.RETRY, 1)
    assert world.result(sent)["exc_message"] == ["down"]
    (following,) = world.messages()
    assert (following.id, following.attempt, following.retries) == (sent.id, 1, 1)
    assert following.eta == world.aws.now() + timedelta(seconds=10)
    assert (following.args, following.digest) == ((7,), sent.digest)
    assert following.sent_at == sent.sent_at
    assert world.asked(SendMessage)[-1].delay_s == 10

    world.drain()
    assert (world.record(sent).phase, world.result(sent)) == (DONE, 2)
    assert [request.retries for request in world.tasks["task"].runs] == [0, 1]


def test_a_task_that_fails_for_ever_fails_after_its_last_retry() -> None:
    world = world_with(ConnectionError("down"), policy=AUTO)
    sent = world.send("task")
    world.drain()
    assert len(world.tasks["task"].runs) == 4
    assert (world.record(sent).state, world.record(sent).attempt) == (states.FAILURE, 3)
    assert world.record(sent).lost == 0


def test_a_retry_without_a_delay_is_due_at_once() -> None:
    world = world_with(Retry(), 2)
    world.send("task")
    world.deliver()
    assert [message.eta for message in world.messages()] == [None]


def test_a_crash_between_record_and_send_is_completed_by_the_old_message() -> None:
    fates = Fates().on(SendMessage, "fail", nth=2)
    world = world_with(Retry(when=500, args=[9]), 2, fate=fates)
    sent = world.send("task", 1)
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    assert world.record(sent).phase == RETRY
    world.aws.pass_time(400)

    assert world.deliver() == Delete("attempt 1 is next")

    (following,) = world.messages()
    assert (following.attempt, following.retries, following.args) == (1, 1, (9,))
    assert world.asked(SendMessage)[-1].delay_s == 100
    world.drain()
    assert (world.result(sent), len(world.tasks["task"].runs)) == (2, 2)


def test_an_older_message_resumes_with_all_that_retries_have_changed() -> None:
    fates = Fates().on(SendMessage, "fail", nth=3)
    world = world_with(Retry(args=[9]), Retry(headers={"h": 1}), 2, fate=fates)
    sent = world.send("task", 1)
    world.deliver()
    with pytest.raises(EndpointUnreachable):
        world.deliver()  # attempt 1 crashed after it recorded attempt 2

    assert world.redeliver(sent) == Delete("attempt 2 is next")

    following = world.messages()[-1]
    assert (following.attempt, following.retries) == (2, 2)
    assert (following.args, following.headers) == ((9,), {"h": 1})


def test_what_a_retry_changed_is_still_known_after_a_redrive() -> None:
    fates = Fates().on(SendMessage, "fail", nth=5)
    world = world_with(Retry(args=[9]), Reject("no"), Retry(), 2, fate=fates)
    sent = world.send("task", 1)
    world.deliver()
    world.deliver()
    world.redrive()
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    world.redeliver(sent)
    following = world.messages()[-1]
    assert (following.attempt, following.retries, following.args) == (3, 1, (9,))


def test_an_older_message_is_deleted_while_a_later_attempt_runs() -> None:
    world = world_with(Retry(), 2)
    sent = world.send("task")
    world.deliver()
    seen: list[Any] = []
    world.tasks["task"].function = lambda _request: seen.append(world.redeliver(sent))
    world.deliver()
    assert seen == [Delete("attempt 1 runs")]


def test_a_later_message_waits_while_an_older_attempt_runs() -> None:
    world = world_with(1)
    sent = world.send("task")
    seen: list[Any] = []

    def run(_request: Context) -> None:
        seen.append(world.redeliver(sent.next_attempt()))

    world.tasks["task"].function = run
    world.deliver()
    assert [type(each) for each in seen] == [Leave]


def test_a_retry_with_large_arguments_keeps_them_in_s3_and_resumes_from_there() -> None:
    fates = Fates().on(SendMessage, "fail", nth=2)
    world = world_with(Retry(args=["x" * 3_000]), 2, fate=fates, store=BUCKET)
    sent = world.send("task", 1)
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    record = world.record(sent)
    assert record.retry == f"s3://bucket/results/{sent.id}/{record.token}.retry"
    world.aws.pass_time(400)
    world.drain()
    assert world.tasks["task"].runs[-1].args == ("x" * 3_000,)


def test_a_retry_hours_ahead_hops_in_steps_that_sqs_can_hold() -> None:
    world = world_with(Retry(when=7_200), "later")
    sent = world.send("task")
    began = world.aws.now()
    world.drain()
    assert world.result(sent) == "later"
    assert world.aws.now() - began == timedelta(hours=2)
    assert {request.delay_s for request in world.asked(SendMessage)} == {0, 900}


@pytest.mark.parametrize(
    ("retry", "reason"),
    [
        (Retry(when=float("inf")), "countdown=inf"),
        (Retry(when=datetime(2026, 1, 2)), "no time zone"),
        (Retry(when="soon"), "expected seconds"),  # type: ignore[arg-type]
        (Retry(queue="elsewhere"), "cannot change queue"),
        (Retry(task_id="another", id="another"), "cannot change id, task_id"),
        (Retry(args=5), "args"),
        (Retry(args=[object()]), "not JSON"),
        (Retry(args=["x" * 2_000_000]), "payload_bucket"),
    ],
)
@pytest.mark.parametrize("idempotent", [False, True])
def test_a_retry_that_cannot_be_is_a_failure_that_says_why(
    retry: Retry, reason: str, idempotent: bool
) -> None:
    retry.exc = KeyError("the cause")
    world = world_with(retry, idempotent=idempotent)
    sent = world.send("task")
    assert world.deliver() == Delete(states.FAILURE)
    assert reason in str(world.result(sent)["exc_message"])
    assert "KeyError: 'the cause'" in (world.record(sent).traceback or "")
    assert world.messages() == []


def test_a_retry_whose_changes_no_record_can_hold_is_a_failure_and_no_message() -> None:
    world = world_with(Retry(args=["x" * 500_000]))
    sent = world.send("task")
    assert world.deliver() == Delete(states.FAILURE)
    assert "payload_bucket" in world.result(sent)["exc_message"][0]
    assert world.messages() == []


def test_a_retry_that_was_asked_for_without_raising_happens_whatever_is_returned() -> None:
    def run(request: Context) -> int:
        if request.retries == 0:
            request.requested_retry = Retry(when=1)
        return 5

    world = World(FakeTask("task", run))
    sent = world.send("task")
    world.deliver()
    assert world.record(sent).phase == RETRY
    world.drain()
    assert world.result(sent) == 5


def test_an_idempotent_retry_has_no_record_and_goes_on_all_the_same() -> None:
    world = world_with(Retry(args=[2]), 5, idempotent=True, ignore_result=True)
    sent = world.send("task", 1)
    world.drain()
    assert world.asked(UpdateItem) == []
    assert [request.args for request in world.tasks["task"].runs] == [(1,), (2,)]
    assert world.record(sent).phase is None


def test_two_runs_of_an_idempotent_task_that_retry_have_a_payload_each() -> None:
    world = world_with(
        Retry(args=["a" * 3_000]), Retry(args=["b" * 3_000]), idempotent=True, store=BUCKET
    )
    sent = world.send("task")
    world.deliver()
    world.redeliver(sent)
    world.tasks["task"].function = doing(1)
    world.drain()
    assert [request.args[0][0] for request in world.tasks["task"].runs[2:]] == ["a", "b"]
    assert world.dead_letters() == []


def test_expires_and_links_outlive_a_retry() -> None:
    world = world_with(Retry(when=1), 2)
    sent = world.send("task", expires=100, link=signature("other"))
    world.deliver()
    (following,) = world.messages()
    assert (following.expires, following.link) == (sent.expires, sent.link)


def test_a_claim_that_is_lost_after_a_retry_is_counted_with_those_before() -> None:
    fates = Fates()
    world = world_with(Retry(), 2, fate=fates)
    sent = world.send("task")
    fates.on(UpdateItem, "fail", where=to_phase(RETRY))
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    world.aws.pass_time(400)
    world.tasks["task"].function = doing(Retry(), 2)
    world.drain()
    assert (world.record(sent).lost, world.result(sent)) == (1, 2)


# -- dead letters and redrives ---------------------------------------------------------------


def test_a_redriven_failure_runs_as_the_next_attempt_with_its_retries_again() -> None:
    world = world_with(Retry(), Reject("no"), 3)
    sent = world.send("task")
    world.deliver()
    world.deliver()
    assert (world.record(sent).phase, world.record(sent).attempt) == (FAILED, 2)

    world.redrive()
    (redriven,) = world.messages()
    assert (redriven.attempt, redriven.retries) == (2, 0)
    assert world.deliver() == Delete(states.SUCCESS)

    record = world.record(sent)
    assert (record.phase, record.attempt, record.lost) == (DONE, 2, 0)
    assert (record.traceback, record.message) == (None, None)
    assert world.result(sent) == 3


def test_a_redrive_of_what_succeeded_meanwhile_is_not_run() -> None:
    world = world_with(Reject("no"), 3)
    world.send("task")
    world.deliver()
    letter = world.dead_letters()[0].body
    world.redrive()
    world.deliver()
    world.put(letter)
    assert world.deliver() == Delete("it is SUCCESS already")
    assert len(world.tasks["task"].runs) == 2


def test_a_redrive_that_fails_again_has_an_errback_of_its_own() -> None:
    world = World(
        FakeTask("task", doing(Reject("one"), Reject("two"))), errback := FakeTask("errback")
    )
    world.send("task", link_error=signature("errback"))
    world.deliver()
    world.redrive()
    world.drain()
    reasons = [request.args[1]["exc_message"][0] for request in errback.runs]
    assert reasons == ["one", "two"]


def test_an_older_delivery_of_a_dead_lettered_task_repeats_the_same_dead_letter() -> None:
    world = world_with(Retry(args=[9]), Reject("no"))
    sent = world.send("task", 1)
    world.deliver()
    world.deliver()
    world.redeliver(sent)
    first, second = world.dead_letters()
    assert (first.body, first.attributes) == (second.body, second.attributes)


def test_an_idempotent_task_is_redriven_too() -> None:
    world = world_with(Reject("no"), 3, idempotent=True)
    sent = world.send("task")
    world.deliver()
    assert (world.record(sent).phase, world.record(sent).attempt) == (FAILED, 1)
    world.redrive()
    world.deliver()
    assert (world.record(sent).phase, world.result(sent)) == (DONE, 3)


# -- on a FIFO queue -------------------------------------------------------------------------


def test_on_fifo_a_retry_leaves_the_message_and_the_record_counts_the_attempts() -> None:
    world = world_with(Retry(when=5), Retry(when=7), 3, fifo=True)
    sent = world.send("task", 1)

    assert world.deliver() == Leave(5, "attempt 1 is next")
    assert (world.record(sent).phase, world.record(sent).attempt) == (RETRY, 1)
    world.aws.pass_time(5)
    assert world.deliver() == Leave(7, "attempt 2 is next")
    world.aws.pass_time(7)
    assert world.deliver() == Delete(states.SUCCESS)

    assert len(world.asked(SendMessage)) == 1
    assert [request.retries for request in world.tasks["task"].runs] == [0, 1, 2]
    assert [request.attempt for request in world.tasks["task"].runs] == [0, 1, 2]
    assert world.record(sent).attempt == 2


def test_on_fifo_what_a_retry_changed_comes_from_the_record_in_all_later_attempts() -> None:
    world = world_with(Retry(args=[2]), Retry(headers={"h": 1}), 3, fifo=True)
    world.send("task", 1)
    world.drain()
    runs = world.tasks["task"].runs
    assert [request.args for request in runs] == [(1,), (2,), (2,)]
    assert [dict(request.headers) for request in runs] == [{}, {}, {"h": 1}]


def test_on_fifo_a_requeued_message_goes_on_where_it_was() -> None:
    world = world_with(Retry(args=[2]), Reject("busy", requeue=True), 3, fifo=True)
    sent = world.send("task", 1)
    world.drain()
    assert [request.args for request in world.tasks["task"].runs] == [(1,), (2,), (2,)]
    assert (world.record(sent).attempt, world.result(sent)) == (1, 3)


def test_on_fifo_a_message_that_comes_back_before_its_retry_is_due_is_left() -> None:
    world = world_with(Retry(when=50), 3, fifo=True)
    sent = world.send("task")
    world.deliver()
    assert world.redeliver(sent) == Leave(52, "it runs elsewhere")
    assert len(world.asked(SendMessage)) == 1


def test_on_fifo_a_long_delay_is_left_in_steps_that_sqs_can_hold() -> None:
    world = world_with(Retry(when=100_000), 3, fifo=True)
    sent = world.send("task")
    assert world.deliver() == Leave(43_200, "attempt 1 is next")
    world.drain()
    assert world.result(sent) == 3
    assert len(world.asked(SendMessage)) == 1


def test_on_fifo_an_idempotent_task_is_claimed_because_the_record_counts() -> None:
    world = world_with(Retry(), 3, fifo=True, idempotent=True, ignore_result=True)
    sent = world.send("task")
    world.drain()
    assert (world.record(sent).phase, world.record(sent).attempt) == (DONE, 1)


def test_on_fifo_a_dead_letter_is_the_attempt_that_failed_and_can_be_redriven() -> None:
    world = world_with(Retry(args=[2]), Reject("no"), 3, fifo=True)
    sent = world.send("task", 1)
    world.deliver()
    world.deliver()
    (letter,) = world.dead_letters()
    assert letter.group_id == "default"
    assert letter.deduplication_id is not None
    world.redrive()
    (redriven,) = world.messages()
    assert (redriven.attempt, redriven.retries, redriven.args) == (2, 0, (2,))
    assert world.deliver() == Delete(states.SUCCESS)
    assert world.tasks["task"].runs[-1].retries == 0
    assert (world.result(sent), world.record(sent).attempt) == (3, 2)


def test_on_fifo_an_unknown_task_keeps_what_its_retries_counted_and_changed() -> None:
    world = world_with(Retry(args=[2]), 3, fifo=True)
    sent = world.send("task", 1)
    world.deliver()
    task = world.tasks.pop("task")
    world.deliver()
    assert (world.record(sent).phase, world.record(sent).attempt) == (FAILED, 2)
    world.tasks["task"] = task
    world.redrive()
    world.deliver()
    assert task.runs[-1].args == (2,)


def test_on_fifo_a_crash_after_the_record_of_a_retry_needs_nothing_to_be_completed() -> None:
    world = world_with(Retry(when=5), 3, fifo=True)
    sent = world.send("task")
    received = world.receive()
    assert received is not None
    world.redeliver(sent)  # executed, and then the door died
    world.aws.pass_time(400)
    assert world.deliver() == Delete(states.SUCCESS)


def test_a_fair_standard_queue_is_not_taken_for_fifo() -> None:
    world = world_with(Retry(), Reject("no"))
    sent = world.send("task", message_group_id="tenant-1")
    world.deliver()
    (following,) = world.messages()
    assert following.group_id == "tenant-1"
    world.deliver()
    assert world.record(sent).attempt == 2
