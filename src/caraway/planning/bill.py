"""The bill of a month, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from caraway.core.record import HORIZON_S
from caraway.lean import dataclass
from caraway.planning.counts import KIB, Counts, Door, counts
from caraway.planning.workload import DAY_S, MONTH_DAYS, Workload

if TYPE_CHECKING:
    from caraway.planning.capacity import Capacity
    from caraway.planning.prices import Prices

GB: Final = 1024**3
MONTH_H: Final = 24 * MONTH_DAYS

IDLE_POLLS: Final = 15 * 60 * MONTH_H
"""Receives a month of an event source whose queue is empty: five pollers, each for 20 s ("Using
Lambda with Amazon SQS")."""
WORKER_POLLS: Final = 12 * 60 * MONTH_H
"""The same of a worker, whose polls take five seconds."""
ITEM_BYTES: Final = 100
"""DynamoDB stores so much besides each item ("DynamoDB storage size")."""
OBJECT_DAYS: Final = 30
"""How long the templates keep payloads in S3."""
BEAT_WRITES: Final = 1.05 * 120 * MONTH_H
"""Heartbeats a month of a worker, one every 30 s (docs/deploy.md)."""
LOG_BYTES: Final[dict[Door, int]] = {"lambda": 600, "ecs": 330}
"""What a door logs of a task at INFO: its beginning and its end, as JSON on Lambda."""
INVOCATION_LOG_BYTES: Final = 450
"""START, END and REPORT of an invocation."""
ZONES: Final = 2
INTERFACES: Final = 4
"""Endpoints that a worker needs: SQS, CloudWatch Logs and two of ECR; those for DynamoDB and S3
are gateways, which cost nothing."""


@dataclass(frozen=True)
class Line:
    """One line of the bill.

    Attributes
    ----------
    amount
        Units a month.
    dollars
        What they cost.
    """

    service: str
    item: str
    amount: float
    dollars: float


def bill(work: Workload, door: Door, having: Capacity, prices: Prices) -> list[Line]:
    """Return the lines of a month; those of nothing are left out."""
    each = counts(work, door)
    lines = [
        _queues(work, door, having, each, prices),
        *(_function(work, having, prices) if door == "lambda" else _workers(work, having, prices)),
        *_table(work, door, having, each, prices),
        *_bucket(work, each, prices),
        _line("EventBridge", "Scheduler", work.scheduled_per_day * MONTH_DAYS, prices.scheduler),
        _logs(work, door, prices),
        *(_network(work, having, each, prices) if door == "ecs" else ()),
    ]
    return [line for line in lines if line.amount]


def _line(service: str, item: str, amount: float, price: float) -> Line:
    return Line(service, item, amount, amount * price)


def _queues(work: Workload, door: Door, having: Capacity, each: Counts, prices: Prices) -> Line:
    polls = IDLE_POLLS * work.queues if door == "lambda" else WORKER_POLLS * having.units
    amount = work.per_month * each.billed_requests + polls
    tiers = prices.sqs_fifo if work.fifo else prices.sqs
    return Line("SQS", "requests", amount, tiers.cost(amount))


def _function(work: Workload, having: Capacity, prices: Prices) -> list[Line]:
    invocations = work.per_month * (1 + work.retries) / work.batch_size
    gb_s = invocations * having.unit_ms / 1_000 * work.memory_mb / 1_024
    return [
        _line("Lambda", "requests", invocations, prices.invocation),
        Line("Lambda", "GB-seconds", gb_s, prices.gb_s[work.architecture].cost(gb_s)),
    ]


def _workers(work: Workload, having: Capacity, prices: Prices) -> list[Line]:
    hours = having.units * MONTH_H
    share = prices.spot if work.spot else 1.0
    of_cpu, of_memory = prices.vcpu_h[work.architecture], prices.gb_h[work.architecture]
    return [
        _line("Fargate", "vCPU-hours", hours * work.vcpus, share * of_cpu),
        _line("Fargate", "GB-hours", hours * work.worker_gb, share * of_memory),
    ]


def _table(
    work: Workload, door: Door, having: Capacity, each: Counts, prices: Prices
) -> list[Line]:
    beats = BEAT_WRITES * having.units if door == "ecs" else 0.0
    stored_days = HORIZON_S / DAY_S * (1 + work.chord_share)  # members live twice as long
    items = work.tasks_per_day * stored_days * min(1.0, each.writes)
    stored_gb = items * (each.stored_bytes + ITEM_BYTES) / GB if each.stored_bytes else 0.0
    return [
        _line("DynamoDB", "writes", work.per_month * each.write_units + beats, prices.write),
        _line("DynamoDB", "reads", work.per_month * each.read_units, prices.read),
        _line("DynamoDB", "GB-months", stored_gb, prices.table_gb),
    ]


def _bucket(work: Workload, each: Counts, prices: Prices) -> list[Line]:
    stored_gb = work.tasks_per_day * OBJECT_DAYS * each.object_bytes / GB
    return [
        _line("S3", "writes", work.per_month * each.puts, prices.s3_put),
        _line("S3", "reads", work.per_month * each.gets, prices.s3_get),
        _line("S3", "GB-months", stored_gb, prices.s3_gb),
    ]


def _logs(work: Workload, door: Door, prices: Prices) -> Line:
    of_task = LOG_BYTES[door] + work.log_kb * KIB
    if door == "lambda":
        of_task += INVOCATION_LOG_BYTES / work.batch_size
    logged_gb = work.per_month * (1 + work.retries) * of_task / GB
    tiers = prices.lambda_logs_gb if door == "lambda" else prices.logs_gb
    return Line("CloudWatch Logs", "GB", logged_gb, tiers.cost(logged_gb))


def _network(work: Workload, having: Capacity, each: Counts, prices: Prices) -> list[Line]:
    if work.network == "public":
        return [_line("VPC", "address-hours", having.units * MONTH_H, prices.address_h)]
    through_gb = work.per_month * each.queue_bytes / 2 / GB
    if work.network == "nat":
        return [
            _line("VPC", "NAT gateway-hours", ZONES * MONTH_H, prices.nat_h),
            _line("VPC", "NAT GB", through_gb, prices.nat_gb),
        ]
    return [
        _line("VPC", "endpoint-hours", INTERFACES * ZONES * MONTH_H, prices.endpoint_h),
        Line("VPC", "endpoint GB", through_gb, prices.endpoint_gb.cost(through_gb)),
    ]
