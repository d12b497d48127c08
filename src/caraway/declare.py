"""Declaring tasks: from a function and its options to a task, and the registry of tasks."""

from __future__ import annotations

import inspect
import logging
from functools import cache
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, overload

from caraway.core.routing import Queue
from caraway.core.sensitive import check_sensitive
from caraway.exceptions import ImproperlyConfigured, UnknownOption, nearest
from caraway.task import AsyncTask, FromSetting, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping

P = ParamSpec("P")
R = TypeVar("R")

_NEEDLESS: Final = {
    "acks_late": "a message is always deleted late, after the ending is recorded",
    "acks_on_failure_or_timeout": "a failed task's message goes once its failure is recorded",
    "reject_on_worker_lost": "a lost worker's message comes back by itself",
    "send_events": "the task records are the monitor",
}
"""Celery's task options that need no setting here, and why: accepted with one line."""
_REFUSED: Final = {
    "rate_limit": "SQS has no rate limits; bound the queue's consumers (MaximumConcurrency, -c)",
    "priority": "SQS has no priorities; give urgent tasks a queue of their own",
    "backend": "one app keeps all its results in one place: see the setting result_backend",
}


_FLAGS: Final = (
    "at_most_once",
    "bind",
    "idempotent",
    "ignore_result",
    "retry_jitter",
    "store_errors_even_if_ignored",
    "track_started",
    "trail",
    "typing",
)


class Decorator(Protocol):
    """What ``@app.task(...)`` returns."""

    @overload
    def __call__(self, fun: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fun: Callable[P, R], /) -> Task[P, R]: ...


class BoundDecorator(Protocol):
    """What ``@app.task(bind=True, ...)`` returns: the first parameter is the task itself."""

    @overload
    def __call__(
        self, fun: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fun: Callable[Concatenate[Any, P], R], /) -> Task[P, R]: ...


def make_task(
    fun: Callable[..., Any],
    name: str,
    base: Any,
    options: Mapping[str, Any],
    understood: Callable[[], Collection[str]],
) -> Task[..., Any]:
    """Return the task of a function: an instance of a class of its own below ``base``.

    ``understood`` gives the names of further options, those of middleware.

    Raises
    ------
    UnknownOption
        If an option does not exist; the message suggests the nearest.
    ImproperlyConfigured
        If ``base`` is no task class.
    """
    if not (isinstance(base, type) and issubclass(base, Task)):
        raise ImproperlyConfigured(f"base={base!r} is not a subclass of caraway.Task")
    if inspect.iscoroutinefunction(fun) and not issubclass(base, AsyncTask):
        base = AsyncTask if base is Task else type(base.__name__, (base, AsyncTask), {})
    members = {
        **checked_options(base, options, understood),
        "name": name,
        "run": fun if options.get("bind") else staticmethod(fun),
        "__doc__": fun.__doc__,
        "__module__": fun.__module__,
        "__wrapped__": staticmethod(fun),
    }
    task: Task[..., Any] = type(fun.__name__, (base,), members)()
    return task


def checked_options(
    base: type[Task[..., Any]],
    options: Mapping[str, Any],
    understood: Callable[[], Collection[str]],
) -> dict[str, Any]:
    """Return the options to set on a task of class ``base``; nothing is dropped silently."""
    kept: dict[str, Any] = {}
    for name, value in options.items():
        if name == "message_group_id" and callable(value):
            kept[name] = staticmethod(value)  # a function that is given as an option is no method
        elif name in Task.OPTIONS or (hasattr(base, name) and not hasattr(Task, name)):
            kept[name] = value
        elif name in _NEEDLESS:
            _say_once(name)
        elif name in _REFUSED:
            raise UnknownOption(f"task option {name!r} has no meaning here: {_REFUSED[name]}")
        elif name in (further := understood()):
            kept[name] = value
        else:
            near = nearest(name, {*Task.OPTIONS, *further})
            raise UnknownOption(f"no task option named {name!r}{near}")
    return kept


@cache
def _say_once(name: str) -> None:
    logging.getLogger("caraway").warning(
        "task option %r needs no setting here: %s", name, _NEEDLESS[name]
    )


def check_values(task: Task[..., Any]) -> None:
    """Refuse option values that could only fail while the task runs.

    Raises
    ------
    ImproperlyConfigured
        Naming the option.
    """
    task.policy  # noqa: B018 - which checks the retry options
    for name in _FLAGS:
        # Not of the task itself: settings are not read before they are complete.
        value = vars(task).get(name, getattr(type(task), name))
        if not isinstance(value, bool | FromSetting):
            raise ImproperlyConfigured(f"{task.name}: {name}={value!r}: expected True or False")
    check_sensitive(task.name, task.sensitive, task.run)
    if task.compression is not None:
        from caraway.core.compression import compression

        compression(task.compression)  # which raises for an unknown one
    queue: Any = task.queue
    if queue is not None and not isinstance(queue, str | Queue):
        raise ImproperlyConfigured(
            f"{task.name}: queue={queue!r:.80}: expected a queue's name, or a caraway.Queue"
        )
    if task.idempotent and task.at_most_once:
        raise ImproperlyConfigured(
            f"{task.name}: idempotent says that it may run twice, at_most_once that it must not: "
            "choose one"
        )
    group: Any = task.message_group_id
    if not (group is None or isinstance(group, str) or callable(group)):
        raise ImproperlyConfigured(
            f"{task.name}: message_group_id={group!r:.80}: expected text, or a function of the "
            "task's arguments that returns it"
        )
    given: Any = task.throws
    types: tuple[Any, ...] = tuple(given) if isinstance(given, tuple | list) else (given,)
    for each in types:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            raise ImproperlyConfigured(f"{task.name}: throws: {each!r} is not an exception type")
    task.throws = types


def origin(task: Task[..., Any]) -> str:
    """Return where a task's function or class is defined."""
    defined: Any = getattr(task, "__wrapped__", type(task))
    return f"{defined.__module__}.{defined.__qualname__}"


def as_task_instance(
    task: Any, options: Mapping[str, Any], understood: Callable[[], Collection[str]]
) -> Task[..., Any]:
    """Return the instance to register for a task class, or for an instance of one."""
    instance = task() if isinstance(task, type) else task
    if not isinstance(instance, Task):
        raise ImproperlyConfigured(f"{task!r} is not a subclass of caraway.Task")
    for name, value in checked_options(type(instance), options, understood).items():
        setattr(instance, name, value)
    return instance
