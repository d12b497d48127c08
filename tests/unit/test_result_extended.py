"""What results have of Celery's beside their values: the call, and names without a meaning."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from caraway import group
from caraway.exceptions import TimeoutError, UnknownOption  # noqa: A004 - Celery's name
from caraway.result import AsyncResult, GroupResult, ResultSet
from tests.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def stage() -> Stage:
    stage = Stage("shop", result_extended=True)

    @stage.app.task(name="add")
    def add(x: Any, y: Any = 0) -> Any:
        return x + y

    @stage.app.task(name="pay", sensitive=True)
    def pay(card: str) -> str:
        return card[-4:]

    return stage


def _done(stage: Stage, name: str, *args: Any, **kwargs: Any) -> AsyncResult[Any]:
    result = stage.app.tasks[name].delay(*args, **kwargs)
    stage.work()
    return AsyncResult(result.id, stage.app)


def test_a_result_shows_what_its_task_was_called_with(stage: Stage) -> None:
    result = _done(stage, "add", 2, y=3)
    assert (result.args, result.kwargs, result.worker) == ([2], {"y": 3}, "worker")
    assert (result.name, result.queue, result.retries) == ("add", "default", 0)


def test_without_the_setting_it_does_not(stage: Stage) -> None:
    stage.app.conf.result_extended = False
    result = _done(stage, "add", 2, y=3)
    assert (result.args, result.kwargs, result.worker) == (None, None, None)
    assert stage.record(result.id).call is None


def test_while_it_waits_nothing_is_known(stage: Stage) -> None:
    result = stage.app.tasks["add"].delay(1)
    assert (result.args, result.kwargs, result.worker) == (None, None, None)


def test_arguments_that_are_sensitive_or_large_are_not_kept(stage: Stage) -> None:
    paid = _done(stage, "pay", "4000 1234 1234 9010")
    assert (paid.args, paid.kwargs, paid.worker) == (None, None, "worker")
    large = _done(stage, "add", "x" * 5_000, "y")
    assert (large.args, large.worker) == (None, "worker")


def test_callbacks_and_asynchronous_code_are_told_all_of_it(stage: Stage) -> None:
    told: list[Any] = []
    result = _done(stage, "add", 2, y=3)
    result.get(timeout=1, on_message=told.append)
    meta = asyncio.run(AsyncResult(result.id, stage.app).ameta())
    assert told == [meta]
    names = ("status", "result", "name", "args", "kwargs", "worker", "queue", "retries")
    expected = ("SUCCESS", 5, "add", [2], {"y": 3}, "worker", "default", 0)
    assert tuple(meta[name] for name in names) == expected


# -- Celery's, without a meaning -------------------------------------------------------------------


def test_the_error_of_a_wait_is_named_by_the_result(stage: Stage) -> None:
    result = stage.app.tasks["add"].delay(1)
    with pytest.raises(result.TimeoutError):
        result.get(timeout=0)
    assert AsyncResult.TimeoutError is TimeoutError


def test_no_ack_is_taken_and_means_nothing(stage: Stage) -> None:
    add = stage.app.tasks["add"]
    several = group(add.s(1), add.s(2)).delay()
    stage.work()
    assert several.get(timeout=1, no_ack=True) == several.join(timeout=1, no_ack=False) == [1, 2]
    assert several[0].get(timeout=1, no_ack=True) == 1
    assert several.supports_native_join
    assert several[0].supports_native_join


def test_then_says_what_takes_its_place(stage: Stage) -> None:
    for result in (AsyncResult("1", stage.app), ResultSet([], stage.app)):
        with pytest.raises(UnknownOption, match="link="):
            result.then(print)


def test_groups_are_kept_in_the_apps_own_table(stage: Stage) -> None:
    backend: Any = object()
    result = GroupResult("g", [], app=stage.app)
    calls: tuple[Callable[[], Any], ...] = (
        lambda: result.save(backend),
        lambda: result.delete(backend),
        lambda: GroupResult.restore("g", stage.app, backend=backend),
        lambda: asyncio.run(result.asave(backend)),
        lambda: asyncio.run(result.adelete(backend)),
        lambda: asyncio.run(GroupResult.arestore("g", stage.app, backend=backend)),
    )
    for call in calls:
        with pytest.raises(UnknownOption, match="give no backend"):
            call()
