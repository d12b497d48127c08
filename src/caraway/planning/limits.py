"""Limits of AWS that a load meets, and what to do about each."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from caraway.lean import dataclass
from caraway.planning.capacity import SOURCE_LIMIT, Burst, Capacity
from caraway.planning.counts import NODE_WIDTH, Door, counts

if TYPE_CHECKING:
    from caraway.planning.workload import Workload

NEAR: Final = 0.7
"""Part of a limit from which on it is worth a word."""

IN_FLIGHT: Final = 120_000
FIFO_CALLS: Final = 300
FIFO_FAST_CALLS: Final = 70_000
"""Of SQS: messages of a queue that are received and not deleted; API calls a second and action
of a FIFO queue, and of one with high throughput in us-east-1, us-west-2 and eu-west-1; elsewhere it
is less. A call has up to ten messages ("Amazon SQS message quotas")."""
RETENTION_S: Final = 14 * 86_400
"""Of the templates' queues, the longest that SQS has."""
INVOCATION_S: Final = 900
"""Longest invocation ("Lambda quotas")."""
TABLE_WRITES: Final = 40_000
NEW_TABLE_WRITES: Final = 4_000
ITEM_WRITES: Final = 1_000
"""Of DynamoDB: write units a second of a table, by default; of a table that was never busier; of
one partition, and so of one item ("Quotas in Amazon DynamoDB", "DynamoDB on-demand capacity
mode")."""
SERVICE_WORKERS: Final = 5_000
FARGATE_VCPUS: Final = 6
"""Of ECS: tasks of a service; of Fargate: vCPUs that a new account may use ("Amazon ECS endpoints
and quotas")."""


@dataclass(frozen=True)
class Limit:
    """A limit, and how much of it a load uses at its busiest.

    Attributes
    ----------
    what
        What is limited.
    used, limit
        In the same unit.
    remedy
        What to do when it is near.
    """

    what: str
    used: float
    limit: float
    remedy: str

    @property
    def is_near(self) -> bool:
        """Whether it is worth a word."""
        return self.used >= NEAR * self.limit

    @property
    def is_met(self) -> bool:
        """Whether there is too little of it."""
        return self.used > self.limit


def limits(work: Workload, door: Door, having: Capacity, burst: Burst) -> list[Limit]:
    """Return the limits that concern a load at a door, in its burst."""
    each = counts(work, door)
    units = min(burst.units_needed, having.most)
    found = [
        Limit(
            "messages in flight on a queue",
            units * having.in_flight / work.queues,
            IN_FLIGHT,
            "share the load between queues",
        ),
        Limit(
            "seconds until the queue is empty again",
            burst.drained_s,
            RETENTION_S,
            "more capacity: what waits longer than its retention is lost"
            if burst.drained_s < inf
            else "more capacity: the queue grows for ever",
        ),
        *(_fifo(work, burst) if work.fifo else ()),
        *(_of_lambda(work, having, burst) if door == "lambda" else _of_ecs(work, having)),
    ]
    writes = burst.per_second / (1 + work.retries) * each.write_units
    if writes:
        found += _table(work, writes)
    return found


def _fifo(work: Workload, burst: Burst) -> list[Limit]:
    together = min(work.sent_together, work.batch_size)
    calls = burst.per_second / together / work.queues
    return [
        Limit("calls a second on a FIFO queue", calls, FIFO_CALLS, "turn high throughput on"),
        Limit(
            "the same with high throughput",
            calls,
            FIFO_FAST_CALLS,
            "share the load between queues, or use standard ones",
        ),
    ]


def _of_lambda(work: Workload, having: Capacity, burst: Burst) -> list[Limit]:
    return [
        Limit(
            "invocations at a time of an event source",
            burst.units_needed / work.queues,
            SOURCE_LIMIT,
            "share the load between queues, or provision the event source's pollers",
        ),
        Limit(
            "invocations at a time of the account",
            burst.units_needed,
            work.account_concurrency,
            "ask for a higher quota, Lambda's 'Concurrent executions'",
        ),
        Limit(
            "seconds that an invocation takes",
            having.unit_ms / 1_000,
            INVOCATION_S,
            "smaller batches, tasks that run together, or ECS for what takes so long",
        ),
    ]


def _of_ecs(work: Workload, having: Capacity) -> list[Limit]:
    return [
        Limit(
            "workers of an ECS service",
            having.units,
            SERVICE_WORKERS,
            "larger workers, or more than one service",
        ),
        Limit(
            "vCPUs of Fargate in a new account",
            having.units * work.vcpus,
            FARGATE_VCPUS,
            "ask for a higher quota, Fargate's 'On-Demand vCPU resource count'",
        ),
    ]


def _table(work: Workload, writes: float) -> list[Limit]:
    found = [
        Limit(
            "write units a second of a new table",
            writes,
            NEW_TABLE_WRITES,
            "warm the table up beforehand ('warm throughput'), or let the load grow over half an "
            "hour for each doubling",
        ),
        Limit(
            "write units a second of a table",
            writes,
            TABLE_WRITES,
            "ask for a higher quota, DynamoDB's 'Table-level write throughput'",
        ),
    ]
    if work.chord_share:
        found.append(
            Limit(
                "write units a second of one item, a chord's node",
                NODE_WIDTH,
                ITEM_WRITES,
                "none is needed: a node takes so many in all",
            )
        )
    return found
