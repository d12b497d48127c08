"""The matrix: each primitive in each place, each place in each place, and each fault in each task.

What must come out is said by the oracle, which does not know Caraway.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, product
from typing import TYPE_CHECKING

import pytest

from caraway import Signature
from tests.unit.canvas.canvases import Names, changed, tasks_of
from tests.unit.canvas.oracle import STATES, foretold
from tests.unit.canvas.places import PLACES, PRIMITIVES
from tests.unit.canvas.stage import Stage, assert_as_foretold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.canvas.canvases import Behaviour, Canvas, Task

pytestmark = pytest.mark.usefixtures("unmeasured")

COMMON = ("a task", "a chain", "a group", "a chord")


def pair(place: str, primitive: str) -> Canvas:
    """Return a primitive in a place."""
    names = Names()
    return PLACES[place](PRIMITIVES[primitive](names), names)


def with_each(canvas: Canvas, does: Behaviour) -> Iterator[Canvas]:
    """Give a canvas as often as it has tasks that return; each time another of them does this.

    Where all are to return, it is given once, as it is.
    """
    if does == "returns":
        yield canvas
        return
    for name in [task.name for task in tasks_of(canvas) if task.does == "returns"]:

        def spoiled(task: Task, name: str = name) -> Task:
            return replace(task, does=does) if task.name == name else task

        yield changed(canvas, spoiled)


@pytest.mark.parametrize("does", STATES)
@pytest.mark.parametrize("place", PLACES)
def test_whatever_any_task_of_a_pair_does(place: str, does: Behaviour) -> None:
    """Each message comes twice, in an order that a seed decides."""
    for seed, primitive in enumerate(PRIMITIVES):
        for canvas in with_each(pair(place, primitive), does):
            stage = Stage(copies=2, seed=seed)
            assert_as_foretold(stage.play(canvas, stage.built(canvas)), foretold(canvas))


@pytest.mark.parametrize("does", ["returns", "retries", "fails"])
@pytest.mark.parametrize("place", PLACES)
def test_it_is_no_matter_how_a_pair_is_written_or_who_decides_its_ids(
    place: str, does: Behaviour
) -> None:
    """Chains are written with ``|``, all goes through JSON, and each message comes late again."""
    for primitive in PRIMITIVES:
        for canvas in with_each(pair(place, primitive), does):
            stage = Stage(named=False)
            wire = stage.built(canvas, piped=True).to_dict()
            seen = stage.play(canvas, Signature.from_dict(wire, stage.yard.app))
            assert_as_foretold(seen, foretold(canvas))
            stage.deliver_all_again()
            assert stage.ran == seen.ran


@pytest.mark.parametrize("does", ["returns", "silent", "fails", "ignored"])
@pytest.mark.parametrize("place", PLACES)
def test_a_pair_is_the_same_in_the_callers_process(place: str, does: Behaviour) -> None:
    for primitive in PRIMITIVES:
        for canvas in with_each(pair(place, primitive), does):
            stage = Stage(named=False)
            result = stage.built(canvas).apply()
            assert_as_foretold(stage.look(canvas, result), foretold(canvas), eager=True)


@pytest.mark.parametrize("does", ["returns", "fails"])
@pytest.mark.parametrize("outer", PLACES)
def test_a_pair_in_any_place(outer: str, does: Behaviour) -> None:
    """As it succeeds, and as its first task does not."""
    for seed, (place, primitive) in enumerate(product(PLACES, COMMON)):
        names = Names()
        inner = PLACES[place](PRIMITIVES[primitive](names), names)
        for canvas in islice(with_each(PLACES[outer](inner, names), does), 1):
            stage = Stage(copies=2, seed=seed)
            assert_as_foretold(stage.play(canvas, stage.built(canvas)), foretold(canvas))
