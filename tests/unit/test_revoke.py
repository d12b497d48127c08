"""Revoking: what it does to the record of a task, wherever the task is."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from caraway import states
from caraway.core.context import Context
from caraway.core.disposition import Delete
from caraway.core.events import Ended, Fenced
from caraway.core.message import Message
from caraway.core.port import Stopped, run_now
from caraway.core.record import DONE, LAMBDA, RETRY, RUNNING
from caraway.core.results import look
from caraway.core.revoke import Revocation, revoke, revoke_all, signal_name, signal_of
from caraway.core.settle import Revoked
from caraway.exceptions import (
    AccessDenied,
    EndpointUnreachable,
    InvalidOption,
    Retry,
    TaskRevokedError,
)
from caraway.requests.dynamodb import BatchGetItem, UpdateItem
from caraway.requests.items import Absent, Change
from caraway.requests.partiql import can_be_said
from tests.support import FakeTask, World, signature


def a_world(run: Any = lambda _request: None) -> World:
    return World(
        FakeTask("task", run),
        FakeTask("errback"),
        queues=["default", "callbacks", "errbacks"],
    )


def revoked(world: World, id: str, signal: str | None = None) -> Revocation:
    return run_now(revoke(world.aws, world.site, id, signal))


def while_it_runs(happens: Any, door: str = "ecs") -> World:
    """Return a world in which something happens to the task while it runs."""
    world: World = a_world(lambda request: happens(world, request))
    world.executor = world.worker(world.aws, door)
    return world


# -- what waits -----------------------------------------------------------------------------------


def test_what_waits_is_revoked_and_its_message_is_deleted_unrun() -> None:
    ran: list[Context] = []
    world = a_world(ran.append)
    sent = world.send("task", 1, link_error=signature("errback", queue="errbacks"))
    assert revoked(world, sent.id, "SIGTERM") == Revocation(sent.id, "revoked", "REVOKED")
    assert world.record(sent).state == states.REVOKED
    assert world.deliver() == Delete("it is REVOKED already")
    assert (ran, world.messages("default"), world.messages("errbacks")) == ([], [], [])
    assert world.events[-1] == Ended(sent, Revoked("revoked"), 0.0)


def test_who_waits_for_a_revoked_task_gets_celerys_exception() -> None:
    world = a_world()
    sent = world.send("task")
    revoked(world, sent.id)
    seen = run_now(look(world.aws, world.site, sent.id))
    assert (seen.ready, seen.state) == (True, states.REVOKED)
    assert isinstance(seen.result, TaskRevokedError)
    assert seen.result.args == ("revoked",)


def test_a_task_that_is_revoked_before_it_is_sent_does_not_run() -> None:
    world = a_world()
    revoked(world, "decided")
    world.put(Message("decided", "task", sent_at=world.aws.now()).to_body())
    assert world.deliver() == Delete("it is REVOKED already")


def test_a_retry_that_waits_is_revoked_there_and_then() -> None:
    def again(_request: Context) -> None:
        raise Retry(when=40)

    world = a_world(again)
    sent = world.send("task")
    world.deliver()
    assert world.record(sent).phase == RETRY
    assert revoked(world, sent.id).happened == "revoked"
    world.aws.pass_time(60)
    assert world.deliver() == Delete("it is REVOKED already")


def test_a_second_revoke_says_the_same_and_one_that_comes_too_late_says_that() -> None:
    world = a_world(lambda _request: 1)
    first, second = world.send("task"), world.send("task")
    revoked(world, first.id)
    assert revoked(world, first.id, "SIGKILL").happened == "revoked"
    world.deliver()
    world.deliver()
    late = revoked(world, second.id)
    assert late == Revocation(second.id, "ended", states.SUCCESS)
    assert str(late) == "it has ended already: SUCCESS"


# -- what runs ------------------------------------------------------------------------------------


def test_a_task_that_runs_is_not_stopped_unless_that_is_asked_for() -> None:
    def happens(world: World, request: Context) -> str:
        assert revoked(world, request.id or "").happened == "flagged"
        return "done"

    world = while_it_runs(happens)
    sent = world.send("task")
    world.deliver()
    assert world.record(sent).state == states.SUCCESS


def test_but_no_attempt_follows_it() -> None:
    def happens(world: World, request: Context) -> None:
        revoked(world, request.id or "")
        raise Retry

    world = while_it_runs(happens)
    sent = world.send("task")
    world.deliver()
    assert world.deliver() == Delete(states.REVOKED)
    assert world.record(sent).state == states.REVOKED
    assert world.events_of(Ended)[-1].ending == Revoked("revoked")


def test_a_worker_is_told_by_a_flag_and_ends_the_run() -> None:
    def happens(world: World, request: Context) -> Any:
        assert revoked(world, request.id or "", "SIGINT").happened == "terminating"
        record = world.record(request.id or "")
        assert (record.phase, signal_of(record.revoked)) == (RUNNING, "SIGINT")

    world = while_it_runs(happens)
    call = world.aws.call

    async def stopped(function: Any, *args: Any) -> Any:
        await call(function, *args)
        return Stopped("SIGINT")

    world.aws.call = stopped  # type: ignore[method-assign]
    sent = world.send("task")
    assert world.deliver() == Delete(states.REVOKED)
    assert world.events[-1] == Ended(sent, Revoked("terminated", "SIGINT"), 0.0)
    error = run_now(look(world.aws, world.site, sent.id)).result
    assert isinstance(error, TaskRevokedError)
    assert error.args == ("terminated",)


def test_an_invocation_is_fenced_off_and_its_own_message_completes_the_ending() -> None:
    def happens(world: World, request: Context) -> str:
        answer = revoked(world, request.id or "", "SIGTERM")
        assert (answer.happened, answer.state) == ("fenced", states.REVOKED)
        assert world.record(request.id or "").phase == DONE
        return "too late"

    world = while_it_runs(happens, door=LAMBDA)
    sent = world.send("task", link=signature("callback", queue="callbacks"))
    assert world.deliver() == Delete("it is REVOKED already")
    assert (world.record(sent).state, world.messages("callbacks")) == (states.REVOKED, [])
    assert world.events[-1] == Ended(sent, Revoked("terminated", "SIGTERM"), 0.0)
    assert not any(isinstance(event, Fenced) for event in world.events)


def test_the_finish_of_a_fenced_run_does_not_pass_for_its_own_though_its_answer_was_lost() -> None:
    def happens(world: World, request: Context) -> str:
        revoked(world, request.id or "", "SIGTERM")
        world.aws.fate = lambda request: "repeat" if isinstance(request, UpdateItem) else "ok"
        return "too late"

    world = while_it_runs(happens, door=LAMBDA)
    world.send("task", link=signature("callback", queue="callbacks"))
    assert world.deliver() == Delete("it is REVOKED already")
    assert world.messages("callbacks") == []


# -- many, and what goes wrong --------------------------------------------------------------------


def test_many_are_revoked_at_once_and_each_has_its_own_answer() -> None:
    world = a_world(lambda _request: 1)
    ended, waits = world.send("task"), world.send("task")
    world.deliver()
    answers = run_now(revoke_all(world.aws, world.site, [ended.id, waits.id, ended.id]))
    assert [each.happened for each in answers if isinstance(each, Revocation)] == [
        "ended",
        "revoked",
        "ended",
    ]


def test_many_are_read_by_the_hundred_and_written_in_batches() -> None:
    asked: list[UpdateItem] = []

    def while_another_runs(world: World, request: Context) -> None:
        waits = world.send("task", 2)
        run_now(world.aws.perform(retried(world, "between")))
        world.aws.requests.clear()
        ids = [request.id or "", waits.id, "between", *(f"unsent {n}" for n in range(117))]
        answers = run_now(revoke_all(world.aws, world.site, ids))
        said = [each.happened for each in answers if isinstance(each, Revocation)]
        assert said == ["flagged", *["revoked"] * 119]
        (first, second, *writes) = world.aws.requests
        assert [len(each.ids) for each in (first, second) if isinstance(each, BatchGetItem)] == [
            100,
            20,
        ]
        asked.extend(each for each in writes if isinstance(each, UpdateItem))

    world = while_it_runs(while_another_runs)
    world.send("task", 1)
    world.deliver()
    assert len(asked) == 120
    assert all(can_be_said(each) for each in asked)


def retried(world: World, id: str) -> UpdateItem:
    """Return a write after which a task waits for its next attempt."""
    change = Change({"phase": RETRY, "open_at": 0, "attempt": 1})
    return UpdateItem(world.site.records.table, id, change, Absent("id"))


def test_who_may_write_records_and_not_read_them_revokes_many_all_the_same() -> None:
    world = a_world()

    def fate(request: object) -> Any:
        if isinstance(request, BatchGetItem):
            raise AccessDenied("table 'tasks': dynamodb:BatchGetItem is not allowed")
        return "ok"

    run_now(world.aws.perform(retried(world, "between")))
    world.aws.fate = fate
    answers = run_now(revoke_all(world.aws, world.site, ["between", "unsent"]))
    assert [each.happened for each in answers if isinstance(each, Revocation)] == ["revoked"] * 2


def test_a_record_that_moves_meanwhile_is_looked_at_again() -> None:
    world = a_world(lambda _request: 1)
    sent = world.send("task")
    moves = iter([True])

    def fate(request: object) -> Any:
        writes = isinstance(request, UpdateItem) and "revoked" in request.change.assign
        if writes and next(moves, False):
            world.deliver()  # it runs and ends before the write arrives
        return "ok"

    world.aws.fate = fate
    assert revoked(world, sent.id).happened == "ended"


def test_what_aws_does_not_answer_is_the_answer_of_that_one() -> None:
    world = a_world()
    world.aws.fate = lambda request: "fail" if getattr(request, "id", "") == "b" else "ok"
    first, second = run_now(revoke_all(world.aws, world.site, ["a", "b"]))
    assert isinstance(first, Revocation)
    assert isinstance(second, EndpointUnreachable)
    with pytest.raises(EndpointUnreachable):
        revoked(world, "b")


def test_who_may_not_write_records_is_told_what_it_takes() -> None:
    world = a_world()

    def denied(_request: object) -> Any:
        raise AccessDenied("table 'tasks': dynamodb:UpdateItem is not allowed")

    world.aws.fate = denied
    with pytest.raises(AccessDenied, match="RevokerPolicyArn"):
        revoked(world, "a")


@pytest.mark.parametrize("given", ["SIGTERM", "sigterm", "TERM", 15, signal.SIGTERM])
def test_a_signal_is_named_as_in_celery(given: str | int) -> None:
    assert signal_name(given) == "SIGTERM"


@pytest.mark.parametrize("given", ["SIGTREM", 4_000])
def test_a_signal_that_does_not_exist_is_refused(given: str | int) -> None:
    with pytest.raises(InvalidOption, match="no signal"):
        signal_name(given)


def test_a_signal_that_only_another_system_knows_is_the_default_one() -> None:
    assert signal_of("terminate:SIGUNKNOWN") == "SIGTERM"
