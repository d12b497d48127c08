"""Which app is the current one, and tasks that belong to whichever app there is."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, TypeVar, overload

from typing_extensions import ParamSpec

from caraway.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Literal

    from caraway.app import Caraway
    from caraway.declare import BoundDecorator, Decorator
    from caraway.task import AsyncTask, Task

P = ParamSpec("P")
R = TypeVar("R")

_current: Caraway | None = None
_apps: weakref.WeakSet[Caraway] = weakref.WeakSet()
_shared: list[SharedTask] = []


def set_current_app(app: Caraway) -> None:
    """Make an app the one that shared tasks and bare signatures use."""
    global _current
    _current = app


def current_app() -> Caraway:
    """Return the current app: the last one that was made.

    Raises
    ------
    ImproperlyConfigured
        If there is none yet.
    """
    if _current is None:
        raise ImproperlyConfigured(
            "there is no app yet: make one (app = Caraway('name')) in a module that is imported "
            "before tasks are used"
        )
    return _current


def adopt(app: Caraway) -> None:
    """Give a new app the shared tasks that exist; it gets the later ones too."""
    _apps.add(app)
    for shared in _shared:
        shared.declare(app)


class SharedTask:
    """A task declared without an app; it acts as the current app's task of that name."""

    def __init__(self, fun: Any, options: dict[str, Any]) -> None:
        self._fun = fun
        self._options = options
        self._names: weakref.WeakKeyDictionary[Caraway, str] = weakref.WeakKeyDictionary()

    def declare(self, app: Caraway) -> None:
        """Register it with an app."""
        self._names[app] = app.task(**self._options)(self._fun).name

    def _task(self) -> Any:
        app = current_app()
        return app.task_named(self._names[app])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
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
    _shared.append(shared)
    for app in list(_apps):
        shared.declare(app)
    return shared


def _forget_clients() -> None:
    """Drop inherited connections in a forked child: replies must not cross between processes."""
    for app in list(_apps):
        app.forget_clients()


os.register_at_fork(after_in_child=_forget_clients)
