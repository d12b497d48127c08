"""The app: registers tasks, holds settings, and sends."""

from __future__ import annotations

import weakref
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar, overload

from typing_extensions import ParamSpec

from caraway._state import adopt, set_current_app
from caraway.canvas import Signature, options_to_json
from caraway.core.claim_check import Store
from caraway.core.codec import encode
from caraway.core.context import current
from caraway.core.ids import new_id
from caraway.core.port import run_now
from caraway.core.publish import Outgoing, Site, describe, send_patiently
from caraway.core.record import Records
from caraway.core.routing import Router
from caraway.declare import TaskRegistry, as_task_instance, make_task, origin
from caraway.exceptions import AlreadyRegistered, ImproperlyConfigured, InvalidOption
from caraway.result import AsyncResult as Result
from caraway.result import EagerResult
from caraway.settings import Settings
from caraway.signals import Signal
from caraway.task import AsyncTask
from caraway.task import Task as BaseTask

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from datetime import tzinfo
    from typing import Literal

    from caraway.aws.asyncio_aws import AsyncioAws
    from caraway.aws.blocking_aws import BlockingAws
    from caraway.aws.clients import ClientSettings
    from caraway.declare import BoundDecorator, Decorator
    from caraway.requests.base import Json

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound="BaseTask[..., Any]")


