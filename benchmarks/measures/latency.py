"""``delay()`` and then its result, on an idle queue: the seconds of each, one after the other."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.brokers import broker_of
from benchmarks.measures import tried
from benchmarks.running import running

if TYPE_CHECKING:
    from benchmarks.measures import Row, Scale
    from benchmarks.systems import System

CALLS = {"celery-dynamodb": 12}
"""Half a second or more each; others are called so often:"""
USUALLY = 60
BEFORE = 5


def measure(scale: Scale) -> list[Row]:
    """Measure every system whose results can be waited for, in turn."""
    rows: list[Row] = []
    for turn in range(scale.rounds):
        for system in scale.systems():
            if system.results:
                what = f"latency, round {turn + 1}: {system.title}"
                rows += [{"round": turn, **row} for row in tried(what, partial(of, system, scale))]
    return rows


def of(system: System, scale: Scale) -> list[Row]:
    """Measure one system."""
    calls = scale.tasks(CALLS.get(system.name, USUALLY), least=3)
    with running(system, broker_of(system)) as at_work:
        at_work.wait_for("get", 7, BEFORE, tasks=1)
        seconds = at_work.wait_for("get", 7, calls, tasks=1)
    return [{"system": system.name, "seconds": seconds}]
