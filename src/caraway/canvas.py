"""Work as data: a signature says what to call, with which arguments and options."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar

from caraway.core.arguments import untyped_to_wire
from caraway.core.codec import decode, encode
from caraway.core.message import signature_fault
from caraway.core.options import check_options
from caraway.core.serializers import other_than_json
from caraway.current import current_app
from caraway.exceptions import ImproperlyConfigured, InvalidOption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from caraway.base import AppBase
    from caraway.core.serializers import Serializer
    from caraway.requests.base import Json
    from caraway.result import AsyncResult

R_co = TypeVar("R_co", covariant=True, default=Any)


class Signature(Generic[R_co]):
    """A call that has not been made: a task's name, arguments and options.

    A partial signature, as made by ``task.s(...)``, takes further positional arguments in front
    when it is called or used as a callback. An immutable one (``task.si(...)``) takes none.

    Parameters
    ----------
    task
        The task's name.
    options
        What ``apply_async`` takes; unknown ones raise :class:`~caraway.exceptions.UnknownOption`.
    app
        The app that sends it; the current app when None.
    """

    def __init__(
        self,
        task: str,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        app: AppBase | None = None,
    ) -> None:
        check_options(options or {})
        self.task = task
        self.args = tuple(args or ())
        self.kwargs = dict(kwargs or {})
        self.options = dict(options or {})
        self.immutable = immutable
        self._app = app

    @property
    def app(self) -> AppBase:
        """The app that sends it."""
        return self._app or current_app()

    @property
    def id(self) -> str | None:
        """The task id it will have, where one is set."""
        id: str | None = self.options.get("task_id")
        return id

    # -- changing: each returns self or a new one, as in Celery -------------------------------

    def clone(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Signature[R_co]:
        """Return a copy with arguments in front, keyword arguments and options added."""
        check_options(options)
        cloned = copy.copy(self)
        cloned.args = self.args if self.immutable else (*(args or ()), *self.args)
        cloned.kwargs = dict(self.kwargs) if self.immutable else {**self.kwargs, **(kwargs or {})}
        cloned.options = {
            **{name: _own_copy(value) for name, value in self.options.items()},
            **options,
        }
        return cloned

    def set(self, *, immutable: bool | None = None, **options: Any) -> Signature[R_co]:
        """Set options in place; returns itself."""
        check_options(options)
        if immutable is not None:
            self.immutable = immutable
        self.options.update(options)
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Say whether it takes further arguments."""
        self.immutable = immutable

    def link(self, callback: Signature[Any]) -> Signature[Any]:
        """Add a callback for when the task has succeeded; returns the callback."""
        return self._append("link", callback)

    def link_error(self, errback: Signature[Any]) -> Signature[Any]:
        """Add an errback for when the task has failed; returns the errback."""
        return self._append("link_error", errback)

    def on_error(self, errback: Signature[Any]) -> Signature[R_co]:
        """Add an errback; returns itself."""
        self.link_error(errback)
        return self

    def _append(self, option: str, signature: Signature[Any]) -> Signature[Any]:
        present = self.options.get(option) or []
        several = list(present) if isinstance(present, list | tuple) else [present]
        if signature not in several:
            self.options[option] = [*several, signature]
        return signature

    # -- sending ------------------------------------------------------------------------------

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult[R_co]:
        """Send it, with further arguments in front."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[R_co]:
        """Send it, with further arguments and options."""
        whole = self.clone(args, kwargs, **options)
        sent: AsyncResult[R_co] = whole.app.send_task(
            whole.task, whole.args, whole.kwargs, **whole.options
        )
        return sent

    async def adelay(self, *args: Any, **kwargs: Any) -> AsyncResult[R_co]:
        """Send it from asynchronous code."""
        return await self.aapply_async(args, kwargs)

    async def aapply_async(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[R_co]:
        """Send it from asynchronous code, with further arguments and options."""
        whole = self.clone(args, kwargs, **options)
        sent: AsyncResult[R_co] = await whole.app.asend_task(
            whole.task, whole.args, whole.kwargs, **whole.options
        )
        return sent

    def apply(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[R_co]:
        """Run it in this process."""
        whole = self.clone(args, kwargs, **options)
        ran: AsyncResult[R_co] = whole.app.task_named(whole.task).apply(
            whole.args, whole.kwargs, **whole.options
        )
        return ran

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function directly."""
        whole = self.clone(args, kwargs)
        return whole.app.task_named(whole.task)(*whole.args, **whole.kwargs)

    # -- as JSON ------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Json]:
        """Return it as JSON data, in the shape of Celery's signatures."""
        task = self.app.tasks.get(self.task)
        serializer = serializer_of(self.app, self.options)
        if task is None:
            args, kwargs = untyped_to_wire(self.args, self.kwargs, serializer)
        else:
            args, kwargs = task.parameters.to_wire(self.args, self.kwargs, serializer, partial=True)
        options = options_to_json(in_zone_of(self.app, self.options))
        if serializer is not None:
            options["serializer"] = serializer.name
        return {
            "task": self.task,
            "args": args,
            "kwargs": kwargs,
            "options": options,
            "subtask_type": None,
            "immutable": self.immutable,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Json], app: AppBase | None = None) -> Signature[Any]:
        """Return the signature that :meth:`to_dict` described.

        Raises
        ------
        InvalidOption
            If it names no task.
        ContentDisallowed
            If an argument was written by a serializer that the app's ``accept_content`` does not
            name.
        """

        def read(content: Json) -> Any:
            return (app or current_app()).site.contents.accepted.read(content)

        if fault := signature_fault(data):
            raise InvalidOption(f"{data!r:.200}: {fault}")
        options = dict(data.get("options") or {})
        if options.get("headers") is not None:
            options["headers"] = decode(options["headers"])
        for name in ("link", "link_error"):
            if options.get(name) is not None:
                options[name] = [cls.from_dict(each, app) for each in options[name]]
        return cls(
            data["task"],
            decode(list(data.get("args") or ()), read),
            decode(data.get("kwargs") or {}, read),
            options,
            immutable=bool(data.get("immutable")),
            app=app,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Signature):
            return NotImplemented
        return (self.task, self.args, self.kwargs, self.options, self.immutable) == (
            other.task,
            other.args,
            other.kwargs,
            other.options,
            other.immutable,
        )

    __hash__ = None  # type: ignore[assignment]  # it may be changed in place

    def __repr__(self) -> str:
        named = [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"{self.task}({', '.join([*map(repr, self.args), *named])})"


def _own_copy(option: Any) -> Any:
    """Return the value of an option as a copy may change it; what it holds is shared."""
    if isinstance(option, Signature):
        return option.clone()
    if isinstance(option, list | tuple):
        return [_own_copy(each) for each in option]
    return dict(option) if isinstance(option, dict) else option


def serializer_of(app: AppBase, options: Mapping[str, Any]) -> Serializer | None:
    """Return what writes the arguments of a call with these options; None for JSON.

    Raises
    ------
    InvalidOption
        If there is no such serializer, or its package is not installed.
    """
    name = options.get("serializer")
    if name is None:
        return app.site.contents.serializer
    if not isinstance(name, str):
        raise InvalidOption(f"serializer={name!r:.80}: expected a serializer's name")
    try:
        return other_than_json(name)
    except ImproperlyConfigured as error:
        raise InvalidOption(f"serializer={name!r}: {error}") from error


def in_zone_of(app: AppBase, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options whose naive times are meant in the app's time zone."""
    return {
        name: value.replace(tzinfo=app.timezone)
        if isinstance(value, datetime) and value.tzinfo is None
        else value
        for name, value in options.items()
    }


def signature(
    task: str | Mapping[str, Json],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    immutable: bool = False,
    app: AppBase | None = None,
    **options: Any,
) -> Signature[Any]:
    """Return a signature by a task's name, or from its JSON."""
    if isinstance(task, str):
        return Signature(task, args, kwargs, options, immutable=immutable, app=app)
    return Signature.from_dict(task, app).clone(args, kwargs, **options)


def options_to_json(options: Mapping[str, Any]) -> dict[str, Json]:
    """Return the options of a call as JSON data: links as signatures, times as text.

    Raises
    ------
    InvalidOption
        If a link option holds something else than signatures.
    """
    return {
        name: _option_to_json(name, value) for name, value in options.items() if value is not None
    }


def _option_to_json(name: str, value: Any) -> Json:
    if name in ("link", "link_error"):
        several = value if isinstance(value, list | tuple) else [value]
        return [_signature_to_json(each, name) for each in several]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return encode(value, path=name) if name == "headers" else value


def _signature_to_json(value: Any, what: str) -> Json:
    if isinstance(value, Signature):
        return value.to_dict()
    if isinstance(value, dict) and "task" in value:
        return value
    raise InvalidOption(f"{what}={value!r}: expected a signature, such as task.s(...)")
