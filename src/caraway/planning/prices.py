"""Prices of AWS: list prices of us-east-1, without the free tier, savings plans and taxes.

Looked up in 2026-06; the title of its page stands beside each.
"""

from __future__ import annotations

from dataclasses import field
from math import inf
from typing import TYPE_CHECKING, Final

from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.planning.workload import Architecture

BILLION: Final = 1e9
TB: Final = 1_024
"""In GB."""


@dataclass(frozen=True)
class Tiers:
    """A price that falls with the volume of a month.

    Attributes
    ----------
    steps
        Up to which volume, and dollars a unit until there; the last has no end.
    """

    steps: tuple[tuple[float, float], ...]

    def cost(self, units: float) -> float:
        """Return the dollars for so many units a month."""
        dollars = below = 0.0
        for end, price in self.steps:
            dollars += max(0.0, min(units, end) - below) * price
            below = end
        return dollars


@dataclass(frozen=True)
class Prices:
    """What AWS asks for, in dollars; each with the page that says so.

    Attributes
    ----------
    sqs, sqs_fifo
        A request, or each 64 KiB of it ("Amazon SQS pricing"). Messages with a group on a standard
        queue, which make it fair, cost something on top, which is not here.
    invocation, gb_s
        Of Lambda: a request; a GB-second by architecture ("AWS Lambda pricing").
    vcpu_h, gb_h
        Of Fargate by architecture, by the hour ("AWS Fargate pricing").
    spot
        What Fargate Spot costs of that; it changes with demand (same page: up to 70% off).
    write, read, table_gb
        Of DynamoDB on demand: a write request unit (1 KB), a read request unit (4 KB), a GB-month
        ("Amazon DynamoDB pricing for on-demand capacity"; half of what it was until October 2024).
    s3_put, s3_get, s3_gb
        Of S3 Standard: requests, and a GB-month ("Amazon S3 pricing").
    scheduler
        An invocation by EventBridge Scheduler ("Amazon EventBridge pricing"). Rules with a schedule
        cost nothing.
    lambda_logs_gb, logs_gb
        A GB taken in by CloudWatch Logs, from a function, with tiers since May 2025, and from
        anything else ("Amazon CloudWatch pricing").
    address_h, nat_h, nat_gb
        Of the network: a public IPv4 address, a NAT gateway ("Amazon VPC pricing").
    endpoint_h, endpoint_gb
        An interface endpoint in one zone ("AWS PrivateLink pricing").
    """

    region: str = "us-east-1"
    as_of: str = "2026-06"
    sqs: Tiers = Tiers(((100 * BILLION, 0.40e-6), (200 * BILLION, 0.30e-6), (inf, 0.24e-6)))
    sqs_fifo: Tiers = Tiers(((100 * BILLION, 0.50e-6), (200 * BILLION, 0.40e-6), (inf, 0.35e-6)))
    invocation: float = 0.20e-6
    gb_s: Mapping[Architecture, Tiers] = field(
        default_factory=lambda: {
            "x86_64": Tiers(
                ((6 * BILLION, 16.6667e-6), (15 * BILLION, 15.0e-6), (inf, 13.3334e-6))
            ),
            "arm64": Tiers(
                ((7.5 * BILLION, 13.3334e-6), (18.75 * BILLION, 12.0001e-6), (inf, 10.6667e-6))
            ),
        }
    )
    vcpu_h: Mapping[Architecture, float] = field(
        default_factory=lambda: {"x86_64": 0.04048, "arm64": 0.03238}
    )
    gb_h: Mapping[Architecture, float] = field(
        default_factory=lambda: {"x86_64": 0.004445, "arm64": 0.00356}
    )
    spot: float = 0.3
    write: float = 0.625e-6
    read: float = 0.125e-6
    table_gb: float = 0.25
    s3_put: float = 5e-6
    s3_get: float = 0.4e-6
    s3_gb: float = 0.023
    scheduler: float = 1.0e-6
    lambda_logs_gb: Tiers = Tiers(((10 * TB, 0.50), (30 * TB, 0.25), (50 * TB, 0.10), (inf, 0.05)))
    logs_gb: Tiers = Tiers(((inf, 0.50),))
    address_h: float = 0.005
    nat_h: float = 0.045
    nat_gb: float = 0.045
    endpoint_h: float = 0.01
    endpoint_gb: Tiers = Tiers(((1_024 * TB, 0.01), (5_120 * TB, 0.006), (inf, 0.004)))


US_EAST_1: Final = Prices()
