"""The tasks that every app has: what maps run, and what ends a group that replaces a task."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from caraway.aws.user_code import run_coroutine
from caraway.core.arguments import Parameters, untyped_to_wire
from caraway.core.codec import decode
from caraway.exceptions import InvalidArguments, InvalidOption, NotRegistered, Reject
from caraway.maps import xmap, xstarmap
from caraway.replacements import ACCUMULATE
from caraway.signatures import Signature, maybe_signature
from caraway.task import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from caraway.core.decoding import Read
    from caraway.core.serializers import Serializer
    from caraway.requests.base import Json


class Map(Task[..., list[Any]]):
    """Calls a task with each item of a list, as :class:`~caraway.canvas.xmap` says."""

    name = xmap.task_name
    of: ClassVar[type[xmap[Any]]] = xmap

    def run(self, task: Any, it: Sequence[Any]) -> list[Any]:
        """Call the task's function with each item; as in Celery these calls have no records."""
        signature = maybe_signature(task, self.app)
        mapped, kwargs = self.app.task_named(signature.task), signature.kwargs
        calls = [(*arguments_of(self.of, item), *signature.args) for item in it]
        if not mapped.is_async:
            return [mapped(*args, **kwargs) for args in calls]

        async def one_after_another() -> list[Any]:
            return [await mapped(*args, **kwargs) for args in calls]

        return run_coroutine(one_after_another())

    @cached_property
    def parameters(self) -> Parameters:
        """Its parameters, which are checked and rebuilt as those of the mapped task are."""
        return MapParameters(self)


class Starmap(Map):
    """The same with items that are lists of arguments."""

    name = xstarmap.task_name
    of = xstarmap


class MapParameters(Parameters):
    """The parameters of a map: each item goes and comes as the mapped task's arguments do."""

    def __init__(self, task: Map) -> None:
        super().__init__(task.run, name=task.name)
        self._app, self._of = task.app, task.of

    def to_wire(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        serializer: Serializer | None = None,
        *,
        partial: bool = False,  # noqa: ARG002 - the items are complete in a signature, too
    ) -> tuple[list[Json], dict[str, Json]]:
        """Check the items against the mapped task's function, and return them as JSON.

        Raises
        ------
        InvalidArguments
            If one does not fit.
        InvalidOption
            If the task is one that no map may call.
        """
        self._read.check(args, kwargs)
        signature = maybe_signature(kwargs["task"], self._app)
        mapped = self._app.tasks.get(signature.task)
        write: Any = untyped_to_wire
        if mapped is not None:
            refuse_if_promised(mapped)
            write = mapped.parameters.to_wire
        items: list[Json] = []
        for item in kwargs["it"]:
            own = arguments_of(self._of, item)
            wire, _ = write((*own, *signature.args), signature.kwargs, serializer)
            items.append(wire[: len(own)] if self._of.star else wire[0])
        return [], {"task": signature.to_dict(), "it": items}

    def from_wire(
        self, args: Sequence[Json], kwargs: Mapping[str, Json], read: Read | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the items as the mapped task's function takes them.

        Raises
        ------
        InvalidArguments
            If one does not fit.
        Reject
            If the mapped task is not registered here, or one that no map may call.
        """
        self._read.check(args, kwargs)
        wire = kwargs["task"]
        try:
            mapped = self._app.task_named(maybe_signature(wire, self._app).task)
            refuse_if_promised(mapped)
        except (NotRegistered, InvalidOption) as error:
            raise Reject(error) from error
        after, named = list(wire.get("args") or ()), wire.get("kwargs") or {}
        own_args, own_kwargs = tuple(decode(after, read)), decode(named, read)
        items: list[Any] = []
        for item in kwargs["it"]:
            own = arguments_of(self._of, item)
            values, own_kwargs = mapped.parameters.from_wire([*own, *after], named, read)
            own_args = values[len(own) :]
            items.append(values[: len(own)] if self._of.star else values[0])
        signature = Signature[Any](mapped.name, own_args, own_kwargs, app=self._app)
        return (), {"task": signature, "it": items}


def arguments_of(kind: type[xmap[Any]], item: Any) -> Sequence[Any]:
    """Return the arguments that an item stands for.

    Raises
    ------
    InvalidArguments
        If it is no list of arguments where it should be one.
    """
    if not kind.star:
        return (item,)
    if not isinstance(item, list | tuple):
        raise InvalidArguments(f"{kind.task_name}: {item!r:.80}: expected a list of arguments")
    return item


def refuse_if_promised(task: Task[..., Any]) -> None:
    """Refuse a task of which something is promised that a run of many calls cannot keep."""
    for promised in ("at_most_once", "sensitive"):
        if getattr(task, promised):
            raise InvalidOption(
                f"{task.name} is declared {promised}, and its calls within one run would not be: "
                "send them as a group"
            )


class Accumulate(Task[[list[Any]], list[Any]]):
    """Comes after a group that takes the place of a task: its values are that task's."""

    name = ACCUMULATE

    def run(self, values: Any) -> Any:
        """Return the values."""
        return values


def built_in() -> Iterator[Task[..., Any]]:
    """Give the tasks that every app has."""
    yield Map()
    yield Starmap()
    yield Accumulate()
