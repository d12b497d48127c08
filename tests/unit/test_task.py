"""A task: what a call becomes, and what the task may do while it runs."""

from __future__ import annotations

import asyncio
import re
import traceback
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from caraway import Queue, Task
from caraway.core.events import Ended, HookFailed
from caraway.core.settle import Failed
from caraway.exceptions import (
    EncodeError,
    EndpointUnreachable,
    Ignore,
    ImproperlyConfigured,
    InvalidArguments,
    InvalidOption,
    InvalidTaskError,
    MaxRetriesExceededError,
    QueueNotFound,
    Reject,
    Retry,
    UnknownOption,
)
from tests.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.aws.memory import Fate

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
"""Where the clock of an account in memory stands."""


def add(x: int, y: int = 1) -> int:
    return x + y


@pytest.fixture
def stage() -> Stage:
    return Stage(task_queues=[Queue("default"), Queue("priority"), Queue("orders.fifo")])


# -- sending --------------------------------------------------------------------------------------


def test_delay_sends_a_message_and_returns_its_result(stage: Stage) -> None:
    result = stage.app.task(name="add")(add).delay(2, y=3)
    (message,) = stage.sent()
    assert (message.id, message.task) == (result.id, "add")
    assert (message.args, message.kwargs) == ((2,), {"y": 3})
    assert (message.root_id, message.parent_id, message.sent_at) == (result.id, None, NOW)
    stage.work()
    assert result.get() == 5


def test_delay_is_there_for_asynchronous_code_too(stage: Stage) -> None:
    async def producer() -> Any:
        task = stage.app.task(name="add")(add)
        one, two = await task.adelay(1), await task.aapply_async((2,), countdown=3)
        three = await stage.app.asend_task("add", (3,))
        four = await stage.app.asend_task("sub", (4,))
        stage.work()
        return await one.aget(), await two.aget(), await three.aget(), await four.astate()

    assert asyncio.run(producer()) == (2, 3, 4, "FAILURE")


def test_the_options_of_a_call_are_in_its_message(stage: Stage) -> None:
    task = stage.app.task(name="add")(add)
    task.apply_async(
        (1,),
        {"y": 2},
        task_id="mine",
        queue="priority",
        headers={"trace": 7},
        ignore_result=True,
        time_limit=30,
        soft_time_limit=20.5,
        expires=60,
        link=task.s(10),
        link_error=[task.si(0, 0)],
    )
    (message,) = stage.sent("priority")
    assert message.id == "mine"
    assert message.headers == {"trace": 7}
    assert message.ignore_result is True
    assert (message.time_limit, message.soft_time_limit) == (30, 20.5)
    assert message.expires == NOW + timedelta(seconds=60)
    assert [each["args"] for each in message.link] == [[10]]
    assert [each["immutable"] for each in message.link_error] == [True]


def test_arguments_may_be_left_out(stage: Stage) -> None:
    task = stage.app.task(name="nothing")(lambda: None)
    task.apply_async()
    task.apply_async(None, None)
    stage.app.send_task("nothing", None)
    assert [message.args for message in stage.sent()] == [(), (), ()]


@pytest.mark.parametrize("args", ["ab", {"x": 1}, 5])
def test_arguments_are_a_tuple_or_a_list(stage: Stage, args: Any) -> None:
    with pytest.raises(InvalidOption, match="expected a tuple or a list"):
        stage.app.task(add).apply_async(args)
    with pytest.raises(InvalidOption, match="expected a dict of arguments by name"):
        stage.app.send_task("add", (), "x=1")  # type: ignore[arg-type]


def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent(stage: Stage) -> None:
    task = stage.app.task(name="add")(add)
    wrong: Any = task
    with pytest.raises(InvalidArguments, match=r"add\(\) missing 1 required positional argument"):
        wrong.delay()
    with pytest.raises(InvalidArguments, match="argument x"):
        wrong.delay("two")
    with pytest.raises(InvalidArguments, match="argument y"):
        wrong.apply_async((1,), {"y": object()})
    with pytest.raises(EncodeError, match="args"):
        stage.app.send_task("elsewhere", [object()])
    assert not stage.sent()


def test_a_task_may_leave_its_arguments_unchecked(stage: Stage) -> None:
    task: Any = stage.app.task(name="add", typing=False)(add)
    task.delay("two")
    assert stage.sent()[0].args == ("two",)


# -- when -----------------------------------------------------------------------------------------


def test_a_countdown_becomes_a_delay_of_the_message(stage: Stage) -> None:
    stage.app.task(add).apply_async((1,), countdown=10)
    stage.app.task(add).apply_async((1,), eta=NOW + timedelta(seconds=99.5))
    stage.app.task(add).apply_async((1,), eta=NOW - timedelta(days=1))
    assert stage.delays() == [10, 100, 0]
    assert stage.sent()[0].eta == NOW + timedelta(seconds=10)


