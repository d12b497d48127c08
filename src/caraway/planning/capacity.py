"""How much runs at a time: invocations, or workers, and what a burst makes of it."""

from __future__ import annotations

from math import ceil, inf
from typing import TYPE_CHECKING, Final

from caraway.lean import dataclass
from caraway.planning.counts import counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.planning.counts import Door
    from caraway.planning.workload import Workload

ROUND_TRIP_MS: Final = 5.0
"""A request to DynamoDB from the same region: an invocation waits for a claim and an ending."""
CLAIMED_AHEAD_MS: Final = 100.0
"""A worker claims the tasks that follow while these run if the longest of late took 200 ms at most;
the longest is taken for twice the mean."""
INVOCATION_MS: Final = 3.0
"""What an invocation takes besides its tasks."""
TASK_CPU_MS: Final = 0.4
REQUEST_CPU_MS: Final = 1.0
"""CPU of a worker for a task of its own, and for each request. ``make bench`` measures 0.4 to 0.6
ms for a task of 0.2 requests and 1 ms for one with a record, of 0.34: a quarter less and more."""
MB_OF_A_VCPU: Final = 1_769
"""Memory at which a function has one vCPU ("Configure Lambda function memory")."""

SOURCE_STARTS: Final = 5
SOURCE_GROWS_A_MINUTE: Final = 300
SOURCE_LIMIT: Final = 1_250
"""Invocations at a time that an event source of a queue begins with, adds in a minute, and reaches
("Configuring scaling behavior for SQS event source mappings")."""


@dataclass(frozen=True)
class Capacity:
    """What runs the tasks at a door.

    Attributes
    ----------
    units
        Invocations at a time, or workers, for the average load.
    unit_per_second
        Attempts a second that one of them finishes.
    most
        Units that there may be in a burst.
    grows_per_second
        How many units are added a second while messages wait.
    unit_ms
        How long an invocation takes, or a task holds its slot in a worker.
    in_flight
        Messages that a unit holds.
    """

    units: float
    unit_per_second: float
    most: float
    grows_per_second: float
    unit_ms: float
    in_flight: int

    @property
    def per_second(self) -> float:
        """Attempts a second that all of them finish."""
        return self.units * self.unit_per_second

    def needed(self, per_second: float) -> float:
        """Return the units for a load."""
        return per_second / self.unit_per_second


def capacity(work: Workload, door: Door) -> Capacity:
    """Return what the average load of a workload needs."""
    return _function(work) if door == "lambda" else _workers(work)


def slot_ms(work: Workload) -> float:
    """Return how long a task holds its slot in a worker: its ending is written after that."""
    claims = not work.idempotent and work.mean_ms > CLAIMED_AHEAD_MS
    return work.mean_ms + (ROUND_TRIP_MS if claims else 0.0)


def cpu_ms(work: Workload, door: Door) -> float:
    """Return the CPU that a task takes of whoever runs it, Caraway's included."""
    requests = counts(work, door).of_worker(door) / (1 + work.retries)
    return work.task_cpu_ms + TASK_CPU_MS + REQUEST_CPU_MS * requests


def _function(work: Workload) -> Capacity:
    tasks = work.batch_size
    turns = ceil(tasks / work.lambda_concurrency)
    share = min(1.0, work.memory_mb / MB_OF_A_VCPU)  # one process: one vCPU at most
    requests = tasks * counts(work, "lambda").write_requests / (1 + work.retries)
    waiting_ms = turns * work.mean_ms + ROUND_TRIP_MS * requests  # one after the other
    computing_ms = tasks * cpu_ms(work, "lambda") / share
    unit_ms = INVOCATION_MS + max(waiting_ms, computing_ms)
    unit_per_second = 1_000 * tasks / unit_ms
    return Capacity(
        units=work.per_second / unit_per_second,
        unit_per_second=unit_per_second,
        most=min(SOURCE_LIMIT * work.queues, work.account_concurrency),
        grows_per_second=SOURCE_GROWS_A_MINUTE / 60 * work.queues,
        unit_ms=unit_ms,
        in_flight=tasks,
    )


def _workers(work: Workload) -> Capacity:
    by_slots = 1_000 * work.worker_concurrency / slot_ms(work)
    by_cpu = 1_000 * work.vcpus / cpu_ms(work, "ecs")
    unit_per_second = min(by_slots, by_cpu)
    units = max(1, ceil(work.per_second / (work.utilisation * unit_per_second)))
    return Capacity(
        units=units,
        unit_per_second=unit_per_second,
        most=units,
        grows_per_second=0.0,
        unit_ms=slot_ms(work),
        in_flight=work.worker_concurrency,
    )


@dataclass(frozen=True)
class Burst:
    """What a burst leaves behind.

    Attributes
    ----------
    per_second
        Attempts a second that come.
    units_needed
        Invocations or workers that would keep up with it.
    units
        Those that there are at its end.
    depth
        Most messages that wait.
    drained_s
        Seconds from its beginning until none waits; infinite if they never do.
    waits_s
        How long a message waits that comes when most wait.
    """

    per_second: float
    units_needed: float
    units: float
    depth: float
    drained_s: float
    waits_s: float


def burst(work: Workload, having: Capacity) -> Burst:
    """Return what the workload's burst does to its queue.

    A function grows while messages wait, as its event source does; workers stay as many as they
    are, since a service takes minutes to start more.
    """
    lasts_s = 60 * work.burst_minutes
    rate = work.per_second * work.burst_factor
    grows = having.grows_per_second
    begins = min(having.most, max(having.units, SOURCE_STARTS if grows else 0))
    full_at_s = (having.most - begins) / grows if grows else 0.0

    def units_at(second: float) -> float:
        return min(having.most, begins + grows * second)

    def done_by(second: float) -> float:
        growing_s = min(second, full_at_s)
        unit_seconds = (
            begins * growing_s
            + grows * growing_s**2 / 2
            + having.most * max(0.0, second - full_at_s)
        )
        return unit_seconds * having.unit_per_second

    def waiting_at(second: float) -> float:
        came = rate * min(second, lasts_s) + work.per_second * max(0.0, second - lasts_s)
        return came - done_by(second)

    needed = having.needed(rate)
    if needed > having.most:
        enough_at_s = inf
    else:
        enough_at_s = max(0.0, needed - begins) / grows if grows else 0.0
    peak_s = min(lasts_s, enough_at_s)
    depth = max(0.0, waiting_at(peak_s))
    is_endless = having.most * having.unit_per_second <= work.per_second
    drained_s = waits_s = 0.0
    if depth:
        came_by_then = depth + done_by(peak_s)
        waits_s = _empty_after(lambda second: came_by_then - done_by(second), peak_s) - peak_s
        drained_s = inf if is_endless else _empty_after(waiting_at, peak_s)
    return Burst(
        per_second=rate,
        units_needed=needed,
        units=min(units_at(lasts_s), max(needed, having.units)),
        depth=depth,
        drained_s=drained_s,
        waits_s=waits_s,
    )


def _empty_after(waiting_at: Callable[[float], float], second: float) -> float:
    """Return when nothing waits any more, of what only shrinks from a moment on."""
    low, high = second, second + 1
    while waiting_at(high) > 0:
        low, high = high, 2 * high
    while high - low > 1e-3 * max(1.0, low):
        middle = (low + high) / 2
        low, high = (middle, high) if waiting_at(middle) > 0 else (low, middle)
    return high
