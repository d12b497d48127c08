"""One worker, its queue full: requests, CPU and throughput, with more and more time per request.

The worker has run some tasks, so that it is connected everywhere, and is paused while the producer
fills the queue. Requests are counted, and CPU is taken, until everything is settled; throughput
ends with the last task.

Where requests take long the systems are measured with more tasks at a time, too: as many as are
under way at once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.brokers import broker_of
from benchmarks.measures import Row, Scale, tried
from benchmarks.running import running

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from benchmarks.brokers import Broker
    from benchmarks.systems import System

LATENCIES_MS = (0, 5, 20, 50)
LONG_MS = (20, 50)
SECONDS = 1.5
"""So long each measurement takes about, once the speed of a system is known."""
LEAST = 24


def measure(scale: Scale) -> list[Row]:
    """Measure every system in turn, several times, in memory and on Redis."""
    rows: list[Row] = []
    for turn in range(scale.rounds):
        for system in (*scale.systems(), *scale.wider()):
            latencies_ms = LONG_MS if system.like else LATENCIES_MS
            found = tried(
                f"work, round {turn + 1}: {system.title}",
                partial(of, system, broker_of(system), scale, latencies_ms),
            )
            rows += [{"round": turn, **row} for row in found]
    return rows


def of(
    system: System,
    broker: AbstractContextManager[Broker],
    scale: Scale,
    latencies_ms: tuple[float, ...],
) -> list[Row]:
    """Measure one system, the latencies in ascending order."""
    rows: list[Row] = []
    with running(system, broker) as at_work:
        count = scale.tasks(system.tasks)
        for ms in latencies_ms:
            at_work.fill(system.bulk, count)
            at_work.broker.latency(ms)
            worked = at_work.work(count)
            at_work.broker.latency(0)
            rows.append(
                {
                    "system": system.name,
                    "ms": ms,
                    "tasks": count,
                    "wall_s": worked.wall_s,
                    "cpu_s": worked.cpu_s,
                    "requests": dict(worked.requests),
                }
            )
            # What comes next is slower, never faster.
            count = min(count, max(LEAST, round(SECONDS * count / worked.wall_s)))
    return rows
