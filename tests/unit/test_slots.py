"""Slots: how many functions run at a time, and who is claimed ahead of one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from caraway.core.job import Decided
from caraway.core.turns import Terms
from caraway.workers import slots as module
from caraway.workers.slots import AHEAD_S, PATIENCE_S, Slots, Turn
from tests.virtual import run_virtually

if TYPE_CHECKING:
    from collections.abc import Awaitable

LEASE_S = 60.0


def turn_of(slots: Slots) -> Turn:
    return slots.turn(LEASE_S, lambda: None)


async def begun(slots: Slots) -> Turn:
    """Return the turn of a message whose function runs."""
    turn = turn_of(slots)
    assert await turn.admit("task", alone=False) == Terms(LEASE_S)
    assert await turn.comes()
    return turn


async def settled(awaitable: Awaitable[Any]) -> asyncio.Future[Any]:
    """Let something go on until it waits."""
    future = asyncio.ensure_future(awaitable)
    for _ in range(5):
        await asyncio.sleep(0)
    return future


@pytest.mark.parametrize(
    ("total", "seconds", "ahead"),
    [
        (1, 0.0, 10),
        (1, AHEAD_S / 4, 4),
        (1, AHEAD_S, 1),
        (4, AHEAD_S, 4),
        (100, AHEAD_S, 10),
        (100, AHEAD_S + 0.001, 0),
    ],
)
def test_as_many_are_held_ahead_as_soon_begin_and_at_most_a_batch(
    total: int, seconds: float, ahead: int
) -> None:
    slots = Slots(total)
    assert slots.ahead == 0  # nothing is known
    slots.took(seconds)
    assert slots.ahead == ahead


def test_a_long_function_is_forgotten_slowly() -> None:
    slots = Slots(20)
    slots.took(2 * AHEAD_S)
    quick = 0
    while not slots.ahead:
        slots.took(0.0)
        quick += 1
    assert quick == 7


def test_a_slot_is_free_when_its_function_has_ended_before_the_ending_is_written() -> None:
    async def scene() -> None:
        slots = Slots(1)
        first = await begun(slots)
        assert slots.running == 1
        await first.is_over()
        assert slots.running == 0
        first.leave()
        assert slots.running == 0

    run_virtually(scene())


def test_hooks_run_in_the_slot_of_their_task() -> None:
    async def scene() -> None:
        slots = Slots(1)
        first = await begun(slots)
        await first.is_over(hooked=True)
        assert slots.running == 1
        first.leave()
        assert slots.running == 0

    run_virtually(scene())


def test_where_functions_are_quick_the_next_is_claimed_while_it_waits_and_does_not_count() -> None:
    async def scene() -> None:
        slots = Slots(1)
        slots.took(0.0)
        first, second = await begun(slots), turn_of(slots)
        assert await second.admit("task", alone=False) == Terms(LEASE_S, counts=False)
        coming = await settled(second.comes())
        assert not coming.done()
        await first.is_over()
        assert await coming
        assert slots.running == 1

    run_virtually(scene())


@pytest.mark.parametrize(("seconds", "alone"), [(0.0, True), (60.0, False)])
def test_any_other_waits_for_its_slot_before_it_is_claimed(seconds: float, alone: bool) -> None:
    async def scene() -> Terms:
        slots = Slots(1)
        slots.took(seconds)
        first, second = await begun(slots), turn_of(slots)
        admitted = await settled(second.admit("task", alone=alone))
        assert not admitted.done()
        first.leave()
        terms: Terms = await admitted
        assert await second.comes()
        return terms

    assert run_virtually(scene()) == Terms(LEASE_S)


def test_slots_are_given_to_those_that_wait_in_the_order_in_which_they_came() -> None:
    async def scene() -> list[int]:
        slots, order = Slots(1), []
        first = await begun(slots)

        async def run(number: int) -> None:
            turn = turn_of(slots)
            await turn.admit("task", alone=False)
            assert await turn.comes()
            order.append(number)
            turn.leave()

        running = asyncio.gather(*map(run, range(6)))
        await settled(asyncio.sleep(0))
        first.leave()
        await running
        assert slots.running == 0
        return order

    assert run_virtually(scene()) == list(range(6))


def test_who_has_waited_too_long_is_given_back_and_nothing_more_is_held_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)

    async def scene() -> None:
        slots = Slots(1)
        slots.took(0.0)
        first, ahead, alone = await begun(slots), turn_of(slots), turn_of(slots)
        await ahead.admit("task", alone=False)
        assert not await ahead.comes()
        with pytest.raises(Decided, match="no slot was free for task in time"):
            await alone.admit("task", alone=True)
        for each in (ahead, alone, first):
            each.leave()
        assert slots.running == 0

    run_virtually(scene())


def test_a_wait_in_vain_says_that_functions_are_not_quick() -> None:
    async def scene() -> int:
        slots = Slots(1)
        slots.took(0.0)
        assert slots.ahead
        await begun(slots)
        assert not await slots.wait(0.0)
        return slots.ahead

    assert PATIENCE_S > AHEAD_S
    assert run_virtually(scene()) == 0


def test_nobody_waits_for_a_slot_in_a_worker_that_stops() -> None:
    async def scene() -> None:
        slots = Slots(1)
        slots.took(0.0)
        first, second, third = await begun(slots), turn_of(slots), turn_of(slots)
        await second.admit("task", alone=False)
        coming = await settled(second.comes())
        slots.close()
        assert not await coming
        with pytest.raises(Decided):
            await third.admit("task", alone=True)
        for each in (first, second, third):
            each.leave()
        assert slots.running == 0

    run_virtually(scene())


def test_who_waits_no_more_gets_no_slot() -> None:
    async def scene() -> None:
        slots = Slots(1)
        first = await begun(slots)
        gone = await settled(slots.wait(3_600))
        waiting = await settled(slots.wait(3_600))
        gone.cancel()
        first.leave()
        assert await waiting
        assert slots.running == 1

    run_virtually(scene())
