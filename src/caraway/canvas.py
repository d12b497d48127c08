"""Canvases: signatures of several tasks. A chain, a group, and a group with a body, the chord."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from caraway.core.canvas_options import options_of_chain, options_of_chord
from caraway.core.stamps import STAMPS
from caraway.core.workflow import CHAIN, CHORD, Steps, told
from caraway.exceptions import InvalidOption
from caraway.groups import Canvas, group, is_signature, signatures_of
from caraway.maps import chunks, xmap, xstarmap
from caraway.signatures import R_co, Signature, maybe_signature, signature
from caraway.stamping import StampingVisitor, with_answer

if TYPE_CHECKING:
    from caraway.base import AppBase
    from caraway.requests.base import Json

T = TypeVar("T")

__all__ = [
    "Canvas",
    "Signature",
    "StampingVisitor",
    "chain",
    "chord",
    "chunks",
    "group",
    "maybe_signature",
    "signature",
    "xmap",
    "xstarmap",
]


class chain(Canvas[R_co]):  # noqa: N801 - Celery's name
    """Tasks one after another: each takes the value of the one before it.

    Parameters
    ----------
    tasks
        Signatures, or one list of them. A group among them becomes the header of a chord.
    """

    kind = CHAIN

    def __init__(self, *tasks: Any, app: AppBase | None = None, **options: Any) -> None:
        super().__init__(options, app)
        self.tasks: list[Signature[Any]] = [each.part() for each in signatures_of(tasks, app)]

    def inner(self) -> list[Signature[Any]]:
        """Return its tasks."""
        return self.tasks

    def clone(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> chain[R_co]:
        """Return a copy with arguments in front, keyword arguments and options added."""
        cloned: chain[R_co] = super().clone(args, kwargs, **options)  # type: ignore[assignment]
        cloned.tasks = [each.clone() for each in self.tasks]
        return cloned

    def steps(self) -> Steps[Signature[Any]]:
        """Return it as the steps of a workflow."""
        steps = tuple(step for task in self.own_tasks() for step in task.steps())
        errbacks = self._errbacks()
        return told(steps, lambda call: call.given(errbacks)) if errbacks else steps

    def _errbacks(self) -> dict[str, Any]:
        """Return its errbacks, as an option."""
        errbacks = self.options.get("link_error")
        return {"link_error": errbacks} if errbacks else {}

    def _tasks(self) -> list[Signature[Any]]:
        """Return its tasks, with its errbacks where those are also the tasks' of headers."""
        errbacks = self._errbacks()
        if errbacks and self.app.conf.task_allow_error_cb_on_chord_header:
            return [task.given(errbacks) for task in self.tasks]
        return self.tasks

    def own_tasks(self) -> list[Signature[Any]]:
        """Return its tasks with its arguments and options, but for its errbacks."""
        if not self.tasks:
            return []
        everywhere, at_the_end, first = options_of_chain(self.options)
        tasks = [task.given(everywhere) for task in self._tasks()]
        tasks[0] = tasks[0].given(first, self.args, self.kwargs)
        tasks[-1] = tasks[-1].given(at_the_end)
        if self.immutable:
            tasks[0] = tasks[0].sealed()
        return tasks

    def stamp(
        self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any
    ) -> chain[R_co]:
        """Give all that is in it stamps; parameters as :meth:`Signature.stamp`."""
        answer = None if visitor is None else visitor.on_chain_start(self, **headers)
        inside = with_answer(headers, answer, append=append_stamps)
        self.stamp_parts(self.tasks, visitor, append_stamps, inside)
        if visitor is not None:
            visitor.on_chain_end(self, **inside)
        return self

    def pushed_down(self) -> chain[R_co]:
        """Return a copy whose arguments and options are those of its tasks."""
        return chain(*self.own_tasks(), app=self.own_app, **self._errbacks())

    def links(self) -> list[Signature[Any]]:
        """Return its tasks with what is its own; itself where that cannot be said of them."""
        errbacks = self._errbacks()
        if errbacks and any(isinstance(each, Canvas) for each in self.tasks[:-1]):
            return [self.clone()]
        return [each.given(errbacks).clone() for each in self.own_tasks()]

    def parts_to_json(self) -> dict[str, Json]:
        """Return its tasks as JSON."""
        return {"tasks": [each.to_dict() for each in self._tasks()]}

    @classmethod
    def joining(cls, left: Signature[Any], right: Signature[Any]) -> Signature[Any]:
        """Return what ``left | right`` is: a chord where a group has something after it."""
        if isinstance(left, chord) and left.body is not None:
            return left.followed_by(right)
        before, after = _links(left), _links(right)
        if before and after and isinstance(before[-1], group):
            before[-1:] = [chord(before[-1], after.pop(0))]
        tasks = [*before, *after]
        return tasks[0] if len(tasks) == 1 else cls(*tasks, app=left.own_app or right.own_app)

    @classmethod
    def of_json(cls, parts: Mapping[str, Json], app: AppBase | None) -> chain[Any]:
        """Return the chain of its tasks as JSON."""
        return cls(*parts.get("tasks") or (), app=app)

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.tasks))


