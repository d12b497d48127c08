"""``delay()`` and then its result, on an idle queue: the seconds of each, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.brokers import broker_of
from benchmarks.measures import say
from benchmarks.running import running

if TYPE_CHECKING:
    from benchmarks.measures import Row, Scale

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
                say(f"latency, round {turn + 1}: {system.title}")
                calls = scale.tasks(CALLS.get(system.name, USUALLY), least=3)
                with running(system, broker_of(system)) as at_work:
                    at_work.wait_for("get", 7, BEFORE, tasks=1)
                    seconds = at_work.wait_for("get", 7, calls, tasks=1)
                rows.append({"round": turn, "system": system.name, "seconds": seconds})
    return rows
