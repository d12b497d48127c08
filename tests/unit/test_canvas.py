"""Signatures: calls as data, that can be changed, linked, sent and written down as JSON."""

from __future__ import annotations

import asyncio
import json
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Caraway, Queue, Signature, chain, chord, current_app, signature
from caraway.exceptions import InvalidArguments, InvalidOption, UnknownOption
from tests.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable


def add(x: int, y: int = 0) -> int:
    return x + y


@pytest.fixture
def stage() -> Stage:
    stage = Stage(task_queues=[Queue("default"), Queue("priority")])
    stage.app.task(name="add")(add)
    return stage


@pytest.fixture
def task(stage: Stage) -> Any:
    return stage.app.tasks["add"]


# -- making and changing --------------------------------------------------------------------------


def test_a_signature_takes_further_arguments_in_front(stage: Stage, task: Any) -> None:
    result = task.s(10).delay(1)
    task.s(y=5).apply_async((2,), countdown=3)
    assert [(each.args, each.kwargs) for each in stage.sent()] == [((1, 10), {}), ((2,), {"y": 5})]
    assert stage.delays() == [0, 3]
    stage.work()
    assert result.get() == 11


def test_an_immutable_signature_takes_none(stage: Stage, task: Any) -> None:
    task.si(1, 2).delay(7, y=8)
    (message,) = stage.sent()
    assert (message.args, message.kwargs) == ((1, 2), {})
    changed = task.s(1)
    changed.set_immutable(True)
    assert changed.clone((5,)).args == (1,)


def test_a_signature_has_the_options_of_its_task_and_its_own(stage: Stage) -> None:
    task = stage.app.task(name="own", queue="priority", time_limit=9)(add)
    signature = task.signature((1,), {"y": 2}, countdown=5)
    assert signature.options == {"queue": "priority", "time_limit": 9, "countdown": 5}
    assert task.subtask((1,)) == task.s(1)


def test_a_clone_is_independent_of_what_it_was_made_from(task: Any) -> None:
    callback = task.s(1)
    first = task.s(1).set(headers={"a": 1}, link=[callback])
    second = first.clone((0,), {"y": 2}, countdown=5)
    second.options["headers"]["b"] = 2
    second.link(task.s(9))
    second.options["link"][0].set(countdown=7)
    assert (first.args, first.kwargs) == ((1,), {})
    assert first.options == {"headers": {"a": 1}, "link": [callback]}
    assert callback.options == {}
    assert (second.args, second.kwargs, second.options["countdown"]) == ((0, 1), {"y": 2}, 5)


@pytest.mark.parametrize("before", ["a task", "a chain", "a chord"])
def test_joining_leaves_what_is_joined_as_it_was(task: Any, before: str) -> None:
    makes: dict[str, Callable[[], Signature[Any]]] = {
        "a task": lambda: task.s(1),
        "a chain": lambda: chain(task.s(1), task.s(2)).set(countdown=5),
        "a chord": lambda: chord([task.s(1), task.s(2)], task.s(3)),
    }
    left = makes[before]()
    right, as_it_was = task.s(4), left.clone()
    joined: Any = left | right
    for each in (*joined.tasks, joined.body if before == "a chord" else joined):
        each.set(headers={"changed": True})
    assert left.to_dict() == as_it_was.to_dict()
    assert right.options == {}


def test_setting_changes_the_signature_itself(task: Any) -> None:
    signature = task.s(1)
    assert signature.set(task_id="mine", immutable=True) is signature
    assert (signature.id, signature.immutable) == ("mine", True)


@pytest.mark.parametrize("way", ["clone", "set", "signature", "app", "delay"])
def test_an_unknown_option_is_refused_with_the_nearest(stage: Stage, task: Any, way: str) -> None:
    ways: dict[str, Any] = {
        "clone": task.s(1).clone,
        "set": task.s(1).set,
        "signature": task.signature,
        "app": lambda **options: stage.app.signature("add", **options),
        "delay": lambda **options: task.s(1).apply_async((), None, **options),
    }
    with pytest.raises(UnknownOption, match="did you mean 'countdown'"):
        ways[way](countdwn=1)


def test_signatures_of_the_same_call_are_equal(task: Any) -> None:
    assert task.s(1, y=2) == task.s(1, y=2)
    assert task.s(1) != task.si(1)
    assert task.s(1) != task.s(1).set(countdown=1)
    assert task.s(1) != "add(1)"
    assert repr(task.s(1, y="b")) == "add(1, y='b')"


def test_arguments_may_be_left_out(task: Any) -> None:
    assert task.signature(None, None) == task.s()
    assert task.s(1).clone(None).args == (1,)


# -- links ----------------------------------------------------------------------------------------


def test_a_link_is_sent_with_the_result_in_front(stage: Stage, task: Any) -> None:
    signature = task.s(1, 2)
    callback = task.s(10)
    assert signature.link(callback) is callback
    assert signature.link(callback) is callback  # a second time changes nothing
    signature.delay()
    stage.work_once()
    (message,) = stage.sent()
    assert message.args == (3, 10)
    stage.work()
    assert stage.app.AsyncResult(message.id).get() == 13


def test_an_immutable_link_gets_nothing_in_front(stage: Stage, task: Any) -> None:
    task.apply_async((1, 2), link=task.si(5, 5))
    stage.work_once()
    assert stage.sent()[0].args == (5, 5)


