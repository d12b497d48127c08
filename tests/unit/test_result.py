"""Results, seen from the caller's side."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any

import pytest
from pydantic import BaseModel

from caraway import AsyncResult, Queue, allow_join_result
from caraway.exceptions import (
    EncodeError,
    NotReplayable,
    RemoteError,
    Retry,
    TaskRevokedError,
    TimeoutError,  # noqa: A004 - Celery's name
)
from caraway.requests.dynamodb import GetItem
from tests.stage import Stage


@dataclass(frozen=True)
class Point:
    x: int
    y: int


class Order(BaseModel):
    id: int
    due: date


@pytest.fixture
def stage() -> Stage:
    return Stage()


def returning(stage: Stage, value: Any, annotation: Any = Any) -> Any:
    """Return the result of a task that returned a value."""

    def function() -> Any:
        return value

    function.__annotations__["return"] = annotation
    result = stage.app.task(name="give")(function).delay()
    stage.work()
    return result


# -- states ---------------------------------------------------------------------------------------


def test_a_result_shows_where_its_task_is(stage: Stage) -> None:
    seen: list[tuple[str, bool]] = []

    @stage.app.task(name="work", bind=True)
    def work(self: Any) -> str:
        result = self.AsyncResult(self.request.id)
        seen.append((result.state, result.ready()))
        if self.request.retries == 0:
            raise self.retry(countdown=1, exc=ConnectionError("nobody answers"))
        return "done"

    result = work.delay()
    assert (result.state, result.ready(), result.attempts, result.name) == (
        "PENDING",
        False,
        0,
        "work",
    )
    stage.work_once()
    assert (result.status, result.ready(), result.attempts) == ("RETRY", False, 1)
    assert isinstance(result.info, ConnectionError)
    stage.work_once()
    assert seen == [("STARTED", False), ("STARTED", False)]
    assert (result.state, result.ready(), result.attempts) == ("SUCCESS", True, 2)
    assert (result.successful(), result.failed()) == (True, False)
    assert result.date_done == stage.memory.time
    assert stage.app.AsyncResult(result.id).name == "work"


def test_an_id_that_nobody_knows_is_pending(stage: Stage) -> None:
    result = AsyncResult("unheard-of", stage.app)
    assert (result.state, result.result, result.ready(), result.date_done, result.name) == (
        "PENDING",
        None,
        False,
        None,
        None,
    )


def test_a_result_that_has_ended_is_asked_for_once(stage: Stage) -> None:
    result = returning(stage, 5)
    stage.memory.requests.clear()
    assert (result.get(), result.get(), result.state, result.result) == (5, 5, "SUCCESS", 5)
    assert [type(each) for each in stage.memory.requests] == [GetItem]


def test_a_failure_that_a_redrive_may_change_is_asked_for_again(stage: Stage) -> None:
    result: Any = stage.app.send_task("late")
    stage.work()
    assert result.state == "FAILURE"
    (letter,) = stage.memory.queues.pop("default-dlq")
    stage.app.task(name="late")(lambda: "done")
    stage._execute(letter.request.body, "default", 1)
    assert (result.state, result.get()) == ("SUCCESS", "done")


def test_results_are_known_by_their_ids(stage: Stage) -> None:
    result = AsyncResult("mine", stage.app)
    assert result == AsyncResult("mine")  # of the current app
    assert result == "mine"
    assert result != AsyncResult("other")
    assert result != 5
    assert (str(result), repr(result), result.task_id) == ("mine", "<AsyncResult: mine>", "mine")
    assert len({result, AsyncResult("mine")}) == 1


# -- waiting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}, 0.0])
def test_a_falsy_result_is_a_result(stage: Stage, value: Any) -> None:
    result = returning(stage, value)
    assert result.get(timeout=1) == value
    assert result.successful()


def test_waiting_ends_when_the_time_is_over(stage: Stage) -> None:
    result = stage.app.AsyncResult("unheard-of")
    began = stage.memory.time
    with pytest.raises(TimeoutError, match="is PENDING after 3 s: is a worker consuming"):
        result.get(timeout=3)
    assert (stage.memory.time - began).total_seconds() == pytest.approx(3)
    with pytest.raises(TimeoutError):
        asyncio.run(result.aget(timeout=3))


def test_waiting_looks_as_often_as_it_is_told(stage: Stage) -> None:
    with pytest.raises(TimeoutError):
        stage.app.AsyncResult("unheard-of").wait(timeout=3, interval=1)
    assert len(stage.memory.requests) == 4


def test_the_result_of_a_failure_is_raised_unless_it_is_not_to_be(stage: Stage) -> None:
    @stage.app.task
    def fail() -> None:
        raise ValueError("bad", 5)

    result = fail.delay()
    stage.work()
    with pytest.raises(ValueError, match="bad") as caught:
        result.get()
    assert caught.value.args == ("bad", 5)
    kept: Any = result.get(propagate=False)
    assert (type(kept), kept.args) == (ValueError, ("bad", 5))
    assert (type(result.result), result.failed()) == (ValueError, True)
    assert "in fail" in str(result.traceback)
    with pytest.raises(ValueError, match="bad"):
        result.maybe_throw()
    maybe: Any = result.maybe_throw(propagate=False)
    assert isinstance(maybe, ValueError)


def test_an_expired_task_raises_that_it_was_revoked(stage: Stage) -> None:
    result = stage.app.task(name="late")(lambda: None).apply_async(expires=1, countdown=5)
    stage.work()
    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError, match="expired"):
        result.get()
    assert isinstance(result.get(propagate=False), TaskRevokedError)


def test_an_exception_type_that_is_not_here_is_stood_in_for(stage: Stage) -> None:
    class Unreachable(Exception):
        pass

    @stage.app.task
    def fail() -> None:
        raise Unreachable("far away", 7)

    result = fail.delay()
    stage.work()
    with pytest.raises(RemoteError, match=r"Unreachable\('far away', 7\)") as caught:
        result.get()
    assert caught.value.exc_type.endswith("Unreachable")
    assert caught.value.exc_module == __name__


def test_an_ignored_result_is_none_at_once(stage: Stage) -> None:
    ignoring = stage.app.task(name="ignoring", ignore_result=True)(lambda: 5)
    heeded = stage.app.task(name="heeded")(lambda: 5)
    for result in (ignoring.delay(), heeded.apply_async(ignore_result=True)):
        assert result.ignored
        assert result.get(timeout=0) is None
    kept = ignoring.apply_async(ignore_result=False)
    stage.work()
    assert not kept.ignored
    assert kept.get() == 5

    async def waiting() -> Any:
        return await (await ignoring.adelay()).aget()

    assert asyncio.run(waiting()) is None
    stage.app.conf.result_backend = "disabled"
    assert heeded.delay().ignored


def test_a_result_that_cannot_be_serialised_is_a_failure_with_that_reason(stage: Stage) -> None:
    result = returning(stage, object())
    with pytest.raises(EncodeError, match="result"):
        result.get()


# -- inside a task --------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["get", "aget"])
def test_waiting_inside_a_task_raises(stage: Stage, way: str) -> None:
    @stage.app.task(name="waiting")
    def waiting() -> Any:
        return stage.app.AsyncResult("other").get()

    @stage.app.task(name="awaiting")
    async def awaiting() -> Any:
        return await stage.app.AsyncResult("other").aget()

    result: Any = {"get": waiting, "aget": awaiting}[way].delay()
    stage.work()
    with pytest.raises(RuntimeError, match=r"never call result.get\(\) within a task \(.?waiting"):
        result.get()


def test_waiting_inside_a_task_can_be_allowed(stage: Stage) -> None:
    done = returning(stage, 5)

    @stage.app.task
    def waiting() -> list[Any]:
        with allow_join_result():
            first = stage.app.AsyncResult(done.id).get()
        return [first, stage.app.AsyncResult(done.id).get(disable_sync_subtasks=False)]

    @stage.app.task
    async def awaiting() -> Any:
        return await stage.app.AsyncResult(done.id).aget(disable_sync_subtasks=False)

    results = [waiting.delay(), awaiting.delay()]
    stage.work()
    assert [result.get() for result in results] == [[5, 5], 5]


# -- typed results --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Point, Point(1, 2)),
        (Order, Order(id=7, due=date(2026, 2, 3))),
        (date, date(2026, 2, 3)),
        (datetime, datetime(2026, 2, 3, 4, 5, tzinfo=timezone.utc)),
        (list[Point], [Point(1, 2), Point(3, 4)]),
        (tuple[int, Point], (1, Point(1, 2))),
        (set[int], {1, 2}),
        (Any, {"when": date(2026, 2, 3), "raw": b"\x00\xff"}),
    ],
    ids=repr,
)
def test_a_result_comes_back_as_the_function_returned_it(
    stage: Stage, annotation: Any, value: Any
) -> None:
    result = returning(stage, value, annotation)
    assert result.get() == value
    assert stage.app.AsyncResult(result.id).get() == value


def test_a_result_is_plain_data_where_the_function_is_unknown(stage: Stage) -> None:
    result = returning(stage, Point(1, 2), Point)
    stage.app.tasks.clear()
    assert stage.app.AsyncResult(result.id).get() == {"x": 1, "y": 2}


# -- forgetting -----------------------------------------------------------------------------------


def test_a_forgotten_result_is_hidden_and_its_task_does_not_run_again(stage: Stage) -> None:
    runs: list[int] = []
    task = stage.app.task(name="once")(lambda: runs.append(1))
    result = task.apply_async(task_id="mine")
    stage.work()
    assert result.state == "SUCCESS"
    result.forget()
    assert (result.state, result.result) == ("PENDING", None)
    task.apply_async(task_id="mine")
    stage.work()
    assert runs == [1]


def test_a_result_is_hidden_after_its_time(stage: Stage) -> None:
    stage.app.conf.result_expires = 60
    result = returning(stage, 5)
    stage.memory.pass_time(61)
    assert stage.app.AsyncResult(result.id).state == "PENDING"


def test_a_retry_is_no_result(stage: Stage) -> None:
    @stage.app.task(bind=True)
    def flaky(self: Any) -> None:
        raise self.retry(countdown=1)

    result = flaky.delay()
    stage.work_once()
    assert isinstance(result.result, Retry)
    with pytest.raises(TimeoutError, match="is RETRY after"):
        result.get(timeout=0.5)


# -- where results are ----------------------------------------------------------------------------


def test_a_large_result_travels_through_the_bucket() -> None:
    stage = Stage(payload_bucket="payloads", task_queues=[Queue("default")])
    result = returning(stage, "x" * 10_000)
    assert len(stage.memory.objects) == 1
    assert result.get() == "x" * 10_000


# -- running a failure again ----------------------------------------------------------------------


def failing_once(stage: Stage) -> Any:
    """Return a task that fails at its first attempt."""
    seen: list[int] = []

    @stage.app.task(name="flaky")
    def flaky(x: int) -> int:
        seen.append(x)
        if len(seen) == 1:
            raise ValueError("no")
        return x * len(seen)

    return flaky


def test_a_failure_can_be_replayed_and_its_result_is_waited_for_anew(stage: Stage) -> None:
    result = failing_once(stage).delay(5)
    elsewhere = AsyncResult(result.id, stage.app)
    stage.work()
    assert result.failed()
    assert elsewhere.failed()
    result.replay()
    assert result.state == elsewhere.state == "RETRY"
    stage.work()
    assert result.get(timeout=1) == elsewhere.get(timeout=1) == 10


def test_a_failure_can_be_replayed_from_asynchronous_code(stage: Stage) -> None:
    result = failing_once(stage).delay(5)
    stage.work()
    asyncio.run(result.areplay())
    stage.work()
    assert asyncio.run(result.aget(timeout=1)) == 10


def test_a_task_that_has_not_failed_cannot_be_replayed(stage: Stage) -> None:
    result = returning(stage, 1)
    with pytest.raises(NotReplayable, match="only one that has failed"):
        result.replay()
    assert result.get() == 1


def test_an_eager_result_is_not_replayed(stage: Stage) -> None:
    result = failing_once(stage).apply((5,))
    with pytest.raises(NotReplayable, match="ran in this process: call it again"):
        result.replay()
    with pytest.raises(NotReplayable, match="ran in this process"):
        asyncio.run(result.areplay())