class chord(Canvas[R_co]):  # noqa: N801 - Celery's name
    """A group and a body, which takes the list of the group's values.

    Parameters
    ----------
    header
        A group, or an iterable of signatures.
    body
        The signature that comes then; ``chord(header)(body)`` gives it with the call.
    """

    kind = CHORD

    @overload
    def __init__(
        self: chord[T],
        header: Any,
        body: Signature[T],
        *,
        app: AppBase | None = None,
        **options: Any,
    ) -> None: ...
    @overload
    def __init__(
        self, header: Any, body: Any = None, *, app: AppBase | None = None, **options: Any
    ) -> None: ...

    def __init__(
        self, header: Any, body: Any = None, *, app: AppBase | None = None, **options: Any
    ) -> None:
        super().__init__(options, app)
        if isinstance(header, group):
            self.header = header
            header.make_tasks()
        else:
            self.header = group([header] if is_signature(header) else list(header), app=app)
        self.body = None if body is None else maybe_signature(body, app).part()

    @property
    def tasks(self) -> list[Signature[Any]]:
        """The tasks of its header."""
        return self.header.tasks

    def inner(self) -> list[Signature[Any]]:
        """Return its header, and its body where it has one."""
        return [self.header] if self.body is None else [self.header, self.body]

    def clone(
        self,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> chord[R_co]:
        """Return a copy with arguments in front, keyword arguments and options added."""
        cloned: chord[R_co] = super().clone(args, kwargs, **options)  # type: ignore[assignment]
        cloned.header = self.header.clone()
        cloned.body = None if self.body is None else self.body.clone()
        return cloned

    def __call__(self, body: Any = None, **options: Any) -> Any:
        """Send it with a body."""
        return self.with_body(body).apply_async((), {}, **options)

    def with_body(self, body: Any) -> chord[R_co]:
        """Return a copy with another body; None leaves the one it has."""
        whole = self.clone()
        if body is not None:
            whole.body = maybe_signature(body, self.own_app).clone()
        return whole

    def steps(self) -> Steps[Signature[Any]]:
        """Return it as the steps of a workflow."""
        if self.body is None:
            raise InvalidOption("a chord has no body: chord(header, body) or chord(header)(body)")
        of_body, of_header = options_of_chord(self.options)
        header = self._own_header().given(of_header, self.args, self.kwargs)
        if self.immutable:
            header = header.sealed()
        return (*header.steps(), *self.body.given(of_body).steps())

    def _own_header(self) -> Signature[Any]:
        """Return the header, with the errbacks that are also its tasks'."""
        errbacks = self.options.get("link_error")
        if not errbacks or not self.app.conf.task_allow_error_cb_on_chord_header:
            return self.header
        return self.header.given({"link_error": errbacks})

    def followed_by(self, right: Signature[Any]) -> chord[Any]:
        """Return the chord whose body has something after it; what is its body's stays there."""
        whole = self.clone()
        header: Any = self._own_header().clone()
        of_body, whole.options = options_of_chord(whole.options)
        if stamps := whole.options.pop(STAMPS, None):  # nor do they come to what is after it
            header = header.given({STAMPS: stamps})
        whole.header = header
        if self.body is not None:  # an empty group is false
            whole.body = self.body.given(of_body) | right
        return whole

    def stamp(
        self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any
    ) -> chord[R_co]:
        """Give all that is in it stamps; parameters as :meth:`Signature.stamp`."""
        answer = None if visitor is None else visitor.on_chord_header_start(self, **headers)
        inside = with_answer(headers, answer, append=append_stamps)
        self.stamp_parts(self.header.tasks, visitor, append_stamps, inside)
        if visitor is not None:
            visitor.on_chord_header_end(self, **inside)
        if self.body is not None:
            answer = None if visitor is None else visitor.on_chord_body(self, **inside)
            self.body.stamp(
                visitor, append_stamps, **with_answer(inside, answer, append=append_stamps)
            )
        return self

    def pushed_down(self) -> chord[R_co]:
        """Return a copy whose keyword arguments are those of its header's tasks."""
        whole = self.clone()
        whole.header = whole.header.given({}, self.args, self.kwargs).pushed_down()  # type: ignore[attr-defined]
        whole.args, whole.kwargs = (), {}
        return whole

    def parts_to_json(self) -> dict[str, Json]:
        """Return its header and its body as JSON."""
        body = None if self.body is None else self.body.to_dict()
        return {"header": self._own_header().to_dict(), "body": body}

    @classmethod
    def of_json(cls, parts: Mapping[str, Json], app: AppBase | None) -> chord[Any]:
        """Return the chord of its parts as JSON."""
        header = parts.get("header") or []
        if isinstance(header, Mapping):
            header = Signature.from_dict(header, app)
        return cls(header, parts.get("body"), app=app)

    def __repr__(self) -> str:
        return f"chord({self.header!r}, {self.body!r})"


def _links(signature: Signature[Any]) -> list[Signature[Any]]:
    """Return the tasks of a chain, with what is its own; any other signature is one."""
    if isinstance(signature, chain):
        return signature.links()
    return [signature.clone().part()]