def test_a_link_keeps_its_own_options(stage: Stage, task: Any) -> None:
    task.apply_async((1,), link=[task.s(2).set(queue="priority", countdown=4)])
    stage.work_once()
    assert stage.delays("priority") == [4]


def test_an_errback_is_sent_after_a_failure(stage: Stage, task: Any) -> None:
    heard: list[str] = []

    @stage.app.task
    def errback(task_id: str) -> None:
        heard.append(task_id)

    @stage.app.task
    def fail() -> None:
        raise ValueError

    signature = fail.s()
    assert signature.on_error(errback.s()) is signature
    result = signature.delay()
    stage.work()
    assert heard == [result.id]


def test_the_same_redelivery_sends_the_same_callback(stage: Stage, task: Any) -> None:
    task.apply_async((1,), link=task.s(2))
    (message,) = stage.sent()
    stage.deliver(message)
    stage.deliver(message)
    callbacks = [each.id for each in stage.sent() if each.parent_id == message.id]
    assert len(callbacks) == 2
    assert len(set(callbacks)) == 1


def test_what_is_no_signature_cannot_be_linked(task: Any) -> None:
    with pytest.raises(InvalidOption, match=r"expected a signature, such as task\.s"):
        task.apply_async((1,), link=task)


# -- calling --------------------------------------------------------------------------------------


def test_a_signature_can_be_called_and_run_here(task: Any) -> None:
    assert task.s(10)(1) == 11
    assert task.s(10).apply((1,)).get() == 11


def test_a_signature_is_sent_from_asynchronous_code(stage: Stage, task: Any) -> None:
    async def producer() -> list[int]:
        results = [await task.s(10).adelay(1), await task.si(1, 1).aapply_async(countdown=1)]
        stage.work()
        return [await result.aget() for result in results]

    assert asyncio.run(producer()) == [11, 2]


def test_a_signature_by_name_needs_no_code(stage: Stage) -> None:
    stage.app.signature("elsewhere", (1,), {"y": 2}, queue="priority").delay()
    (message,) = stage.sent("priority")
    assert (message.task, message.args, message.kwargs) == ("elsewhere", (1,), {"y": 2})


def test_a_signature_without_an_app_is_sent_by_the_current_one(stage: Stage) -> None:
    assert current_app() is stage.app
    Signature("elsewhere", (1,)).delay()
    assert stage.sent()[0].task == "elsewhere"
    other = Caraway(set_as_current=False)
    assert Signature("elsewhere", app=other).app is other


def test_a_signature_can_be_made_without_an_app_at_hand(stage: Stage, task: Any) -> None:
    made = signature("add", (1,), {"y": 2}, countdown=3)
    assert made == task.s(1, y=2).set(countdown=3)
    assert signature(made.to_dict(), (0,)).args == (0, 1)


def test_arguments_are_checked_when_a_signature_is_sent(stage: Stage, task: Any) -> None:
    signature = task.s("two")
    with pytest.raises(InvalidArguments, match="argument x"):
        signature.delay()
    assert not stage.sent()


# -- as JSON --------------------------------------------------------------------------------------


def test_a_signature_survives_json(stage: Stage) -> None:
    @stage.app.task(name="book")
    def book(day: date, *, seats: set[int]) -> None: ...

    when = datetime(2026, 1, 1, 0, 9, tzinfo=timezone.utc)
    signature = book.s(date(2026, 2, 3), seats={1, 2}).set(
        eta=when, headers={"since": when}, expires=timedelta(minutes=2)
    )
    signature.link(book.si(date(2026, 2, 4), seats=set()))
    data = json.loads(json.dumps(signature.to_dict()))
    assert (data["task"], data["subtask_type"], data["immutable"]) == ("book", None, False)

    again = stage.app.signature(data)
    assert (again.args, again.kwargs) == ((date(2026, 2, 3),), {"seats": {1, 2}})
    assert again.options["link"][0].immutable
    assert again.options["headers"] == {"since": when}
    assert again.to_dict() == data

    again.apply_async()
    (message,) = stage.sent()
    assert message.eta == when
    assert message.expires == stage.memory.time + timedelta(minutes=2)
    stage.work()


def test_a_signature_by_name_is_written_down_without_the_function(stage: Stage) -> None:
    signature = stage.app.signature("elsewhere", (date(2026, 2, 3),))
    again = Signature.from_dict(json.loads(json.dumps(signature.to_dict())))
    assert again == signature


def test_naive_times_are_written_down_in_the_apps_time_zone(stage: Stage, task: Any) -> None:
    stage.app.conf.timezone = "Asia/Seoul"
    data = task.s(1).set(eta=datetime(2026, 1, 1, 9)).to_dict()
    assert data["options"] == {"eta": "2026-01-01T09:00:00+09:00"}


def test_a_signature_from_json_can_be_completed(stage: Stage, task: Any) -> None:
    again = stage.app.signature(task.s(2).to_dict(), (1,), {}, countdown=5)
    assert (again.args, again.options) == ((1, 2), {"countdown": 5})


@pytest.mark.parametrize("data", [{}, {"task": ""}, {"task": "add", "args": 5}])
def test_json_that_is_no_signature_is_refused(stage: Stage, data: Any) -> None:
    with pytest.raises(InvalidOption):
        stage.app.signature(data)
