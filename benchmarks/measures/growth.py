"""How what a task costs grows with their number, and what a worker's memory does meanwhile.

The same worker runs 10^2, 10^3, 10^4 and 10^5 tasks; peers that are slow stop earlier.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.brokers import broker_of
from benchmarks.measures import say, tried
from benchmarks.running import running

if TYPE_CHECKING:
    from benchmarks.measures import Row, Scale
    from benchmarks.systems import System

SIZES = (100, 1_000, 10_000, 100_000)
LARGEST = {
    "caraway": 100_000,
    "caraway-cheapest": 100_000,
    "caraway-threads": 100_000,
    "celery-tuned": 1_000,
    "celery-dynamodb-tuned": 1_000,
    "celery-redis-results": 1_000,
    "sqs-workers": 10_000,
}
LOOKS = 20


def measure(scale: Scale) -> list[Row]:
    """Measure each system once; its sizes are rounds enough."""
    rows: list[Row] = []
    for system in scale.systems():
        if system.name in LARGEST:
            rows += tried(f"growth: {system.title}", partial(of, system, scale))
    return rows


def of(system: System, scale: Scale) -> list[Row]:
    """Measure one system."""
    rows: list[Row] = []
    with running(system, broker_of(system)) as at_work:
        for size in (each for each in SIZES if each <= LARGEST[system.name]):
            count = scale.tasks(size)
            say(f"growth: {count:,} x {system.title}")
            sent = at_work.fill(system.bulk, count)
            producer_mb = at_work.producer_mb()
            worked = at_work.work(count, looks=LOOKS)
            rows.append(
                {
                    "system": system.name,
                    "tasks": count,
                    "sent": {"cpu_s": sent.cpu_s, "requests": dict(sent.requests)},
                    "cpu_s": worked.cpu_s,
                    "wall_s": worked.wall_s,
                    "requests": dict(worked.requests),
                    "producer_mb": producer_mb,
                    "memory_mb": list(worked.memory_mb.items()),
                }
            )
    return rows
