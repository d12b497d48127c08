"""Every interleaving of those who count a small group, with crashes and repeats at any moment.

The decisions themselves are explored, not a model of them. Two of their runs that stand before the
same request go on alike: what they have seen so far is in that request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from unittest.mock import patch

import pytest

from caraway.aws.memory import MemoryAws
from caraway.core.group_tree import Growth, Tree, node_key
from caraway.core.joins import Member, arrive, arrive_added, arrive_with, close
from caraway.core.port import run_now
from caraway.core.publish import Site
from caraway.core.routing import Queue, Router
from caraway.core.transitions import Records
from caraway.requests.dynamodb import UpdateItem
from caraway.requests.items import Always, Change

if TYPE_CHECKING:
    from caraway.requests.items import Item

pytestmark = pytest.mark.usefixtures("unmeasured")

SITE = Site(Router([Queue("default")]), records=Records("tasks"))
UNTIL = 1_800_000_000.0
WIDTH = 2

Frozen: TypeAlias = tuple[tuple[str, Any], ...]
Items: TypeAlias = tuple[tuple[str, Frozen], ...]
Call: TypeAlias = Callable[[Any], Coroutine[Any, Any, bool]]


@dataclass(frozen=True)
class Actor:
    """Somebody who counts something.

    Attributes
    ----------
    is_expected
        Whether the group is complete only with it, or with another one of its name.
    repeats
        How often it dies, or is asked to do it again.
    """

    name: str
    call: Call
    is_expected: bool = True
    repeats: int = 1


@dataclass(frozen=True)
class Run:
    """How far an actor is: the answers to a run, or None when no run is under way."""

    answers: tuple[Frozen, ...] | None = ()
    has_arrived: bool = False
    repeats: int = 0


@dataclass(frozen=True)
class State:
    items: Items
    runs: tuple[Run, ...]
    was_seen: bool = False
    """Whether somebody has seen the group complete and lived to tell."""


@dataclass(frozen=True)
class Asking:
    """Awaited, it suspends with a request and goes on with what is sent back."""

    request: UpdateItem

    def __await__(self) -> Generator[UpdateItem, Item, Item]:
        return (yield self.request)


class Port:
    async def perform(self, request: UpdateItem) -> Item:
        return await Asking(request)


def freeze(item: Item) -> Frozen:
    return tuple(
        (name, frozenset(value) if isinstance(value, set) else value)
        for name, value in sorted(item.items())
    )


def written(items: Items, request: UpdateItem) -> tuple[Items, Frozen]:
    """Return the items after a write, and its answer."""
    key, before = ("tasks", request.id), dict(items)
    there = {key: dict(before[request.id])} if request.id in before else {}
    answer = freeze(run_now(MemoryAws(items=there).perform(request)))
    return tuple(sorted({**before, request.id: answer}.items())), answer


class Explorer:
    """Visits all that can happen; a fault is an assertion that fails."""

    def __init__(self, *actors: Actor) -> None:
        self.actors = actors
        self._next: dict[Any, UpdateItem | bool] = {}
        self._known: dict[Any, str] = {}

    def explore(self) -> int:
        """Return how many states there are."""
        first = State((), tuple(Run(repeats=each.repeats) for each in self.actors))
        seen, waiting = {self.key(first)}, deque([first])
        while waiting:
            state = waiting.popleft()
            if all(run.answers is None for run in state.runs):
                assert state.was_seen, "everybody has ended, and nobody has seen it complete"
            for after in self.steps(state):
                if (key := self.key(after)) not in seen:
                    seen.add(key)
                    waiting.append(after)
        return len(seen)

    def key(self, state: State) -> Any:
        """Return what decides all that can happen from here."""
        runs = tuple(
            (self._stands(place, run.answers), run.has_arrived, run.repeats)
            for place, run in enumerate(state.runs)
        )
        return state.items, runs, state.was_seen

    def _stands(self, place: int, answers: tuple[Frozen, ...] | None) -> str:
        if answers is None:
            return "ended"
        if (place, answers) not in self._known:
            self._known[place, answers] = f"{len(answers)} {self.next(place, answers)}"
        return self._known[place, answers]

    def next(self, place: int, answers: tuple[Frozen, ...]) -> UpdateItem | bool:
        """Return what an actor asks after these answers, or what it has found out."""
        if (place, answers) not in self._next:
            self._next[place, answers] = self._replayed(place, answers)
        return self._next[place, answers]

    def _replayed(self, place: int, answers: tuple[Frozen, ...]) -> UpdateItem | bool:
        coroutine = self.actors[place].call(Port())
        try:
            request: UpdateItem = coroutine.send(None)
            for answer in answers:
                request = coroutine.send(dict(answer))
        except StopIteration as stop:
            found: bool = stop.value
            return found
        coroutine.close()
        return request

    def steps(self, state: State) -> Generator[State, None, None]:
        for place, run in enumerate(state.runs):
            left = run.repeats - 1
            if run.answers is None:
                if run.repeats:  # its message is delivered again
                    yield self.with_run(state, place, replace(run, answers=(), repeats=left))
                continue
            request = self.next(place, run.answers)
            if isinstance(request, bool):  # only where it asks nothing at all
                yield self.end(state, place, replace(run, has_arrived=True), request)
                continue
            items, answer = written(state.items, request)
            after = replace(state, items=items)
            went_on = replace(run, answers=(*run.answers, answer), has_arrived=True)
            if run.repeats:  # it dies after the write, and begins again
                again = replace(went_on, answers=(), repeats=left)
                yield self.with_run(after, place, again)
            found = self.next(place, (*run.answers, answer))
            if isinstance(found, bool):
                yield self.end(after, place, went_on, found)
            else:
                yield self.with_run(after, place, went_on)

    def with_run(self, state: State, place: int, run: Run) -> State:
        runs = (*state.runs[:place], run, *state.runs[place + 1 :])
        return replace(state, runs=runs)

    def end(self, state: State, place: int, run: Run, found: bool) -> State:
        ended = self.with_run(state, place, replace(run, answers=None))
        if found:
            arrived = {
                actor.name
                for actor, each in zip(self.actors, ended.runs, strict=True)
                if each.has_arrived
            }
            expected = {actor.name for actor in self.actors if actor.is_expected}
            missing = sorted(expected - arrived)
            assert not missing, f"seen complete without {missing}"
        return replace(ended, was_seen=state.was_seen or found)


def member(index: int, size: int | None) -> Actor:
    place = Member("g", index, size)
    return Actor(f"{index}", lambda aws: arrive(aws, SITE, place, UNTIL, width=WIDTH))


def members(count: int, size: int | None) -> list[Actor]:
    return [member(index, size) for index in range(count)]


def ends_repeated(count: int, size: int | None) -> list[Actor]:
    """Return members of which the first and the last are repeated."""
    first, *between, last = members(count, size)
    return [first, *(replace(each, repeats=0) for each in between), last]


def producer(size: int) -> Actor:
    return Actor("close", lambda aws: close(aws, SITE, "g", size, UNTIL, width=WIDTH))


def adder(place: Member, *added: str) -> Actor:
    return Actor(
        f"{place.index}+",
        lambda aws: arrive_with(aws, SITE, place, added, UNTIL, width=WIDTH),
    )


def addition(place: Member, id: str, *added: str, is_expected: bool = True) -> Actor:
    return Actor(
        id,
        lambda aws: arrive_added(aws, SITE, place, id, UNTIL, added=added, width=WIDTH),
        is_expected,
    )


FIRST = Member("g", 0, 1)
SECOND = Member("g", 1, 3)
OPEN = Member("g", 0, None)
GROUPS = {
    **{f"{size} members": members(size, size) for size in (1, 2, 3, 4)},
    "5 members": ends_repeated(5, 5),
    **{f"{size} of a generator": [*members(size, None), producer(size)] for size in (0, 1, 2, 3)},
    "4 of a generator": [*ends_repeated(4, None), producer(4)],
    "two deliveries of a member at once": [*members(3, 3), member(2, 3)],
    "two closes at once": [member(0, None), producer(1), producer(1)],
    "one that adds two": [adder(FIRST, "x", "y"), addition(FIRST, "x"), addition(FIRST, "y")],
    "one of three adds one": [
        *(member(0, 3), member(2, 3)),
        *(adder(SECOND, "x"), addition(SECOND, "x")),
    ],
    "one that was added adds another": [
        adder(FIRST, "x"),
        addition(FIRST, "x", "y"),
        addition(FIRST, "y"),
    ],
    "an attempt without a record has added another": [
        *(adder(FIRST, "x"), addition(FIRST, "x")),
        addition(FIRST, "lost", is_expected=False),
    ],
    "an attempt without a record has added one, the last one none": [
        adder(FIRST),
        addition(FIRST, "lost", is_expected=False),
    ],
    "growth in a generator's group": [
        *(adder(OPEN, "x"), addition(OPEN, "x")),
        *(member(1, None), producer(2)),
    ],
}


@pytest.mark.parametrize("actors", GROUPS.values(), ids=GROUPS)
def test_a_group_is_seen_complete_when_it_is_and_never_before(actors: list[Actor]) -> None:
    assert Explorer(*actors).explore() > 1


def found_in(*actors: Actor) -> str:
    """Return the fault that the explorer finds."""
    with pytest.raises(AssertionError) as fault:
        Explorer(*actors).explore()
    return str(fault.value)


def test_the_explorer_finds_a_root_that_is_full_before_its_group_is_closed() -> None:
    really = Tree.is_full

    def is_full(self: Tree, level: int, number: int, node: Item) -> bool:
        return level == 2 or really(self, level, number, node)

    with patch.object(Tree, "is_full", is_full):
        assert found_in(*members(3, None), producer(3)).startswith("seen complete without")


def test_the_explorer_finds_a_close_that_does_not_look() -> None:
    async def blind(aws: Any, *args: Any, **options: Any) -> bool:
        await close(aws, *args, **options)
        return False

    call: Call = lambda aws: blind(aws, SITE, "g", 2, UNTIL, width=WIDTH)  # noqa: E731
    fault = found_in(*members(2, None), Actor("close", call))
    assert fault.startswith("everybody has ended")


def test_the_explorer_finds_a_member_that_leaves_it_at_that_when_its_element_is_there() -> None:
    async def shy(aws: Any, index: int) -> bool:
        look = Change({"ttl": 1})
        before = await aws.perform(UpdateItem("tasks", node_key("g", 0, 0), look, Always()))
        if f"{index}" in before.get("members", ()):
            return False
        return await arrive(aws, SITE, Member("g", index, 2), UNTIL, width=WIDTH)

    actors = [Actor(f"{index}", partial(shy, index=index)) for index in range(2)]
    assert found_in(*actors).startswith("everybody has ended")


def test_the_explorer_finds_growth_that_does_not_wait_for_what_was_added() -> None:
    with patch.object(Growth, "is_full", lambda self: None in self.added):
        fault = found_in(adder(FIRST, "x"), addition(FIRST, "x"))
    assert fault.startswith("seen complete without ['x']")
