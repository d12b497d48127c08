"""What pairs are made of: primitives, and the places they may stand in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from tests.unit.canvas.canvases import Chain, Chord, Group

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.canvas.canvases import Canvas, Names, Task

Primitive: TypeAlias = "Callable[[Names], Canvas]"
Place: TypeAlias = "Callable[[Canvas, Names], Canvas]"

PRIMITIVES: Final[dict[str, Primitive]] = {
    "a task": lambda n: n.task(),
    "a closed task": lambda n: replace(n.task(), closed=True),
    "a chain": lambda n: Chain((n.task(), n.task())),
    "a chain of one": lambda n: Chain((n.task(),)),
    "a group": lambda n: Group((n.task(), n.task())),
    "a group of one": lambda n: Group((n.task(),)),
    "an empty group": lambda _: Group(),
    "a chord": lambda n: Chord((n.task(), n.task()), n.task()),
    "a chord of one": lambda n: Chord((n.task(),), n.task()),
    "a chord without members": lambda n: Chord((), n.task()),
}


def _replaced(names: Names, by: Canvas) -> Canvas:
    return replace(names.task(), by=by)


def _chunks(task: Task) -> Canvas:
    """Return chunks of two, the second with one item."""
    parts = (("x", "y"), ("z",))
    members = tuple(replace(task, closed=True, star=True, items=items) for items in parts)
    return Group(members, chunked=2)


FURTHER: Final[dict[str, Primitive]] = {
    "a map": lambda n: replace(n.task(), closed=True, items=("x", "y")),
    "a starmap": lambda n: replace(n.task(), closed=True, items=("x", "y"), star=True),
    "a map of one": lambda n: replace(n.task(), closed=True, items=("x",)),
    "a map of nothing": lambda n: replace(n.task(), closed=True, items=()),
    "chunks": lambda n: _chunks(n.task()),
    "replaced by a task": lambda n: _replaced(n, n.task()),
    "replaced by a chain": lambda n: _replaced(n, Chain((n.task(), n.task()))),
    "replaced by a group": lambda n: _replaced(n, Group((n.task(), n.task()))),
    "replaced by a group of one": lambda n: _replaced(n, Group((n.task(),))),
    "replaced by a chord": lambda n: _replaced(n, Chord((n.task(), n.task()), n.task())),
    "replaced by a map": lambda n: _replaced(n, replace(n.task(), closed=True, items=("x",))),
    "replaced twice": lambda n: _replaced(n, _replaced(n, n.task())),
}
"""What is one task, or looks so: maps, and tasks that let others take their place."""
PLACES: Final[dict[str, Place]] = {
    "alone": lambda it, _: it,
    "first in a chain": lambda it, n: Chain((it, n.task())),
    "between tasks": lambda it, n: Chain((n.task(), it, n.task())),
    "last in a chain": lambda it, n: Chain((n.task(), it)),
    "in a group": lambda it, n: Group((n.task(), it, n.task())),
    "alone in a group": lambda it, _: Group((it,)),
    "in a header": lambda it, n: Chord((it, n.task()), n.task()),
    "alone in a header": lambda it, n: Chord((it,), n.task()),
    "as a body": lambda it, n: Chord((n.task(), n.task()), it),
    "as a callback": lambda it, n: replace(n.task(), link=(it,)),
    "as a callback of a chain": lambda it, n: Chain((n.task(), n.task()), link=(it,)),
    "as a callback of a group": lambda it, n: Group((n.task(), n.task()), link=(it,)),
    "as a callback of a chord": lambda it, n: Chord((n.task(),), n.task(), link=(it,)),
    "as an errback": lambda it, n: replace(n.task("fails"), link_error=(it,)),
    "as an errback of a chain": lambda it, n: Chain((n.task("fails"), n.task()), link_error=(it,)),
    "as an errback of a group": lambda it, n: Group((n.task(), n.task("fails")), link_error=(it,)),
    "as an errback of a chord": lambda it, n: Chord(
        (n.task(), n.task("fails")), n.task(), link_error=(it,)
    ),
    "with a callback and an errback": lambda it, n: replace(
        it, link=(*it.link, n.task()), link_error=(*it.link_error, n.task())
    ),
}
