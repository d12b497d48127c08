"""What a worker may hold: room for its slots, for what will begin soon, and for what settles."""

from __future__ import annotations

import asyncio

from caraway.workers.prefetch import SETTLING, Prefetch
from caraway.workers.slots import AHEAD_S, Slots
from tests.virtual import run_virtually


def test_waiting_for_room_ends_when_there_is_enough() -> None:
    async def scene() -> int:
        prefetch = Prefetch(Slots(4))
        prefetch.take(4)
        waiting = asyncio.ensure_future(prefetch.wait_for(2, 3_600))
        await asyncio.sleep(0)
        prefetch.give_back()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        prefetch.give_back()
        await waiting
        return prefetch.free

    assert run_virtually(scene()) == 2


def test_room_for_one_is_enough_when_patience_is_over() -> None:
    async def scene() -> int:
        prefetch = Prefetch(Slots(10))
        prefetch.take(9)
        await prefetch.wait_for(10, 0)
        return prefetch.free

    assert run_virtually(scene()) == 1


def test_without_room_patience_has_no_end() -> None:
    async def scene() -> None:
        prefetch = Prefetch(Slots(1))
        prefetch.take(1)
        waiting = asyncio.ensure_future(prefetch.wait_for(1, 0))
        for _ in range(3):
            await asyncio.sleep(0)
            assert not waiting.done()
        prefetch.give_back()
        await waiting

    run_virtually(scene())


def test_patience_begins_anew_with_each_message_that_there_is_room_for() -> None:
    async def scene() -> int:
        prefetch = Prefetch(Slots(10))
        prefetch.take(10)
        reserving = asyncio.ensure_future(prefetch.reserve(10, 0.01))
        for _ in range(10):
            await asyncio.sleep(0)
            assert not reserving.done()
            prefetch.give_back()
        return await reserving

    assert run_virtually(scene()) == 10


def test_who_asks_for_room_first_is_served_first_and_nobody_gets_more_than_there_is() -> None:
    async def scene() -> list[int]:
        prefetch = Prefetch(Slots(3))
        first = asyncio.ensure_future(prefetch.reserve(2, 3_600))
        second = asyncio.ensure_future(prefetch.reserve(2, 0))
        third = asyncio.ensure_future(prefetch.reserve(2, 0))
        reserved = [await first, await second]
        await asyncio.sleep(0)
        assert (prefetch.free, third.done()) == (0, False)
        prefetch.give_back(3)
        reserved.append(await third)
        return reserved

    assert run_virtually(scene()) == [2, 1, 2]


def test_nobody_waits_for_room_in_a_worker_that_stops() -> None:
    async def scene() -> list[int]:
        prefetch = Prefetch(Slots(1))
        prefetch.take(1)
        waiting = [asyncio.ensure_future(prefetch.reserve(1, 0)) for _ in range(2)]
        await asyncio.sleep(0)
        prefetch.close()
        return [await each for each in waiting]

    assert run_virtually(scene()) == [0, 0]


def test_what_will_soon_begin_may_be_held_beside_what_is_in_a_slot() -> None:
    slots = Slots(4)
    prefetch = Prefetch(slots)
    assert prefetch.free == 4
    slots.took(AHEAD_S)
    assert prefetch.free == 8
    slots.took(AHEAD_S + 1)
    assert prefetch.free == 4


def test_what_has_ended_makes_room_until_too_much_of_it_waits_for_its_acknowledgement() -> None:
    prefetch = Prefetch(Slots(10))
    holds = [prefetch.hold() for _ in range(SETTLING + 3)]
    prefetch.take(len(holds))
    for hold in holds[:SETTLING]:
        hold.end()
    assert prefetch.free == 10 - 3
    for hold in holds[SETTLING:]:
        hold.end()
        hold.end()  # once only
    assert prefetch.free == 10 - 3
    for hold in holds:
        hold.let_go()
    assert (prefetch.taken, prefetch.settling, prefetch.free) == (0, 0, 10)


def test_what_is_let_go_without_an_end_makes_room_too() -> None:
    prefetch = Prefetch(Slots(1))
    prefetch.take(1)
    prefetch.hold().let_go()
    assert (prefetch.taken, prefetch.settling, prefetch.free) == (0, 0, 1)
