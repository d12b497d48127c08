"""Where user code runs in a worker: the pools of ``caraway worker -P``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from caraway.exceptions import ImproperlyConfigured, nearest
from caraway.workers.pools.threads import AsyncioPool, SoloPool, ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.core.port import Outcome


class Pool(Protocol):
    """Runs user code for a worker.

    Attributes
    ----------
    name
        As ``-P`` has it.
    concurrency
        Tasks at a time.
    """

    name: str
    concurrency: int

    def start(self) -> None:
        """Do what must be done before there are threads and an event loop."""
        ...

    async def open(self) -> None:
        """Wait until it can run user code."""
        ...

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run user code where it belongs; its outcome is a value."""
        ...

    def close(self) -> None:
        """Let go of everything; user code that still runs is not waited for."""
        ...


POOLS: Final = {"threads": ThreadPool, "asyncio": AsyncioPool, "solo": SoloPool}


def make_pool(name: str, concurrency: int | None, default: int) -> Pool:
    """Return a pool by its name.

    Raises
    ------
    ImproperlyConfigured
        If there is no such pool, or it cannot have that concurrency.
    """
    if name not in POOLS:
        raise ImproperlyConfigured(
            f"no pool named {name!r}{nearest(name, POOLS)}: use threads, asyncio or solo"
        )
    if concurrency is None:
        concurrency = 1 if name == "solo" else default
    if concurrency < 1:
        raise ImproperlyConfigured(f"-c {concurrency}: a worker runs at least one task at a time")
    return POOLS[name](concurrency)
