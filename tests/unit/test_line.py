"""The line of an invocation: who is claimed with whom, who runs next, whose ending waits."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from caraway.planning.counts import ENDING_WAITS_MS
from caraway.workers import line as lines
from caraway.workers.line import Line, Turn
from tests.virtual import run_virtually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

T = TypeVar("T")


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test on an event loop of its own, whose time passes only while everybody waits."""

    def run() -> None:
        run_virtually(test())

    run.__name__ = test.__name__
    return run


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let functions take no time, on a busy machine, too, unless a test lets it pass."""
    now = [0.0]
    monkeypatch.setattr(lines, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


class Crew:
    """Tasks in one line, each of which does one step after the other when a test says so."""

    def __init__(self, places: int = 1) -> None:
        self.stuck: asyncio.Future[None] | None = None
        self.line = Line(places, lambda: self.stuck)

    async def settled(self, *awaitables: Awaitable[T]) -> list[asyncio.Future[T]]:
        """Return what was asked for, when nothing goes on by itself any more."""
        futures: list[asyncio.Future[T]] = [asyncio.ensure_future(each) for each in awaitables]
        for _ in range(10):
            await asyncio.sleep(0)
        return futures

    def turn(self) -> Turn:
        return self.line.turn(lambda: 60.0)

    async def known(self, *tasks: str) -> None:
        """Let tasks have run once, in no time."""
        for task in tasks:
            turn = self.turn()
            await turn.admit(task, alone=False)
            assert await turn.comes()
            await turn.is_over()
            turn.leave()

    async def admitted(self, *tasks: str, alone: bool = False) -> list[Turn]:
        """Return the turns of those that are let in at once, of those that ask for it."""
        turns = [self.turn() for _ in tasks]
        asked = await self.settled(
            *(turn.admit(task, alone=alone) for turn, task in zip(turns, tasks, strict=True))
        )
        return [turn for turn, terms in zip(turns, asked, strict=True) if terms.done()]


@on_a_loop
async def test_a_task_of_which_nothing_is_known_is_claimed_alone() -> None:
    crew = Crew()
    assert len(await crew.admitted("new", "new", "new")) == 1


@on_a_loop
async def test_tasks_that_were_quick_are_claimed_together() -> None:
    crew = Crew()
    await crew.known("quick")
    turns = await crew.admitted(*["quick"] * 10)
    assert len(turns) == 10
    assert all(turn.is_quick for turn in turns)


@on_a_loop
async def test_what_is_to_be_alone_comes_last_and_nothing_comes_with_it() -> None:
    crew = Crew()
    await crew.known("quick")
    (first,) = await crew.admitted("quick", alone=True)
    last, quick = crew.turn(), crew.turn()
    waiting = await crew.settled(last.admit("quick", alone=True), quick.admit("quick", alone=False))
    assert [each.done() for each in waiting] == [False, False]
    first.leave()
    await crew.settled()
    assert [each.done() for each in waiting] == [False, True]
    quick.leave()
    assert (await waiting[0]).counts


@on_a_loop
async def test_claims_made_together_do_not_count() -> None:
    crew = Crew()
    await crew.known("quick")
    terms = await crew.turn().admit("quick", alone=False)
    assert (terms.lease_s, terms.counts) == (60.0, False)


@on_a_loop
async def test_one_runs_after_the_other() -> None:
    crew = Crew()
    await crew.known("quick")
    first, second = await crew.admitted("quick", "quick")
    begun = await crew.settled(first.comes(), second.comes())
    assert [each.done() for each in begun] == [True, False]
    await crew.settled(first.is_over())
    assert await begun[1]


@on_a_loop
async def test_endings_wait_for_those_that_were_claimed_with_them() -> None:
    crew = Crew()
    await crew.known("quick")
    first, second = await crew.admitted("quick", "quick")
    await first.comes()
    (told,) = await crew.settled(first.is_over())
    assert not told.done()
    assert await second.comes()
    await second.is_over()
    await told


@on_a_loop
async def test_an_ending_waits_for_no_task_that_is_claimed_after_it() -> None:
    crew = Crew()
    await crew.known("quick")
    (first,) = await crew.admitted("new")
    await first.comes()
    (following,) = await crew.settled(crew.turn().admit("quick", alone=False))
    assert not following.done()
    await first.is_over()
    await following


@on_a_loop
async def test_endings_do_not_wait_for_a_task_that_never_ran() -> None:
    crew = Crew()
    await crew.known("quick")
    first, second = await crew.admitted("quick", "quick")
    await first.comes()
    (told,) = await crew.settled(first.is_over())
    second.leave()  # as its claim was refused
    await told


@on_a_loop
async def test_what_was_cancelled_keeps_nobody_waiting() -> None:
    crew = Crew()
    first, second, third = crew.turn(), crew.turn(), crew.turn()
    asked = await crew.settled(*(turn.admit("new", alone=False) for turn in (first, second, third)))
    asked[1].cancel()
    second.leave()
    first.leave()
    await asked[2]


def test_a_claim_made_ahead_is_given_back_when_its_turn_does_not_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "PATIENCE_S", 0.01)

    async def run() -> None:
        crew = Crew()
        await crew.known("quick")
        first, second = await crew.admitted("quick", "quick")
        assert await first.comes()
        assert not await second.comes()
        second.leave()
        await first.is_over()

    run_virtually(run())


def test_an_ending_waits_for_a_short_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "TOLD_S", 0.01)

    async def run() -> None:
        crew = Crew()
        await crew.known("quick")
        first, second = await crew.admitted("quick", "quick")
        assert await first.comes()
        await first.is_over()
        assert await second.comes()

    run_virtually(run())


@on_a_loop
async def test_nothing_begins_while_what_should_have_ended_keeps_its_place() -> None:
    crew = Crew()
    crew.stuck = asyncio.get_running_loop().create_future()
    (waiting,) = await crew.settled(crew.turn().admit("new", alone=False))
    assert not waiting.done()
    crew.stuck.set_result(None)
    await waiting


def test_a_claim_made_ahead_waits_for_what_is_stuck_no_longer_than_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "PATIENCE_S", 0.01)

    async def run() -> None:
        crew = Crew()
        await crew.known("quick")
        crew.stuck = asyncio.get_running_loop().create_future()
        (turn,) = await crew.admitted("quick")
        assert not await turn.comes()
        turn.leave()
        crew.stuck.set_result(None)
        (turn,) = await crew.admitted("quick")
        assert await turn.comes()

    run_virtually(run())


@on_a_loop
async def test_where_functions_run_together_each_is_claimed_for_a_place() -> None:
    crew = Crew(places=2)
    turns = await crew.admitted("new", "new", "new")
    assert len(turns) == 2
    assert all([await turn.comes() for turn in turns])


def test_a_quick_task_that_was_slow_is_claimed_alone_for_a_while(clock: list[float]) -> None:
    async def run() -> None:
        crew = Crew()
        await crew.known("moody")
        (slow,) = await crew.admitted("moody")
        await slow.comes()
        clock[0] += 2 * lines.AHEAD_S
        await slow.is_over()
        await crew.known(*["moody"] * 6)
        turns = await crew.admitted("moody", "moody")
        assert len(turns) == 1
        for _ in range(2):  # 0.9 ** 7 is below a half
            crew.line.leave(crew.line._inside[0])
        await crew.known("moody")
        assert len(await crew.admitted("moody", "moody")) == 2

    run_virtually(run())


def test_estimates_know_how_long_an_ending_waits() -> None:
    assert lines.TOLD_S * 1_000 == ENDING_WAITS_MS
