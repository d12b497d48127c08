"""One delivery in, one disposition out: the pipeline, step by step."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from caraway import states
from caraway.core.claim_check import INLINE_LIMIT_BYTES, Store
from caraway.core.context import Context
from caraway.core.disposition import Delete, Leave
from caraway.core.events import (
    Ended,
    Fenced,
    HookFailed,
    ProcessLost,
    Received,
    Undeliverable,
)
from caraway.core.ids import derived_id
from caraway.core.message import Message
from caraway.core.port import Lost, Outcome, run_now
from caraway.core.record import DONE, FAILED, HORIZON_S, RETRY, RUNNING
from caraway.core.results import look
from caraway.core.retry import RetryPolicy
from caraway.core.routing import Queue
from caraway.core.settle import Again, Ending, Failed, Succeeded
from caraway.exceptions import (
    EndpointUnreachable,
    Ignore,
    NotRegistered,
    Reject,
    Retry,
    WorkerLostError,
)
from caraway.requests.dynamodb import GetItem, UpdateItem
from caraway.requests.s3 import GetObject, PutObject
from caraway.requests.sqs import MESSAGE_LIMIT_BYTES, DeleteMessage, SendMessage
from tests.support import FakeTask, Fates, World, doing, signature, to_phase, to_queue


def add(request: Context) -> Any:
    return sum(request.args)


def world_with(*outcomes: Any, **options: Any) -> World:
    """A world with one task, named task, that does one thing after the other."""
    task = {name: options.pop(name) for name in list(options) if name in FakeTask.__annotations__}
    return World(FakeTask("task", doing(*outcomes), **task), **options)


# -- a task that runs ------------------------------------------------------------------------


def test_a_task_runs_is_recorded_and_its_message_deleted() -> None:
    world = World(FakeTask("add", add))
    sent = world.send("add", 2, 3)

    assert world.deliver() == Delete(states.SUCCESS)

    record = world.record(sent)
    assert (record.phase, record.state, world.result(sent)) == (DONE, states.SUCCESS, 5)
    assert record.open_at is None
    assert world.messages() == []
    assert [type(event) for event in world.events] == [Received, Ended]


@pytest.mark.parametrize("value", [None, 0, "", False, [], {}])
def test_a_result_may_be_falsy(value: Any) -> None:
    world = world_with(value)
    sent = world.send("task")
    world.deliver()
    seen = run_now(look(world.aws, world.site, sent.id))
    assert (seen.state, seen.result, seen.ready) == (states.SUCCESS, value, True)


def test_a_task_costs_two_writes_and_its_message_two_requests() -> None:
    world = world_with(1)
    world.send("task")
    world.deliver()
    assert len(world.asked(UpdateItem)) == 2
    assert len(world.asked(SendMessage)) == len(world.asked(DeleteMessage)) == 1


def test_the_request_shows_what_the_message_says() -> None:
    world = World(task := FakeTask("task", add))
    sent = world.send("task", 1, headers={"trace": "x"}, time_limit=5)
    world.deliver()
    (request,) = task.runs
    assert (request.id, request.task, request.args) == (sent.id, "task", (1,))
    assert (request.root_id, request.retries, request.attempt) == (sent.id, 0, 0)
    assert request.delivery_info == {"queue": "default", "redelivered": False}
    assert (request.headers, request.timelimit) == ({"trace": "x"}, (5, None))
    assert request.hostname == "worker"


def test_users_see_started_only_where_it_is_tracked() -> None:
    seen: list[str] = []

    def observe(request: Context) -> None:
        seen.append(world.record(request.id or "").state)

    world = World(FakeTask("plain", observe), FakeTask("tracked", observe, track_started=True))
    world.send("plain")
    world.send("tracked")
    world.drain()
    assert seen == [states.PENDING, states.STARTED]


def test_a_failure_is_recorded_with_its_error_its_traceback_and_its_message() -> None:
    world = world_with(ValueError("no", 3))
    sent = world.send("task", "argument")

    assert world.deliver() == Delete(states.FAILURE)

    record = world.record(sent)
    assert (record.phase, record.state) == (DONE, states.FAILURE)
    assert world.result(sent) == {
        "exc_type": "ValueError",
        "exc_module": "builtins",
        "exc_message": ["no", 3],
    }
    assert "ValueError: ('no', 3)" in (record.traceback or "")
    assert record.message == sent.to_body()
    assert world.dead_letters() == []


def test_an_ignored_outcome_has_no_result_and_no_callbacks() -> None:
    world = world_with(Ignore())
    sent = world.send("task", link=signature("task"), link_error=signature("task"))
    assert world.deliver() == Delete(states.IGNORED)
    assert (world.record(sent).phase, world.record(sent).state) == (DONE, states.IGNORED)
    assert world.messages() == []


def test_what_runs_is_listed_while_it_runs_and_only_then() -> None:
    listed: list[dict[str, Any]] = []
    world = World(FakeTask("task", lambda _request: listed.append(dict(world.executor.running))))
    sent = world.send("task")
    world.deliver()
    assert [(token, claimed.message) for token, claimed in listed[0].items()] == [
        (world.record(sent).token, sent)
    ]
    assert world.executor.running == {}


def test_what_runs_is_not_listed_any_more_after_an_error_of_the_port() -> None:
    world = World(FakeTask("task"))
    world.send("task")

    async def broken(_function: Any, *_args: Any) -> Any:
        raise KeyboardInterrupt

    world.aws.call = broken  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        world.deliver()
    assert world.executor.running == {}


# -- results that are large, or cannot be kept -----------------------------------------------

BUCKET = Store("bucket", message_limit_bytes=2_000, result_limit_bytes=100)


def test_a_large_result_is_kept_in_s3_under_the_claims_token() -> None:
    world = world_with("x" * 200, store=BUCKET)
    sent = world.send("task")
    world.deliver()
    record = world.record(sent)
    assert record.result == f"s3://bucket/results/{sent.id}/{record.token}"
    assert run_now(look(world.aws, world.site, sent.id)).result == "x" * 200


def test_a_result_that_is_too_large_without_a_bucket_is_a_failure_that_says_so() -> None:
    world = world_with("x" * INLINE_LIMIT_BYTES["result"])
    sent = world.send("task", link_error=signature("task"))
    assert world.deliver() == Delete(states.FAILURE)
    assert "payload_bucket" in world.result(sent)["exc_message"][0]
    assert [message.task for message in world.messages()] == ["task"]  # the errback


def test_a_result_that_cannot_be_serialised_is_a_failure_and_never_retried_by_itself() -> None:
    world = world_with(object(), policy=RetryPolicy(autoretry_for=(Exception,)))
    sent = world.send("task")
    assert world.deliver() == Delete(states.FAILURE)
    assert world.result(sent)["exc_type"] == "EncodeError"
    assert world.messages() == []


def test_a_result_that_nobody_wants_need_not_be_serialisable() -> None:
    world = world_with(object(), ignore_result=True)
    sent = world.send("task")
    assert world.deliver() == Delete(states.SUCCESS)
    assert world.record(sent).result is None


def test_a_failure_is_recorded_however_long_its_message_and_its_arguments_are() -> None:
    world = world_with(ValueError("x" * 900_000))
    sent = world.send("task", "y" * 900_000)
    assert world.deliver() == Delete(states.FAILURE)
    record = world.record(sent)
    assert record.message is None  # too large to keep without a bucket
    assert record.result is not None
    assert len(record.result) < 20_000


def test_a_traceback_with_text_that_is_no_unicode_is_kept_readable() -> None:
    world = world_with(FileNotFoundError("caf\udce9.txt"))
    sent = world.send("task")
    world.deliver()
    traceback = world.record(sent).traceback or ""
    assert "caf\\udce9.txt" in traceback
    assert traceback.isascii()


# -- what is not recorded --------------------------------------------------------------------


def test_an_ignored_result_is_not_kept_but_its_state_is() -> None:
    world = world_with(7, ignore_result=True)
    sent = world.send("task")
    world.deliver()
    assert (world.record(sent).state, world.record(sent).result) == (states.SUCCESS, None)


def test_a_call_may_ask_for_a_result_that_its_task_ignores_and_the_other_way_round() -> None:
    world = World(FakeTask("quiet", add, ignore_result=True), FakeTask("loud", add))
    kept = world.send("quiet", 1, ignore_result=False)
    dropped = world.send("loud", 1, ignore_result=True)
    world.drain()
    assert (world.result(kept), world.result(dropped)) == (1, None)


def test_a_callback_takes_the_value_whatever_ignore_result_says() -> None:
    world = world_with(7, ignore_result=True)
    sent = world.send("task", link=signature("other", 8))
    world.deliver()
    assert world.result(sent) == 7
    assert [message.args for message in world.messages()] == [(7, 8)]


def test_an_idempotent_task_without_a_result_touches_no_table() -> None:
    world = world_with(7, idempotent=True, ignore_result=True)
    sent = world.send("task")
    assert world.deliver() == Delete(states.SUCCESS)
    assert world.asked(UpdateItem) == []
    assert world.asked(GetItem) == []
    assert world.record(sent).phase is None


def test_an_idempotent_task_with_a_result_is_written_once() -> None:
    world = world_with(7, idempotent=True)
    sent = world.send("task")
    world.deliver()
    assert len(world.asked(UpdateItem)) == 1
    assert (world.record(sent).phase, world.result(sent)) == (DONE, 7)


def test_two_runs_of_an_idempotent_task_have_one_result_and_one_callback() -> None:
    world = world_with(1, 2, idempotent=True)
    sent = world.send("task", link=signature("callback"))
    world.deliver()
    world.redeliver(sent)
    assert world.result(sent) == 1
    callbacks = world.messages()
    assert {message.id for message in callbacks} == {derived_id("link:0", sent.id)}
    assert {message.args for message in callbacks} == {(1,)}


def test_a_failure_of_an_idempotent_task_is_recorded_where_results_are_ignored_if_asked() -> None:
    silent = FakeTask("silent", doing(ValueError()), idempotent=True, ignore_result=True)
    strict = FakeTask(
        "strict",
        doing(ValueError()),
        idempotent=True,
        ignore_result=True,
        store_errors_even_if_ignored=True,
    )
    world = World(silent, strict)
    unseen, seen = world.send("silent"), world.send("strict")
    world.drain()
    assert world.record(unseen).phase is None
    assert world.record(seen).state == states.FAILURE


def test_a_failure_that_nobody_records_puts_nothing_in_the_bucket() -> None:
    world = world_with(ValueError("x" * 500), idempotent=True, ignore_result=True, store=BUCKET)
    world.send("task")
    world.deliver()
    assert world.asked(PutObject) == []


def test_an_idempotent_task_with_an_errback_has_one_ending_too() -> None:
    world = world_with(ValueError("once"), 2, idempotent=True, ignore_result=True)
    sent = world.send("task", link_error=signature("errback"))
    world.deliver()
    world.redeliver(sent)
    assert world.record(sent).state == states.FAILURE
    assert {message.id for message in world.messages()} == {derived_id("link_error:0:0", sent.id)}


# -- claims ----------------------------------------------------------------------------------


def test_a_claim_whose_first_answer_was_lost_is_won_by_its_own_token() -> None:
    world = world_with(1, fate=Fates().on(UpdateItem, "repeat"))
    sent = world.send("task")
    assert world.deliver() == Delete(states.SUCCESS)
    assert world.record(sent).lost == 0


ENDINGS: dict[str, tuple[BaseException | int, str]] = {
    "success": (1, DONE),
    "failure": (ValueError(), DONE),
    "ignored": (Ignore(), DONE),
    "retry": (Retry(when=5), RETRY),
    "requeue": (Reject("later", requeue=True), RETRY),
    "reject": (Reject("never"), FAILED),
}


@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_whose_first_answer_was_lost_stands(name: str, idempotent: bool) -> None:
    outcome, phase = ENDINGS[name]
    fate = Fates().on(UpdateItem, "repeat", where=to_phase(phase))
    ended: list[Ending] = []
    world = world_with(
        outcome,
        idempotent=idempotent,
        hooks=lambda _request, ending: ended.append(ending),
        fate=fate,
    )
    world.send("task")
    world.deliver()
    assert world.events_of(Fenced) == []
    assert len(world.events_of(Ended)) == 1
    assert len(ended) == (name != "requeue")


def test_no_two_claims_have_one_token() -> None:
    world = world_with(1)
    first, second = world.send("task"), world.send("task")
    world.drain()
    assert world.record(first).token != world.record(second).token


def test_a_message_longer_ago_than_records_are_kept_does_not_run_but_is_not_lost() -> None:
    world = world_with(1)
    sent = world.send("task")
    world.aws.pass_time(HORIZON_S + 1)
    disposition = world.deliver()
    assert isinstance(disposition, Delete)
    assert disposition.undeliverable
    (letter,) = world.dead_letters()
    assert "longer ago than records are kept" in letter.attributes["reason"]
    assert letter.body == sent.to_body()
    assert world.record(sent).phase is None


def test_a_message_that_is_due_late_is_not_old() -> None:
    world = world_with(1)
    due = world.aws.now() + timedelta(days=20)
    world.put(Message("i", "task", sent_at=world.aws.now(), eta=due))
    world.aws.time = due
    assert world.deliver() == Delete(states.SUCCESS)


def test_an_occurrence_is_as_old_as_its_scheduled_time() -> None:
    world = world_with(1)
    now = world.aws.now()
    world.put(Message("i", "task", scheduled_time=now - timedelta(seconds=HORIZON_S)))
    world.deliver()
    assert len(world.dead_letters()) == 1


def test_an_old_message_goes_on_where_there_is_a_record() -> None:
    world = world_with(Retry(when=1), 2)
    sent = world.send("task")
    world.deliver()
    world.aws.pass_time(HORIZON_S + 1)  # the engine deletes expired items when it pleases
    world.drain()
    assert world.result(sent) == 2


# -- before it runs --------------------------------------------------------------------------


def test_an_expired_task_is_revoked_and_not_run() -> None:
    world = World(task := FakeTask("task"))
    sent = world.send("task", expires=10)
    world.aws.pass_time(11)
    assert world.deliver() == Delete(states.REVOKED)
    assert world.result(sent)["exc_message"] == ["expired"]
    assert task.runs == []


def test_expiry_is_judged_after_the_claim_so_a_finished_task_completes_its_callbacks() -> None:
    fates = Fates().on(SendMessage, "fail", where=to_queue("callbacks"))
    world = world_with(1, queues=["default", "callbacks"], fate=fates)
    sent = world.send("task", expires=10, link=signature("other", queue="callbacks"))
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    world.aws.pass_time(400)
    assert world.deliver() == Delete("it is SUCCESS already")
    assert world.record(sent).state == states.SUCCESS
    assert [message.args for message in world.messages("callbacks")] == [(1,)]


def test_a_revoked_claim_is_honoured() -> None:
    world = world_with(Retry(when=1), 2)
    sent = world.send("task")
    received = world.receive()
    assert received is not None
    revoke = world.site.records.flag_revoked(sent.id, 0.0, "terminate")

    def revoked_while_it_runs(_request: Context) -> None:
        run_now(world.aws.perform(revoke))
        raise Retry(when=1)

    world.tasks["task"].function = revoked_while_it_runs
    world.apply(run_now(world.executor.execute(world.delivery(received))), received)
    world.drain()
    assert world.record(sent).state == states.REVOKED
    assert len(world.tasks["task"].runs) == 1


def test_workers_that_are_lost_are_counted_and_the_task_is_quarantined() -> None:
    fates = Fates()
    world = world_with(1, fate=fates, max_deliveries=3)
    sent = world.send("task", link_error=signature("errback"))
    for _ in range(3):
        fates.on(UpdateItem, "fail", where=to_phase(DONE))
        with pytest.raises(EndpointUnreachable):
            world.deliver()
        world.aws.pass_time(400)
    assert world.deliver() == Delete(states.FAILURE)
    assert len(world.tasks["task"].runs) == 3
    assert world.record(sent).phase == FAILED
    assert world.result(sent)["exc_type"] == WorkerLostError.__name__
    assert world.dead_letters()[0].attributes["reason"] == (
        "WorkerLostError: 3 workers were lost while they ran it"
    )
    assert [message.task for message in world.messages()] == ["errback"]


def test_the_receive_count_is_never_a_failure_count() -> None:
    world = world_with(1)
    sent = world.send("task")
    for _ in range(40):
        world.receive()
        world.aws.pass_time(400)
    assert world.deliver() == Delete(states.SUCCESS)
    assert world.record(sent).lost == 0


def test_an_early_message_is_sent_again_with_the_remainder() -> None:
    world = world_with(1)
    sent = world.send("task", countdown=600)
    (stored,) = world.aws.queues["default"]
    stored.visible_at = world.aws.now()  # as from EventBridge, or another producer
    disposition = world.deliver()
    assert isinstance(disposition, Delete)
    (request,) = world.asked(SendMessage)[1:]
    assert (request.delay_s, request.body) == (600, sent.to_body())
    assert world.record(sent).phase is None
    world.drain()
    assert world.result(sent) == 1


def test_an_early_message_waits_in_steps_that_sqs_can_hold() -> None:
    world = world_with(1)
    due = world.aws.now() + timedelta(hours=1)
    world.put(Message("i", "task", eta=due))
    world.drain()
    assert [request.delay_s for request in world.asked(SendMessage)] == [0, 900, 900, 900, 900]
    assert world.aws.now() == due


def test_an_early_message_on_fifo_stays_where_it_is() -> None:
    world = World(FakeTask("task"), queues=["orders.fifo"])
    world.put(Message("i", "task", eta=world.aws.now() + timedelta(hours=1)), "orders")
    disposition = world.deliver("orders")
    assert isinstance(disposition, Leave)
    assert disposition.visible_in_s == 900
    assert len(world.asked(SendMessage)) == 1


# -- what cannot be run ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("hello", "not JSON"),
        ("[]", "not a task message"),
        ('{"caraway":3,"id":"i","task":"t"}', "version 3 is not known"),
        ('{"caraway":1,"id":"i"}', "names no task"),
    ],
)
def test_what_cannot_be_read_goes_to_the_dead_letter_queue_as_it_is(body: str, reason: str) -> None:
    world = World(FakeTask("task"))
    world.put(body)
    disposition = world.deliver()
    assert isinstance(disposition, Delete)
    assert disposition.undeliverable
    (letter,) = world.dead_letters()
    assert letter.body == body
    assert letter.attributes["queue"] == "default"
    assert reason in letter.attributes["reason"]
    (event,) = world.events
    assert isinstance(event, Undeliverable)
    assert reason in event.reason


def test_a_large_message_travels_by_s3_both_ways() -> None:
    world = World(task := FakeTask("task"), store=BUCKET)
    world.send("task", "x" * 3_000)
    assert len(world.aws.bodies("default")[0]) < 1_000
    world.deliver()
    assert task.runs[0].args == ("x" * 3_000,)


def test_a_dead_letter_as_large_as_sqs_takes_has_no_room_for_its_reason() -> None:
    world = World()
    whole = "x" * (MESSAGE_LIMIT_BYTES - 9_000)
    world.put(whole)
    world.put(Message("i", "unknown", (whole,)))
    world.put('{"caraway":1,"id":"j","task":"unknown","args":["' + whole + "x" * 8_900 + '"]}')
    world.drain()
    unreadable, unknown, largest = world.dead_letters()
    assert set(unreadable.attributes) == {"reason", "queue"}
    assert set(unknown.attributes) == {"reason", "queue", "task", "id"}
    assert largest.attributes == {}
    assert all(len(each.body) <= MESSAGE_LIMIT_BYTES for each in (unreadable, unknown, largest))


def test_a_message_whose_payload_is_gone_is_a_dead_letter() -> None:
    world = World(FakeTask("task"), store=BUCKET)
    world.send("task", "x" * 3_000)
    (body,) = world.aws.bodies("default")
    world.aws.objects.clear()
    world.deliver()
    (letter,) = world.dead_letters()
    assert letter.body == body
    assert "does not exist" in letter.attributes["reason"]


def test_a_message_is_left_when_s3_does_not_answer() -> None:
    world = World(FakeTask("task"), store=BUCKET, fate=Fates().on(GetObject, "fail"))
    world.send("task", "x" * 3_000)
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    assert world.dead_letters() == []


def test_an_unknown_task_is_a_failure_and_a_dead_letter_that_names_the_nearest() -> None:
    world = World(FakeTask("shop.send_email"))
    sent = world.send("shop.sendemail", link_error=signature("errback"))
    world.deliver()
    record = world.record(sent)
    assert (record.phase, record.state) == (FAILED, states.FAILURE)
    error = run_now(look(world.aws, world.site, sent.id)).result
    assert isinstance(error, NotRegistered)
    assert "did you mean 'shop.send_email'" in str(error)
    (letter,) = world.dead_letters()
    assert letter.attributes["reason"] == f"NotRegistered: {error}"
    assert letter.attributes["task"] == "shop.sendemail"
    assert [message.args for message in world.messages()] == [(sent.id,)]


def test_a_redrive_runs_an_unknown_task_once_it_is_registered() -> None:
    world = World()
    sent = world.send("task", 4)
    world.deliver()
    world.tasks["task"] = FakeTask("task", add)
    world.redrive()
    assert world.deliver() == Delete(states.SUCCESS)
    assert (world.result(sent), world.record(sent).attempt) == (4, 1)


# -- rejections ------------------------------------------------------------------------------


def test_a_rejected_message_is_a_dead_letter_with_its_reason() -> None:
    world = world_with(Reject("malformed"))
    sent = world.send("task")
    world.deliver()
    assert world.record(sent).phase == FAILED
    (letter,) = world.dead_letters()
    assert letter.attributes["reason"] == "malformed"


def test_an_exception_as_the_reason_of_a_rejection_is_the_tasks_error() -> None:
    world = world_with(Reject(MemoryError("too much")))
    sent = world.send("task")
    world.deliver()
    assert world.result(sent)["exc_type"] == "MemoryError"
    assert world.dead_letters()[0].attributes["reason"] == "MemoryError: too much"


def test_a_requeued_message_is_visible_at_once_and_its_claim_free() -> None:
    world = world_with(Reject("busy", requeue=True), 2)
    sent = world.send("task")
    assert world.deliver() == Leave(0, "busy")
    record = world.record(sent)
    assert (record.phase, record.attempt, record.lost) == (RETRY, 0, 0)
    assert world.deliver() == Delete(states.SUCCESS)
    assert (world.result(sent), world.record(sent).lost) == (2, 0)


def test_a_message_that_is_requeued_again_and_again_is_replaced_by_a_copy() -> None:
    queue = Queue("default", max_receive_count=4)
    world = world_with(Reject("busy", requeue=True), queues=[queue])
    sent = world.send("task")
    assert [type(world.deliver()) for _ in range(6)] == [Leave, Leave, Delete] * 2
    assert world.messages() == [sent]
    assert world.record(sent).attempt == 0


# -- follow-ups ------------------------------------------------------------------------------


def test_a_callback_is_sent_with_the_result_and_belongs_to_the_workflow() -> None:
    world = World(FakeTask("add", add))
    sent = world.send("add", 1, 2, link=signature("add", 10))
    world.deliver()
    (callback,) = world.messages()
    assert callback.args == (3, 10)
    assert (callback.parent_id, callback.root_id) == (sent.id, sent.id)
    world.deliver()
    assert world.result(callback.id) == 13


def test_an_immutable_callback_takes_no_result() -> None:
    world = world_with(1)
    world.send("task", link={**signature("task", 10), "immutable": True})
    world.deliver()
    assert world.messages()[0].args == (10,)


def test_each_of_several_callbacks_is_sent_with_an_id_of_its_own() -> None:
    world = world_with(1)
    sent = world.send("task", link=[signature("a"), signature("a"), signature("b", task_id="mine")])
    world.deliver()
    assert [message.id for message in world.messages()] == [
        derived_id("link:0", sent.id),
        derived_id("link:1", sent.id),
        "mine",
    ]


def test_an_errback_takes_the_arguments_that_it_is_made_for() -> None:
    world = World(FakeTask("fails", doing(ValueError("no"))), FakeTask("known"))
    sent = world.send("fails", link_error=[signature("known"), signature("elsewhere")])
    world.deliver()
    known, elsewhere = world.messages()
    record = world.record(sent)
    assert known.args == (sent.id, world.result(sent), record.traceback)
    assert elsewhere.args == (sent.id,)


def test_a_crash_before_the_callback_is_completed_by_a_redelivery_with_the_recorded_value() -> None:
    fates = Fates().on(SendMessage, "fail", where=to_queue("callbacks"))
    world = world_with(1, 2, queues=["default", "callbacks"], fate=fates)
    sent = world.send("task", link=signature("other", queue="callbacks"))
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    world.aws.pass_time(400)
    assert world.deliver() == Delete("it is SUCCESS already")
    assert len(world.tasks["task"].runs) == 1
    (callback,) = world.messages("callbacks")
    assert (callback.id, callback.args) == (derived_id("link:0", sent.id), (1,))


def test_a_redelivery_reads_a_large_recorded_value_from_s3() -> None:
    fates = Fates().on(SendMessage, "fail", where=to_queue("callbacks"))
    world = world_with("x" * 200, queues=["default", "callbacks"], fate=fates, store=BUCKET)
    world.send("task", link=signature("other", queue="callbacks"))
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    world.aws.pass_time(400)
    world.deliver()
    assert [message.args for message in world.messages("callbacks")] == [("x" * 200,)]


def test_a_redelivery_of_a_task_without_callbacks_reads_nothing() -> None:
    world = world_with("x" * 200, store=BUCKET)
    sent = world.send("task")
    world.deliver()
    world.redeliver(sent)
    assert world.asked(GetObject) == []


def test_a_redelivery_sends_the_same_callbacks_and_the_task_runs_once() -> None:
    world = World(FakeTask("fails", doing(ValueError("x" * 90_000))), task := FakeTask("errback"))
    sent = world.send("fails", link_error=signature("errback"))
    world.deliver()
    world.redeliver(sent)
    first, second = world.messages()
    assert (first.id, first.digest, first.args) == (second.id, second.digest, second.args)
    world.drain()
    assert len(task.runs) == 1
    assert world.dead_letters() == []


def test_errbacks_are_sent_before_the_dead_letter() -> None:
    world = world_with(Reject("no"))
    world.send("task", link_error=signature("errback"))
    world.deliver()
    sent = [request.queue_url for request in world.asked(SendMessage)]
    assert sent == ["memory://default", "memory://default", "memory://default-dlq"]


@pytest.mark.parametrize(
    "options", [{"queue": "nowhere"}, {"countdown": "5"}, {"priority": 3}, {"eta": 5}]
)
def test_a_callback_that_nobody_can_send_is_a_dead_letter_and_not_an_endless_redelivery(
    options: dict[str, Any],
) -> None:
    world = world_with(1)
    sent = world.send("task", link=[signature("bad", **options), signature("good")])
    disposition = world.deliver()
    assert isinstance(disposition, Delete)
    assert disposition.undeliverable
    assert [message.task for message in world.messages()] == ["good"]
    (letter,) = world.dead_letters()
    assert "its callback bad cannot be sent" in letter.attributes["reason"]
    assert letter.body == sent.to_body()
    assert world.record(sent).state == states.SUCCESS
    assert [type(event) for event in world.events] == [Received, Ended, Undeliverable]


def test_a_redrive_sends_the_callback_once_its_queue_is_declared() -> None:
    world = world_with(1, 2)
    sent = world.send("task", link=signature("other", queue="late"))
    world.deliver()
    declared = World(*world.tasks.values(), queues=["default", "late"])
    declared.aws = world.aws
    declared.executor = declared.worker(world.aws)
    declared.redrive()
    declared.deliver()
    assert [message.args for message in declared.messages("late")] == [(1,)]
    assert declared.record(sent).attempt == 0


# -- hooks -----------------------------------------------------------------------------------


def test_hooks_run_after_the_ending_is_recorded_and_followed_up() -> None:
    seen: list[tuple[str, str | None, int]] = []

    def hooks(request: Context, ending: Ending) -> None:
        phase = world.record(request.id or "").phase
        seen.append((type(ending).__name__, phase, len(world.messages())))

    policy = RetryPolicy(autoretry_for=(ValueError,), default_retry_delay_s=1)
    world = world_with(ValueError(), 2, hooks=hooks, policy=policy)
    world.send("task", link=signature("other"))
    world.deliver()
    world.aws.pass_time(1)
    world.deliver()
    assert seen == [
        (Again.__name__, RETRY, 2),  # the old message and the next attempt
        (Succeeded.__name__, DONE, 2),  # the message and the callback
    ]


def test_a_hook_that_fails_is_an_event_and_the_ending_stands() -> None:
    def hooks(_request: Context, _ending: Ending) -> None:
        raise ZeroDivisionError

    world = world_with(1, hooks=hooks)
    sent = world.send("task")
    assert world.deliver() == Delete(states.SUCCESS)
    assert world.record(sent).state == states.SUCCESS
    (event,) = world.events_of(HookFailed)
    assert isinstance(event.error, ZeroDivisionError)


def test_hooks_do_not_run_for_an_ending_that_was_fenced() -> None:
    ended: list[Ending] = []
    world = world_with(1, hooks=lambda _request, ending: ended.append(ending))
    sent = world.send("task")

    def overtaken(_request: Context) -> int:
        item = world.aws.items["tasks", sent.id]
        item["token"] = "another's"
        return 1

    world.tasks["task"].function = overtaken
    disposition = world.deliver()
    assert isinstance(disposition, Leave)
    assert ended == []
    assert len(world.events_of(Fenced)) == 1
    assert world.record(sent).phase == RUNNING


def test_what_ended_says_how_and_after_how_long() -> None:
    def slow(_request: Context) -> None:
        world.aws.pass_time(1.5)
        raise ValueError("no")

    world = World(FakeTask("task", slow))
    sent = world.send("task")
    world.deliver()
    (event,) = world.events_of(Ended)
    assert (event.message, event.runtime_s) == (sent, 1.5)
    assert isinstance(event.ending, Failed)


def test_nothing_is_deleted_when_the_record_could_not_be_written() -> None:
    world = world_with(1, fate=Fates().on(UpdateItem, "fail", where=to_phase(DONE)))
    sent = world.send("task", link=signature("other"))
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    assert world.messages() == [sent]


def test_times_in_the_record_are_the_ports() -> None:
    world = world_with(1)
    sent = world.send("task")
    world.aws.pass_time(5)
    world.deliver()
    record = world.record(sent)
    now: datetime = world.aws.now()
    assert record.started_at == record.done_at == now.timestamp()
    assert record.expires_at == (now + timedelta(days=1)).timestamp()


# -- a process that dies -----------------------------------------------------------------------


def losing(world: World, monkeypatch: pytest.MonkeyPatch, *fates: bool) -> None:
    """Let the process die that runs user code, where a fate says so; then it goes on as usual."""
    call, coming = world.aws.call, iter(fates)

    async def lose(function: Any, *args: Any) -> Outcome[Any]:
        return Lost("it was killed") if next(coming, False) else await call(function, *args)

    monkeypatch.setattr(world.aws, "call", lose)


def test_a_task_whose_process_dies_can_be_taken_over_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(FakeTask("add", add))
    losing(world, monkeypatch, True)
    sent = world.send("add", 2, 3)

    assert world.deliver() == Leave(0, "it was killed")

    record = world.record(sent)
    assert (record.phase, record.open_at, record.lost) == (RUNNING, 0, 0)
    assert world.events_of(ProcessLost) == [ProcessLost(sent, "it was killed")]
    assert world.executor.running == {}
    assert world.deliver() == Delete(states.SUCCESS)
    assert (world.record(sent).lost, world.result(sent)) == (1, 5)


def test_a_task_whose_processes_die_again_and_again_goes_to_the_dead_letter_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(FakeTask("add", add), max_deliveries=3)
    losing(world, monkeypatch, True, True, True)
    sent = world.send("add", 2, 3)
    world.drain()
    (letter,) = world.dead_letters()
    assert "3 workers were lost" in letter.attributes["reason"]
    assert world.record(sent).phase == FAILED
    world.redrive()
    assert world.deliver() == Delete(states.SUCCESS)


def test_an_idempotent_task_whose_process_dies_comes_back_without_a_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(FakeTask("add", add, idempotent=True))
    losing(world, monkeypatch, True)
    sent = world.send("add", 2, 3)
    assert world.deliver() == Leave(0, "it was killed")
    assert world.record(sent).phase is None
    assert world.deliver() == Delete(states.SUCCESS)


def test_hooks_whose_process_dies_leave_the_ending_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(FakeTask("add", add, hooks=lambda _context, _ending: None))
    losing(world, monkeypatch, False, True)
    sent = world.send("add", 2, 3)
    assert world.deliver() == Delete(states.SUCCESS)
    assert world.result(sent) == 5
    (failed,) = world.events_of(HookFailed)
    assert isinstance(failed.error, WorkerLostError)


# -- at most once ------------------------------------------------------------------------------


def test_a_task_that_runs_at_most_once_fails_when_its_process_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(task := FakeTask("pay", add, at_most_once=True))
    losing(world, monkeypatch, True)
    sent = world.send("pay", 2, 3)
    assert world.deliver() == Delete(states.FAILURE)
    assert world.result(sent)["exc_type"] == "WorkerLostError"
    assert "may have done its work" in world.result(sent)["exc_message"][0]
    assert (task.runs, world.record(sent).phase) == ([], DONE)


def test_a_task_that_runs_at_most_once_is_not_taken_over_from_a_worker_that_died() -> None:
    world = World(task := FakeTask("pay", add, at_most_once=True))
    sent = world.send("pay", 2, 3)
    claim = world.site.records.claim(sent, "dead", world.aws.now().timestamp(), 60)
    run_now(world.aws.perform(claim))
    world.aws.pass_time(61)
    assert world.deliver() == Delete(states.FAILURE)
    assert task.runs == []
    assert world.result(sent)["exc_type"] == "WorkerLostError"


def test_a_task_that_runs_at_most_once_is_retried_when_it_says_so_itself() -> None:
    world = World(task := FakeTask("pay", doing(Retry(when=0), 5), at_most_once=True))
    sent = world.send("pay")
    world.drain()
    assert (world.result(sent), len(task.runs)) == (5, 2)


def test_an_idempotent_task_that_kills_its_workers_is_counted_from_its_second_delivery_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(FakeTask("add", add, idempotent=True), max_deliveries=2)
    losing(world, monkeypatch, True, True, True)
    world.send("add", 2, 3)
    world.drain()
    (letter,) = world.dead_letters()
    assert "2 workers were lost" in letter.attributes["reason"]


def test_the_limits_of_the_message_come_before_those_of_the_task() -> None:
    world = World(task := FakeTask("task", add, time_limit=60, soft_time_limit=50))
    world.send("task")
    world.send("task", time_limit=5)
    world.drain()
    assert [request.timelimit for request in task.runs] == [(60, 50), (5, 50)]
