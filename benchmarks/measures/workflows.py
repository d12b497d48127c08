"""What workflows cost: a chord from its first request to its result, and a chain.

The worker runs meanwhile, and whoever waits asks for the result: their requests are counted, too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.brokers import broker_of
from benchmarks.measures import tried
from benchmarks.running import running

if TYPE_CHECKING:
    from benchmarks.measures import Row, Scale
    from benchmarks.systems import System

SIZES = (100, 1_000, 10_000)
LARGEST = {"caraway": 10_000, "celery-dynamodb-tuned": 100, "celery-redis-results": 1_000}
CHAIN = 5
CHAINS = 20


def measure(scale: Scale) -> list[Row]:
    """Measure chords of all sizes, and chains beside round trips."""
    rows: list[Row] = []
    for system in scale.systems():
        if system.name in LARGEST:
            rows += tried(f"workflows: {system.title}", partial(of, system, scale))
    return rows


def of(system: System, scale: Scale) -> list[Row]:
    """Measure one system."""
    rows: list[Row] = []
    with running(system, broker_of(system)) as at_work:
        for size in (each for each in SIZES if each <= LARGEST[system.name]):
            members = scale.tasks(size)
            at_work.broker.reset()
            (wall_s,) = at_work.wait_for("chord", members, 1, tasks=members + 1)
            requests, _ = at_work.settle()
            rows.append(
                {
                    "what": "chord",
                    "system": system.name,
                    "tasks": members,
                    "wall_s": wall_s,
                    "requests": dict(requests),
                }
            )
        if system.name == "caraway":
            for _ in range(scale.tasks(CHAINS, least=2)):
                for what in ("chain", "round trips"):
                    (wall_s,) = at_work.wait_for(what, CHAIN, 1, tasks=CHAIN)
                    rows.append({"what": what, "system": system.name, "wall_s": wall_s})
    return rows