def test_a_naive_eta_is_meant_in_the_apps_time_zone(stage: Stage) -> None:
    stage.app.conf.timezone = "Asia/Seoul"
    local = NOW.astimezone(ZoneInfo("Asia/Seoul")).replace(tzinfo=None)
    stage.app.task(add).apply_async(
        (1,), eta=local + timedelta(seconds=30), expires=local + timedelta(seconds=90)
    )
    (message,) = stage.sent()
    assert message.eta == NOW + timedelta(seconds=30)
    assert message.expires == NOW + timedelta(seconds=90)


def test_a_countdown_may_be_of_any_length(stage: Stage) -> None:
    soon = stage.app.task(add).apply_async((1,), countdown=901)
    late = stage.app.task(add).apply_async((2,), eta=NOW + timedelta(hours=3))
    assert stage.delays() == [900, 900]
    stage.work()
    assert (soon.get(), late.get()) == (2, 3)
    assert stage.memory.time == NOW + timedelta(hours=3)


def test_a_delay_on_a_fifo_queue_raises(stage: Stage) -> None:
    with pytest.raises(InvalidOption, match="'orders' is FIFO, and SQS delays no single message"):
        stage.app.task(add).apply_async((1,), queue="orders", countdown=1)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"eta": 5}, "eta=5: expected a datetime, not int"),
        ({"eta": "tomorrow"}, "'tomorrow' is not an ISO 8601 time"),
        ({"countdown": "5"}, "countdown='5': expected seconds, not str"),
        ({"countdown": True}, "expected seconds, not bool"),
        ({"countdown": 1, "eta": NOW}, "give countdown or eta, not both"),
        ({"expires": [1]}, "expires"),
        ({"time_limit": 0}, "time_limit=0: expected seconds above 0"),
        ({"ignore_result": "yes"}, "expected True or False"),
        ({"headers": ["x"]}, "headers"),
        ({"task_id": ""}, "task_id"),
        ({"link": "add"}, "expected a signature, such as task.s"),
        ({"message_group_id": "two words"}, "message_group_id"),
        ({"retry_policy": {"interval_start": "soon"}}, "interval_start='soon': expected a number"),
    ],
)
def test_an_option_of_a_wrong_type_is_refused(
    stage: Stage, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidOption, match=complaint):
        stage.app.task(add).apply_async((1,), **options)
    assert not stage.sent()


def test_an_unknown_option_is_refused_with_the_nearest(stage: Stage) -> None:
    task = stage.app.task(add)
    with pytest.raises(UnknownOption, match="'countdwn', did you mean 'countdown'"):
        task.apply_async((1,), countdwn=3)
    with pytest.raises(UnknownOption, match="'priority' has no meaning here: SQS has no priori"):
        task.apply_async((1,), priority=3)
    with pytest.raises(UnknownOption, match="retry_policy: no 'max_retry', did you mean 'max_re"):
        task.apply_async((1,), retry_policy={"max_retry": 3})
    assert not stage.sent()


# -- where ----------------------------------------------------------------------------------------


def test_a_queue_that_no_setting_names_is_refused_with_the_nearest(stage: Stage) -> None:
    with pytest.raises(QueueNotFound, match="'priorty', did you mean 'priority'"):
        stage.app.task(add).apply_async((1,), queue="priorty")


def test_the_call_the_task_and_the_routes_choose_the_queue_in_this_order(stage: Stage) -> None:
    stage.app.conf.task_routes = {"maths.*": "routed"}
    plain = stage.app.task(name="maths.add")(add)
    own = stage.app.task(name="maths.own", queue="priority")(add)
    plain.delay(1)
    own.delay(2)
    own.apply_async((3,), queue="default")
    args = [[message.args for message in stage.sent(q)] for q in ("routed", "priority", "default")]
    assert args == [[(1,)], [(2,)], [(3,)]]


def test_a_task_on_a_fifo_queue_is_sent_once_per_id_and_in_its_group(stage: Stage) -> None:
    task = stage.app.task(name="add")(add)
    for _ in range(2):
        task.apply_async((1,), queue="orders", task_id="mine", message_group_id="order-42")
    (message,) = stage.sent("orders")
    assert message.group_id == "order-42"


# -- asking again ---------------------------------------------------------------------------------


def test_a_send_is_asked_again_while_aws_is_unreachable(stage: Stage) -> None:
    fates: Iterator[Fate] = iter(["fail", "fail"])
    stage.memory.fate = lambda _request: next(fates, "ok")
    stage.app.task(add).delay(1)
    assert len(stage.sent()) == 1


def test_how_often_a_send_is_asked_again_can_be_chosen(stage: Stage) -> None:
    asked: list[Any] = []

    def fate(request: Any) -> Fate:
        asked.append(request)
        return "fail"

    stage.memory.fate = fate
    task = stage.app.task(add)
    for options, times in (
        ({"retry": False}, 1),
        ({"retry_policy": {"max_retries": 1, "interval_start": 0}}, 2),
        ({}, 4),
    ):
        asked.clear()
        with pytest.raises(EndpointUnreachable):
            task.apply_async((1,), **options)
        assert len(asked) == times


