"""The same on the local engine, behind a proxy that counts: the requests that AWS would bill.

The engine answers a few hundred requests a second, so throughput there is mostly its own.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.brokers import local
from benchmarks.measures import tried, work

if TYPE_CHECKING:
    from benchmarks.measures import Row, Scale

MOST = 1_000


def measure(scale: Scale) -> list[Row]:
    """Measure every system that runs on AWS, once: counts are exact."""
    rows: list[Row] = []
    for system in scale.systems():
        if system.broker == "aws":
            smaller = scale.times(min(1.0, MOST / system.tasks))
            rows += tried(
                f"local engine: {system.title}", partial(work.of, system, local(), smaller, (0,))
            )
    return rows
