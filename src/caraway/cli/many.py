"""Decisions that make many requests: these go out at the same time, from threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from caraway.app import Caraway
    from caraway.core.port import Aws

T = TypeVar("T")

IN_FLIGHT: Final = 16
"""Requests under way at a time."""


def run_many(app: Caraway, decision: Callable[[Aws], Coroutine[Any, Any, T]]) -> T:
    """Run a decision over a port that has several requests under way at a time."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor
    from dataclasses import replace

    from caraway.aws.asyncio_aws import AsyncioAws, ThreadWire

    async def run() -> T:
        with ThreadPoolExecutor(IN_FLIGHT) as threads:
            settings = replace(app.client_settings, connections=IN_FLIGHT)
            return await decision(AsyncioAws(ThreadWire(settings, threads)))

    return asyncio.run(run())