# -- children -------------------------------------------------------------------------------------


def test_the_same_attempt_run_again_describes_the_same_children(stage: Stage) -> None:
    child = stage.app.task(name="child")(add)

    @stage.app.task(name="parent")
    def parent() -> list[str]:
        return [child.delay(1).id, child.delay(1).id, child.delay(2).id]

    parent.delay()
    (message,) = stage.sent()
    stage.deliver(message)
    first = [each.id for each in stage.sent() if each.task == "child"]
    stage.memory.items.clear()  # as if the worker had been lost before its claim was written
    stage.memory.queues.clear()
    stage.deliver(message)
    second = [each.id for each in stage.sent() if each.task == "child"]
    assert first == second
    assert len(set(first)) == 3


def test_another_attempt_describes_other_children(stage: Stage) -> None:
    child = stage.app.task(name="child")(add)

    @stage.app.task(name="parent", bind=True, default_retry_delay=1)
    def parent(self: Any) -> str:
        child.delay(1)
        if self.request.retries == 0:
            raise self.retry()
        return "done"

    parent.delay()
    children: set[str] = set()
    while stage.work_once():
        children |= {each.id for each in stage.sent() if each.task == "child"}
    assert len(children) == 2


def test_children_know_where_they_come_from(stage: Stage) -> None:
    seen: dict[str, Any] = {}

    @stage.app.task(name="child", bind=True)
    def child(self: Any) -> None:
        seen["child"] = (self.request.root_id, self.request.parent_id)

    @stage.app.task(name="helper")
    def helper() -> str:
        return child.delay().id

    @stage.app.task(name="parent", bind=True)
    def parent(self: Any) -> str:
        return helper()  # a direct call is still in the course of this task

    result = parent.delay()
    stage.work()
    assert seen["child"] == (result.id, result.id)
    assert result.get() != result.id


def test_asynchronous_tasks_describe_the_same_children_too(stage: Stage) -> None:
    child = stage.app.task(name="child")(add)

    @stage.app.task(name="helper")
    async def helper() -> str:
        return (await child.adelay(1)).id

    @stage.app.task(name="parent")
    async def parent() -> list[str]:
        return [(await child.adelay(1)).id, await helper()]

    parent.delay()
    (message,) = stage.sent()
    ids = []
    for _ in range(2):
        stage.memory.items.clear()
        stage.memory.queues.clear()
        stage.deliver(message)
        ids.append([each.id for each in stage.sent()])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


def test_calls_outside_of_tasks_have_fresh_ids(stage: Stage) -> None:
    task = stage.app.task(name="add")(add)
    assert task.delay(1).id != task.delay(1).id


# -- the request ----------------------------------------------------------------------------------


def test_a_task_knows_its_request(stage: Stage) -> None:
    seen: dict[str, Any] = {}

    @stage.app.task(name="look", bind=True)
    def look(self: Any, x: int, *, y: int) -> None:
        request = self.request
        names = "id task args kwargs retries hostname called_directly headers delivery_info"
        seen.update({name: getattr(request, name) for name in names.split()})

    result = look.apply_async((1,), {"y": 2}, headers={"on": NOW})
    stage.work()
    assert seen == {
        "id": result.id,
        "task": "look",
        "args": (1,),
        "kwargs": {"y": 2},
        "retries": 0,
        "hostname": "worker",
        "called_directly": False,
        "headers": {"on": NOW},
        "delivery_info": {"queue": "default", "redelivered": False},
    }


def test_a_direct_call_has_a_request_of_its_own(stage: Stage) -> None:
    @stage.app.task(bind=True)
    def look(self: Any, x: int, y: int = 0) -> Any:
        request = self.request
        return request.called_directly, request.id, request.args, request.kwargs

    assert look(1, y=2) == (True, None, (1,), {"y": 2})
    assert look.request.called_directly
    assert not stage.memory.requests


def test_a_direct_call_of_an_asynchronous_task_is_a_coroutine(stage: Stage) -> None:
    @stage.app.task(bind=True)
    async def look(self: Any, x: int) -> Any:
        await asyncio.sleep(0)
        return self.request.called_directly, x

    assert asyncio.run(look(5)) == (True, 5)


