"""A message that may not run now: what becomes of it is read from the record."""

from __future__ import annotations

from typing import Any

import pytest

from caraway import states
from caraway.core.claim_check import Store
from caraway.core.context import Context
from caraway.core.disposition import Delete, Leave
from caraway.core.events import Fenced, Undeliverable
from caraway.core.message import Message
from caraway.core.port import run_now
from caraway.core.record import DONE, RUNNING, Written
from caraway.core.refusal import SKEW_S
from caraway.core.routing import Queue
from caraway.exceptions import EndpointUnreachable, Reject, ResourceMissing, Retry
from caraway.requests.dynamodb import UpdateItem
from caraway.requests.sqs import GetQueueUrl, SendMessage
from tests.support import FakeTask, Fates, World, doing, signature, to_phase


def crashed(world: World, task: str = "task", **options: Any) -> Message:
    """Send a task, and have the worker that claims it die; the lease is as long as the queue's."""
    sent = world.send(task, **options)
    received = world.receive()
    assert received is not None
    fate = world.aws.fate
    world.aws.fate = Fates().on(UpdateItem, "fail", nth=2)
    with pytest.raises(EndpointUnreachable):
        run_now(world.executor.execute(world.delivery(received)))
    world.aws.fate = fate
    return sent


def test_a_message_whose_task_runs_elsewhere_is_left_until_the_lease_ends_and_the_skew() -> None:
    world = World(FakeTask("task"))
    sent = crashed(world)
    world.aws.pass_time(60)
    assert world.redeliver(sent) == Leave(300 + int(SKEW_S), "it runs elsewhere")
    assert len(world.tasks["task"].runs) == 1


def test_a_lease_that_ended_is_taken_over_and_the_lost_worker_counted() -> None:
    world = World(FakeTask("task", doing(1)))
    sent = crashed(world)
    token = world.record(sent).token
    world.aws.pass_time(360)
    assert world.deliver() == Delete(states.SUCCESS)
    record = world.record(sent)
    assert (record.phase, record.lost) == (DONE, 1)
    assert record.token != token


def test_a_worker_that_was_overtaken_can_write_nothing_any_more() -> None:
    world = World(FakeTask("task"))
    sent = world.send("task", link=signature("other"))

    def overtaken(request: Context) -> str:
        if len(world.tasks["task"].runs) == 1:
            world.aws.pass_time(361)
            assert world.redeliver(sent) == Delete(states.SUCCESS)
            return "first, and too late"
        return "second"

    world.tasks["task"].function = overtaken
    world.deliver()
    assert world.result(sent) == "second"
    assert {message.args for message in world.messages()} == {("second",)}
    assert len(world.events_of(Fenced)) == 1


def test_an_overtaken_worker_does_not_overwrite_the_winners_object() -> None:
    store = Store("bucket", result_limit_bytes=10)
    world = World(FakeTask("task"), store=store)
    sent = world.send("task")

    def overtaken(_request: Context) -> str:
        if len(world.tasks["task"].runs) == 1:
            world.aws.pass_time(361)
            world.redeliver(sent)
            return "first" * 10
        return "second" * 10

    world.tasks["task"].function = overtaken
    world.deliver()
    key = (world.record(sent).result or "").removeprefix("s3://bucket/")
    assert world.aws.objects["bucket", key] == b'"%s"' % (b"second" * 10)


@pytest.mark.parametrize("seconds", [100, 700_000])
@pytest.mark.parametrize("receives", [1, 501])
def test_a_worn_message_is_replaced_by_a_copy_that_keeps_its_times(
    seconds: float, receives: int
) -> None:
    world = World(FakeTask("task"), queues=[Queue("default", visibility_timeout_s=43_200)])
    sent = crashed(world)
    token = world.record(sent).token or ""
    world.aws.pass_time(seconds)
    heartbeat = world.site.records.heartbeat(sent.id, token, world.aws.now().timestamp(), 50)
    run_now(world.aws.perform(heartbeat))

    sent_at_s = world.aws.now().timestamp() - seconds
    disposition = world.redeliver(sent, receive_count=receives, sent_at_s=sent_at_s)

    worn = receives > 500 or seconds > 604_800
    assert isinstance(disposition, Delete if worn else Leave)
    assert world.messages() == [sent] * (2 if worn else 1)
    if worn:
        assert world.asked(SendMessage)[-1].delay_s == 52


