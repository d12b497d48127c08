"""The estimate as rows of cells, for a terminal and for a page, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from math import ceil, inf
from typing import TYPE_CHECKING, Any, Final

from caraway.planning.workload import DAY_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.planning.counts import Door
    from caraway.planning.estimate import AtDoor
    from caraway.planning.limits import Limit
    from caraway.planning.prices import Prices
    from caraway.planning.workload import Workload

_SERVICES: Final = (
    "SQS",
    "Lambda",
    "Fargate",
    "DynamoDB",
    "S3",
    "EventBridge",
    "CloudWatch Logs",
    "VPC",
)
_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_LONG_S: Final = 2 * DAY_S


def described(work: Workload) -> str:
    """Return a workload in one line."""
    return (
        f"{number(work.tasks_per_day)} tasks a day, {number(work.tasks_per_day / DAY_S)} a second; "
        f"each takes {number(work.mean_ms)} ms, {number(work.task_cpu_ms)} of them CPU"
    )


def bill_rows(work: Workload, doors: Mapping[Door, AtDoor]) -> list[list[str]]:
    """Return the bill: service, what is billed, and dollars a month at each door."""
    costs = [
        {(line.service, line.item): line.dollars for line in each.lines} for each in doors.values()
    ]
    items = sorted({item: None for cost in costs for item in cost}, key=_place)
    totals = [each.dollars for each in doors.values()]
    millions = work.per_month / 1e6
    alone = [each.dollars_one_by_one for each in doors.values()]
    return [
        *([*item, *(dollars(cost.get(item)) for cost in costs)] for item in items),
        ["all", "a month", *map(dollars, totals)],
        ["", "a million tasks", *(dollars(total / millions) for total in totals)],
        ["", "a month, if messages come one by one", *map(dollars, alone)],
    ]


def _place(item: tuple[str, str]) -> int:
    return _SERVICES.index(item[0])


def need_rows(work: Workload, doors: Mapping[Door, AtDoor]) -> list[list[str]]:
    """Return what the load needs, and what its burst does: a name, and a cell for each door."""
    several = list(doors.values())
    load = f"{number(work.burst_factor)} x for {number(work.burst_minutes)} min"
    return [
        ["AWS requests for a task", *(f"{each.counts.requests:.2f}" for each in several)],
        [
            "invocations at a time, workers",
            *(number(ceil(each.capacity.units)) for each in several),
        ],
        [f"burst, {load}: tasks a second", *(number(each.burst.per_second) for each in several)],
        ["  it would take", *(number(ceil(each.burst.units_needed)) for each in several)],
        ["  there are at its end", *(number(ceil(each.burst.units)) for each in several)],
        ["  messages that wait, at most", *(number(each.burst.depth) for each in several)],
        ["  one that comes then waits", *(duration(each.burst.waits_s) for each in several)],
        ["  none waits any more after", *(duration(each.burst.drained_s) for each in several)],
    ]


def limit_rows(doors: Mapping[Door, AtDoor]) -> list[list[str]]:
    """Return the limits that are near or met: door, limit, how much is used of what, remedy."""
    return [
        [door, each.what, number(each.used), number(each.limit), each.remedy]
        for door, at_door in doors.items()
        for each in at_door.limits
        if each.is_near
    ]


def as_json(work: Workload, doors: Mapping[Door, AtDoor], prices: Prices) -> dict[str, Any]:
    """Return everything as JSON has it; what is infinite is null."""
    return {
        "workload": {**asdict(work), "cpu_ms": work.task_cpu_ms},
        "prices": {"region": prices.region, "as_of": prices.as_of},
        **{door: _door_as_json(each) for door, each in doors.items()},
    }


def _door_as_json(each: AtDoor) -> dict[str, Any]:
    return {
        "dollars": each.dollars,
        "dollars_one_by_one": each.dollars_one_by_one,
        "by_service": each.by_service,
        "bill": [asdict(line) for line in each.lines],
        "counts": {**asdict(each.counts), "requests": each.counts.requests},
        "capacity": asdict(each.capacity),
        "burst": {name: _finite(value) for name, value in asdict(each.burst).items()},
        "limits": [_limit_as_json(limit) for limit in each.limits],
    }


def _limit_as_json(limit: Limit) -> dict[str, Any]:
    return {
        "what": limit.what,
        "used": _finite(limit.used),
        "limit": limit.limit,
        "met": limit.is_met,
        "remedy": limit.remedy,
    }


def _finite(value: float) -> float | None:
    return None if value == inf else value


def dollars(amount: float | None) -> str:
    """Return dollars with cents while they matter."""
    if amount is None:
        return ""
    return f"{amount:,.2f}" if amount < 100 else f"{amount:,.0f}"


def number(value: float) -> str:
    """Return a number with three figures or more."""
    if value == inf:
        return "without end"
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:,.3g}"


def duration(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if seconds == inf:
        return "never"
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    if seconds < _LONG_S:
        return f"{seconds / _HOUR_S:.0f} h"
    return f"{seconds / DAY_S:,.0f} d"
