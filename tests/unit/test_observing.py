"""What a worker is told of its messages, and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from caraway.core.disposition import Delivery
from caraway.core.events import Event, Fenced, Received
from caraway.core.message import Message
from caraway.core.routing import Queue
from caraway.workers.observing import Meanwhile

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

ADD = Message(id="1", task="add")


def received() -> Received:
    return Received(ADD, Delivery(body="", queue=Queue("default"), lease_s=0.0))


def observed(scene: Callable[[Meanwhile, list[Event]], Coroutine[None, None, None]]) -> list[Event]:
    """Return what was told in a scene, which gets the observer and what was told so far."""
    told: list[Event] = []

    async def run() -> None:
        await scene(Meanwhile(told.append, asyncio.get_running_loop()), told)

    asyncio.run(run())
    return told


def test_what_follows_a_message_is_told_after_it() -> None:
    first, second, fenced = received(), received(), Fenced(ADD)

    async def scene(meanwhile: Meanwhile, told: list[Event]) -> None:
        meanwhile(first)
        meanwhile(second)
        assert told == []
        meanwhile(fenced)

    assert observed(scene) == [first, second, fenced]


def test_a_message_is_told_of_once_and_at_once_when_asked_for() -> None:
    first, second = received(), received()

    async def scene(meanwhile: Meanwhile, told: list[Event]) -> None:
        meanwhile(first)
        meanwhile.tell()
        meanwhile.tell()
        assert told == [first]
        meanwhile(second)
        meanwhile.tell()

    assert observed(scene) == [first, second]


def test_a_message_is_told_of_though_nothing_follows() -> None:
    async def scene(meanwhile: Meanwhile, told: list[Event]) -> None:
        meanwhile(received())
        while not told:
            await asyncio.sleep(0.001)

    assert len(observed(scene)) == 1
