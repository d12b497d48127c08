"""How much a pool gains: the same tasks by one worker process, in different pools."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from caraway.local.worker import LocalWorker

CPU_S = 0.2
SLEEP_S = 0.1
WARM_UP = 10
"""Tasks at either end that are not counted: the pool fills, and runs dry."""


@dataclass(frozen=True)
class Pool:
    """A pool, and how many tasks show what it does."""

    options: str
    task: str
    tasks: int


POOLS = (
    Pool("-P prefork -c 1", "compute", 60),
    Pool("-P prefork -c 2", "compute", 120),
    Pool("-P threads -c 2", "compute", 60),
    Pool("-P solo", "sleep", 60),
    Pool("-P threads -c 32", "sleep", 1_200),
    Pool("-P gevent -c 32", "sleep", 1_200),
)


def per_second(pool: Pool) -> float:
    """Return how many tasks a worker ends in a second, while it has enough of them."""
    from benchmarks import app as bench

    call: Any = getattr(bench, pool.task)

    async def enqueue(path: str) -> None:
        await asyncio.gather(*(call.adelay(path) for _ in range(pool.tasks)))

    with tempfile.NamedTemporaryFile() as log:
        asyncio.run(enqueue(log.name))
        arguments = ["-A", "benchmarks.app:app", *pool.options.split()]
        with LocalWorker(arguments, os.environ):
            ended: list[float] = []
            while len(ended) < pool.tasks:
                time.sleep(0.1)
                with open(log.name) as lines:
                    ended = sorted(map(float, lines))
    counted = ended[WARM_UP:-WARM_UP]
    return (len(counted) - 1) / (counted[-1] - counted[0])
