"""The app: registers tasks, holds settings, and sends."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload

from caraway import calls, workflows
from caraway.base import AppBase
from caraway.batches import Batch
from caraway.built_in import built_in
from caraway.control import Control
from caraway.current import adopt, set_current_app
from caraway.declare import as_task_instance, check_values, make_task, origin
from caraway.exceptions import AlreadyRegistered, ImproperlyConfigured, UnknownOption
from caraway.fixups import Fixup, fit_to_environment
from caraway.result import AsyncResult as Result
from caraway.result import GroupResult as ResultOfGroup
from caraway.result import ResultSet as Results
from caraway.result import result_from_tuple
from caraway.signals import Signal, import_modules
from caraway.signatures import Signature, signature
from caraway.task import AsyncTask
from caraway.task import Task as BaseTask

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
    from typing import Literal

    from caraway.declare import BoundDecorator, Decorator
    from caraway.requests.base import Json
    from caraway.timetable import Schedules

_CELERYS: Final = {
    "broker": "SQS is the broker, where the AWS environment says (AWS_ENDPOINT_URL, AWS_REGION)",
    "backend": "results are kept in the table that the setting task_table names",
    "result_backend": "results are kept in the table that the setting task_table names",
    "task_cls": "set app.Task, or give a task base=...",
}
"""Celery's arguments of an app, and what takes their place."""
_OF_ENTRIES: Final = (
    "start",
    "end",
    "enabled",
    "misfire_grace_s",
    "catch_up",
    "overlap",
    "jitter_s",
)
"""Keys of an entry of the schedule that no call has as an option."""

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound="BaseTask[..., Any]")


