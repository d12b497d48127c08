"""Groups: tasks side by side, and what all canvases have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar, overload

from caraway.call_options import in_zone_of, options_to_json
from caraway.core.arguments import untyped_to_wire
from caraway.core.canvas_options import options_of_group
from caraway.core.workflow import GROUP, Group, Steps, canvas_to_json, flattened
from caraway.exceptions import InvalidOption
from caraway.signatures import R_co, Signature, maybe_signature
from caraway.stamping import with_answer

if TYPE_CHECKING:
    from caraway.base import AppBase
    from caraway.requests.base import Json
    from caraway.result import GroupResult
    from caraway.stamping import StampingVisitor

T = TypeVar("T")


class Canvas(Signature[R_co]):
    """A signature of several tasks.

    Its arguments go to the tasks that it begins with, and so do its options; its callbacks and its
    id are those of what it ends with, and its errbacks are everybody's, as in Celery.
    """

    def __init_subclass__(cls) -> None:
        """Let its JSON be read."""
        Signature.kinds[cls.kind] = cls

    def __init__(self, options: Mapping[str, Any], app: AppBase | None) -> None:
        super().__init__(f"caraway.{self.kind}", (), {}, options, app=app)

    @property
    def is_generated(self) -> bool:
        """Whether its tasks come from a generator that has not run yet."""
        return False

    def parts_to_json(self) -> dict[str, Json]:
        """Return what it consists of as JSON."""
        raise NotImplementedError

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Send it, with further arguments in front."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Send it, with further arguments and options.

        Returns
        -------
        AsyncResult | GroupResult
            The result of its end; a group's where it ends with one.
        """
        whole = self.clone(args, kwargs, **options)
        return whole.app.send_workflow(whole)

    async def adelay(self, *args: Any, **kwargs: Any) -> Any:
        """Send it from asynchronous code."""
        return await self.aapply_async(args, kwargs)

    async def aapply_async(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Send it from asynchronous code, with further arguments and options."""
        whole = self.clone(args, kwargs, **options)
        return await whole.app.asend_workflow(whole)

    def apply(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run all of it in this process."""
        throw = options.pop("throw", None)
        whole = self.clone(args, kwargs, **options)
        return whole.app.run_workflow(whole, throw)

    def freeze(self, _id: str | None = None) -> Any:
        """Decide its ids now; returns the result that it will have when it is sent."""
        return self.app.frozen(self, _id)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Send it, with further arguments in front."""
        return self.apply_async(args, kwargs)

    def to_dict(self) -> dict[str, Json]:
        """Return it as JSON data, in the shape of Celery's signatures."""
        self.refuse_if_placed()
        args, kwargs = untyped_to_wire(self.args, self.kwargs)
        if kwargs:  # they belong to the tasks it begins with
            return self.pushed_down().to_dict()
        wire: dict[str, Json] = canvas_to_json(
            self.kind,
            self.parts_to_json(),
            options_to_json(in_zone_of(self.app, self.options)) if self.options else {},
            args=args,
            immutable=self.immutable,
        )
        return wire

    def pushed_down(self) -> Canvas[R_co]:
        """Return a copy whose keyword arguments are in the tasks that it begins with."""
        raise NotImplementedError

    def stamp_parts(
        self,
        parts: Iterable[Signature[Any]],
        visitor: StampingVisitor | None,
        append_stamps: bool,
        inside: Mapping[str, Any],
    ) -> None:
        """Give its callbacks, and some of its parts, the headers that hold inside of it."""
        self.stamp_links(visitor, append_stamps, **inside)
        for part in parts:
            part.stamp(visitor, append_stamps, **inside)

    def known_app(self) -> AppBase | None:
        """Return the app that it was given, or else that of its first part which has one."""
        apps = (each.known_app() for each in self.inner())
        return self.own_app or next(filter(None, apps), None)

    def inner(self) -> Iterable[Signature[Any]]:
        """Return signatures that it consists of; of a generator only the first is made for this."""
        raise NotImplementedError


class group(Canvas[R_co]):  # noqa: N801 - Celery's name
    """Tasks side by side; its value is the list of theirs, in order.

    Parameters
    ----------
    tasks
        Signatures, or one iterable of them. A generator is sent while it runs, and only once.
    """

    kind = GROUP

    @overload
    def __init__(
        self: group[list[T]],
        tasks: Iterable[Signature[T]],
        *,
        app: AppBase | None = None,
        **options: Any,
    ) -> None: ...
    @overload
    def __init__(
        self: group[list[T]], *tasks: Signature[T], app: AppBase | None = None, **options: Any
    ) -> None: ...
    @overload
    def __init__(self, *tasks: Any, app: AppBase | None = None, **options: Any) -> None: ...

    def __init__(self, *tasks: Any, app: AppBase | None = None, **options: Any) -> None:
        super().__init__(options, app)
        several = tasks[0] if len(tasks) == 1 and not is_signature(tasks[0]) else tasks
        found = signatures_of(several, app)
        self._tasks: list[Signature[Any]] | _Once = (
            _Once(found) if isinstance(several, Iterator) else [each.part() for each in found]
        )

    @property
    def tasks(self) -> list[Signature[Any]]:
        """Its tasks; those of a generator are all made now."""
        return self.make_tasks()

    def make_tasks(self) -> list[Signature[Any]]:
        """Return its tasks; a generator runs now, and not while they are sent."""
        if not isinstance(self._tasks, list):
            self._tasks = [each.part() for each in self._tasks]
        return self._tasks

    def part(self) -> group[R_co]:
        """Return it as a part of a canvas: a generator runs now."""
        self.refuse_if_placed()
        self.make_tasks()
        return self

    @property
    def is_generated(self) -> bool:
        """Whether its tasks come from a generator that has not run yet."""
        return not isinstance(self._tasks, list)

    def inner(self) -> Iterable[Signature[Any]]:
        """Return its tasks, as far as they are made; the first one is."""
        return self._tasks if isinstance(self._tasks, list) else self._tasks.first()

    def __len__(self) -> int:
        return len(self.tasks)

    def clone(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> group[R_co]:
        """Return a copy with arguments in front, keyword arguments and options added."""
        cloned: group[R_co] = super().clone(args, kwargs, **options)  # type: ignore[assignment]
        if isinstance(self._tasks, list):
            cloned._tasks = [each.clone() for each in self._tasks]
        return cloned

    if TYPE_CHECKING:

        def delay(self, *args: Any, **kwargs: Any) -> GroupResult:  # type: ignore[override]
            """Send it, with further arguments in front."""

        def apply_async(  # type: ignore[override]
            self,
            args: Sequence[Any] | None = (),
            kwargs: Mapping[str, Any] | None = None,
            **options: Any,
        ) -> GroupResult:
            """Send it, with further arguments and options."""

    def set_immutable(self, immutable: bool) -> None:
        """Say whether its tasks take further arguments."""
        self.immutable = immutable
        for task in self.tasks:
            task.set_immutable(immutable)

    def stamp(
        self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any
    ) -> group[R_co]:
        """Give all that is in it stamps; parameters as :meth:`Signature.stamp`."""
        answer = None if visitor is None else visitor.on_group_start(self, **headers)
        inside = with_answer(headers, answer, append=append_stamps)
        self.stamp_parts(self.tasks, visitor, append_stamps, inside)
        if visitor is not None:
            visitor.on_group_end(self, **inside)
        return self

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> group[Any]:
        """Give its tasks countdowns: start, start + step, ..., at most stop; returns itself."""
        countdown = start
        for task in self.tasks:
            task.set(countdown=countdown)
            countdown = countdown + step if stop is None else min(countdown + step, stop)
        return self

    def steps(self) -> Steps[Signature[Any]]:
        """Return it as the steps of a workflow; one whose tasks are generated gives them once."""
        members = flattened(each.steps() for each in self.own_tasks())
        return (Group(list(members) if isinstance(self._tasks, list) else members, self.id),)

    def own_tasks(self) -> Iterator[Signature[Any]]:
        """Give its tasks with its arguments and options."""
        first, own = options_of_group(self.options)
        for place, task in enumerate(self._tasks):
            member = task.given(own if place else {**own, **first}, self.args, self.kwargs)
            yield member.sealed() if self.immutable else member

    def pushed_down(self) -> group[R_co]:
        """Return a copy whose arguments and options are those of its tasks."""
        return group(
            list(self.own_tasks()), app=self.own_app, **({"task_id": self.id} if self.id else {})
        )

    def parts_to_json(self) -> dict[str, Json]:
        """Return its tasks as JSON."""
        return {"tasks": [each.to_dict() for each in self.tasks]}

    @classmethod
    def of_json(cls, parts: Mapping[str, Json], app: AppBase | None) -> group[Any]:
        """Return the group of its tasks as JSON."""
        return cls(list(parts.get("tasks") or ()), app=app)

    def __repr__(self) -> str:
        return f"group({self._tasks!r})"


class _Once(Iterable[Signature[Any]]):
    """The tasks of a generator, which nobody can have a second time."""

    def __init__(self, tasks: Iterator[Signature[Any]]) -> None:
        self._tasks = tasks
        self._looked_at: list[Signature[Any]] = []
        self._begun = False

    def first(self) -> list[Signature[Any]]:
        """Return the first task, in a list, without taking it; no list if there is none (left)."""
        self._check()
        if not self._looked_at:
            self._looked_at = list(islice(self._tasks, 1))
        return self._looked_at

    def __iter__(self) -> Iterator[Signature[Any]]:
        self._check()
        self._begun = True
        return chain(self._looked_at, self._tasks)

    def _check(self) -> None:
        if self._begun:
            raise InvalidOption(
                "this group was made of a generator, which has run: its tasks are sent; make the "
                "group again, or make it of a list"
            )


def is_signature(value: object) -> bool:
    """Say whether a value is a signature, or one as JSON."""
    return isinstance(value, Signature | Mapping)


def signatures_of(tasks: Iterable[Any], app: AppBase | None) -> Iterator[Signature[Any]]:
    """Give signatures; one iterable among no others stands for its items."""
    if isinstance(tasks, tuple) and len(tasks) == 1 and not is_signature(tasks[0]):
        (tasks,) = tasks
    return (maybe_signature(each, app) for each in tasks)
