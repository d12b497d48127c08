"""Canvases that nobody thought of: they mean the same wherever and however often they run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caraway import Signature
from caraway.core.events import Received
from tests.depth import examples
from tests.unit.canvas.canvases import Canvas, Chain, Chord, Group, Names, Task, changed
from tests.unit.canvas.oracle import STATES, Value, foretold
from tests.unit.canvas.stage import Stage, assert_as_foretold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.canvas.canvases import Behaviour

pytestmark = pytest.mark.usefixtures("unmeasured")

tasks = st.builds(Task, st.just("?"), st.just("returns"), st.booleans())


def faulty(does: st.SearchStrategy[Behaviour]) -> st.SearchStrategy[Canvas]:
    """Return tasks of which some do something else than to return."""
    return tasks | st.builds(Task, st.just("?"), does)


def composed(parts: st.SearchStrategy[Canvas]) -> st.SearchStrategy[Canvas]:
    """Return what may be made of canvases."""
    several = st.lists(parts, max_size=3).map(tuple)
    return (
        st.builds(Chain, st.lists(parts, min_size=1, max_size=3).map(tuple))
        | st.builds(Group, several)
        | st.builds(Chord, several, parts)
    )


def linked(parts: st.SearchStrategy[Canvas]) -> st.SearchStrategy[Canvas]:
    """Return what may be made of canvases, with callbacks and errbacks."""
    few = st.lists(parts, max_size=1).map(tuple)
    return st.builds(
        lambda canvas, link, link_error: replace(canvas, link=link, link_error=link_error),
        composed(parts),
        few,
        few,
    )


def named(canvas: Canvas) -> Canvas:
    """Return a canvas whose tasks have different names."""
    names = Names()
    return changed(canvas, lambda task: replace(task, name=names.task().name))


behaviours: st.SearchStrategy[Behaviour] = st.sampled_from(list(STATES))
canvases = st.recursive(faulty(behaviours), linked, max_leaves=10).map(named)
plain = st.recursive(tasks, composed, max_leaves=10).map(named)
seeds = st.integers(0, 1_000)


@settings(max_examples=examples(100))
@given(canvases, st.integers(1, 2), seeds)
def test_a_canvas_is_what_its_parts_say_however_its_messages_come(
    canvas: Canvas, copies: int, seed: int
) -> None:
    stage = Stage(copies=copies, seed=seed)
    seen = stage.play(canvas, stage.built(canvas))
    assert_as_foretold(seen, foretold(canvas))
    stage.deliver_all_again()
    assert stage.ran == seen.ran


@settings(max_examples=examples(60))
@given(canvases)
def test_the_json_of_a_canvas_is_the_canvas(canvas: Canvas) -> None:
    stage = Stage()
    wire = stage.built(canvas).to_dict()
    again = Signature.from_dict(wire, stage.yard.app)
    assert again.to_dict() == wire
    assert_as_foretold(stage.play(canvas, again), foretold(canvas))


@settings(max_examples=examples(60))
@given(
    st.recursive(
        faulty(st.sampled_from(["fails", "gives up", "retries", "ignored"])), linked, max_leaves=10
    ).map(named)
)
def test_a_canvas_is_the_same_in_the_callers_process(canvas: Canvas) -> None:
    stage = Stage(named=False)
    result = stage.built(canvas).apply()
    assert_as_foretold(stage.look(canvas, result), foretold(canvas), eager=True)


@settings(max_examples=examples(60))
@given(plain, st.booleans(), seeds)
def test_freezing_decides_the_ids_of_all_tasks(canvas: Canvas, piped: bool, seed: int) -> None:
    stage = Stage(named=False, copies=2, seed=seed)
    signature = stage.built(canvas, piped=piped)
    frozen = signature.freeze()
    sent = signature.delay()
    assert sent.as_tuple() == frozen.as_tuple()
    stage.yard.work()
    used = {event.message.id for event in stage.yard.events if isinstance(event, Received)}
    assert used == set(_ids_in(frozen.as_tuple()))
    end = foretold(canvas).end
    assert isinstance(end, Value)
    assert frozen.get(timeout=1) == end.shown


def _ids_in(data: Any) -> Iterator[str]:
    """Give the ids of the tasks that the plain data of a result tells of."""
    (id, parent), members = data
    if parent is not None:
        yield from _ids_in(parent)
    if members is None:
        yield id
    for each in members or ():
        yield from _ids_in(each)
