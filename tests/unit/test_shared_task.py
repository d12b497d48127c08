"""Shared tasks: declared without an app, they belong to every app."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import pytest

from caraway import Caraway, Task, current, current_app, shared_task
from caraway.exceptions import ImproperlyConfigured, UnknownOption
from tests.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def no_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as a process that has declared nothing yet."""
    monkeypatch.setattr(current, "_current", None)
    monkeypatch.setattr(current, "_apps", WeakSet())
    declarations: list[Callable[[Any], None]] = []
    monkeypatch.setattr(current, "_declarations", declarations)


def add(x: int, y: int = 1) -> int:
    """Add two numbers."""
    return x + y


def test_a_shared_task_belongs_to_earlier_and_later_apps() -> None:
    earlier = Caraway("earlier")
    shared_task(name="add")(add)
    later = Caraway("later")
    assert list(earlier.tasks) == list(later.tasks) == ["add"]
    assert earlier.tasks["add"] is not later.tasks["add"]
    assert earlier.tasks["add"].app is earlier


def test_a_shared_task_acts_for_the_current_app() -> None:
    task: Any = shared_task(name="add")(add)
    one, two = Stage("one"), Stage("two")
    assert current_app() is two.app
    task.delay(1)
    one.app.set_current()
    task.delay(2)
    asyncio.run(task.adelay(3))
    assert [message.args for message in one.sent()] == [(2,), (3,)]
    assert [message.args for message in two.sent()] == [(1,)]
    assert task.s(5).app is one.app


def test_an_app_that_is_not_to_be_the_current_one_has_shared_tasks_too() -> None:
    first = Caraway("first")
    second = Caraway("second", set_as_current=False)
    task: Any = shared_task(add)
    assert current_app() is first
    assert task.app is first
    assert list(second.tasks) == [f"{__name__}.add"]


def test_a_shared_task_takes_the_options_of_a_task() -> None:
    class Base(Task[..., Any]):
        table = "orders"

    @shared_task(bind=True, base=Base, max_retries=7)
    def look(self: Any) -> Any:
        return self.table, self.max_retries

    Caraway("shop")
    assert look() == ("orders", 7)


def test_a_shared_coroutine_function_is_a_task() -> None:
    @shared_task
    async def double(n: int) -> int:
        return n * 2

    Caraway("shop").conf.task_always_eager = True
    assert asyncio.run(double(4)) == 8
    assert double.delay(5).get() == 10


def test_a_shared_task_needs_an_app_to_act() -> None:
    task: Any = shared_task(add)
    with pytest.raises(ImproperlyConfigured, match="there is no app yet: make one"):
        task.delay(1)
    with pytest.raises(ImproperlyConfigured, match="there is no app yet"):
        current_app()


def test_a_shared_task_can_be_inspected_without_an_app() -> None:
    task: Any = shared_task(add)
    assert (task.__name__, task.__doc__, task.__module__) == ("add", "Add two numbers.", __name__)
    assert list(inspect.signature(task).parameters) == ["x", "y"]
    assert not hasattr(task, "__wonder__")
    assert repr(task) == f"<@shared_task: {__name__}.add>"


def test_a_wrong_option_of_a_shared_task_is_found_with_the_first_app() -> None:
    shared_task(max_retrys=3)(add)
    with pytest.raises(UnknownOption, match="did you mean 'max_retries'"):
        Caraway("shop")
