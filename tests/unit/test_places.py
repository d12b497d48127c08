"""A record tells where its task stands in its workflow, in little room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from caraway import chain, chord, group
from caraway.core import places, workflow
from caraway.core.ids import member_id
from caraway.core.places import LIMIT_BYTES, Level, Step
from tests.stage import Stage

if TYPE_CHECKING:
    from caraway.core.message import Message


@pytest.fixture
def stage() -> Stage:
    stage = Stage("sums")

    @stage.app.task(name="add")
    def add(x: Any = 0, y: Any = 0) -> Any:
        return x + y

    @stage.app.task(name="total")
    def total(values: list[Any]) -> Any:
        return sum(values)

    return stage


def _told(message: Message) -> places.Known:
    return places.read(places.text_of(message))


def test_a_task_that_stands_alone_keeps_nothing(stage: Stage) -> None:
    stage.app.tasks["add"].delay(1, 2)
    (message,) = stage.sent()
    assert places.text_of(message) is None
    assert places.read(None) == places.Known()


def test_a_chains_first_task_knows_what_comes_after_it(stage: Stage) -> None:
    add = stage.app.tasks["add"]
    result = (add.s(1) | group(add.s(1), add.s(2)) | stage.app.tasks["total"].s()).delay()
    (message,) = stage.sent()
    assert _told(message) == places.Known(
        chain=(Step(result.parent.id, size=2), Step(result.id, "total"))
    )


def test_a_long_chain_lists_the_next_four_steps_and_its_end(stage: Stage) -> None:
    add = stage.app.tasks["add"]
    result = chain(add.s(n) for n in range(40)).delay()
    (message,) = stage.sent()
    *following, left, last = _told(message).chain
    assert len(following) == 4
    assert (left, last) == (34, Step(result.id, "add"))


def test_a_member_of_a_chord_knows_its_group_and_its_body(stage: Stage) -> None:
    add, total = stage.app.tasks["add"], stage.app.tasks["total"]
    result = chord([add.s(n) for n in range(3)], total.s()).delay()
    told = [_told(message).level for message in stage.sent()]
    group_id = result.parent.id
    assert told == [Level(group_id, index, 3, (Step(result.id, "total"),)) for index in range(3)]


def test_a_member_of_an_inner_chord_knows_the_outer_one(stage: Stage) -> None:
    add, total = stage.app.tasks["add"], stage.app.tasks["total"]
    outer = chord([chord([add.s(1)], total.s()), add.s(2)], total.s()).delay()
    level = _told(stage.sent()[0]).level
    assert level is not None
    assert level.up == Level(outer.parent.id, 0, 2, (Step(outer.id, "total"),))


def test_a_body_knows_whose_values_it_takes(stage: Stage) -> None:
    add, total = stage.app.tasks["add"], stage.app.tasks["total"]
    result = chord([add.s(n) for n in range(3)], total.s()).delay()
    stage.work()
    told = places.read(stage.record(result.id).place)
    assert told.values == (result.parent.id, 3)
    assert told.parent in {member_id(result.parent.id, index) for index in range(3)}
    assert stage.record(result.id).due_at is not None


@pytest.mark.parametrize("length", [1, 40, 200])
@pytest.mark.parametrize("depth", [0, 1, 6])
def test_a_place_never_takes_more_room_than_it_may(stage: Stage, length: int, depth: int) -> None:
    name = "a" * length
    stage.app.task(name=name)(lambda: None)
    task = stage.app.tasks[name]
    canvas: Any = chain(task.si() for _ in range(10))
    for _ in range(depth):
        canvas = chord([canvas, task.si()], chain(task.si() for _ in range(10)))
    canvas.delay()
    texts = [places.text_of(message) or "" for message in stage.sent()]
    assert max(len(text.encode()) for text in texts) <= LIMIT_BYTES


def test_the_ids_of_what_comes_later_are_those_that_are_sent(stage: Stage) -> None:
    add, total = stage.app.tasks["add"], stage.app.tasks["total"]
    (chord([add.s(1), add.s(2)], total.s()) | add.s(3) | add.s(4)).delay()
    message = stage.sent()[0]
    then = [step.id for step in workflow.then_of(workflow.Place.of(message))]
    stage.work()
    assert [stage.record(id or "").state for id in then] == ["SUCCESS"] * 3


def test_the_record_of_a_chords_member_stays_below_a_kilobyte(stage: Stage) -> None:
    add, total = stage.app.tasks["add"], stage.app.tasks["total"]
    chord([add.s(1) | add.s(1), add.s(2)], total.s() | add.s(1) | add.s(1)).delay()
    stage.work()
    items = [item for item in stage.memory.items.values() if "place" in item]
    sizes = [sum(len(str(part)) for pair in item.items() for part in pair) for item in items]
    assert len(sizes) == 6
    assert max(sizes) < 1_024


def test_a_record_keeps_a_group_that_comes_next_by_its_size(stage: Stage) -> None:
    add = stage.app.tasks["add"]
    result = (add.si(1) | group(add.si(n) for n in range(300))).delay()
    first = result.parent
    stage.work_once()
    assert len(stage.record(first.id).children or "") < 100
    assert first.children == [result]
