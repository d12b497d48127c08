"""Work as data: a signature says what to call, with which arguments and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic

from caraway.call_options import in_zone_of, options_to_json, serializer_of
from caraway.core.arguments import untyped_to_wire
from caraway.core.codec import decode
from caraway.core.fields import signature_fault
from caraway.core.options import check_options
from caraway.core.sensitive import FILTERED
from caraway.core.stamps import with_options
from caraway.core.workflow import NOWHERE, Call, Steps
from caraway.current import current_app
from caraway.exceptions import InvalidOption
from caraway.stamping import stamp_call, with_answer

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from caraway.base import AppBase
    from caraway.requests.base import Json
    from caraway.result import AsyncResult
    from caraway.stamping import StampingVisitor

    R_co = TypeVar("R_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    R_co = TypeVar("R_co", covariant=True)

LINKS: Final = frozenset({"link", "link_error"})
_CHANGEABLE: Final = LINKS | {"headers", "retry_policy", "stamps"}
"""Options whose values can be changed in place."""


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

    kinds: ClassVar[dict[str, type[Signature[Any]]]] = {}
    """The canvases, by what ``subtask_type`` calls them."""
    kind: ClassVar[str] = ""
    """What ``subtask_type`` calls it; nothing for a call of a task."""

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
        if options:
            check_options(options)
        self.task = task
        self.args = tuple(args) if args else ()
        self.kwargs = {**kwargs} if kwargs else {}
        self.options = {**options} if options else {}
        self.immutable = immutable
        self.own_app = app
        """The app it was given; None for the current one."""
        self.place = NOWHERE
        """Where it is sent to, if it was added to a chord at run time."""

    @property
    def app(self) -> AppBase:
        """The app that sends it."""
        return self.known_app() or current_app()

    def known_app(self) -> AppBase | None:
        """Return the app that it was given, or that a part of it was given."""
        return self.own_app

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
        cloned = object.__new__(type(self))
        cloned.__dict__ = {**vars(self)}
        cloned.kwargs = {**self.kwargs}
        cloned.options = self.copied_options()
        if options:
            check_options(options)
            cloned.options = with_options(cloned.options, options)
        if args:
            cloned.args = self.whole_args(args)
        if kwargs and not self.immutable:
            cloned.kwargs.update(kwargs)
        return cloned

    def copied_options(self) -> dict[str, Any]:
        """Return its options, which stay as they are now."""
        return {
            name: _own_copy(value) if name in _CHANGEABLE else value
            for name, value in self.options.items()
        }

    def whole_args(self, before: Sequence[Any]) -> tuple[Any, ...]:
        """Return its arguments with others in front, unless it is immutable."""
        return self.args if self.immutable or not before else (*before, *self.args)

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

    def sealed(self) -> Signature[R_co]:
        """Return an immutable copy."""
        copy = self.clone()
        copy.set_immutable(True)
        return copy

    def link(self, callback: Signature[Any]) -> Signature[Any]:
        """Add a callback for when the task has succeeded; returns the callback."""
        return self.append_to_list_option("link", callback)

    def link_error(self, errback: Signature[Any]) -> Signature[Any]:
        """Add an errback for when the task has failed; returns the errback."""
        return self.append_to_list_option("link_error", errback)

    def on_error(self, errback: Signature[Any]) -> Signature[R_co]:
        """Add an errback; returns itself."""
        self.link_error(errback)
        return self

    def given(
        self,
        options: Mapping[str, Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Signature[R_co]:
        """Return it with what a canvas around it adds: its links come after the own ones.

        It is a copy, but itself where nothing is added: steps share what they leave as it is.
        """
        if not options:
            return self.clone(args, kwargs) if args or kwargs else self
        others = {name: value for name, value in options.items() if name not in LINKS}
        cloned = self.clone(args, kwargs, **others)
        for name in LINKS & options.keys():
            value = options[name]
            for each in value if isinstance(value, list | tuple) else [value]:
                cloned.append_to_list_option(name, each)
        return cloned

    def append_to_list_option(self, option: str, signature: Signature[Any]) -> Signature[Any]:
        """Add a signature to a list of them, unless it is there; returns it."""
        present = self.options.get(option) or []
        several = list(present) if isinstance(present, list | tuple) else [present]
        if signature not in several:
            self.options[option] = [*several, signature]
        return signature

    # -- stamping -----------------------------------------------------------------------------

    def stamp(
        self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any
    ) -> Signature[R_co]:
        """Give it, and its callbacks and errbacks, stamps; in place, and returns itself.

        Parameters
        ----------
        visitor
            Says the stamps of each call; see :class:`~caraway.stamping.StampingVisitor`.
        append_stamps
            Where a call has a stamp of that name: True makes a list of both, False replaces it.
        headers
            Stamps of every call.
        """
        self.stamp_links(visitor, append_stamps, **headers)
        answer = None if visitor is None else visitor.on_signature(self, **headers)
        said = with_answer(headers, answer, append=append_stamps)
        stamp_call(self.options, said, append=append_stamps)
        return self

    def stamp_links(
        self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any
    ) -> None:
        """Stamp its callbacks and errbacks alone; parameters as :meth:`stamp`."""
        for option in LINKS & self.options.keys():
            present, stamped = self.options[option] or [], []
            for each in present if isinstance(present, list | tuple) else [present]:
                link, answer = maybe_signature(each, self.own_app), None
                if visitor is not None:
                    visit = visitor.on_callback if option == "link" else visitor.on_errback
                    answer = visit(link, **headers)
                said = with_answer(headers, answer, append=append_stamps)
                stamped.append(link.stamp(visitor, append_stamps, **said))
            self.options[option] = stamped

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
        sent: AsyncResult[R_co]
        if whole.place is not NOWHERE:
            sent = whole.app.send_workflow(whole)
            return sent
        sent = whole.app.send_task(whole.task, whole.args, whole.kwargs, **whole.options)
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
        sent: AsyncResult[R_co]
        if whole.place is not NOWHERE:
            sent = await whole.app.asend_workflow(whole)
            return sent
        sent = await whole.app.asend_task(whole.task, whole.args, whole.kwargs, **whole.options)
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

    # -- composing ----------------------------------------------------------------------------

    def steps(self) -> Steps[Signature[Any]]:
        """Return it as the steps of a workflow."""
        return (Call(self, self.options.get("task_id")),)

    def part(self) -> Signature[Any]:
        """Return it as a part of a canvas: only what is sent by itself is sent as it is made.

        Raises
        ------
        InvalidOption
            If it has a place already.
        """
        self.refuse_if_placed()
        return self

    def refuse_if_placed(self) -> None:
        """Refuse to lose the place of one that was added to a chord."""
        if self.place is not NOWHERE:
            raise InvalidOption(f"{self!r:.200} was added to a chord: send it as it is, by itself")

    def __or__(self, other: object) -> Signature[Any]:
        """Return a chain: the other one comes after this one, and takes its value."""
        if not isinstance(other, Signature):
            return NotImplemented
        return self.kinds["chain"].joining(self, other)

    def freeze(self, _id: str | None = None) -> AsyncResult[R_co]:
        """Decide its ids now; returns the result that it will have when it is sent."""
        frozen: AsyncResult[R_co] = self.app.frozen(self, _id)
        return frozen

    # -- as JSON ------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Json]:
        """Return it as JSON data, in the shape of Celery's signatures."""
        self.refuse_if_placed()
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
            "subtask_type": self.kind or None,
            "immutable": self.immutable,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Json], app: AppBase | None = None) -> Signature[Any]:
        """Return the signature that :meth:`to_dict` described, of whichever kind.

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
        for name in ("headers", "stamps"):
            if options.get(name) is not None:
                options[name] = decode(options[name])
        for name in ("link", "link_error"):
            if options.get(name) is not None:
                options[name] = [Signature.from_dict(each, app) for each in options[name]]
        args = decode(list(data.get("args") or ()), read)
        kwargs, immutable = data.get("kwargs") or {}, bool(data.get("immutable"))
        kind = cls.kinds.get(data.get("subtask_type") or "")
        if kind is not None:
            canvas = kind.of_json(kwargs, app)
            canvas.args, canvas.options, canvas.immutable = tuple(args), options, immutable
            return canvas
        return Signature(
            data["task"], args, decode(kwargs, read), options, immutable=immutable, app=app
        )

    @classmethod
    def joining(cls, left: Signature[Any], right: Signature[Any]) -> Signature[Any]:
        """Return what ``left | right`` is."""
        raise NotImplementedError

    @classmethod
    def of_json(cls, parts: Mapping[str, Json], app: AppBase | None) -> Signature[Any]:
        """Return a canvas of its parts as JSON."""
        raise NotImplementedError

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
        args, kwargs = list(self.args), self.kwargs
        task = self.own_app.tasks.get(self.task) if self.own_app is not None else None
        if task is not None and task.sensitive:
            _, kwargs = task.shown((), kwargs)
            args = [FILTERED] * len(args)  # more may come in front: their places are not known
        named = [f"{name}={value!r}" for name, value in kwargs.items()]
        return f"{self.task}({', '.join([*map(repr, args), *named])})"


def maybe_signature(value: Any, app: AppBase | None = None) -> Signature[Any]:
    """Return a signature, from one or from its JSON.

    Raises
    ------
    InvalidOption
        If it is neither.
    """
    if isinstance(value, Signature):
        return value
    if isinstance(value, Mapping):
        return Signature.from_dict(value, app)
    raise InvalidOption(f"{value!r:.200}: expected a signature, such as task.s(...)")


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


def _own_copy(option: Any) -> Any:
    """Return the value of an option as a copy may change it; what it holds is shared."""
    if isinstance(option, Signature):
        return option.clone()
    if isinstance(option, list | tuple):
        return [_own_copy(each) for each in option]
    return dict(option) if isinstance(option, dict) else option
