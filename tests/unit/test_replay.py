"""A task that failed is run again, from the message that its record keeps."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from caraway import states
from caraway.core.claim_check import Store
from caraway.core.port import run_now
from caraway.core.record import DONE, FAILED, RETRY, Written
from caraway.core.replay import planned, replay
from caraway.core.routing import Queue
from caraway.exceptions import (
    EndpointUnreachable,
    NotReplayable,
    QueueNotFound,
    Reject,
    Retry,
)
from caraway.requests.sqs import SendMessage
from tests.support import FakeTask, World, signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caraway.core.context import Context
    from caraway.core.replay import Replay

QUEUES = ("default", "other", "errbacks", Queue("ordered", fifo=True))


def failing(times: int = 1) -> Callable[[Context], Any]:
    """Return a function that fails so often, and then returns its arguments."""
    left = [times]

    def function(request: Context) -> Any:
        if left[0]:
            left[0] -= 1
            raise ValueError("no")
        return list(request.args)

    return function


def world_of(task: FakeTask, **options: Any) -> World:
    return World(task, FakeTask("errback"), queues=QUEUES, **options)


def again(world: World, id: str, queue: str | None = None) -> Replay:
    return run_now(replay(world.aws, world.site, world.tasks, id, queue))


@contextmanager
def nothing_is_sent(world: World) -> Iterator[None]:
    """Let SQS take no message."""
    world.aws.fate = lambda request: "fail" if isinstance(request, SendMessage) else "ok"
    yield
    world.aws.fate = lambda _request: "ok"


def interrupted(world: World, id: str) -> None:
    """Reopen the record, and do not come to sending the attempt."""
    with nothing_is_sent(world), pytest.raises(EndpointUnreachable):
        again(world, id)


def test_a_failed_task_is_run_again_under_its_id_and_may_succeed() -> None:
    task = FakeTask("task", failing())
    world = world_of(task)
    message = world.send("task", 1, 2)
    world.drain()
    again(world, message.id)
    waiting = world.record(message.id)
    assert (waiting.phase, waiting.state, waiting.attempt) == (RETRY, states.RETRY, 1)
    assert waiting.done_at is None
    assert waiting.expires_at is None
    world.drain()
    record = world.record(message.id)
    assert (record.phase, record.state, record.result) == (DONE, states.SUCCESS, "[1,2]")
    assert record.message is None
    assert [run.attempt for run in task.runs] == [0, 1]


def retried_and_failed(request: Context) -> Any:
    """Retry with other arguments, fail, and then return these and the retries so far."""
    if request.attempt == 0:
        raise Retry(args=["changed"])
    if request.attempt == 1:
        raise ValueError("no")
    return [*request.args, request.retries]


def test_it_runs_with_the_arguments_of_the_attempt_that_failed_and_counts_retries_anew() -> None:
    world = world_of(FakeTask("task", retried_and_failed))
    message = world.send("task", "first")
    world.drain()
    again(world, message.id)
    world.drain()
    assert world.record(message.id).result == '["changed",0]'


def test_a_first_message_that_comes_late_asks_for_the_same_as_the_replay() -> None:
    world = world_of(FakeTask("task", retried_and_failed))
    message = world.send("task", "first")
    world.drain()
    again(world, message.id)
    world.aws.queues[world.queue("default")].clear()
    world.redeliver(message)
    world.drain()
    assert world.record(message.id).result == '["changed",0]'


def test_what_has_passed_its_eta_and_its_expires_is_run_all_the_same() -> None:
    world = world_of(FakeTask("task", failing()))
    message = world.send("task", countdown=20, expires=60)
    world.drain()
    world.aws.pass_time(3_600)
    again(world, message.id)
    world.drain()
    assert world.record(message.id).state == states.SUCCESS


def test_a_failure_is_completed_before_it_is_forgotten() -> None:
    """The worker that recorded it died before it sent the errback."""
    world = world_of(FakeTask("task", failing()))
    message = world.send("task", link_error=signature("errback", queue="errbacks"))
    with nothing_is_sent(world), pytest.raises(EndpointUnreachable):
        world.deliver()
    assert world.messages("errbacks") == []
    again(world, message.id)
    assert [each.parent_id for each in world.messages("errbacks")] == [message.id]


def test_an_interrupted_replay_is_completed_by_the_next_one() -> None:
    world = world_of(FakeTask("task", failing()))
    message = world.send("task")
    world.drain()
    interrupted(world, message.id)
    assert world.record(message.id).is_reopened
    again(world, message.id)
    again(world, message.id)
    world.drain()
    record = world.record(message.id)
    assert (record.state, record.attempt) == (states.SUCCESS, 1)


def test_a_replay_that_cannot_be_sent_changes_nothing() -> None:
    world = world_of(FakeTask("task", failing()))
    message = world.send("task")
    world.drain()
    before = world.aws.item("tasks", message.id)
    with pytest.raises(QueueNotFound):
        again(world, message.id, "othr")
    assert world.aws.item("tasks", message.id) == before


def test_a_dead_letter_s_task_is_run_again_and_its_letter_changes_nothing_then() -> None:
    def function(request: Context) -> Any:
        if request.attempt == 0:
            raise Reject("no")
        return request.attempt

    world = world_of(FakeTask("task", function))
    message = world.send("task")
    world.drain()
    assert world.record(message.id).phase == FAILED
    again(world, message.id)
    world.drain()
    assert world.record(message.id).result == "1"
    world.redrive()
    world.drain()
    record = world.record(message.id)
    assert (record.phase, record.result) == (DONE, "1")
    assert world.dead_letters() == []


def test_on_fifo_an_older_message_waits_for_that_of_the_replay() -> None:
    task = FakeTask("task", failing())
    world = world_of(task)
    message = world.send("task", 7, queue="ordered", message_group_id="g")
    world.drain()
    interrupted(world, message.id)
    world.redeliver(message, "ordered", group_id="g")
    assert len(task.runs) == 1
    assert [each.attempt for each in world.messages("ordered")] == [1]
    world.drain()
    assert world.record(message.id).state == states.SUCCESS


def test_a_revoke_reaches_it_until_it_runs() -> None:
    task = FakeTask("task", failing())
    world = world_of(task)
    message = world.send("task")
    world.drain()
    again(world, message.id)
    revoke = world.site.records.revoke(
        message.id, world.aws.now().timestamp(), "revoke", Written(states.REVOKED), None
    )
    run_now(world.aws.perform(revoke))
    world.drain()
    assert world.record(message.id).state == states.REVOKED
    assert len(task.runs) == 1


def test_a_task_without_a_claim_goes_where_its_declaration_says() -> None:
    world = world_of(FakeTask("task", failing(), idempotent=True, queue="other"))
    message = world.send("task", queue="other")
    world.drain()
    assert again(world, message.id).queue.name == "other"
    world.drain()
    assert world.record(message.id).state == states.SUCCESS


def test_a_queue_may_be_named() -> None:
    world = world_of(FakeTask("task", failing()))
    message = world.send("task")
    world.drain()
    again(world, message.id, "other")
    assert [each.id for each in world.messages("other")] == [message.id]


def test_a_plan_changes_nothing() -> None:
    world = world_of(FakeTask("task", failing()))
    message = world.send("task", 3)
    world.drain()
    before = world.aws.item("tasks", message.id)
    plan = run_now(planned(world.aws, world.site, world.tasks, message.id))
    assert (plan.message.args, plan.message.attempt, plan.queue.name) == ((3,), 1, "default")
    assert world.aws.item("tasks", message.id) == before
    assert world.messages("default") == []


# -- what is refused, and what is said ------------------------------------------------------------


def refusal(world: World, id: str, queue: str | None = None) -> str:
    with pytest.raises(NotReplayable) as refused:
        again(world, id, queue)
    return str(refused.value)


def test_what_is_not_known_is_refused() -> None:
    assert "nothing is known of task x: " in refusal(world_of(FakeTask("task")), "x")


def test_what_succeeded_waits_or_runs_is_refused() -> None:
    seen: list[str] = []

    def function(request: Context) -> None:
        seen.append(refusal(world, request.id or ""))
        if request.attempt == 0:
            raise Retry(when=30)

    world = world_of(FakeTask("task", function))
    message = world.send("task")
    world.deliver()
    assert f"task {message.id} runs" in seen[0]
    assert "waits for its next attempt" in refusal(world, message.id)
    world.drain()
    assert refusal(world, message.id).startswith(f"task {message.id} is SUCCESS")


def test_a_message_too_large_to_be_kept_is_refused() -> None:
    world = world_of(FakeTask("task", failing()))
    message = world.send("task", "x" * 300_000)
    world.drain()
    assert "keeps no message" in refusal(world, message.id)


def test_a_message_that_has_gone_from_s3_is_refused() -> None:
    world = world_of(FakeTask("task", failing()), store=Store("bucket"))
    message = world.send("task", "x" * 10_000)
    world.drain()
    world.aws.objects.clear()
    assert "is not to be had any more" in refusal(world, message.id)


def test_a_message_in_s3_is_run_again() -> None:
    world = world_of(FakeTask("task", failing()), store=Store("bucket"))
    message = world.send("task", "x" * 10_000)
    world.drain()
    again(world, message.id)
    world.drain()
    assert world.record(message.id).state == states.SUCCESS


def test_errbacks_are_completed_only_where_the_task_is_known() -> None:
    world = world_of(FakeTask("task", failing()))
    message = world.send("task", link_error=signature("errback", queue="errbacks"))
    world.drain()
    del world.tasks["task"]
    assert "is not registered here" in refusal(world, message.id)


def test_an_errback_that_nobody_can_send_is_said() -> None:
    world = world_of(FakeTask("task", failing()))
    message = world.send("task", link_error=signature("errback", queue="gone"))
    world.drain()
    assert "its callback errback cannot be sent: no queue named 'gone'" in refusal(
        world, message.id
    )
    assert world.record(message.id).phase == DONE


def test_a_fifo_queue_wants_a_group() -> None:
    world = world_of(FakeTask("task", failing()))
    message = world.send("task")
    world.drain()
    assert "wants: name a standard queue" in refusal(world, message.id, "ordered")
