"""Tasks that belong to whichever app there is."""

from __future__ import annotations

import weakref
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from caraway.current import current_app, declare_to_all

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Literal

    from caraway.app import Caraway
    from caraway.base import AppBase
    from caraway.declare import BoundDecorator, Decorator
    from caraway.task import AsyncTask, Task

P = ParamSpec("P")
R = TypeVar("R")


class SharedTask:
    """A task declared without an app; it acts as the current app's task of that name."""

    def __init__(self, fun: Any, options: dict[str, Any]) -> None:
        update_wrapper(self, fun, updated=())
        self._fun = fun
        self._options = options
        self._names: weakref.WeakKeyDictionary[AppBase, str] = weakref.WeakKeyDictionary()

    def declare(self, app: Caraway) -> None:
        """Register it with an app."""
        self._names[app] = app.task(**self._options)(self._fun).name

    def _task(self) -> Any:
        app = current_app()
        return app.task_named(self._names[app])

    def stands_for(self, task: Any) -> bool:
        """Say whether a task is what it was declared as with that task's app."""
        app = getattr(task, "app", None)
        return app is not None and self._names.get(app) == task.name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what inspects objects asks for these, maybe without any app
            raise AttributeError(name)
        return getattr(self._task(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function here and now."""
        return self._task()(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<@shared_task: {self._fun.__module__}.{self._fun.__qualname__}>"


@overload
def shared_task(fun: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
@overload
def shared_task(fun: Callable[P, R], /) -> Task[P, R]: ...
@overload
def shared_task(fun: None = None, /, *, bind: Literal[True], **options: Any) -> BoundDecorator: ...
@overload
def shared_task(
    fun: None = None, /, *, bind: Literal[False] = False, **options: Any
) -> Decorator: ...


def shared_task(fun: Any = None, /, **options: Any) -> Any:
    """Declare a task in a reusable module: it belongs to every app, and acts for the current one.

    Takes the options of :meth:`caraway.Caraway.task`.
    """
    if fun is None:
        return lambda function: shared_task(function, **options)
    shared = SharedTask(fun, options)
    declare_to_all(shared.declare)
    return shared