def test_a_worn_fifo_message_is_left_as_a_copy_would_lose_its_place() -> None:
    world = World(FakeTask("task"), queues=[Queue("default", fifo=True)])
    sent = crashed(world)
    disposition = world.redeliver(sent, receive_count=900, group_id="default")
    assert isinstance(disposition, Leave)
    assert len(world.asked(SendMessage)) == 1


def test_a_message_is_never_left_for_longer_than_sqs_can_hide_it() -> None:
    world = World(FakeTask("task"), queues=[Queue("default", visibility_timeout_s=43_200)])
    sent = crashed(world)
    disposition = world.redeliver(sent)
    assert isinstance(disposition, Leave)
    assert disposition.visible_in_s == 43_200


def test_the_same_id_with_other_arguments_is_a_dead_letter_and_the_record_untouched() -> None:
    world = World(FakeTask("task", doing(1)))
    world.send("task", "first", task_id="order-1")
    world.deliver()
    before = dict(world.aws.items["tasks", "order-1"])
    other = world.send("task", "other", task_id="order-1")

    disposition = world.deliver()

    assert isinstance(disposition, Delete)
    assert disposition.undeliverable
    assert world.aws.items["tasks", "order-1"] == before
    (letter,) = world.dead_letters()
    assert letter.body == other.to_body()
    assert "used before with another task or other arguments" in letter.attributes["reason"]
    assert [event.reason for event in world.events_of(Undeliverable)] == [disposition.why]
    assert len(world.tasks["task"].runs) == 1


def test_the_same_id_with_other_arguments_cannot_take_over_an_expired_lease() -> None:
    world = World(FakeTask("task"))
    crashed(world, task_id="order-1")
    world.aws.pass_time(1_000)
    world.redeliver(Message("order-1", "task", ("other",)))
    assert world.record("order-1").phase == RUNNING
    assert len(world.dead_letters()) == 1


def test_an_idempotent_task_under_anothers_id_does_not_replace_its_result() -> None:
    world = World(FakeTask("task", lambda request: request.args[0], idempotent=True))
    world.send("task", "first", task_id="order-1")
    world.send("task", "other", task_id="order-1")
    world.drain()
    assert world.result("order-1") == "first"
    assert len(world.dead_letters()) == 1


def test_dead_letters_of_one_id_on_fifo_are_all_kept() -> None:
    world = World(FakeTask("task", doing(1)), queues=["default.fifo"])
    for argument in ("first", "second", "third"):
        body = Message("order-1", "task", (argument,), group_id="default").to_body()
        world.redeliver(body, group_id="default")
    assert len(world.dead_letters()) == 2


def test_a_task_that_was_revoked_before_it_came_does_not_run() -> None:
    world = World(FakeTask("task"))
    sent = world.send("task", link=signature("other"))
    revoke = world.site.records.revoke(sent.id, 0.0, "revoke", Written(states.REVOKED), None)
    run_now(world.aws.perform(revoke))
    assert world.deliver() == Delete("it is REVOKED already")
    assert world.tasks["task"].runs == []
    assert world.messages() == []


def test_a_task_that_is_revoked_between_two_attempts_does_not_run_again() -> None:
    world = World(FakeTask("task", doing(Retry(when=5), 2)))
    sent = world.send("task")
    world.deliver()
    revoke = world.site.records.revoke(sent.id, 0.0, "revoke", Written(states.REVOKED), None)
    run_now(world.aws.perform(revoke))
    world.drain()
    assert len(world.tasks["task"].runs) == 1
    assert world.record(sent).state == states.REVOKED


