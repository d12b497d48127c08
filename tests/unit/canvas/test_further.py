"""The matrix of maps, chunks and tasks that let others take their place; and of stamps.

Each of them in each place, and each fault in each of its tasks. What must come out is said by the
oracle.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, product
from typing import TYPE_CHECKING, Any, Final, get_args

import pytest

from caraway import Signature, StampingVisitor
from tests.unit.canvas.canvases import Behaviour, Chain, Chord, Names, Task, changed, tasks_of
from tests.unit.canvas.oracle import foretold
from tests.unit.canvas.places import FURTHER, PLACES, PRIMITIVES
from tests.unit.canvas.stage import Stage, assert_as_foretold
from tests.unit.canvas.test_pairs import COMMON, with_each

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from tests.unit.canvas.canvases import Canvas

pytestmark = pytest.mark.usefixtures("unmeasured")

EVERY: Final = frozenset[Behaviour](get_args(Behaviour)) - {"returns"}
ONE_IN: Final = 8
"""Which of the faults each place has: all places together have all of them, more than once."""
NOT_OF: Final[dict[str, AbstractSet[Behaviour]]] = {
    # The calls of a map are direct ones, which are not retried; chunks have no ids to revoke.
    "map": {"retries", "gives up"},
    "nothing": {"fails", "ignored"},
    "chunks": {"retries", "gives up", "revoked"},
    # What takes a task's place has that one's id, and keeps its value for who waits for it.
    "replaced": {"revoked", "silent"},
}
MAPS: Final = {name for name in FURTHER if "map" in name or "chunks" in name}


def further(place: str, wanted: AbstractSet[Behaviour] = EVERY) -> Iterator[tuple[Canvas, bool]]:
    """Give each primitive in a place as it succeeds, and with some of the faults in its tasks.

    And whether its tasks may have their names as ids: chunks are put together by themselves.
    """
    turn = list(PLACES).index(place)
    for primitive in FURTHER:
        names = Names()
        inner = FURTHER[primitive](names)
        canvas = PLACES[place](inner, names)
        yield canvas, primitive != "chunks"
        without = {each for name, some in NOT_OF.items() if name in primitive for each in some}
        own = {task.name for task in tasks_of(inner)}
        for does, name in product(sorted(wanted - without), sorted(own)):
            turn += 1

            def spoiled(task: Task, name: str = name, does: Behaviour = does) -> Task:
                return replace(task, does=does) if task.name == name else task

            if turn % ONE_IN == 0:
                yield changed(canvas, spoiled), primitive != "chunks"


@pytest.mark.parametrize("place", PLACES)
def test_whatever_a_map_or_a_replacement_does(place: str) -> None:
    """Each message comes twice, in an order that a seed decides."""
    for seed, (canvas, named) in enumerate(further(place)):
        stage = Stage(copies=2, seed=seed, named=named)
        assert_as_foretold(stage.play(canvas, stage.built(canvas)), foretold(canvas))


@pytest.mark.parametrize("place", PLACES)
def test_it_is_no_matter_how_they_are_written(place: str) -> None:
    """Chains are written with ``|``, all goes through JSON, and each message comes late again."""
    for canvas, _ in further(place, {"fails"}):
        stage = Stage(named=False)
        wire = stage.built(canvas, piped=True).to_dict()
        seen = stage.play(canvas, Signature.from_dict(wire, stage.yard.app))
        assert_as_foretold(seen, foretold(canvas))
        stage.deliver_all_again()
        assert stage.ran == seen.ran


@pytest.mark.parametrize("place", PLACES)
def test_they_are_the_same_in_the_callers_process(place: str) -> None:
    for canvas, _ in further(place, {"fails", "ignored"}):
        stage = Stage(named=False)
        result = stage.built(canvas).apply()
        assert_as_foretold(stage.look(canvas, result), foretold(canvas), eager=True)


class Named(StampingVisitor):
    """Stamps each call with the name of its task."""

    def on_signature(self, sig: Any, **_headers: Any) -> dict[str, Any]:
        """Return the name, which a map has from the task that it calls."""
        called = sig.kwargs.get("task", sig)
        return {"span": called.kwargs["name"]}


def stamps_in(canvas: Canvas) -> dict[str, dict[str, Any]]:
    """Return the stamps of each task: what a task sends has none but for what has its id."""
    stamps: dict[str, dict[str, Any]] = {}

    def put(task: Task, its: dict[str, Any]) -> None:
        stamps[task.name] = its
        if task.by is None:
            return
        for each in tasks_of(task.by):
            stamps[each.name] = {}
        last = task.by.steps[-1] if isinstance(task.by, Chain) else task.by
        last = last.body if isinstance(last, Chord) else last
        if isinstance(last, Task):
            put(last, its)

    for task in tasks_of(canvas):
        if task.name not in stamps:
            put(task, {"run": 17, "span": task.name})
    return stamps


@pytest.mark.parametrize("place", PLACES)
def test_every_call_of_a_pair_has_its_stamps_and_no_other(place: str) -> None:
    """At each attempt, in callbacks and errbacks too, and where a task takes another's place."""
    common = {name: PRIMITIVES[name] for name in COMMON}
    for turn, (name, primitive) in enumerate({**common, **FURTHER}.items()):
        names = Names()
        plain = PLACES[place](primitive(names), names)
        does: Behaviour = "retries" if turn % 2 else "fails"
        faulty = () if name in MAPS or turn % 4 > 1 else islice(with_each(plain, does), 1)
        for canvas in (plain, *faulty):
            stage = Stage(named=name != "chunks")
            stage.play(canvas, stage.built(canvas).stamp(Named(), run=17))
            assert stage.ran == foretold(canvas).ran
            told = stamps_in(canvas)
            in_a_map = {task.name for task in tasks_of(canvas) if task.items is not None}
            assert stage.stamped or in_a_map or not stage.ran
            for called, stamps in stage.stamped:
                assert called in in_a_map or stamps == told[called]
