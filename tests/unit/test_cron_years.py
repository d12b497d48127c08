"""Hundreds of random crontabs over three years: a rule fires whenever its crontab is due.

Minutes are bits of a number, so that years of them are compared at once. Celery's half is looked up
on the clock of the zone: a minute of UTC is due if its local minute matches. AWS's half is read
from the expression's text by :class:`tests.aws_cron.AwsCron`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from itertools import product
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from caraway.core.cron import firing
from caraway.core.timing import Timing
from caraway.schedules import crontab
from tests.aws_cron import AwsCron
from tests.depth import examples

pytestmark = pytest.mark.usefixtures("unmeasured")

UTC = timezone.utc
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 1_440
DAYS = 3 * 365 + 1
"""Three years; 2028 has a leap day."""
SLOT = 30
"""Minutes between two moments at which a zone may change its clocks."""
ZONES = [
    *("UTC", "Asia/Seoul", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Niue"),
    *("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca"),
    *("Pacific/Chatham", "America/St_Johns"),
]
EACH = examples(50)
"""Crontabs of each zone."""
CALENDAR = [FIRST.date() + timedelta(days=number) for number in range(-1, DAYS + 1)]
"""The days of every zone: one before, and one after."""


def timeline(on_days: Iterable[bool], minutes: Iterable[int]) -> int:
    """Return days after one another as bits, each with the same minutes or with none."""
    day = sum(1 << minute for minute in set(minutes)).to_bytes(DAY // 8, "little")
    none = bytes(DAY // 8)
    return int.from_bytes(b"".join(day if on else none for on in on_days), "little")


class Zone:
    """When each distance from UTC holds, looked up on the zone's clock every half hour."""

    def __init__(self, name: str) -> None:
        self.tz = ZoneInfo(name)
        slots: dict[tuple[int, int], bytearray] = {}
        count = DAYS * DAY // SLOT
        for number in range(count):
            clock = (FIRST + timedelta(minutes=number * SLOT)).astimezone(self.tz)
            offset = clock.utcoffset()
            assert offset is not None
            key = (offset // timedelta(minutes=1), clock.fold)
            slots.setdefault(key, bytearray(b"0" * count))[count - 1 - number] = ord("1")
        self.holds = {
            key: int(bytes(text).replace(b"0", b"0" * SLOT).replace(b"1", b"1" * SLOT), 2)
            for key, text in slots.items()
        }

    def due(self, when: crontab) -> int:
        """Return the minutes of UTC at which a crontab is due, as bits from the first day on."""
        on_days = [
            day.day in when.day_of_month
            and day.month in when.month_of_year
            and day.isoweekday() % 7 in when.day_of_week
            for day in CALENDAR
        ]
        minutes = (hour * 60 + minute for hour, minute in product(when.hour, when.minute))
        local, found = timeline(on_days, minutes), 0
        for (offset, fold), holds in self.holds.items():
            # An hour that comes twice counts once, unless the crontab is due in every hour.
            if fold == 0 or len(when.hour) == 24:
                found |= (local >> DAY + offset) & holds
        return found


def fires(read: AwsCron) -> int:
    """Return the minutes at which an expression fires, as bits."""
    return timeline([read.on(day) for day in CALENDAR[1:-1]], read.times)


def random_field(random: Random, low: int, high: int) -> Any:
    """Return a field as people write it, or any numbers at all."""
    first, last = random.randint(low, high), random.randint(low, high)
    return random.choice(
        [
            first,
            f"{first}-{last}",
            f"*/{random.randint(1, 20)}",
            f"{first}-{last}/{random.randint(1, 6)}",
            {random.randint(low, high) for _ in range(random.randint(1, 6))},
        ]
    )


def random_crontab(random: Random, tz: ZoneInfo) -> crontab:
    def sometimes(often: float, low: int, high: int) -> Any:
        return random_field(random, low, high) if random.random() < often else "*"

    return crontab(
        minute=sometimes(0.9, 0, 59),
        hour=sometimes(0.8, 0, 23),
        day_of_week=sometimes(0.4, 0, 6),
        day_of_month=sometimes(0.4, 1, 31),
        month_of_year=sometimes(0.2, 1, 12),
        tz=tz,
    )


def some(random: Random, minutes: int) -> list[datetime]:
    """Return some of the minutes that are bits."""
    found = []
    for _ in range(3 if minutes else 0):
        rest = minutes >> random.randrange(minutes.bit_length())
        at = minutes.bit_length() - rest.bit_length() + ((rest & -rest).bit_length() - 1)
        found.append(FIRST + timedelta(minutes=at))
    return found


@pytest.mark.parametrize("name", ZONES)
def test_a_rule_fires_whenever_its_crontab_is_due_and_the_worker_drops_the_rest(name: str) -> None:
    random, zone = Random(name), Zone(name)
    tried = 0
    while tried < EACH:
        when = random_crontab(random, zone.tz)
        if not (due := zone.due(when)):
            continue  # such as 31 February, or a leap day that is a Monday
        tried += 1
        timing = Timing(when)
        rule = firing(timing, FIRST)
        fired = fires(AwsCron(rule.expression))
        assert due & ~fired == 0, f"{when} is due when {rule} does not fire"
        if rule.covers_s is None:
            assert fired == due, f"{when} is not due when {rule} fires, and nobody asks"
        else:
            assert rule.covers_s == 60
            for at in (*some(random, due), *some(random, fired & ~due)):
                is_due = bool(due >> (at - FIRST) // timedelta(minutes=1) & 1)
                assert timing.during(at, timedelta(seconds=60)) == ([at] if is_due else [])


def test_the_bits_are_what_they_stand_for() -> None:
    zone = Zone("Europe/Berlin")
    due = zone.due(crontab(30, 2, tz=zone.tz))
    minutes = [at for at, bit in enumerate(reversed(f"{due:b}")) if bit == "1"]
    assert len(minutes) == DAYS - 3  # thrice the clock leaves half past two out
    assert FIRST + timedelta(minutes=minutes[0]) == datetime(2026, 1, 1, 1, 30, tzinfo=UTC)
    assert FIRST.date() == date(2026, 1, 1)
