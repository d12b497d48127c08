"""The estimate: what a load costs, what it needs and what it meets, at each door."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from caraway.lean import dataclass
from caraway.planning.bill import bill
from caraway.planning.capacity import burst, capacity
from caraway.planning.counts import counts
from caraway.planning.limits import limits
from caraway.planning.prices import US_EAST_1, Prices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.planning.bill import Line
    from caraway.planning.capacity import Burst, Capacity
    from caraway.planning.counts import Counts, Door
    from caraway.planning.limits import Limit
    from caraway.planning.workload import Workload

DOORS: Final[tuple[Door, ...]] = ("lambda", "ecs")


@dataclass(frozen=True)
class AtDoor:
    """What a load comes to at one door.

    Attributes
    ----------
    lines
        The bill of a month.
    dollars_one_by_one
        The bill if messages never wait, so that each comes alone.
    """

    door: Door
    counts: Counts
    capacity: Capacity
    burst: Burst
    lines: list[Line]
    limits: list[Limit]
    dollars_one_by_one: float

    @property
    def dollars(self) -> float:
        """The bill's total."""
        return sum(line.dollars for line in self.lines)

    @property
    def by_service(self) -> Mapping[str, float]:
        """Dollars a month by service."""
        totals: dict[str, float] = {}
        for line in self.lines:
            totals[line.service] = totals.get(line.service, 0.0) + line.dollars
        return totals


def estimate(work: Workload, prices: Prices = US_EAST_1) -> dict[Door, AtDoor]:
    """Return what a workload comes to at each door."""
    alone = replace(work, batch_size=1)
    return {
        door: _at(work, door, prices, sum(line.dollars for line in _lines(alone, door, prices)))
        for door in DOORS
    }


def _lines(work: Workload, door: Door, prices: Prices) -> list[Line]:
    return bill(work, door, capacity(work, door), prices)


def _at(work: Workload, door: Door, prices: Prices, dollars_one_by_one: float) -> AtDoor:
    having = capacity(work, door)
    busiest = burst(work, having)
    return AtDoor(
        door,
        counts(work, door),
        having,
        busiest,
        bill(work, door, having, prices),
        limits(work, door, having, busiest),
        dollars_one_by_one,
    )
