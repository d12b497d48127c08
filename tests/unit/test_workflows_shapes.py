"""Shapes of workflows that are written by programs: empty ones, nested ones, frozen ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from caraway import Signature, chain, chord, group
from tests.yard import Yard

if TYPE_CHECKING:
    from collections.abc import Callable


EMPTY: dict[str, tuple[Callable[[Yard], Signature[Any]], Any]] = {
    "a chain of no tasks": (lambda y: chain(app=y.app), None),
    "a chain of empty chains": (lambda y: chain(chain(), chain(), app=y.app), None),
    "a group of empty chains": (lambda y: group(chain(), chain(), app=y.app), []),
    "an empty chain in a chain": (lambda y: chain(y.ident.s(1), chain(), y.ident.s()), 1),
    "an empty chain as a member": (lambda y: group(y.ident.s(1), chain()), [1]),
    "a chain of empty groups": (lambda y: chain(group(), group(), app=y.app), []),
    "empty groups before a task": (lambda y: chain(group(), group(), y.ident.s()), []),
    "empty groups joined, and a task after them": (
        lambda y: group(app=y.app) | group() | y.add.s([1]),
        [1],
    ),
    "an empty group before a group": (
        lambda y: chain(group(), group(y.ident.s(), y.ident.s())),
        [[], []],
    ),
    "a member of empty groups": (
        lambda y: chord([chain(group(), group()), y.ident.s(1)], y.ident.s()),
        [1],
    ),
    "a member of nested empty groups": (
        lambda y: chord([chain(group(group()), group(chain(group()))), y.ident.s(1)], y.ident.s()),
        [1],
    ),
    "only members without a call": (
        lambda y: chord([chain(group(), group()), chain(), group()], y.ident.s()),
        [],
    ),
    "a chord of a chord without members": (
        lambda y: chord([chord([], y.ident.s()), y.ident.s(1)], y.ident.s()),
        [[], 1],
    ),
    "members without a call at the end of a member": (
        lambda y: chord([y.ident.s(1) | group(chain(group(), group())), y.ident.s(2)], y.ident.s()),
        [[], 2],
    ),
    "members without a call in the middle": (
        lambda y: chain(y.ident.s(1), group(chain(group(), group())), y.ident.s()),
        [],
    ),
}


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("how", ["sent", "eager", "json", "frozen"])
def test_what_is_empty_in_a_workflow_stops_nothing(name: str, how: str) -> None:
    make, expected = EMPTY[name]
    yard = Yard()
    canvas = make(yard)
    if how == "json":
        canvas = Signature.from_dict(canvas.to_dict(), yard.app)
    if how == "frozen":
        canvas.freeze()
    result: Any = canvas.apply() if how == "eager" else canvas.delay()
    yard.work()
    assert (None if result is None else result.get(timeout=1)) == expected


@pytest.mark.parametrize("name", EMPTY)
def test_what_is_empty_may_be_sent_by_a_task_and_be_a_callback(name: str) -> None:
    make, _ = EMPTY[name]
    yard = Yard()

    @yard.app.task(name="sends")
    def sends() -> None:
        make(yard).delay()

    canvas = make(yard)
    canvas.set_immutable(True)
    result = sends.s().set(link=[canvas], link_error=[yard.told.s()]).delay()
    yard.work()
    assert result.get(timeout=1) is None
    assert yard.ran("told") == 0
    assert len(yard.aws.bodies("default-dlq")) == 0


def test_a_workflow_is_sent_by_the_app_of_its_tasks_however_deep_they_lie() -> None:
    yard = Yard()
    deep = chain(group(chain(group(yard.ident.s(1)))), group(group(yard.ident.s())))
    assert deep.app is chord(deep, deep).app is group(deep).app is yard.app


# -- ids -------------------------------------------------------------------------------------------


FLATTENED: dict[str, Callable[[Yard], Signature[Any]]] = {
    "a chain of a group in a group": lambda y: group(
        chain(group(y.ident.s(1), y.ident.s(2))), y.ident.s(3)
    ),
    "groups in groups": lambda y: group(
        group(y.ident.s(1), group(y.ident.s(2), y.ident.s(3))), y.ident.s(4)
    ),
    "empty members": lambda y: group(
        chain(), group(), chain(group(), group()), y.ident.s(1), y.ident.s(2)
    ),
    "chains of chains": lambda y: chain(chain(y.ident.s(1), y.ident.s()), y.ident.s()),
    "a chord in a group in a chain": lambda y: chain(
        y.ident.s(1), group(chord([y.ident.s(), y.ident.s()], y.total.s()), y.ident.s())
    ),
    "a chord whose header is nested": lambda y: chord(
        [group(y.ident.s(1), chain(group(y.ident.s(2)))), y.ident.s(3)], y.total.s()
    ),
    "chunks in a group": lambda y: group(
        y.add.chunks([(1, 1), (2, 2), (3, 3)], 2), y.ident.s(3), app=y.app
    ),
    "one signature twice": lambda y: (lambda s: group(s, s))(y.ident.s(1)),
    "one signature twice in a chain": lambda y: (lambda s: chain(y.ident.s(1), s, s))(y.add.s(1)),
}


@pytest.mark.parametrize("name", FLATTENED)
@pytest.mark.parametrize("json", [False, True])
def test_a_frozen_workflow_runs_under_the_ids_of_its_result(name: str, json: bool) -> None:
    yard = Yard()
    canvas = FLATTENED[name](yard)
    frozen = canvas.freeze()
    if json:
        canvas = Signature.from_dict(canvas.to_dict(), yard.app)
    sent = canvas.delay()
    assert sent.as_tuple() == frozen.as_tuple()
    yard.work()
    plain = FLATTENED[name](yard).delay()
    yard.work()
    assert frozen.get(timeout=1) == plain.get(timeout=1)
    parents: list[Any] = [frozen]
    while parents[-1].parent is not None:
        parents.append(parents[-1].parent)
    assert all(each.ready() for each in parents)
