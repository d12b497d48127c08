"""Eager tasks: the same executor, here and now."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from caraway import Caraway, EagerResult, Queue, Task
from caraway.exceptions import (
    EncodeError,
    InvalidArguments,
    MaxRetriesExceededError,
    Reject,
    TaskRevokedError,
)
from caraway.requests.sqs import SendMessage
from tests.stage import Stage


@pytest.fixture
def app() -> Caraway:
    app = Caraway("shop")
    app.conf.task_always_eager = True
    return app


@dataclass
class Order:
    due: date


def add(x: int, y: int = 1) -> int:
    return x + y


# -- ways to run eagerly --------------------------------------------------------------------------


def test_apply_runs_the_task_here() -> None:
    app = Caraway("shop")
    result = app.task(name="add")(add).apply((2,), {"y": 3})
    assert isinstance(result, EagerResult)
    assert (result.get(), result.state, result.ready(), result.name) == (5, "SUCCESS", True, "add")


def test_an_eager_app_runs_every_call_here(app: Caraway) -> None:
    task = app.task(name="add")(add)

    async def producer() -> list[Any]:
        return [
            (await task.adelay(1)).get(),
            await (await task.aapply_async((2,))).aget(),
            (await app.asend_task("add", (3,))).get(),
        ]

    calls = [task.delay(1), task.apply_async((2,)), app.send_task("add", (3,)), task.s(4).delay()]
    assert [result.get() for result in calls] == [2, 3, 4, 5]
    assert asyncio.run(producer()) == [2, 3, 4]


def test_a_far_eta_passes_at_once_and_in_one_step(app: Caraway) -> None:
    app.conf.scheduler_role_arn = "arn:aws:iam::123456789012:role/scheduler"
    result: Any = app.task(add).apply_async((1,), countdown=30 * 86_400)
    assert result.get() == 2
    assert [type(each) for each in result._memory.requests].count(SendMessage) == 1


def test_a_task_without_code_is_sent_even_by_an_eager_app() -> None:
    stage = Stage(task_always_eager=True)
    stage.app.send_task("elsewhere")
    assert stage.sent()[0].task == "elsewhere"


def test_nothing_leaves_the_process(app: Caraway) -> None:
    app.task(add).delay(1)
    assert app._blocking is None


def test_an_asynchronous_task_runs_here_with_and_without_a_running_loop(app: Caraway) -> None:
    @app.task
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return n * 2

    async def inside() -> int:
        return double.delay(5).get()

    assert double.delay(4).get() == 8
    assert asyncio.run(inside()) == 10


# -- as a worker would run it ---------------------------------------------------------------------


def test_arguments_and_results_are_what_a_worker_makes_of_them(app: Caraway) -> None:
    @app.task
    def see(order: Order, raw: Any) -> Any:
        order.due += timedelta(days=1)
        return [order, raw]

    sent = Order(date(2026, 1, 1))
    assert see.delay(sent, (1, 2)).get() == [{"due": date(2026, 1, 2)}, [1, 2]]
    assert sent == Order(date(2026, 1, 1))


def test_arguments_and_results_that_would_not_travel_are_refused(app: Caraway) -> None:
    task: Any = app.task(name="give")(lambda what: object() if what else None)
    with pytest.raises(InvalidArguments, match="missing 1 required"):
        task.delay()
    with pytest.raises(EncodeError, match="result"):
        task.delay(1).get()


def test_the_request_says_that_it_is_eager(app: Caraway) -> None:
    @app.task(bind=True)
    def look(self: Any) -> Any:
        request = self.request
        return [request.is_eager, request.called_directly, request.id, request.hostname]

    result = look.apply_async(task_id="mine", headers={"a": 1})
    assert result.get() == [True, False, "mine", "eager"]


def test_the_result_is_kept_whatever_is_ignored(app: Caraway) -> None:
    assert app.task(ignore_result=True)(add).apply_async((1,), ignore_result=True).get() == 2
    app.conf.result_backend = "disabled"
    assert app.task(name="again")(add).delay(1).get() == 2


def test_large_payloads_need_no_bucket(app: Caraway) -> None:
    task = app.task(name="echo")(lambda text: text)
    assert task.delay("x" * 300_000).get() == "x" * 300_000


def test_a_delay_passes_at_once(app: Caraway) -> None:
    seen: list[Any] = []

    @app.task(bind=True)
    def look(self: Any) -> None:
        seen.append(self.request.eta)

    began = datetime.now(timezone.utc)
    look.apply_async(countdown=600)
    assert seen[0] >= began + timedelta(seconds=600)


def test_an_expired_task_is_not_run(app: Caraway) -> None:
    result = app.task(add).apply_async((1,), expires=1, countdown=10)
    with pytest.raises(TaskRevokedError):
        result.get()


def test_a_task_on_a_fifo_queue_runs_too(app: Caraway) -> None:
    app.conf.task_queues = [Queue("orders.fifo")]

    @app.task(bind=True, queue="orders", default_retry_delay=5)
    def flaky(self: Any) -> int:
        if self.request.retries < 2:
            raise self.retry()
        retries: int = self.request.retries
        return retries

    assert flaky.delay().get() == 2


# -- failures -------------------------------------------------------------------------------------


class Broken(Exception):
    def __init__(self, part: object) -> None:
        super().__init__("broken")
        self.part = part


def test_a_failure_is_the_very_exception_with_its_traceback(app: Caraway) -> None:
    part = object()

    @app.task
    def fail() -> None:
        raise Broken(part)

    result = fail.delay()
    assert (result.state, result.failed()) == ("FAILURE", True)
    with pytest.raises(Broken) as caught:
        result.get()
    assert caught.value.part is part
    assert "fail" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert isinstance(result.get(propagate=False), Broken)


def test_a_failure_propagates_where_it_is_to(app: Caraway) -> None:
    @app.task
    def fail() -> None:
        raise ValueError("bad")

    assert fail.delay().failed()
    with pytest.raises(ValueError, match="bad"):
        fail.apply(throw=True)
    app.conf.task_eager_propagates = True
    with pytest.raises(ValueError, match="bad"):
        fail.delay()
    assert fail.apply(throw=False).failed()


def test_retries_happen_here(app: Caraway) -> None:
    app.conf.task_eager_propagates = True
    runs: list[int] = []

    @app.task(bind=True, autoretry_for=(ConnectionError,), retry_backoff=True, max_retries=3)
    def flaky(self: Any, until: int) -> int:
        runs.append(self.request.retries)
        if self.request.retries < until:
            raise ConnectionError("nobody answers")
        return until

    assert flaky.delay(3).get() == 3
    assert runs == [0, 1, 2, 3]
    with pytest.raises(ConnectionError):
        flaky.delay(4)

    @app.task(bind=True, max_retries=1)
    def stubborn(self: Any) -> None:
        raise self.retry()

    with pytest.raises(MaxRetriesExceededError):
        stubborn.delay()


def test_a_task_that_puts_its_message_back_ends_there(app: Caraway) -> None:
    runs: list[int] = []

    @app.task
    def busy() -> None:
        runs.append(1)
        raise Reject("not now", requeue=True)

    result = busy.delay()
    assert (runs, result.ready(), result.get()) == ([1], False, None)


def test_a_rejected_task_has_failed(app: Caraway) -> None:
    @app.task
    def refuse() -> None:
        raise Reject("no such order")

    with pytest.raises(Reject, match="no such order"):
        refuse.delay().get()


# -- what a task leads to -------------------------------------------------------------------------


def test_callbacks_and_errbacks_run_here(app: Caraway) -> None:
    heard: list[Any] = []
    hear: Any = app.task(name="hear")(lambda *args: heard.append(args))

    @app.task
    def fail() -> None:
        raise ValueError("bad")

    app.task(name="add")(add).apply_async((1,), link=hear.s("then").set(countdown=3))
    fail.apply_async(link_error=hear.si("failed"))
    assert heard == [(2, "then"), ("failed",)]


def test_eager_tasks_may_call_each_other_and_wait(app: Caraway) -> None:
    child = app.task(name="add")(add)
    ids: list[str] = []

    @app.task(name="parent")
    def parent(n: int) -> int:
        results = [child.delay(n), child.delay(n), child.apply((n,))]
        ids.extend(result.id for result in results)
        return sum(result.get() for result in results)

    @app.task
    async def grand() -> int:
        return (await parent.adelay(1)).get() + parent.delay(2).get()

    assert grand.delay().get() == 6 + 9
    assert len(set(ids)) == 6


def test_hooks_run_and_states_are_shown_here(app: Caraway) -> None:
    calls: list[Any] = []

    class Watched(Task[..., Any]):
        def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
            calls.append(("on_success", retval))

    @app.task(bind=True)
    def helper(self: Any) -> None:
        self.update_state(state="HELPED")

    @app.task(base=Watched, bind=True)
    def work(self: Any) -> int:
        self.update_state(state="WORKING", meta={"done": 1})
        helper()
        return 5

    @app.task(bind=True)
    async def awork(self: Any) -> int:
        await self.aupdate_state(state="WORKING")
        return 6

    assert (work.delay().get(), awork.delay().get()) == (5, 6)
    assert calls == [("on_success", 5)]
    assert app._blocking is None
