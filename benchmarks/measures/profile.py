"""Where the CPU of a producer goes: sends at the same time, in one thread and so in one profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.brokers import broker_of
from benchmarks.measures import say
from benchmarks.running import WARM_UP, running
from benchmarks.systems import BY_NAME

if TYPE_CHECKING:
    from benchmarks.measures import Row, Scale

TASKS = 5_000
MODE = "concurrent"
SYSTEM = BY_NAME["caraway"]


def measure(scale: Scale) -> list[Row]:
    """Measure one way of sending, module by module."""
    if not scale.has(SYSTEM.name):
        return []
    rows: list[Row] = []
    with running(SYSTEM, broker_of(SYSTEM), works=False) as at_work:
        at_work.send(MODE, WARM_UP)
        count = scale.tasks(TASKS)
        for turn in range(scale.rounds):
            say(f"profile, round {turn + 1}")
            seconds = at_work.profile(MODE, count)
            rows.append({"round": turn, "mode": MODE, "tasks": count, "seconds": seconds})
    return rows