def test_a_crash_before_the_dead_letter_is_completed_with_the_errback_by_a_redelivery() -> None:
    fates = Fates().on(SendMessage, "fail", nth=3)
    world = World(FakeTask("task", doing(Reject("no"))), FakeTask("errback"), fate=fates)
    sent = world.send("task", link_error=signature("errback"))
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    assert world.dead_letters() == []
    world.aws.pass_time(400)
    world.drain()
    (letter,) = world.dead_letters()
    assert letter.attributes["reason"] == "no"
    assert len(world.tasks["errback"].runs) == 1
    assert world.record(sent).attempt == 1


def test_an_ending_whose_value_is_gone_from_s3_is_a_dead_letter_and_not_a_wrong_callback() -> None:
    fates = Fates().on(SendMessage, "fail", nth=2)
    world = World(
        FakeTask("task", doing("x" * 50)), store=Store("bucket", result_limit_bytes=10), fate=fates
    )
    sent = world.send("task", link=signature("other"))
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    world.aws.objects.clear()
    disposition = world.redeliver(sent)
    assert isinstance(disposition, Delete)
    assert disposition.undeliverable
    assert "what the record keeps in S3" in world.dead_letters()[0].attributes["reason"]
    assert world.messages() == [sent]


def test_a_queue_that_is_missing_is_nobodys_fault_and_the_message_stays() -> None:
    world = World(FakeTask("task", doing(1)))
    sent = world.send("task", link=signature("other"))
    answer = world.aws._answer

    def no_queue(request: Any) -> Any:
        if isinstance(request, GetQueueUrl):
            raise ResourceMissing("queue 'default' does not exist")
        return answer(request)

    world.aws._answer = no_queue  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(ResourceMissing):
            world.redeliver(sent)
    assert world.dead_letters() == []


def test_a_message_released_by_a_drain_runs_at_once_elsewhere_and_nobody_is_lost() -> None:
    world = World(FakeTask("task"))
    sent = world.send("task")

    def drained(request: Context) -> int:
        if len(world.tasks["task"].runs) == 1:
            release = world.site.records.release(sent.id, request.token or "", 0.0)
            run_now(world.aws.perform(release))
            world.redeliver(sent)
        return len(world.tasks["task"].runs)

    world.tasks["task"].function = drained
    world.deliver()
    record = world.record(sent)
    assert (record.phase, record.lost, world.result(sent)) == (DONE, 0, 2)


def test_a_forgotten_result_still_goes_to_a_callback_that_was_not_sent() -> None:
    fates = Fates().on(SendMessage, "fail", nth=2)
    world = World(FakeTask("task", doing(5)), fate=fates)
    sent = world.send("task", link=signature("other"))
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    run_now(world.aws.perform(world.site.records.forget(sent.id, 0.0)))
    world.redeliver(sent)
    assert world.messages()[-1].args == (5,)


def test_a_record_that_vanished_while_its_task_ran_is_not_written_anew() -> None:
    world = World(FakeTask("task"))

    def vanish(_request: Context) -> None:
        world.aws.items.clear()

    world.tasks["task"].function = vanish
    world.send("task")
    disposition = world.deliver()
    assert isinstance(disposition, Delete)
    assert disposition.undeliverable
    assert world.aws.items == {}
    assert len(world.dead_letters()) == 1


def test_lost_answers_of_finishes_leave_a_message_that_is_only_to_be_deleted() -> None:
    fates = Fates().on(UpdateItem, "lose", where=to_phase(DONE))
    world = World(FakeTask("task", doing(1)), fate=fates)
    sent = world.send("task")
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    world.aws.pass_time(400)
    assert world.deliver() == Delete("it is SUCCESS already")
    assert len(world.tasks["task"].runs) == 1
    assert world.result(sent) == 1
