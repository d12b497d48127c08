"""Laws that hold in workflows of random shapes, whose tasks end in all ways."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from caraway import GroupResult, Queue, Signature, chain, chord, group
from caraway.exceptions import Ignore, Reject
from caraway.requests.sqs import ChangeMessageVisibility, DeleteMessage, ReceiveMessages
from tests.yard import Yard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caraway.aws.memory import Fate
    from caraway.requests.base import Request

pytestmark = pytest.mark.usefixtures("unmeasured")

FAULTS = 20
"""Requests that fail, lose their answer or are performed twice; then all is well again."""
HOW_OFTEN = 0.15


class Garden:
    """A yard where workflows grow by a seed.

    Attributes
    ----------
    is_broken
        Whether tasks fail, and the worker does not know a queue; to be mended.
    """

    def __init__(self, seed: int, *, copies: int = 1, is_broken: bool = True) -> None:
        self.yard = Yard(copies=copies, seed=seed)
        self.is_broken = is_broken
        self._rng = random.Random(seed)
        if not is_broken:
            self.mend()

        @self.yard.app.task(name="ignores")
        def ignores(_value: Any = None) -> None:
            raise Ignore

        @self.yard.app.task(name="sometimes")
        def sometimes(value: Any = None) -> Any:
            if self.is_broken:
                raise Reject("broken")
            return value

        self.sometimes, self.ignores = sometimes, ignores

    def mend(self) -> None:
        """Let everything work from now on."""
        self.is_broken = False
        self.yard.app.conf.update(task_queues=[Queue("default"), Queue("nowhere")])

    def grow(self, endings: list[Signature[Any]], depth: int = 4) -> Signature[Any]:
        """Return a workflow of such tasks; those that it begins with can be sent."""
        kind = self._rng.choice(["task", "chain", "group", "chord"]) if depth else "task"
        if kind == "task":
            return self._rng.choice(endings).clone()
        sizes = [0, 1, 2, 2, 3]
        parts = [self.grow(endings, depth - 1) for _ in range(self._rng.choice(sizes))]
        ident, app = self.yard.ident, self.yard.app
        if kind == "chain":
            lost = ident.s().set(queue="nowhere")
            return chain(ident.s(), *parts, *self._rng.choice([[], [], [lost]]), app=app)
        if kind == "group":
            return group(parts, app=app)
        return chord(parts, self.grow(endings, depth - 1), app=app)

    def of_all_endings(self) -> Signature[Any]:
        """Return a workflow whose tasks end in all ways."""
        yard, ident = self.yard, self.yard.ident
        return self.grow(
            [
                ident.s(),
                ident.s().set(ignore_result=True),
                ident.s().set(expires=yard.aws.now(), countdown=5),
                ident.s().on_error(yard.told.s()),
                yard.fail.s(),
                self.sometimes.s(),
                self.ignores.s(),
            ]
        )


def with_all_before(result: Any) -> Iterator[Any]:
    """Give a result, those of its members, and those of all that comes before it."""
    while result is not None:
        yield result
        if isinstance(result, GroupResult):
            for member in result:
                yield from with_all_before(member)
        result = result.parent


@pytest.mark.parametrize("seed", range(50))
def test_nothing_waits_for_ever(seed: int) -> None:
    garden = Garden(seed, copies=1 + seed % 2)
    result = garden.of_all_endings().delay(5)
    garden.yard.work()
    for each in with_all_before(result):
        each.get(timeout=1, propagate=False)


@pytest.mark.parametrize("seed", range(50))
def test_what_is_mended_and_redriven_has_the_value_that_it_would_have_had(seed: int) -> None:
    def value(garden: Garden) -> Any:
        workflow = garden.grow([garden.yard.ident.s(), garden.sometimes.s()])
        result = workflow.delay(5)
        garden.yard.work()
        garden.mend()
        while any(name.endswith("-dlq") and held for name, held in garden.yard.aws.queues.items()):
            garden.yard.redrive()
            garden.yard.redrive("nowhere")
            garden.yard.work()
        return result.get(timeout=1)

    assert value(Garden(seed)) == value(Garden(seed, is_broken=False))


@pytest.mark.parametrize("seed", range(50))
def test_requests_that_fail_or_lose_their_answers_change_nothing(seed: int) -> None:
    def endings(fate: Callable[[Request[Any]], Fate]) -> list[Any]:
        garden = Garden(seed)
        workflow = garden.of_all_endings()
        workflow.freeze("the-end")
        result = workflow.delay(5)
        garden.yard.aws.fate = fate
        garden.yard.work()
        garden.yard.aws.fate = lambda _request: "ok"
        return [_told(each.get(timeout=1, propagate=False)) for each in with_all_before(result)]

    assert endings(_faults(seed)) == endings(lambda _request: "ok")


def _told(value: Any) -> Any:
    """Return a value; of an error its type: which of two members it names depends on the order."""
    if isinstance(value, list):
        return [_told(each) for each in value]
    return type(value).__name__ if isinstance(value, Exception) else value


def _faults(seed: int) -> Callable[[Request[Any]], Fate]:
    rng = random.Random(seed)
    left: list[Fate] = rng.choices(["fail", "lose", "repeat"], k=FAULTS)

    def fate(request: Request[Any]) -> Fate:
        of_the_worker = (ReceiveMessages, DeleteMessage, ChangeMessageVisibility)
        if isinstance(request, of_the_worker) or not left or rng.random() > HOW_OFTEN:
            return "ok"
        return left.pop()

    return fate
