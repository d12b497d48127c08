"""Maps: a task over many arguments within one run, and chunks, which are maps side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Final

from caraway.core.routing import MAP, STARMAP
from caraway.exceptions import InvalidOption
from caraway.groups import Canvas, group
from caraway.signatures import R_co, Signature, maybe_signature

if TYPE_CHECKING:
    from caraway.base import AppBase
    from caraway.core.workflow import Steps
    from caraway.requests.base import Json
    from caraway.stamping import StampingVisitor

_OF_THE_TASK: Final = ("compression", "message_group_id", "queue", "serializer", "stamps")
"""Options of the mapped task that hold for the run that calls it many times."""


class xmap(Signature[list[R_co]]):  # noqa: N801 - Celery's name
    """A task called with each item, one after another, in one run; its value is the list of theirs.

    Parameters
    ----------
    task
        A task, or its signature, whose own arguments come after the item's.
    it
        The items.
    """

    kind = "xmap"
    task_name: ClassVar[str] = MAP
    star: ClassVar[bool] = False
    """Whether an item is a list of arguments."""

    def __init_subclass__(cls) -> None:
        """Let its JSON be read."""
        Signature.kinds[cls.kind] = cls

    def __init__(
        self, task: Any, it: Iterable[Any], *, app: AppBase | None = None, **options: Any
    ) -> None:
        mapped = mapped_signature(task, app)
        own: dict[str, Any] = {
            name: mapped.options[name] for name in _OF_THE_TASK if name in mapped.options
        }
        super().__init__(
            self.task_name,
            (),
            {"task": mapped, "it": list(it)},
            {**own, **options},
            immutable=True,
            app=app or mapped.own_app,
        )

    @classmethod
    def of_json(cls, parts: Mapping[str, Json], app: AppBase | None) -> xmap[Any]:
        """Return the map of its parts as JSON."""
        return cls(parts.get("task"), parts.get("it") or (), app=app)

    def __repr__(self) -> str:
        items = "*x" if self.star else "x"
        shown = repr(self.kwargs["it"])
        return f"[{self.kwargs['task'].task}({items}) for x in {shown:.100}]"


Signature.kinds[xmap.kind] = xmap


class xstarmap(xmap[R_co]):  # noqa: N801 - Celery's name
    """The same with items that are lists of arguments."""

    kind = "xstarmap"
    task_name = STARMAP
    star = True


class chunks(Canvas[list[list[R_co]]]):  # noqa: N801 - Celery's name
    """A task over lists of arguments, so many in one run; its value is the list of the runs' lists.

    It is a group of :class:`xstarmap`, and as a part of a canvas it is that group.

    Parameters
    ----------
    task
        A task, or its signature.
    it
        Lists of arguments. Those of a generator are sent while it runs, and only once.
    n
        How many make a chunk; the last one may have fewer.

    Raises
    ------
    InvalidOption
        If ``n`` is no whole number from 1.
    """

    kind = "chunks"

    def __init__(
        self, task: Any, it: Iterable[Any], n: int, *, app: AppBase | None = None, **options: Any
    ) -> None:
        size: Any = n
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InvalidOption(f"chunks: n={n!r}: expected a whole number from 1")
        super().__init__(options, app)
        self.immutable = True
        mapped = mapped_signature(task, app)
        made = (xstarmap[R_co](mapped, part, app=app) for part in _parts(iter(it), n))
        home = app or mapped.own_app
        self._group: group[Any] = group(made if isinstance(it, Iterator) else list(made), app=home)

    def group(self) -> group[list[list[R_co]]]:
        """Return it as a group, with its options."""
        return self._group.clone((), {}, **self.options)

    def inner(self) -> list[Signature[Any]]:
        """Return the group that it is."""
        return [self._group]

    def stamp(
        self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any
    ) -> chunks[R_co]:
        """Give all that is in it stamps; parameters as :meth:`Signature.stamp`."""
        self.stamp_parts([self._group], visitor, append_stamps, headers)
        return self

    @property
    def is_generated(self) -> bool:
        """Whether its items come from a generator that has not run yet."""
        return self._group.is_generated

    def part(self) -> Signature[Any]:
        """Return it as a part of a canvas: the group that it is."""
        return self.group().part()

    def steps(self) -> Steps[Signature[Any]]:
        """Return it as the steps of a workflow."""
        return self.group().steps()

    def to_dict(self) -> dict[str, Json]:
        """Return it as JSON data: that of the group."""
        return self.part().to_dict()

    @classmethod
    def of_json(cls, parts: Mapping[str, Json], app: AppBase | None) -> chunks[Any]:
        """Return the chunks of their parts as JSON."""
        return cls(parts.get("task"), parts.get("it") or (), parts.get("n") or 0, app=app)

    def __repr__(self) -> str:
        return f"chunks({self._group!r})"


def mapped_signature(task: Any, app: AppBase | None) -> Signature[Any]:
    """Return the signature of what is mapped: a task, a signature, or its JSON.

    Raises
    ------
    InvalidOption
        If it is none of these, or a canvas, which is no function to call.
    """
    given = task if isinstance(task, Signature | Mapping) else getattr(task, "s", lambda: task)()
    mapped = maybe_signature(given, app)
    if mapped.kind:
        raise InvalidOption(f"{mapped!r:.200}: a task can be mapped, and no canvas")
    return mapped


def _parts(items: Iterator[Any], n: int) -> Iterator[list[Any]]:
    while part := list(islice(items, n)):
        yield part
