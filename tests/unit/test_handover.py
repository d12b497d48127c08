"""Things on their way to the thread of an event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from caraway.workers.pools.handover import Handover

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 120


class FakeLoop:
    """Remembers what it was woken for."""

    def __init__(self) -> None:
        self.woken: list[Callable[[], None]] = []

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        self.woken.append(callback)


def handover(loop: FakeLoop, take: Callable[[Any], object]) -> Handover[Any]:
    return Handover(loop, take)  # type: ignore[arg-type]


def test_what_comes_together_shares_one_wake_up() -> None:
    loop, taken = FakeLoop(), list[str]()
    things = handover(loop, taken.append)
    for thing in "abc":
        things.put(thing)
    assert (len(loop.woken), taken) == (1, [])
    loop.woken.pop()()
    assert taken == ["a", "b", "c"]


def test_what_comes_later_wakes_the_loop_again() -> None:
    loop, taken = FakeLoop(), list[str]()
    things = handover(loop, taken.append)
    for thing in "ab":
        things.put(thing)
        loop.woken.pop()()
    assert taken == ["a", "b"]


def test_what_comes_while_the_loop_takes_is_not_forgotten() -> None:
    loop, taken = FakeLoop(), list[str]()

    def take(thing: str) -> None:
        taken.append(thing)
        if thing == "a":
            things.put("b")

    things = handover(loop, take)
    things.put("a")
    while loop.woken:
        loop.woken.pop()()
    assert taken == ["a", "b"]


def test_all_that_many_threads_put_arrives_in_the_thread_of_the_loop() -> None:
    each, several = 2_000, 4
    taken: list[tuple[int, int]] = []

    async def main() -> None:
        here, all_there = threading.get_ident(), asyncio.Event()

        def take(thing: tuple[int, int]) -> None:
            assert threading.get_ident() == here
            taken.append(thing)
            if len(taken) == each * several:
                all_there.set()

        things: Handover[tuple[int, int]] = Handover(asyncio.get_running_loop(), take)

        def put(number: int) -> None:
            for n in range(each):
                things.put((number, n))

        await asyncio.gather(
            *(asyncio.to_thread(put, number) for number in range(several)),
            asyncio.wait_for(all_there.wait(), PATIENCE_S),
        )

    asyncio.run(main())
    for number in range(several):
        assert [n for who, n in taken if who == number] == list(range(each))


def test_what_comes_for_a_closed_loop_is_dropped() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    things: Handover[str] = Handover(loop, list[str]().append)
    things.put("a")
    things.put("b")
