"""What sending costs: a loop of calls, a group, and calls at the same time.

The producer has sent some tasks before, so that it is connected. With time added to each request
what sends one by one is measured by fewer tasks.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.brokers import broker_of
from benchmarks.measures import tried
from benchmarks.running import WARM_UP, running

if TYPE_CHECKING:
    from benchmarks.measures import Row, Scale
    from benchmarks.systems import System

TASKS = 1_000
LOOPED = 100
LATENCIES_MS = (0, 20)
SYSTEMS = ("caraway", "celery", "celery-redis", "dramatiq", "taskiq", "sqs-workers")


def measure(scale: Scale) -> list[Row]:
    """Measure every way of sending of every system, in turn."""
    rows: list[Row] = []
    for turn in range(scale.rounds):
        for system in scale.systems():
            if system.name in SYSTEMS:
                what = f"producers, round {turn + 1}: {system.title}"
                found = tried(what, partial(of, system, scale))
                rows += [{"round": turn, **row} for row in found]
    return rows


def of(system: System, scale: Scale) -> list[Row]:
    """Measure the ways of one system."""
    rows: list[Row] = []
    with running(system, broker_of(system), works=False) as at_work:
        for mode in system.modes:
            at_work.send(mode, WARM_UP)
            count = scale.tasks(TASKS)
            for ms in LATENCIES_MS:
                at_work.broker.latency(ms)
                sent = at_work.send(mode, count)
                at_work.broker.latency(0)
                rows.append(
                    {
                        "system": system.name,
                        "mode": mode,
                        "ms": ms,
                        "tasks": count,
                        "wall_s": sent.wall_s,
                        "cpu_s": sent.cpu_s,
                        "requests": dict(sent.requests),
                    }
                )
                if mode != "threads" and sent.requests.total() >= count:
                    count = scale.tasks(LOOPED)  # each waits for its own request
    return rows
