"""ETAs further away than SQS can delay a message: by a schedule with a role, else in steps."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from caraway.core.claim_check import Store, unpack
from caraway.core.disposition import Delete
from caraway.core.envelope import parse_envelope
from caraway.core.events import Ended
from caraway.core.message import Message, read_message
from caraway.core.outcomes import all_done
from caraway.core.patience import PAUSES_S
from caraway.core.port import run_now
from caraway.core.publish import Outgoing, describe
from caraway.core.record import HORIZON_S, RETRY
from caraway.core.revoke import Revocation, revoke
from caraway.core.routing import Queue
from caraway.core.scheduling import Scheduling, eta_name
from caraway.core.sending import request_to_send, send_all, send_each
from caraway.core.settle import Revoked
from caraway.core.signing import Signing
from caraway.core.workflow import Place
from caraway.exceptions import (
    AccessDenied,
    EndpointUnreachable,
    InvalidOption,
    Retry,
    Throttled,
)
from caraway.requests.dynamodb import GetItem
from caraway.requests.scheduler import (
    INPUT_LIMIT_BYTES,
    CreateSchedule,
    DeleteSchedule,
    GetSchedule,
    Schedule,
    at,
)
from caraway.requests.sqs import GetQueueArn, SendMessage
from tests.firing import due_at, fire_next
from tests.support import FakeTask, Fates, World, doing, signature

if TYPE_CHECKING:
    from caraway.core.context import Context

ROLE = "arn:aws:iam::123456789012:role/scheduler"
SCHEDULING = Scheduling(ROLE, "shop")
MONTH = timedelta(days=30)


def world_with(*outcomes: Any, **options: Any) -> World:
    """Return a world whose app has a role for Scheduler."""
    task = FakeTask("task", doing(*outcomes) if outcomes else lambda _request: "done")
    return World(task, FakeTask("other"), **{"scheduling": SCHEDULING, **options})


def schedules(world: World) -> list[Schedule]:
    return list(world.aws.schedules.values())


def body_of(schedule: Schedule) -> Message:
    return read_message(parse_envelope(schedule.input))


def described(world: World, *args: Any, id: str = "i", **options: Any) -> Outgoing:
    now = world.aws.now()
    return describe(world.site, "task", args, {}, options, now=now, new_id=lambda _: id)


# -- with a role ------------------------------------------------------------------------------


def test_a_far_eta_waits_in_a_schedule_that_is_gone_when_it_has_fired() -> None:
    world = world_with()
    sent = world.send("task", 1, countdown=901)
    (schedule,) = schedules(world)
    assert schedule == Schedule(
        name=eta_name(sent.id, 0),
        group="shop",
        expression=at(world.aws.now() + timedelta(seconds=841)),
        target_arn="arn:aws:sqs:us-east-1:000000000000:default",
        role_arn=ROLE,
        input=sent.to_body(),
        description=f"{sent.digest[:12]} task {sent.id}, attempt 0",
        after_completion="DELETE",
    )
    assert re.fullmatch("[0-9a-zA-Z-_.]{1,64}", schedule.name)
    assert not world.asked(SendMessage)


def test_a_task_runs_at_its_eta_and_not_in_the_minute_before() -> None:
    world = world_with()
    due = world.aws.now() + MONTH
    sent = world.send("task", 1, eta=due)
    fire_next(world.aws)
    assert world.aws.now() == due - timedelta(minutes=1)
    world.deliver()
    assert [each.delay_s for each in world.asked(SendMessage)] == [0, 60]
    assert not world.asked(GetItem)
    world.drain()
    assert world.aws.now() == due
    assert world.result(sent) == "done"
    (run,) = world.tasks["task"].runs
    assert run.eta == due


def test_a_schedule_that_fires_late_runs_its_task_at_once() -> None:
    world = world_with()
    sent = world.send("task", countdown=3_600)
    world.aws.pass_time(3_605)
    fire_next(world.aws)
    world.deliver()
    assert world.result(sent) == "done"


def test_a_schedule_that_fires_twice_is_one_task() -> None:
    world = world_with()
    sent = world.send("task", countdown=3_600)
    fire_next(world.aws, times=2)
    world.drain()
    assert (world.result(sent), len(world.tasks["task"].runs)) == ("done", 1)


def test_what_sqs_can_delay_asks_nothing_of_scheduler() -> None:
    world = world_with()
    world.send("task", countdown=900)
    assert not schedules(world)
    assert not world.asked(GetQueueArn)


def test_a_send_whose_answer_was_lost_is_sent_again_and_runs_once() -> None:
    world = world_with(fate=Fates().on(CreateSchedule, "lose").on(CreateSchedule, "lose", nth=3))
    outgoing = described(world, 1, countdown=3_600)
    for _ in range(3):
        all_done(run_now(send_each(world.aws, world.site, [outgoing], {})))
    first, second = schedules(world)
    assert second == replace(first, name=f"{first.name}-{outgoing.message.digest[:12]}")
    world.drain()
    assert len(world.tasks["task"].runs) == 1


def test_an_id_with_other_arguments_is_a_dead_letter_as_it_is_from_a_queue() -> None:
    world = world_with()
    world.send("task", 1, task_id="mine", countdown=3_600)
    world.send("task", 2, task_id="mine", countdown=7_200)
    world.drain()
    assert [run.args for run in world.tasks["task"].runs] == [(1,)]
    (letter,) = world.dead_letters()
    assert "used before with another task or other arguments" in letter.attributes["reason"]


def test_scheduler_fills_in_nothing_of_what_the_user_wrote() -> None:
    world = world_with()
    sent = world.send("task", "<aws.scheduler.scheduled-time>", countdown=3_600)
    (schedule,) = schedules(world)
    assert "<aws." not in schedule.input
    assert body_of(schedule) == sent


def test_the_message_group_is_in_the_body_and_the_message_joins_it_at_last() -> None:
    world = world_with()
    world.send("task", countdown=3_600, message_group_id="tenant")
    (schedule,) = schedules(world)
    assert schedule.message_group_id is None
    fire_next(world.aws)
    world.deliver()
    assert world.asked(SendMessage)[-1].group_id == "tenant"


def test_a_large_message_waits_in_the_bucket_and_a_signed_one_keeps_its_signature() -> None:
    signing = Signing.of({"k": "x" * 32}, "k", required=True)
    world = world_with(store=Store("bucket"), signing=signing)
    large = world.send("task", "x" * 300_000, countdown=3_600)
    (schedule,) = schedules(world)
    assert len(schedule.input) < 1_000
    assert run_now(unpack(world.aws, world.site.store, schedule.input, signing)) == large
    world.drain()
    assert world.result(large) == "done"


def test_a_compressed_message_is_scheduled_as_it_would_be_sent() -> None:
    world = world_with(store=Store(compression_threshold_bytes=1))
    sent = world.send("task", "x" * 5_000, countdown=3_600, compression="gzip")
    (schedule,) = schedules(world)
    assert json.loads(schedule.input)["payload"]["compression"] == "gzip"
    world.drain()
    assert world.result(sent) == "done"


def test_a_message_that_is_too_large_for_a_schedule_travels_in_steps() -> None:
    world = world_with()
    sent = world.send("task", "x" * INPUT_LIMIT_BYTES, countdown=1_000)
    assert not schedules(world)
    world.drain()
    assert world.result(sent) == "done"
    assert [each.delay_s for each in world.asked(SendMessage)] == [900, 100]


def test_a_message_that_comes_early_from_a_queue_is_never_put_into_a_schedule() -> None:
    world = world_with()
    world.put(Message("i", "task", eta=world.aws.now() + timedelta(hours=1)))
    world.deliver()
    assert not schedules(world)
    assert [each.delay_s for each in world.asked(SendMessage)] == [0, 900]


def test_a_fifo_queue_refuses_every_delay_when_the_task_is_sent() -> None:
    world = world_with(queues=[Queue("orders", fifo=True)])
    with pytest.raises(InvalidOption, match="'orders' is FIFO, and SQS delays no single message"):
        world.send("task", queue="orders", countdown=3_600)


# -- many, and throttling ---------------------------------------------------------------------


def throttled(world: World, times: int) -> list[float]:
    """Let Scheduler throttle so many requests; return the pauses that follow."""
    pauses: list[float] = []
    answer, pass_time, left = world.aws._answer, world.aws.pass_time, [times]

    def slow(request: Any) -> Any:
        if isinstance(request, CreateSchedule) and left[0]:
            left[0] -= 1
            raise Throttled("slow down")
        return answer(request)

    def paused(seconds: float) -> None:
        pauses.append(seconds)
        pass_time(seconds)

    world.aws._answer = slow  # type: ignore[method-assign]
    world.aws.pass_time = paused  # type: ignore[method-assign]
    return pauses


def test_a_thousand_far_etas_are_sent_and_only_those_that_were_throttled_again() -> None:
    world = world_with()
    pauses = throttled(world, 600)
    outgoings = [described(world, n, id=f"i{n}", countdown=3_600) for n in range(1_000)]
    all_done(run_now(send_each(world.aws, world.site, outgoings, {"max_retries": 0})))
    assert len(schedules(world)) == 1_000
    assert len(world.asked(CreateSchedule)) == 1_600
    assert len(world.asked(GetQueueArn)) == 1_000  # of which a port asks one
    (pause_s,) = pauses
    assert PAUSES_S[0] / 2 <= pause_s <= PAUSES_S[0]


def test_throttling_that_does_not_end_is_raised() -> None:
    world = world_with()
    pauses = throttled(world, 99)
    with pytest.raises(Throttled):
        all_done(run_now(send_each(world.aws, world.site, [described(world, countdown=3_600)], {})))
    assert len(pauses) == 4 * (len(PAUSES_S)) + 3


def test_what_is_refused_is_the_failure_of_that_call_alone() -> None:
    world = world_with()
    answer = world.aws._answer

    def refuse(request: Any) -> Any:
        if isinstance(request, CreateSchedule) and request.schedule.name == eta_name("i1", 0):
            raise AccessDenied("not allowed: iam:PassRole")
        return answer(request)

    world.aws._answer = refuse  # type: ignore[method-assign]
    outgoings = [described(world, n, id=f"i{n}", countdown=3_600) for n in range(3)]
    requests = [run_now(request_to_send(world.aws, world.site, each)) for each in outgoings]
    with pytest.raises(AccessDenied, match="PassRole"):
        run_now(send_all(world.aws, requests))
    assert {each.name for each in schedules(world)} == {eta_name("i0", 0), eta_name("i2", 0)}


def test_a_send_that_was_tried_for_long_waits_for_the_rest_only() -> None:
    world = world_with()
    outgoing = described(world, countdown=1_000)
    world.aws.pass_time(200)
    request = run_now(request_to_send(world.aws, world.site, outgoing))
    assert isinstance(request, SendMessage)
    assert request.delay_s == 800
    world.aws.pass_time(2_000)
    request = run_now(request_to_send(world.aws, world.site, outgoing))
    assert isinstance(request, SendMessage)
    assert request.delay_s == 0


# -- retries ----------------------------------------------------------------------------------


def test_a_retry_far_away_waits_in_a_schedule_of_its_attempt() -> None:
    world = world_with(Retry(when=MONTH.total_seconds()), "later")
    sent = world.send("task")
    began = world.aws.now()
    world.deliver()
    (schedule,) = schedules(world)
    assert schedule.name == eta_name(sent.id, 1) != eta_name(sent.id, 0)
    assert body_of(schedule).attempt == 1
    assert world.record(sent).phase == RETRY
    item = world.aws.item(world.site.records.table, sent.id)
    assert item is not None
    assert item["ttl"] == int((began + MONTH).timestamp()) + HORIZON_S
    world.drain()
    assert world.result(sent) == "later"
    assert world.aws.now() == began + MONTH


def test_a_crash_between_the_record_and_the_schedule_is_made_good_by_the_next_delivery() -> None:
    world = world_with(Retry(when=7_200), "later", fate=Fates().on(CreateSchedule, "fail"))
    sent = world.send("task")
    with pytest.raises(EndpointUnreachable):
        world.deliver()
    assert world.record(sent).phase == RETRY
    world.aws.pass_time(400)
    assert world.deliver() == Delete("attempt 1 is next")
    assert [body_of(each).attempt for each in schedules(world)] == [1]
    world.drain()
    assert world.result(sent) == "later"


def test_an_older_message_finds_the_retry_scheduled_already() -> None:
    world = world_with(Retry(when=7_200), "later")
    sent = world.send("task")
    world.deliver()
    for _ in range(3):
        assert world.redeliver(sent) == Delete("attempt 1 is next")
    assert len(schedules(world)) == 2
    world.drain()
    assert [run.retries for run in world.tasks["task"].runs] == [0, 1]


# -- workflows --------------------------------------------------------------------------------


def test_a_callback_may_have_a_far_eta() -> None:
    world = world_with()
    world.send("task", link=signature("other", countdown=86_400))
    world.deliver()
    (schedule,) = schedules(world)
    assert due_at(schedule) == world.aws.now() + timedelta(days=1, minutes=-1)
    world.drain()
    assert len(world.tasks["other"].runs) == 1


def test_a_member_of_a_chord_is_due_while_the_values_of_the_others_are_kept() -> None:
    world = world_with()
    place = Place(group="g", group_index=0, chord={"size": 2})

    def member(days: float) -> Outgoing:
        options = {"countdown": days * 86_400}
        now = world.aws.now()
        return describe(
            world.site, "task", (), {}, options, now=now, new_id=lambda _: "i", place=place
        )

    assert member(15).delay_s == 15 * 86_400
    with pytest.raises(InvalidOption, match=r"an eta 16 days ahead: a member of a chord"):
        member(16)


# -- without a role ---------------------------------------------------------------------------


def test_without_a_role_a_message_travels_in_steps_and_asks_whether_it_still_has_to() -> None:
    world = world_with(scheduling=None)
    due = world.aws.now() + timedelta(hours=1)
    sent = world.send("task", eta=due)
    world.drain()
    assert world.aws.now() == due
    assert world.result(sent) == "done"
    assert [each.delay_s for each in world.asked(SendMessage)] == [900] * 4
    assert len(world.asked(GetItem)) == 2  # the last step is not worth the question


# -- revoking ---------------------------------------------------------------------------------


def revoked(world: World, id: str) -> Revocation:
    return run_now(revoke(world.aws, world.site, id))


def test_revoking_what_waits_in_a_schedule_lets_its_message_come_now_and_deletes_it() -> None:
    world = world_with()
    failing = signature("other")
    sent = world.send("task", eta=world.aws.now() + MONTH, link_error=failing)
    assert revoked(world, sent.id).happened == "revoked"
    assert not schedules(world)
    began = world.aws.now()
    assert world.deliver() == Delete("it is REVOKED already")
    assert (world.messages(), world.aws.now()) == ([], began)
    assert world.events_of(Ended) == [Ended(sent, Revoked("revoked"), 0.0)]
    assert not world.tasks["task"].runs


def test_a_chord_learns_of_a_member_that_is_revoked_long_before_its_eta() -> None:
    world = world_with()
    chord = {"size": 2, "then": [{"task": "other", "args": [], "options": {"task_id": "body"}}]}
    place = Place(group="g", group_index=0, chord=chord)
    now = world.aws.now()
    outgoing = describe(
        world.site,
        "task",
        (),
        {},
        {"countdown": 86_400},
        now=now,
        new_id=lambda _: "member",
        place=place,
    )
    run_now(send_all(world.aws, [run_now(request_to_send(world.aws, world.site, outgoing))]))
    revoked(world, "member")
    world.drain()
    assert world.aws.now() == now
    assert world.record("body").state == "FAILURE"


def test_revoking_a_retry_that_waits_in_a_schedule_calls_that_attempt_back() -> None:
    world = world_with(Retry(when=MONTH.total_seconds()))
    sent = world.send("task")
    world.deliver()
    began = world.aws.now()
    assert revoked(world, sent.id).happened == "revoked"
    assert not schedules(world)
    world.drain()
    assert (world.record(sent).state, world.aws.now()) == ("REVOKED", began)


def test_a_task_that_is_revoked_while_it_runs_asks_for_no_far_retry() -> None:
    world = world_with()

    def run(context: Context) -> None:
        assert revoked(world, context.id or "").happened == "flagged"
        raise Retry(when=MONTH.total_seconds())

    world.tasks["task"].function = run
    sent = world.send("task")
    began = world.aws.now()
    world.drain()
    assert not world.asked(CreateSchedule)
    assert (world.record(sent).state, world.aws.now()) == ("REVOKED", began)


def test_a_revoke_that_fails_half_way_is_finished_by_the_next_one() -> None:
    for request in (GetSchedule, SendMessage, DeleteSchedule):
        world = world_with(fate=Fates().on(request, "fail"))
        sent = world.send("task", countdown=86_400)
        with pytest.raises(EndpointUnreachable):
            revoked(world, sent.id)
        assert world.record(sent).state == "REVOKED"
        assert len(schedules(world)) == 1
        assert revoked(world, sent.id).happened == "revoked"
        assert not schedules(world)
        world.drain()
        assert not world.tasks["task"].runs


def test_who_may_revoke_and_not_read_schedules_is_told_what_that_means() -> None:
    world = world_with()
    sent = world.send("task", countdown=86_400)
    answer = world.aws._answer

    def refuse(request: Any) -> Any:
        if isinstance(request, GetSchedule):
            raise AccessDenied("not allowed: scheduler:GetSchedule")
        return answer(request)

    world.aws._answer = refuse  # type: ignore[method-assign]
    with pytest.raises(AccessDenied, match=r"it is revoked, but .* RevokerPolicyArn"):
        revoked(world, sent.id)
    assert world.record(sent).state == "REVOKED"


def test_both_schedules_of_a_task_that_was_sent_twice_are_deleted() -> None:
    world = world_with()
    for _ in range(2):
        world.send("task", 1, task_id="mine", countdown=86_400)
    assert len(schedules(world)) == 2
    revoked(world, "mine")
    assert not schedules(world)


def test_a_revoke_asks_for_one_schedule_of_what_waits_and_for_none_of_what_runs_or_has_ended() -> (
    None
):
    world = world_with()
    near = world.send("task", countdown=60)
    ended = world.send("task")
    world.deliver()
    assert revoked(world, ended.id).happened == "ended"
    assert not world.asked(GetSchedule)
    assert revoked(world, near.id).happened == "revoked"
    assert len(world.asked(GetSchedule)) == 1
    assert not world.asked(DeleteSchedule)
    without = world_with(scheduling=None)
    revoked(without, without.send("task", countdown=60).id)
    assert not without.asked(GetSchedule)


def test_without_a_role_a_revoke_is_found_at_the_next_step() -> None:
    world = world_with(scheduling=None)
    sent = world.send("task", eta=world.aws.now() + MONTH)
    revoked(world, sent.id)
    began = world.aws.now()
    world.drain()
    assert world.aws.now() - began == timedelta(minutes=15)


def test_what_is_due_within_fifteen_minutes_is_still_held_by_sqs_when_it_is_revoked() -> None:
    world = world_with()
    sent = world.send("task", countdown=1_000)
    world.aws.pass_time(300)
    revoked(world, sent.id)
    assert not schedules(world)
    began = world.aws.now()
    world.drain()
    assert world.aws.now() - began == timedelta(seconds=700)
    assert not world.tasks["task"].runs
