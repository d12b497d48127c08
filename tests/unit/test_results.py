"""Reading results: what a record shows, and waiting for it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from caraway import states
from caraway.aws.asyncio_aws import AsyncioAws
from caraway.core.claim_check import Store
from caraway.core.port import run_now
from caraway.core.results import Seen, forget, look
from caraway.core.waiting import LONGEST_WAIT_S, wait
from caraway.exceptions import EndpointUnreachable, Reject, Retry, TaskRevokedError
from caraway.exceptions import TimeoutError as ResultTimeoutError
from caraway.requests.dynamodb import GetItem, UpdateItem
from tests.support import TABLE, FakeTask, Fates, World, doing
from tests.unit.test_record_batches import DynamoDB


def world_with(*outcomes: Any, **options: Any) -> World:
    return World(FakeTask("task", doing(*outcomes)), **options)


def seen(world: World, id: str) -> Seen:
    return run_now(look(world.aws, world.site, id))


def test_a_task_that_nothing_is_known_of_is_pending() -> None:
    looked = seen(world_with(1), "unknown")
    assert (looked.state, looked.result, looked.ready) == (states.PENDING, None, False)


def test_a_success_shows_its_value_and_a_failure_its_exception() -> None:
    world = world_with(5, ValueError("no", 3))
    good, bad = world.send("task"), world.send("task")
    world.drain()
    assert (seen(world, good.id).state, seen(world, good.id).result) == (states.SUCCESS, 5)
    failure = seen(world, bad.id)
    assert (failure.state, failure.ready) == (states.FAILURE, True)
    assert (type(failure.result), failure.result.args) == (ValueError, ("no", 3))
    assert failure.record.traceback


def test_a_retry_shows_its_cause_and_is_not_ready() -> None:
    world = world_with(Retry(exc=KeyError("k"), when=5))
    sent = world.send("task")
    world.deliver()
    looked = seen(world, sent.id)
    assert (looked.state, looked.ready) == (states.RETRY, False)
    assert isinstance(looked.result, KeyError)


def test_a_dead_letter_is_a_failure_that_is_ready() -> None:
    world = world_with(Reject("no"))
    sent = world.send("task")
    world.deliver()
    looked = seen(world, sent.id)
    assert (looked.state, looked.ready) == (states.FAILURE, True)
    assert isinstance(looked.result, Reject)


def test_an_expired_task_shows_that_it_was_revoked() -> None:
    world = world_with(1)
    sent = world.send("task", expires=-1)
    world.deliver()
    assert isinstance(seen(world, sent.id).result, TaskRevokedError)


def test_a_state_of_the_tasks_own_shows_its_meta() -> None:
    world = World(FakeTask("task"))
    looks: list[Seen] = []

    def run(request: Any) -> None:
        update = world.site.records.update_state(
            request.id, request.token, 0.0, "HALF", '{"done":50}'
        )
        run_now(world.aws.perform(update))
        looks.append(seen(world, request.id))

    world.tasks["task"].function = run
    sent = world.send("task")
    world.deliver()
    assert [(each.state, each.result, each.ready) for each in looks] == [
        ("HALF", {"done": 50}, False)
    ]
    assert seen(world, sent.id).state == states.SUCCESS


def test_a_result_is_hidden_after_it_has_expired_but_its_id_is_guarded() -> None:
    world = world_with(5, 6, result_expires_s=60)
    sent = world.send("task")
    world.deliver()
    world.aws.pass_time(59)
    assert seen(world, sent.id).ready
    world.aws.pass_time(1)
    assert seen(world, sent.id).state == states.PENDING
    world.redeliver(sent)
    assert len(world.tasks["task"].runs) == 1


def test_results_may_be_kept_for_ever() -> None:
    world = world_with(5, result_expires_s=None)
    sent = world.send("task")
    world.deliver()
    world.aws.pass_time(10**8)
    assert seen(world, sent.id).result == 5


def test_forgetting_hides_a_result_and_says_whether_there_was_one() -> None:
    world = world_with(5, Reject("no"))
    sent, rejected = world.send("task"), world.send("task")
    assert run_now(forget(world.aws, world.site, sent.id)) is False
    world.drain()
    for each in (sent, rejected):
        assert run_now(forget(world.aws, world.site, each.id)) is True
        assert seen(world, each.id).state == states.PENDING
    world.redeliver(sent)
    assert len(world.tasks["task"].runs) == 2


def test_a_redriven_task_shows_its_result_although_its_failure_was_forgotten() -> None:
    world = world_with(Reject("no"), 5)
    sent = world.send("task")
    world.deliver()
    run_now(forget(world.aws, world.site, sent.id))
    world.redrive()
    world.drain()
    assert seen(world, sent.id).result == 5


def test_a_large_result_is_read_from_s3() -> None:
    world = world_with(["x" * 99], store=Store("bucket", result_limit_bytes=10))
    sent = world.send("task")
    world.deliver()
    assert seen(world, sent.id).result == ["x" * 99]


# -- waiting ---------------------------------------------------------------------------------


def test_waiting_ends_when_the_task_has_ended() -> None:
    world = world_with(5)
    sent = world.send("task")
    looks = 0

    async def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        world.aws.pass_time(seconds)
        if looks == 3:
            world.deliver()

    world.aws.sleep = sleep  # type: ignore[method-assign]
    assert run_now(wait(world.aws, world.site, sent.id, 10, None)).result == 5
    assert looks == 3


def test_waiting_too_long_raises_and_says_what_to_look_at() -> None:
    world = world_with(5)
    began = world.aws.now()
    with pytest.raises(ResultTimeoutError, match="PENDING after 3 s: is a worker consuming"):
        run_now(wait(world.aws, world.site, "i", 3, None))
    assert (world.aws.now() - began).total_seconds() == pytest.approx(3)


def test_a_timeout_of_nothing_looks_once() -> None:
    world = world_with(5)
    with pytest.raises(ResultTimeoutError):
        run_now(wait(world.aws, world.site, "i", 0, None))
    assert len(world.asked(GetItem)) == 1


def test_looks_come_early_and_then_less_and_less_often() -> None:
    world = world_with(5)
    with pytest.raises(ResultTimeoutError):
        run_now(wait(world.aws, world.site, "i", 600, None))
    assert 600 <= len(world.asked(GetItem)) <= 600 / LONGEST_WAIT_S + 20


@pytest.mark.parametrize(("lasts_s", "looks"), [(0.003, 1), (0.011, 2), (1.0, 17), (60.0, 77)])
def test_a_wait_takes_few_looks_however_long_the_task(lasts_s: float, looks: int) -> None:
    world = world_with(5)
    sent, began = world.send("task"), world.aws.now()
    waiting = [sent]

    async def sleep(seconds: float) -> None:
        world.aws.pass_time(seconds + 0.0015)  # the time of a look, too
        if waiting and (world.aws.now() - began).total_seconds() >= lasts_s:
            waiting.clear()
            world.deliver()

    world.aws.sleep = sleep  # type: ignore[method-assign]
    run_now(wait(world.aws, world.site, sent.id, None, None, sent_at=began))
    assert len(world.asked(GetItem)) == looks


@pytest.mark.parametrize(
    ("given", "first_s"),
    [
        ({}, 0.009),
        ({"ago_s": 0.004}, 0.005),
        ({"ago_s": 60.0}, None),
        ({"timeout_s": 0.001}, 0.001),
        ({"timeout_s": 0.0}, None),
        ({"interval_s": 0.5}, None),
    ],
)
def test_a_task_that_was_just_sent_is_looked_at_when_it_may_have_ended(
    given: dict[str, float], first_s: float | None
) -> None:
    world = world_with(5)
    sent_at = world.aws.now() - timedelta(seconds=given.get("ago_s", 0.0))
    before_the_first: list[float] = []

    async def sleep(seconds: float) -> None:
        if not world.asked(GetItem):
            before_the_first.append(seconds)
        world.aws.pass_time(seconds)

    world.aws.sleep = sleep  # type: ignore[method-assign]
    timeout_s, interval_s = given.get("timeout_s", 1.0), given.get("interval_s")
    with pytest.raises(ResultTimeoutError):
        run_now(wait(world.aws, world.site, "i", timeout_s, interval_s, sent_at=sent_at))
    assert before_the_first == pytest.approx([] if first_s is None else [first_s])


def test_those_who_wait_at_the_same_time_look_together() -> None:
    world = world_with(5)
    wire = DynamoDB([GetItem(TABLE, f"{number}") for number in range(100)])

    async def main() -> list[Seen]:
        aws = AsyncioAws(wire)

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(0)
            if len(wire.operations) == 3:
                for each in wire.requests:
                    done = {"id": each.id, "phase": "done", "state": "SUCCESS", "result": each.id}
                    wire.memory.items[TABLE, each.id] = done

        aws.sleep = sleep  # type: ignore[method-assign]
        waits = (wait(aws, world.site, each.id, None, None) for each in wire.requests)
        return await asyncio.gather(*waits)

    assert [each.result for each in asyncio.run(main())] == list(range(100))
    assert wire.operations == ["batch_get_item"] * 4


def test_looks_may_come_at_an_interval() -> None:
    world = world_with(5)
    with pytest.raises(ResultTimeoutError):
        run_now(wait(world.aws, world.site, "i", 10, 2))
    assert len(world.asked(GetItem)) == 6


def test_aws_not_answering_is_raised_to_whoever_waits() -> None:
    world = world_with(5, fate=Fates().on(GetItem, "fail"))
    with pytest.raises(EndpointUnreachable):
        run_now(wait(world.aws, world.site, "i", None, None))


def test_looking_writes_nothing() -> None:
    world = world_with(5)
    seen(world, "i")
    assert world.asked(UpdateItem) == []