class Caraway:
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
    ) -> None:
        self.main = main
        self.conf = Settings()
        self.on_after_configure = Signal("on_after_configure")
        self.on_after_finalize = Signal("on_after_finalize")
        self.finalized = False
        self._tasks = TaskRegistry()
        self._discoveries: list[tuple[Any, str | None]] = []
        self._include = list(include)
        self._site: Site | None = None
        self._site_version = -1
        self._blocking: BlockingAws | None = None
        self._asyncio: weakref.WeakKeyDictionary[AbstractEventLoop, AsyncioAws] = (
            weakref.WeakKeyDictionary()
        )
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

    @property
    def timezone(self) -> tzinfo:
        """The time zone of naive times and of schedules."""
        from zoneinfo import ZoneInfo

        return ZoneInfo(self.conf.timezone)

    @property
    def site(self) -> Site:
        """Where the app's things are, by its settings as they are now."""
        if self._site is None or self._site_version != self.conf.version:
            self._site_version = self.conf.version
            self._site = site_of(self.conf)
        return self._site

    @property
    def eager_site(self) -> Site:
        """The same for eager tasks, whose payloads stay in memory."""
        return replace(self.site, store=Store(), keeps_results=True, result_expires_s=None)

    # -- tasks --------------------------------------------------------------------------------

    @property
    def tasks(self) -> TaskRegistry:
        """The registered tasks by name."""
        return self._tasks

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
        if not callable(fun):
            raise ImproperlyConfigured(f"@app.task: {fun!r} is not a function; options go by name")
        base, name = options.pop("base", None), options.pop("name", None)
        name = name or self.gen_task_name(fun.__name__, fun.__module__)
        return self._register(
            make_task(fun, name, base or (None if self.Task is BaseTask else self.Task), options)
        )

    def register_task(self, task: Any, **options: Any) -> Any:
        """Register an instance of a task class, or a task class by an instance of it."""
        instance = as_task_instance(task, options)
        if not instance.name:
            instance.name = self.gen_task_name(type(instance).__name__, type(instance).__module__)
        return self._register(instance)

    def _register(self, task: BaseTask[..., Any]) -> BaseTask[..., Any]:
        known = self._tasks.get(task.name)
        if known is not None:
            if origin(known) == origin(task):
                return known
            raise AlreadyRegistered(
                f"two tasks are named {task.name!r} ({origin(known)} and {origin(task)}): "
                "give one of them name=..."
            )
        task.app = self
        task.policy  # noqa: B018 - a wrong retry option is to fail here, at its declaration
        self._tasks[task.name] = task
        return task

    def gen_task_name(self, name: str, module: str) -> str:
        """Return the automatic name of a task: ``module.function``."""
        if module == "__main__":
            module = self.main or "__main__"
        return f"{module}.{name}"

    def task_named(self, name: str) -> BaseTask[..., Any]:
        """Return a task by its name.

        Raises
        ------
        NotRegistered
            If there is none; the message suggests the nearest.
        """
        return self._tasks[name]

    # -- modules ------------------------------------------------------------------------------

    def autodiscover_tasks(
        self,
        packages: Sequence[str] | Callable[[], Sequence[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Import ``package.tasks`` of each package when the app is finalized; with ``force``, now.

        Packages without such a module are passed over.
        """
        self._discoveries.append((packages, related_name))
        if force or self.finalized:
            self._discover()

    def _discover(self) -> None:
        discoveries, self._discoveries = self._discoveries, []
        for packages, related_name in discoveries:
            for package in (packages() if callable(packages) else packages) or ():
                import_related(package, related_name)

    def finalize(self) -> Caraway:
        """Import what the app names and let its schedules be set up; done once, by every door."""
        if not self.finalized:
            self.finalized = True
            for module in (*self._include, *self.conf.include, *self.conf.imports):
                import_module(module)
            self._discover()
            self.on_after_configure.send(self, source=self.conf)
            self.on_after_finalize.send(self)
        return self

    def add_periodic_task(
        self,
        schedule: Any,
        sig: Signature[Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> str:
        """Add an entry to ``beat_schedule``; returns its name."""
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
        }
        return entry_name

    # -- sending ------------------------------------------------------------------------------

    def send_task(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Result[Any]:
        """Send a task by its name: its code need not be here.

        Takes the options of :meth:`caraway.Task.apply_async`.
        """
        return self.send_call(self._tasks.get(name) or name, args, kwargs or {}, options)

    async def asend_task(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Result[Any]:
        """Send a task by its name, from asynchronous code."""
        task = self._tasks.get(name) or name
        return await self.asend_call(task, args, kwargs or {}, options)

    def signature(
        self,
        task: str | Mapping[str, Json],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **options: Any,
    ) -> Signature[Any]:
        """Return a signature by a task's name, or from its JSON."""
        if isinstance(task, str):
            return Signature(task, args, kwargs, options, immutable=immutable, app=self)
        return Signature.from_dict(task, self).clone(args, kwargs, **options)

    def AsyncResult(self, id: str, task_name: str | None = None) -> Result[Any]:  # noqa: N802
        """Return the result of a task by its id."""
        return Result(id, self, task_name)

    def send_call(
        self, task: BaseTask[..., Any] | str, args: Any, kwargs: Any, options: Mapping[str, Any]
    ) -> Result[Any]:
        """Send a call; ``apply_async`` and ``send_task`` come here."""
        if self.conf.task_always_eager and isinstance(task, BaseTask):
            return self.run_eagerly(task, args, kwargs, options, None)
        outgoing = self.describe_call(task, args, kwargs, options, self.aws.now())
        run_now(send_patiently(self.aws, self.site, outgoing, _publish_policy(options)))
        return Result(outgoing.message.id, self, outgoing.message.task)

    async def asend_call(
        self, task: BaseTask[..., Any] | str, args: Any, kwargs: Any, options: Mapping[str, Any]
    ) -> Result[Any]:
        """Send a call from asynchronous code."""
        if self.conf.task_always_eager and isinstance(task, BaseTask):
            return self.run_eagerly(task, args, kwargs, options, None)
        aws = self.aio
        outgoing = self.describe_call(task, args, kwargs, options, aws.now())
        await send_patiently(aws, self.site, outgoing, _publish_policy(options))
        return Result(outgoing.message.id, self, outgoing.message.task)

    def describe_call(
        self,
        task: BaseTask[..., Any] | str,
        args: Any,
        kwargs: Any,
        options: Mapping[str, Any],
        now: datetime,
    ) -> Outgoing:
        """Decide everything about a call, and send nothing."""
        if not isinstance(args, list | tuple):
            raise InvalidOption(f"args={args!r}: expected a tuple or a list of arguments")
        if isinstance(task, str):
            name, wire = (
                task,
                (encode(list(args), path="args"), encode(dict(kwargs), path="kwargs")),
            )
        else:
            name, wire = task.name, task.parameters.to_wire(args, kwargs)
        context = current.get()
        running = context.running() if context is not None else None
        return describe(
            self.site,
            name,
            *wire,
            self._call_options(options),
            now=now,
            new_id=context.child_id if context is not None else lambda _digest: new_id(),
            parent=running.message if running is not None else None,
        )

    def _call_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a call, with links as JSON and naive times in the app's zone."""
        prepared = dict(options)
        for name in ("eta", "expires"):
            moment = prepared.get(name)
            if isinstance(moment, datetime) and moment.tzinfo is None:
                prepared[name] = moment.replace(tzinfo=self.timezone)
        for name in ("link", "link_error", "headers"):
            if prepared.get(name) is not None:
                prepared[name] = options_to_json({name: prepared[name]})[name]
        return prepared

    def retry_options(self, options: Mapping[str, Any]) -> dict[str, Json]:
        """Return the options of a retry as changes of its message."""
        changes = options_to_json(self._call_options(options))
        if isinstance(changes.get("expires"), int | float):
            changes["expires"] = (
                self.aws.now() + timedelta(seconds=changes["expires"])
            ).isoformat()
        return changes

    def run_eagerly(
        self,
        task: BaseTask[..., Any],
        args: Any,
        kwargs: Any,
        options: Mapping[str, Any],
        throw: bool | None,
    ) -> EagerResult[Any]:
        """Run a call in this process, through the executor."""
        from caraway.eager import run

        now = datetime.now(timezone.utc)
        outgoing = self.describe_call(task, args, kwargs, options, now)
        memory = run(self, outgoing, now)
        result: EagerResult[Any] = EagerResult(outgoing.message.id, self, task.name, memory)
        if self.conf.task_eager_propagates if throw is None else throw:
            result.maybe_throw()
        return result

    # -- the ways to AWS ----------------------------------------------------------------------

    @property
    def client_settings(self) -> ClientSettings:
        """How AWS clients are made."""
        from caraway.aws.clients import ClientSettings

        return ClientSettings(self.conf.aws_region, self.conf.aws_endpoint_url)

    @property
    def aws(self) -> BlockingAws:
        """The port for synchronous code; made at its first use, shared by all threads."""
        if self._blocking is None:
            from caraway.aws.blocking_aws import BlockingAws

            self._blocking = BlockingAws(self.client_settings)
        return self._blocking

    @property
    def aio(self) -> AsyncioAws:
        """The port of the running event loop; it closes with the loop."""
        from asyncio import get_running_loop

        loop = get_running_loop()
        port = self._asyncio.get(loop)
        if port is None:
            from caraway.aws.asyncio_aws import AsyncioAws

            port = self._asyncio[loop] = AsyncioAws(settings=self.client_settings)
        return port

    def forget_clients(self) -> None:
        """Drop all connections without closing them: they belong to another process."""
        self._blocking = None
        self._asyncio = weakref.WeakKeyDictionary()

    def close(self) -> None:
        """Close the connections of synchronous code."""
        blocking, self._blocking = self._blocking, None
        if blocking is not None:
            blocking.close()

    def __repr__(self) -> str:
        return f"<Caraway {self.main or '__main__'}>"


def site_of(conf: Settings) -> Site:
    """Return where the things are that settings name."""
    return Site(
        router=Router(conf.task_queues, conf.task_routes, conf.task_default_queue),
        records=Records(conf.task_table),
        store=Store(
            conf.payload_bucket, conf.message_inline_limit_bytes, conf.result_inline_limit_bytes
        ),
        queue_prefix=conf.queue_name_prefix,
        result_expires_s=conf.result_expires,
        max_deliveries=conf.task_max_deliveries,
        keeps_results=conf.result_backend != "disabled",
    )


def import_related(package: str, related_name: str | None) -> None:
    """Import ``package.related_name`` where it exists, or the package itself without a name."""
    if related_name is None:
        import_module(package)
        return
    import_module(package)
    if find_spec(f"{package}.{related_name}") is not None:
        import_module(f"{package}.{related_name}")


def _publish_policy(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how often a send is asked again, by the options ``retry`` and ``retry_policy``."""
    if options.get("retry") is False:
        return {"max_retries": 0}
    policy: Mapping[str, Any] = options.get("retry_policy") or {}
    return policy
