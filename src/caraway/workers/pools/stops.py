"""How a call of user code is told to stop: by the token of its task's claim."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from caraway.core.context import Context

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Stops:
    """The calls of a pool, each with a future that holds a signal's name once it is to stop."""

    def __init__(self) -> None:
        self._calls: dict[str, asyncio.Future[str]] = {}

    @contextmanager
    def of(self, args: tuple[Any, ...]) -> Iterator[asyncio.Future[str]]:
        """Give the future of a call; one without a claim, and a hook, is never told."""
        stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        match args:
            case [Context(token=str(token))]:
                self._calls[token] = stop
                try:
                    yield stop
                finally:
                    del self._calls[token]
            case _:
                yield stop

    def ask(self, token: str, signal: str) -> None:
        """Tell a call to stop; nothing happens where it has ended, or was told before."""
        stop = self._calls.get(token)
        if stop is not None and not stop.done():
            stop.set_result(signal)


async def ends_by_itself(running: asyncio.Future[T], stop: asyncio.Future[str]) -> bool:
    """Wait until a call has ended, or is to stop; a caller that is cancelled cancels it."""
    either: list[asyncio.Future[Any]] = [running, stop]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        running.cancel()
        raise
    return running.done()
