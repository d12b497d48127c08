"""Any id of a workflow leads to all of it, in few requests, whether its tasks have begun or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from caraway import chain, chord, group
from caraway.core.port import run_now
from caraway.core.workflow_tree import Left, Many, Task, Tree, ids_of, read_tree
from caraway.requests.dynamodb import BatchGetItem
from tests.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.core.workflow_tree import Line, Node


class Sums(Stage):
    """An app with a few tasks, and what is read of its workflows."""

    def __init__(self) -> None:
        super().__init__("sums")
        task = self.app.task

        @task(name="add")
        def add(x: Any = 0, y: Any = 0) -> Any:
            return x + y

        @task(name="total")
        def total(values: list[Any]) -> Any:
            return sum(values)

        @task(name="fail")
        def fail(x: Any = None) -> Any:
            raise ValueError("no")

        self.add, self.total, self.fail = add, total, fail

    def tree(self, id: str, **options: Any) -> Tree:
        return run_now(read_tree(self.memory, self.app.site, id, **options))

    def begin(self, count: int) -> None:
        for _ in range(count):
            assert self.work_once()


@pytest.fixture
def sums() -> Sums:
    return Sums()


def shape(line: Line) -> Any:
    """Return a line as names and states: a tuple of steps, lists of what lies side by side."""
    steps = tuple(_shape(node) for node in line)
    return steps[0] if len(steps) == 1 else steps


def _shape(node: Node) -> Any:
    if isinstance(node, Left):
        return node.count
    if isinstance(node, Many):
        return [shape(line) for line in node.members]
    state = node.record.state if node.record else "-"
    own = f"{node.name} {state}"
    return (own, [shape(line) for line in node.sent]) if node.sent else own


DONE = "add SUCCESS"


def _chain(sums: Sums) -> Any:
    return sums.add.s(1) | sums.add.s(1) | sums.add.s(1)


def _chord(sums: Sums) -> Any:
    return chord([sums.add.s(1), sums.add.s(2)], sums.total.s())


def _chains_in_a_chord_in_a_chain(sums: Sums) -> Any:
    header = [sums.add.s(1) | sums.add.s(1), sums.add.si(2)]
    return sums.add.s(1) | group(header) | sums.total.s() | sums.add.s(1)


def _chord_in_a_chord(sums: Sums) -> Any:
    return chord([_chord(sums), sums.add.s(1)], sums.total.s())


def _chain_that_ends_with_a_group(sums: Sums) -> Any:
    return sums.add.s(1) | group(sums.add.s(1), sums.add.s(2))


TOTAL = "total SUCCESS"
WHOLE: list[tuple[Callable[[Sums], Any], Any]] = [
    (_chain, (DONE, DONE, DONE)),
    (_chord, ([DONE, DONE], TOTAL)),
    (_chains_in_a_chord_in_a_chain, (DONE, [(DONE, DONE), DONE], TOTAL, DONE)),
    (_chord_in_a_chord, ([([DONE, DONE], TOTAL), DONE], TOTAL)),
    (_chain_that_ends_with_a_group, (DONE, [DONE, DONE])),
]


@pytest.mark.parametrize(("canvas", "expected"), WHOLE, ids=[made.__name__ for made, _ in WHOLE])
def test_every_id_of_a_workflow_leads_to_all_of_it(
    sums: Sums, canvas: Callable[[Sums], Any], expected: Any
) -> None:
    end = canvas(sums).delay()
    sums.work()
    whole = sums.tree(end.id)
    assert shape(whole.top) == expected
    for id in ids_of(whole.top):
        assert shape(sums.tree(id).top) == expected, id
        assert sums.tree(id).aside == ()


@pytest.mark.parametrize(("canvas", "expected"), WHOLE, ids=[made.__name__ for made, _ in WHOLE])
def test_the_end_leads_to_a_workflow_whose_first_task_only_has_begun(
    sums: Sums, canvas: Callable[[Sums], Any], expected: Any
) -> None:
    end = canvas(sums).delay()
    sums.begin(1)
    seen = shape(sums.tree(end.id).top)
    assert str(seen).count("SUCCESS") == 1
    assert [type(step) for step in seen] == [type(step) for step in expected]


def test_of_an_id_before_any_task_has_begun_nothing_is_known(sums: Sums) -> None:
    assert sums.tree(_chain(sums).delay().id).top == ()
    assert sums.tree("nonsense").top == ()


def test_steps_that_have_not_begun_are_shown_with_their_names(sums: Sums) -> None:
    end = chain(sums.add.s(1), sums.add.s(1), sums.total.s()).delay()
    sums.begin(1)
    assert shape(sums.tree(end.id).top) == (DONE, "add -", "total -")


def test_a_chain_of_fifty_is_shown_as_far_as_the_records_list_it(sums: Sums) -> None:
    end = chain(sums.add.s(1) for _ in range(50)).delay()
    sums.begin(3)
    assert shape(sums.tree(end.id).top) == (DONE, DONE, DONE, *["add -"] * 4, 42, "add -")
    sums.work()
    assert shape(sums.tree(end.id).top) == (DONE,) * 50


def test_a_failed_member_fails_the_body_and_both_are_there(sums: Sums) -> None:
    end = chord([sums.add.s(1), sums.fail.s()], sums.total.s()).delay()
    sums.work()
    assert shape(sums.tree(end.id).top) == ([DONE, "fail FAILURE"], "total FAILURE")


def test_what_a_task_has_sent_hangs_below_it(sums: Sums) -> None:
    @sums.app.task(name="parent")
    def parent() -> None:
        _chain(sums).delay()
        group(sums.add.s(n) for n in range(3)).delay()

    end = (parent.si() | sums.add.si(1)).delay()
    sums.work()
    expected = (("parent SUCCESS", [(DONE, DONE, DONE), [DONE, DONE, DONE]]), DONE)
    tree = sums.tree(end.id)
    assert shape(tree.top) == expected
    for id in ids_of(tree.top):
        assert shape(sums.tree(id).top) == expected, id


def test_callbacks_hang_below_their_task(sums: Sums) -> None:
    end = sums.add.apply_async((1,), link=[sums.add.s(1), sums.add.s(1) | sums.add.s(2)])
    sums.work()
    assert shape(sums.tree(end.id).top) == (DONE, [DONE, (DONE, DONE)])


def test_a_task_that_its_sender_does_not_list_is_shown_beside_it(sums: Sums) -> None:
    sent: list[Any] = []

    @sums.app.task(name="silent", trail=False)
    def silent() -> None:
        sent.append(sums.add.delay(1))

    first = silent.delay()
    sums.work()
    tree = sums.tree(sent[0].id)
    assert (shape(tree.top), shape(tree.aside)) == ("silent SUCCESS", DONE)
    assert sums.tree(first.id).aside == ()


def test_without_its_first_task_a_workflow_is_shown_from_where_it_is_known(sums: Sums) -> None:
    sums.add.idempotent = True
    end = chain(sums.add.signature((1,), ignore_result=True), sums.total.si([])).delay()
    sums.work()
    tree = sums.tree(end.id)
    sums.memory.items.clear()
    assert isinstance(tree.top[-1], Task)
    assert tree.top[-1].id == end.id


def test_a_group_whose_members_have_begun_in_part(sums: Sums) -> None:
    result = group(sums.add.s(n) for n in range(5)).delay()
    sums.begin(2)
    tree = sums.tree(result.id)
    (many,) = tree.top
    assert isinstance(many, Many)
    assert (many.size, len(many.members)) == (None, 2)


def test_a_chord_of_a_thousand_is_read_a_hundred_at_a_time(sums: Sums) -> None:
    end = chord([sums.add.s(n) for n in range(1_000)], sums.total.s()).delay()
    sums.work(limit=1_002)
    sums.memory.requests.clear()
    tree = sums.tree(end.id)
    assert len(list(ids_of(tree.top))) == 1_002
    assert tree.requests == len(sums.memory.requests) <= 14
    assert {type(request) for request in sums.memory.requests} == {BatchGetItem}


def test_no_more_is_read_than_the_limit(sums: Sums) -> None:
    end = chord([sums.add.s(n) for n in range(1_000)], sums.total.s()).delay()
    sums.begin(5)
    tree = sums.tree(end.id, limit=300)
    assert tree.requests <= 6
    many = tree.top[0]
    assert isinstance(many, Many)
    assert len(many.members) + many.unread == 1_000
    assert many.unread > 0


def test_what_has_succeeded_is_not_read_again(sums: Sums) -> None:
    end = chord([sums.add.s(n) for n in range(300)], sums.total.s()).delay()
    sums.work(limit=302)
    over: dict[str, Any] = {}
    first = sums.tree(end.id, over=over)
    again = sums.tree(end.id, over=over)
    assert shape(again.top) == shape(first.top)
    assert again.requests == 0


def test_a_result_that_was_forgotten_leaves_its_tasks_state(sums: Sums) -> None:
    end = chain(sums.add.s(1), sums.fail.s()).delay()
    sums.work()
    end.forget()
    assert shape(sums.tree(end.id).top) == (DONE, "fail FAILURE")
    last = sums.tree(end.id).top[-1]
    assert isinstance(last, Task)
    assert last.record is not None
    assert last.record.result is None