def test_a_class_may_wrap_the_call_that_its_worker_makes(stage: Stage) -> None:
    calls: list[str] = []

    class InContext(Task[..., Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            calls.append("in")
            try:
                return super().__call__(*args, **kwargs)
            finally:
                calls.append("out")

    @stage.app.task(name="look", base=InContext, bind=True)
    def look(self: Any, x: int) -> Any:
        calls.append("run")
        return self.request.id, self.request.called_directly, x

    result = look.delay(7)
    stage.work()
    assert tuple(result.get()) == (result.id, False, 7)
    assert calls == ["in", "run", "out"]
    assert look(8) == (None, True, 8)


def test_a_class_may_wrap_the_call_of_an_asynchronous_task(stage: Stage) -> None:
    class InContext(Task[..., Any]):
        async def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return ["wrapped", *await super().__call__(*args, **kwargs)]

    @stage.app.task(base=InContext, bind=True)
    async def look(self: Any, x: int) -> Any:
        await asyncio.sleep(0)
        return self.request.called_directly, x

    result = look.delay(7)
    stage.work()
    assert result.get() == ["wrapped", False, 7]
    assert asyncio.run(look(8)) == ["wrapped", True, 8]


# -- retries --------------------------------------------------------------------------------------


def test_a_retry_runs_the_task_again_after_its_delay(stage: Stage) -> None:
    tries: list[Any] = []

    @stage.app.task(name="flaky", bind=True)
    def flaky(self: Any) -> str:
        tries.append((self.request.retries, stage.memory.time))
        if len(tries) == 1:
            raise self.retry(countdown=20)
        return "done"

    result = flaky.delay()
    stage.work_once()
    assert result.state == "RETRY"
    assert stage.delays() == [20]
    stage.work()
    assert result.get() == "done"
    assert tries == [(0, NOW), (1, NOW + timedelta(seconds=20))]


def test_a_retry_waits_the_tasks_own_delay_when_none_is_given(stage: Stage) -> None:
    @stage.app.task(bind=True, default_retry_delay=42)
    def flaky(self: Any) -> None:
        raise self.retry()

    flaky.delay()
    stage.work_once()
    assert stage.delays() == [42]


def test_a_retry_may_name_a_time_also_a_naive_one(stage: Stage) -> None:
    stage.app.conf.timezone = "Asia/Seoul"

    @stage.app.task(bind=True)
    def flaky(self: Any, naive: bool) -> None:
        eta = (stage.memory.time + timedelta(seconds=9)).astimezone(ZoneInfo("Asia/Seoul"))
        raise self.retry(eta=eta.replace(tzinfo=None) if naive else eta)

    for naive in (True, False):
        flaky.delay(naive)
        stage.work_once()
        assert stage.delays() == [9]
        stage.memory.queues.clear()


def test_retries_end_with_the_error_that_caused_them(stage: Stage) -> None:
    @stage.app.task(bind=True, max_retries=2, default_retry_delay=1)
    def flaky(self: Any) -> None:
        try:
            raise ConnectionError("nobody answers")
        except ConnectionError as error:
            raise self.retry(exc=error) from error

    result = flaky.delay()
    stage.work()
    with pytest.raises(ConnectionError, match="nobody answers"):
        result.get()
    assert result.attempts == 3


def test_retries_without_an_error_end_with_one_that_says_so(stage: Stage) -> None:
    caught: list[Any] = []

    @stage.app.task(name="flaky", bind=True, max_retries=1, default_retry_delay=1)
    def flaky(self: Any, x: int) -> None:
        try:
            self.retry()
        except self.MaxRetriesExceededError as error:
            caught.append((error.task_args, error.task_kwargs))
            raise

    result = flaky.delay(5)
    stage.work()
    with pytest.raises(MaxRetriesExceededError, match=r"flaky\[.*has been retried 1 times"):
        result.get()
    assert caught == [((5,), {})]


def test_a_retry_may_have_a_limit_of_its_own_and_none_may_have_none(stage: Stage) -> None:
    runs: list[int] = []

    @stage.app.task(bind=True, max_retries=None)
    def endless(self: Any) -> None:
        runs.append(self.request.retries)
        raise self.retry(countdown=1, max_retries=4)

    result = endless.delay()
    stage.work()
    assert runs == [0, 1, 2, 3, 4]
    assert isinstance(result.result, MaxRetriesExceededError)

    @stage.app.task(bind=True, max_retries=None)
    def stubborn(self: Any) -> int:
        retries: int = self.request.retries
        if retries < 10:
            raise self.retry(countdown=1)
        return retries

    patient = stubborn.delay()
    stage.work()
    assert patient.get() == 10


def test_a_retry_may_change_arguments_and_options(stage: Stage) -> None:
    @stage.app.task(name="flaky", bind=True)
    def flaky(self: Any, when: datetime, *, deep: bool) -> Any:
        if self.request.retries == 0:
            later = when + timedelta(days=1)
            raise self.retry((later,), {"deep": True}, countdown=1, headers={"x": 1}, expires=60)
        return when, deep, self.request.headers

    result = flaky.delay(NOW, deep=False)
    stage.work_once()
    (message,) = stage.sent()
    assert message.expires == NOW + timedelta(seconds=60)
    stage.work()
    assert result.get() == [NOW + timedelta(days=1), True, {"x": 1}]


def test_a_retry_that_does_not_throw_lets_the_function_go_on(stage: Stage) -> None:
    steps: list[str] = []

    @stage.app.task(bind=True)
    def flaky(self: Any) -> str:
        if self.request.retries == 0:
            retry = self.retry(countdown=5, throw=False)
            steps.append(str(retry))
        steps.append("went on")
        return "returned"

    result = flaky.delay()
    stage.work_once()
    assert result.state == "RETRY"
    stage.work()
    assert steps == ["Retry in 5s", "went on", "went on"]
    assert result.get() == "returned"


def test_a_retry_takes_no_option_that_it_cannot_change(stage: Stage) -> None:
    @stage.app.task(bind=True)
    def flaky(self: Any) -> None:
        raise self.retry(header={"x": 1})

    result = flaky.delay()
    stage.work()
    with pytest.raises(UnknownOption, match="'header', did you mean 'headers'"):
        result.get()


def test_a_retry_may_be_further_away_than_sqs_can_delay(stage: Stage) -> None:
    @stage.app.task(bind=True)
    def flaky(self: Any) -> str:
        if self.request.retries == 0:
            raise self.retry(countdown=1000)
        return "done"

    result = flaky.delay()
    stage.work_once()
    assert stage.delays() == [900]
    stage.work()
    assert result.get() == "done"
    assert stage.memory.time == NOW + timedelta(seconds=1000)


def test_a_retry_that_cannot_be_had_is_a_failure_with_that_reason(stage: Stage) -> None:
    @stage.app.task(bind=True)
    def flaky(self: Any) -> None:
        raise self.retry(countdown=15 * 86_400)

    result = flaky.apply_async(queue="orders")
    stage.work()
    with pytest.raises(InvalidOption, match="outlives its message"):
        result.get()


def test_a_retry_in_a_direct_call_raises_its_cause(stage: Stage) -> None:
    @stage.app.task(bind=True)
    def flaky(self: Any, how: str) -> None:
        try:
            if how != "nothing":
                raise ConnectionError("nobody answers")
        except ConnectionError as error:
            raise self.retry(exc=error if how == "exc" else None) from error
        raise self.retry()

    for how in ("exc", "handled"):
        with pytest.raises(ConnectionError):
            flaky(how)
    with pytest.raises(Retry, match="can be retried"):
        flaky("nothing")


def test_an_automatic_retry_backs_off(stage: Stage) -> None:
    stage.app.conf.timezone = "UTC"

    @stage.app.task(
        autoretry_for=(ConnectionError,),
        dont_autoretry_for=(ConnectionRefusedError,),
        retry_backoff=3,
        retry_backoff_max=10,
        retry_jitter=False,
        retry_kwargs={"max_retries": 4},
    )
    def flaky(error: str) -> None:
        raise ConnectionResetError if error == "reset" else ConnectionRefusedError

    result = flaky.delay("reset")
    delays = []
    while stage.work_once():
        delays += stage.delays()
    assert delays == [3, 6, 10, 10]
    assert isinstance(result.result, ConnectionResetError)
    assert result.attempts == 5

    refused = flaky.delay("refused")
    stage.work()
    assert refused.attempts == 1


def test_the_jitter_of_a_back_off_stays_below_it(stage: Stage) -> None:
    @stage.app.task(autoretry_for=(ConnectionError,), retry_backoff=100, max_retries=1)
    def flaky() -> None:
        raise ConnectionError

    for _ in range(5):
        flaky.delay()
        stage.work_once()
        (delay,) = stage.delays()
        assert 0 <= delay <= 100
        stage.memory.queues.clear()


def test_asynchronous_tasks_are_retried_too(stage: Stage) -> None:
    @stage.app.task(bind=True, autoretry_for=(ConnectionError,), default_retry_delay=1)
    async def flaky(self: Any) -> int:
        await asyncio.sleep(0)
        if self.request.retries == 0:
            raise ConnectionError
        if self.request.retries == 1:
            raise self.retry(countdown=1)
        retries: int = self.request.retries
        return retries

    result = flaky.delay()
    stage.work()
    assert result.get() == 2


# -- states of one's own --------------------------------------------------------------------------


def test_a_task_shows_a_state_of_its_own(stage: Stage) -> None:
    seen: list[Any] = []

    @stage.app.task(name="copy", bind=True)
    def copy(self: Any) -> None:
        self.update_state(state="COPYING", meta={"done": 3, "since": NOW})
        result = self.AsyncResult(self.request.id)
        seen.append((result.state, result.info))
        self.update_state(meta={"done": 4})
        seen.append((result.state, result.result))

    result = copy.delay()
    stage.work()
    assert seen == [
        ("COPYING", {"done": 3, "since": NOW}),
        ("PROGRESS", {"done": 4}),
    ]
    assert (result.state, result.info) == ("SUCCESS", None)


@pytest.mark.parametrize("meta", [None, 0, False, "", [], {}])
def test_a_state_may_show_nothing_much(stage: Stage, meta: Any) -> None:
    seen: list[Any] = []

    @stage.app.task(bind=True)
    def copy(self: Any) -> None:
        self.update_state(state="COPYING", meta={"done": 3})
        self.update_state(state="COPYING", meta=meta)
        result = self.AsyncResult(self.request.id)
        seen.append((result.state, result.info))

    copy.delay()
    stage.work()
    assert seen == [("COPYING", meta)]
    assert type(seen[0][1]) is type(meta)


def test_an_asynchronous_task_shows_a_state_of_its_own(stage: Stage) -> None:
    @stage.app.task(bind=True)
    async def copy(self: Any) -> Any:
        await self.aupdate_state(state="COPYING", meta=[1, 2])
        result = stage.app.AsyncResult(self.request.id)
        return await result.astate(), await result.ainfo()

    result = copy.delay()
    stage.work()
    assert result.get() == ["COPYING", [1, 2]]
    assert asyncio.run(result.aresult()) == ["COPYING", [1, 2]]


def test_a_large_state_goes_to_the_bucket_and_each_one_that_was_shown_is_its_own(
    stage: Stage,
) -> None:
    stage.app.conf.payload_bucket = "payloads"
    seen: list[Any] = []

    @stage.app.task(bind=True)
    def copy(self: Any) -> None:
        for letter in "ab":
            self.update_state(meta=letter * 5_000)
            seen.append(self.AsyncResult(self.request.id).info)

    copy.delay()
    stage.work()
    assert seen == ["a" * 5_000, "b" * 5_000]


def test_a_state_that_nothing_can_hold_says_what_to_do(stage: Stage) -> None:
    @stage.app.task(bind=True)
    def copy(self: Any) -> None:
        self.update_state(meta="x" * 300_000)

    result = copy.delay()
    stage.work()
    with pytest.raises(ImproperlyConfigured, match=r"the meta of task .* set payload_bucket"):
        result.get()


def test_what_cannot_be_shown_is_named(stage: Stage) -> None:
    @stage.app.task(bind=True)
    def copy(self: Any) -> None:
        self.update_state(meta={"file": object()})

    result = copy.delay()
    stage.work()
    with pytest.raises(EncodeError, match=r"meta\['file'\]"):
        result.get()


def test_no_option_of_a_wrong_kind_names_another_place(stage: Stage) -> None:
    task = stage.app.task(name="add")(add)
    for options, said in (
        ({"queue": 3}, "queue=3: expected a queue's name"),
        ({"queue": {"queue": "default"}}, "queue={'queue': 'default'}: expected a queue's name"),
        ({"retry": "x"}, "retry='x': expected True or False"),
        ({"retry_policy": 3}, "retry_policy=3: expected a dict"),
    ):
        with pytest.raises(InvalidOption, match=re.escape(said)):
            task.apply_async((1,), **options)
    with pytest.raises(EncodeError, match=r"headers\['a'\]"):
        task.apply_async((1,), headers={"a": object()})
    not_a_name: Any = 3
    with pytest.raises(InvalidOption, match="task=3: expected a task's name"):
        stage.app.send_task(not_a_name)
    with pytest.raises(ImproperlyConfigured, match="other: queue=3: expected a queue's name"):
        stage.app.task(name="other", queue=not_a_name)(add)


def test_a_helper_that_is_called_directly_shows_the_state_of_the_running_task(
    stage: Stage,
) -> None:
    @stage.app.task(bind=True)
    def helper(self: Any) -> None:
        self.update_state(state="HELPED")

    @stage.app.task(bind=True)
    def copy(self: Any) -> str:
        helper()
        return str(stage.app.AsyncResult(self.request.id).state)

    result = copy.delay()
    stage.work()
    assert result.get() == "HELPED"
    helper()  # outside of any task it does nothing


def test_a_task_shows_no_state_of_another(stage: Stage) -> None:
    @stage.app.task(bind=True)
    def meddle(self: Any) -> None:
        self.update_state(task_id="another", state="MINE")

    result = meddle.delay()
    stage.work()
    assert isinstance(result.result, InvalidOption)


def test_a_task_that_keeps_no_record_cannot_show_a_state(stage: Stage) -> None:
    @stage.app.task(bind=True, idempotent=True)
    def meddle(self: Any) -> None:
        self.update_state(state="MINE")

    result = meddle.delay()
    stage.work()
    with pytest.raises(InvalidTaskError, match="needs idempotent=False"):
        result.get()


def test_a_state_of_a_task_that_was_overtaken_is_not_shown(stage: Stage) -> None:
    @stage.app.task(bind=True)
    def slow(self: Any) -> None:
        item = stage.memory.item("caraway-tasks", self.request.id)
        assert item is not None
        stage.memory.items["caraway-tasks", self.request.id] = {**item, "token": "another's"}
        self.update_state(state="MINE")

    result = slow.delay()
    stage.work_once()
    assert result.state != "MINE"


# -- other endings --------------------------------------------------------------------------------


def test_an_ignored_task_has_no_outcome(stage: Stage) -> None:
    @stage.app.task
    def skip() -> None:
        raise Ignore

    result = skip.apply_async(link=skip.s())
    stage.work()
    assert (result.state, result.get()) == ("IGNORED", None)


def test_a_rejected_task_goes_to_the_dead_letter_queue(stage: Stage) -> None:
    @stage.app.task
    def refuse() -> None:
        raise Reject("no such order")

    result = refuse.delay()
    stage.work()
    (stored,) = stage.memory.queues["default-dlq"]
    assert stored.request.attributes["reason"] == "no such order"
    assert result.state == "FAILURE"


def test_a_task_may_put_its_message_back(stage: Stage) -> None:
    runs: list[int] = []

    @stage.app.task
    def busy() -> str:
        runs.append(1)
        if len(runs) < 3:
            raise Reject("not now", requeue=True)
        return "done"

    result = busy.delay()
    stage.work()
    assert (result.get(), result.attempts) == ("done", 1)


# -- hooks ----------------------------------------------------------------------------------------


def watched(calls: list[Any]) -> type[Task[..., Any]]:
    class Watched(Task[..., Any]):
        def before_start(self, *arguments: Any) -> None:
            calls.append(("before_start", *arguments))

        def on_success(self, *arguments: Any) -> None:
            calls.append(("on_success", *arguments))

        def on_failure(self, *arguments: Any) -> None:
            calls.append(("on_failure", *arguments))

        def on_retry(self, *arguments: Any) -> None:
            calls.append(("on_retry", *arguments))

        def after_return(self, *arguments: Any) -> None:
            calls.append(("after_return", *arguments))

    return Watched


def test_the_hooks_of_a_success(stage: Stage) -> None:
    calls: list[Any] = []

    @stage.app.task(base=watched(calls))
    def double(when: datetime, *, n: int) -> int:
        calls.append("run")
        return n * 2

    id = double.delay(NOW, n=4).id
    stage.work()
    about = (id, (NOW,), {"n": 4})
    assert calls == [
        ("before_start", *about),
        "run",
        ("on_success", 8, *about),
        ("after_return", "SUCCESS", 8, *about, None),
    ]


def test_the_hooks_of_a_retry_and_a_failure(stage: Stage) -> None:
    calls: list[Any] = []
    error = ConnectionError("nobody answers")

    @stage.app.task(base=watched(calls), autoretry_for=(ConnectionError,), max_retries=1)
    def flaky() -> None:
        raise error

    id = flaky.delay().id
    stage.work()
    assert [call[0] for call in calls] == [
        "before_start",
        "on_retry",
        "before_start",
        "on_failure",
        "after_return",
    ]
    (_, exc, task_id, args, kwargs, einfo) = calls[1]
    assert (exc, task_id, args, kwargs) == (error, id, (), {})
    assert (einfo.exception, einfo.type) == (error, ConnectionError)
    assert "nobody answers" in str(einfo)
    assert "in flaky" in einfo.traceback
    assert calls[3][1:5] == (error, id, (), {})
    assert calls[4][1:6] == ("FAILURE", error, id, (), {})


def test_a_task_that_was_ignored_or_expired_has_no_hooks_after_it(stage: Stage) -> None:
    calls: list[Any] = []

    @stage.app.task(base=watched(calls))
    def skip() -> None:
        raise Ignore

    skip.delay()
    stage.work()
    assert [call[0] for call in calls] == ["before_start"]
    late = skip.apply_async(expires=NOW - timedelta(seconds=1))
    stage.work()
    assert (late.state, len(calls)) == ("REVOKED", 1)


def test_a_hook_before_the_function_may_fail_the_attempt(stage: Stage) -> None:
    class Guarded(Task[..., Any]):
        def before_start(self, *_: Any) -> None:
            raise PermissionError("closed today")

    result = stage.app.task(base=Guarded)(add).delay(1)
    stage.work()
    with pytest.raises(PermissionError, match="closed today"):
        result.get()


def test_a_hook_that_raises_does_not_change_the_ending(stage: Stage) -> None:
    class Clumsy(Task[..., Any]):
        def on_success(self, *_: Any) -> None:
            raise RuntimeError("oops")

    result = stage.app.task(base=Clumsy)(add).delay(1)
    stage.work()
    assert result.get() == 2
    assert [type(event) for event in stage.events].count(HookFailed) == 1


def test_hooks_may_be_coroutine_functions(stage: Stage) -> None:
    calls: list[Any] = []

    class Watched(Task[..., Any]):
        async def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            await asyncio.sleep(0)
            calls.append("before_start")

        async def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
            await asyncio.sleep(0)
            calls.append(("on_success", self.request.id))

        def after_return(self, *_: Any) -> None:
            calls.append("after_return")

    @stage.app.task(base=Watched)
    async def work() -> None:
        calls.append("run")

    id = work.delay().id
    stage.work()
    assert calls == ["before_start", "run", ("on_success", id), "after_return"]


# -- errbacks -------------------------------------------------------------------------------------


def test_an_errback_gets_the_request_the_error_and_the_traceback(stage: Stage) -> None:
    heard: list[Any] = []

    @stage.app.task
    def errback(request: Any, exc: BaseException, traceback: str) -> None:
        heard.append((request.id, request.task, request.args, exc, traceback))

    @stage.app.task
    def every(*arguments: Any) -> None:
        heard.append(len(arguments))

    @stage.app.task
    def old(task_id: str) -> None:
        heard.append(task_id)

    @stage.app.task(name="fail")
    def fail(x: int) -> None:
        raise ValueError(f"bad {x}")

    id = fail.apply_async((5,), link_error=[errback.s(), old.s(), every.s("more")]).id
    stage.work()
    (request_id, task, args, exc, text), old_id, count = heard
    assert (request_id, task, list(args), old_id, count) == (id, "fail", [5], id, 4)
    assert (type(exc), exc.args) == (ValueError, ("bad 5",))
    assert text.rstrip().endswith("ValueError: bad 5")


# -- tracebacks -----------------------------------------------------------------------------------


def _innocent() -> None:
    raise ValueError("deep down")


@pytest.mark.parametrize("kind", ["function", "coroutine", "bound"])
def test_a_traceback_begins_in_the_users_function(stage: Stage, kind: str) -> None:
    def plain() -> None:
        _innocent()

    async def coroutine() -> None:
        _innocent()

    def bound(self: Any) -> None:
        _innocent()

    function: Any = {"function": plain, "coroutine": coroutine, "bound": bound}[kind]
    options: dict[str, Any] = {"bind": True} if kind == "bound" else {}
    result = stage.app.task(**options)(function).delay()
    stage.work()
    (ended,) = [event for event in stage.events if isinstance(event, Ended)]
    assert isinstance(ended.ending, Failed)
    frames = traceback.extract_tb(ended.ending.error.__traceback__)
    assert [frame.name for frame in frames] == [function.__name__, "_innocent"]
    assert result.traceback is not None
    assert result.traceback.count("Traceback") == 1
    assert "caraway/" not in result.traceback


def test_a_failure_that_caraway_itself_finds_has_no_traceback_of_its_own(stage: Stage) -> None:
    stage.app.send_task("add", ["two"])
    (message,) = stage.sent()
    stage.app.task(name="add")(add)
    stage.work()
    result = stage.app.AsyncResult(message.id)
    with pytest.raises(InvalidArguments, match="argument x"):
        result.get()
    assert "running.py" not in str(result.traceback)


# -- message groups -----------------------------------------------------------------------------


def group_of(stage: Stage, result: Any) -> str | None:
    (message,) = [each for each in stage.sent("orders") if each.id == result.id]
    return message.group_id


def test_a_task_says_its_group_or_from_which_arguments_it_comes(stage: Stage) -> None:
    @stage.app.task(queue="orders", message_group_id=lambda order, _step: f"order-{order}")
    def advance(order: int, _step: str) -> None: ...

    @stage.app.task(queue="orders", message_group_id="one-at-a-time")
    def tidy() -> None: ...

    assert group_of(stage, advance.delay(7, "pay")) == "order-7"
    assert group_of(stage, advance.delay(order=8, _step="pay")) == "order-8"
    assert group_of(stage, advance.s("pay").delay(9)) == "order-9"
    assert group_of(stage, stage.app.send_task(advance.name, (10, "pay"))) == "order-10"
    own = advance.apply_async((11, "pay"), MessageGroupId="mine")
    assert group_of(stage, own) == "mine"
    assert group_of(stage, tidy.delay()) == "one-at-a-time"


def test_a_class_may_have_its_group_as_a_method(stage: Stage) -> None:
    class Advance(Task[Any, Any]):
        name = "advance"
        queue = "orders"

        def message_group_id(self, order: int) -> str:
            return f"order-{order}"

        def run(self, order: int) -> None: ...

    advance = stage.app.register_task(Advance)
    assert group_of(stage, advance.delay(7)) == "order-7"


def test_a_group_that_cannot_be_told_is_refused_and_arguments_that_do_not_fit_first(
    stage: Stage,
) -> None:
    @stage.app.task(name="advance", queue="orders", message_group_id=lambda order: order["id"])
    def advance(order: dict[str, str]) -> None: ...

    with pytest.raises(InvalidOption, match=r"advance: its message_group_id raised KeyError"):
        advance.delay({})
    with pytest.raises(InvalidArguments, match="missing 1 required positional argument"):
        advance.apply_async(())
    with pytest.raises(InvalidOption, match="message_group_id='a b': expected 1 to 128"):
        advance.delay({"id": "a b"})
    wrong: Any = 7
    with pytest.raises(ImproperlyConfigured, match="message_group_id=7: expected text, or"):
        stage.app.task(name="other", message_group_id=wrong)(lambda: None)
