"""The current app and the current task, as objects that stand for whichever it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from caraway import current as apps
from caraway.core.context import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.base import AppBase


class Proxy:
    """Stands for what a function returns, anew at each use.

    Parameters
    ----------
    found
        Returns what it stands for.
    """

    __slots__ = ("_found",)

    _found: Callable[[], Any]

    def __init__(self, found: Callable[[], Any]) -> None:
        object.__setattr__(self, "_found", found)

    def _get_current_object(self) -> Any:
        """Return what it stands for now, as Celery's proxies do."""
        return self._found()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._found(), name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._found()(*args, **kwargs)

    def __bool__(self) -> bool:
        return bool(self._found())

    def __eq__(self, other: object) -> bool:
        return bool(self._found() == other)

    def __hash__(self) -> int:
        return hash(self._found())

    def __repr__(self) -> str:
        return repr(self._found())


def get_current_app() -> AppBase:
    """Return the current app: the last one that was made."""
    return apps.current_app()


def get_current_task() -> Any:
    """Return the task that runs here now, None outside of one."""
    request = current.get()
    return None if request is None or request.task is None else _task_named(request.task)


def _task_named(name: str) -> Any:
    app: Any = apps.current_app()
    return app.tasks.get(name)


current_app: Final[Any] = Proxy(get_current_app)
"""The current app."""
current_task: Final[Any] = Proxy(get_current_task)
"""The task that runs now; false outside of one."""