class Caraway(AppBase):
    """An app: its tasks, its settings, and its way to AWS.

    Parameters
    ----------
    main
        The app's name: names tasks of ``__main__`` and the schedules it owns.
    include
        Modules to import when a worker starts.
    config_source
        What :meth:`config_from_object` takes.
    set_as_current
        Make it the app that ``shared_task`` and bare signatures use.
    """

    Task: type[BaseTask[..., Any]] = BaseTask
    """Base class of the app's tasks; set another one to give them all something in common."""

    def __init__(
        self,
        main: str | None = None,
        *,
        include: Iterable[str] = (),
        config_source: Any = None,
        set_as_current: bool = True,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            raise UnknownOption(
                f"Caraway() takes no {name!r}: "
                + _CELERYS.get(name, "settings go to app.conf.update(...)")
            )
        super().__init__(main)
        for task in built_in():
            task.app = self
            self.tasks.built_in[task.name] = task
        self.on_after_configure = Signal("on_after_configure", ("source",), propagates=True)
        self.on_after_finalize = Signal("on_after_finalize", propagates=True)
        self.control = Control(self)
        self.finalized = False
        self._discoveries: list[tuple[Any, str | None]] = []
        self._include = [include] if isinstance(include, str) else list(include)
        self.fixups: list[Fixup] = []
        fit_to_environment(self)
        if config_source is not None:
            self.config_from_object(config_source)
        if set_as_current:
            self.set_current()
        adopt(self)

    # -- settings -----------------------------------------------------------------------------

    def config_from_object(self, source: Any, namespace: str | None = None) -> None:
        """Read settings from a module's path, an object or a mapping.

        ``namespace="CELERY"`` reads ``CELERY_TASK_DEFAULT_QUEUE`` and the like, as in Django.
        """
        self.conf.config_from_object(source, namespace)

    def set_current(self) -> None:
        """Make this the app that ``shared_task`` and bare signatures use."""
        set_current_app(self)

    # -- tasks --------------------------------------------------------------------------------

    @overload
    def task(self, fun: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def task(self, fun: type[T], /) -> T: ...
    @overload
    def task(self, fun: Callable[P, R], /) -> BaseTask[P, R]: ...
    @overload
    def task(
        self, fun: None = None, /, *, bind: Literal[True], **options: Any
    ) -> BoundDecorator: ...
    @overload
    def task(
        self, fun: None = None, /, *, bind: Literal[False] = False, **options: Any
    ) -> Decorator: ...

    def task(self, fun: Any = None, /, **options: Any) -> Any:
        """Make a task of a function, or register an instance of a task class; a decorator.

        Parameters
        ----------
        name
            ``module.function`` by default.
        bind
            The function's first parameter is the task itself.
        base
            A subclass of :class:`~caraway.Task` to derive the task from.
        options
            The attributes of :class:`~caraway.Task`.

        Raises
        ------
        UnknownOption
            If an option does not exist; the message suggests the nearest.
        AlreadyRegistered
            If another function has that name.
        """
        if fun is None:
            return lambda function: self.task(function, **options)
        if isinstance(fun, type):
            return self.register_task(fun, **options)
        if not callable(fun) or not hasattr(fun, "__name__"):
            raise ImproperlyConfigured(f"@app.task: {fun!r} is not a function; options go by name")
        base, name = options.pop("base", None) or self.Task, options.pop("name", None)
        name = name or self.gen_task_name(fun.__name__, fun.__module__)
        return self._register(make_task(fun, name, base, options, self._understood))

    def register_task(self, task: Any, **options: Any) -> Any:
        """Register an instance of a task class, or a task class by an instance of it."""
        instance = as_task_instance(task, options, self._understood)
        if not instance.name:
            instance.name = self.gen_task_name(type(instance).__name__, type(instance).__module__)
        return self._register(instance)

    def _understood(self) -> Collection[str]:
        """Return the task options that middleware understands."""
        return self.onion.options

    def _register(self, task: BaseTask[..., Any]) -> BaseTask[..., Any]:
        known: BaseTask[..., Any] | None = self.tasks.get(task.name)
        if known is not None:
            if origin(known) == origin(task):
                return known
            raise AlreadyRegistered(
                f"two tasks are named {task.name!r} ({origin(known)} and {origin(task)}): "
                "give one of them name=..."
            )
        task.app = self
        check_values(task)
        self.tasks[task.name] = task
        return task

    def gen_task_name(self, name: str, module: str) -> str:
        """Return the automatic name of a task: ``module.function``."""
        if module == "__main__":
            module = self.main or "__main__"
        return f"{module}.{name}"

    # -- modules ------------------------------------------------------------------------------

    def autodiscover_tasks(
        self,
        packages: Sequence[str] | Callable[[], Sequence[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Import ``package.tasks`` of each package when the app is finalized; with ``force``, now.

        Without packages: of each of Django's installed apps. Packages without such a module are
        passed over.
        """
        if isinstance(packages, str):
            raise ImproperlyConfigured(f"autodiscover_tasks({packages!r}): expected a list")
        self._discoveries.append((packages, related_name))
        if force or self.finalized:
            self._discover()

    def _discover(self) -> None:
        while self._discoveries:
            packages, related_name = self._discoveries[0]
            if packages is None:
                packages = self._packages_of_frameworks()
            for package in packages() if callable(packages) else packages:
                import_related(package, related_name)
            del self._discoveries[0]

    def _packages_of_frameworks(self) -> list[str]:
        if not self.fixups:
            raise ImproperlyConfigured(
                "autodiscover_tasks() takes Django's installed apps, and DJANGO_SETTINGS_MODULE "
                "was not set when the app was made: set it before, or name the packages"
            )
        return [package for fixup in self.fixups for package in fixup.packages()]

    def finalize(self) -> Caraway:
        """Import what the app names and let its schedules be set up; done once, by every door."""
        if self.finalized:
            return self
        self.finalized = True
        try:
            for fixup in self.fixups:
                fixup.set_up()
            import_modules.send(self)
            for module in (*self._include, *self.conf.include, *self.conf.imports):
                import_module(module)
            self._discover()
            self.on_after_configure.send(self, source=self.conf)
            self.on_after_finalize.send(self)
        except BaseException:
            self.finalized = False  # a door that tries again must not run without these tasks
            raise
        return self

    def add_periodic_task(
        self,
        schedule: Any,
        sig: Signature[Any],
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> str:
        """Add an entry to ``beat_schedule``; returns its name.

        Options are those of the call, and other keys of an entry: ``start``, ``end``, ``enabled``
        and its policies (``misfire_grace_s``, ``catch_up``, ``overlap``, ``jitter_s``).
        """
        own = {key: options.pop(key) for key in _OF_ENTRIES if key in options}
        whole = sig.clone(args, kwargs, **options)
        entry_name = name or repr(whole)
        if entry_name in self.conf.beat_schedule:
            raise ImproperlyConfigured(f"two schedule entries are named {entry_name!r}")
        self.conf.beat_schedule[entry_name] = {
            "task": whole.task,
            "schedule": schedule,
            "args": whole.args,
            "kwargs": whole.kwargs,
            "options": whole.options,
            **own,
        }
        return entry_name

    # -- sending ------------------------------------------------------------------------------

    def send_task(
        self,
        name: str,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Result[Any]:
        """Send a task by its name: its code need not be here.

        Takes the options of :meth:`caraway.Task.apply_async`. Where the task is registered, its own
        options hold, too.
        """
        task: BaseTask[..., Any] | None = self.tasks.get(name)
        if task is not None:
            return task.apply_async(args, kwargs, **options)
        return calls.send_call(self, name, args, kwargs or {}, options)

    async def asend_task(
        self,
        name: str,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Result[Any]:
        """Send a task by its name, from asynchronous code."""
        task: BaseTask[..., Any] | None = self.tasks.get(name)
        if task is not None:
            return await task.aapply_async(args, kwargs, **options)
        return await calls.asend_call(self, name, args, kwargs or {}, options)

    def batch(self) -> Batch:
        """Return a block, ``with`` or ``async with``, whose calls are sent together.

        ``delay``, ``apply_async``, ``send_task`` and their twins return at once, as do canvases;
        what they describe is durable at the end of the block, ten messages a request. A hundred
        calls are sent at a time, so a block may make any number. It is no transaction: what was
        called is sent, also when the block ends with an exception. It holds for the code that the
        block runs, not for threads of its own; a block within is a batch of its own.

        Raises
        ------
        BatchError
            From the end of the block, or from a call that finds the batch full, if calls before
            could not be sent: it has the failure of each.
        """
        return Batch(self)

    def send_workflow(self, canvas: Signature[Any]) -> Any:
        """Send a chain, a group or a chord; returns its result."""
        return workflows.send_workflow(self, canvas)

    async def asend_workflow(self, canvas: Signature[Any]) -> Any:
        """Send a chain, a group or a chord from asynchronous code; returns its result."""
        return await workflows.asend_workflow(self, canvas)

    def run_workflow(self, canvas: Signature[Any], throw: bool | None = None) -> Any:
        """Run a chain, a group or a chord in this process; returns its result."""
        return workflows.run_workflow(self, canvas, throw)

    def frozen(self, signature: Signature[Any], id: str | None = None) -> Any:
        """Decide the ids of a signature now; returns the result that it will have."""
        return workflows.freeze(self, signature, id)

    def signature(
        self,
        task: str | Mapping[str, Json],
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **options: Any,
    ) -> Signature[Any]:
        """Return a signature by a task's name, or from its JSON."""
        return signature(task, args or (), kwargs, immutable=immutable, app=self, **options)

    def AsyncResult(self, id: str, task_name: str | None = None) -> Result[Any]:  # noqa: N802
        """Return the result of a task by its id."""
        return Result(id, self, task_name)

    @cached_property
    def ResultSet(self) -> type[Results]:  # noqa: N802 - Celery's name
        """:class:`caraway.ResultSet` of this app."""
        return type("ResultSet", (Results,), {"bound_to": self})

    @cached_property
    def schedules(self) -> Schedules:
        """The entries of the schedule that AWS stores, to be seen and changed."""
        from caraway.timetable import Schedules  # here: a producer needs none

        return Schedules(self)

    @cached_property
    def GroupResult(self) -> type[ResultOfGroup]:  # noqa: N802 - Celery's name
        """:class:`caraway.GroupResult` of this app."""
        return type("GroupResult", (ResultOfGroup,), {"bound_to": self})

    def result_from_tuple(self, data: Any) -> Any:
        """Return the result that its ``as_tuple`` described."""
        return result_from_tuple(data, self)

    def __repr__(self) -> str:
        return f"<Caraway {self.main or '__main__'}>"


def import_related(package: str, related_name: str | None) -> None:
    """Import ``package.related_name`` where it exists, or the package itself without a name."""
    import_module(package)
    if related_name is None:
        return
    name = f"{package}.{related_name}"
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # the module is there, and something that it imports is not
            raise
