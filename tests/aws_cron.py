"""EventBridge's reading of a ``cron(...)``, apart from all that the project itself reads.

By the rules of "Cron expressions reference" in the Amazon EventBridge User Guide, and checked
against that page's examples in ``tests/unit/test_cron_tables.py``.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import product

WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


class AwsCron:
    """An EventBridge cron expression."""

    def __init__(self, text: str) -> None:
        assert text.startswith("cron(")
        assert text.endswith(")")
        assert len(text) <= 256
        minutes, hours, days, months, weekdays, year = text[5:-1].split(" ")
        # "If you specify a value or a * in one of the day fields, you must use a ? in the other."
        assert (days == "?") != (weekdays == "?")
        self.year = None if year == "*" else int(year)
        self.times = frozenset(
            hour * 60 + minute
            for hour, minute in product(self.read(hours, 0, 23), self.read(minutes, 0, 59))
        )
        self.months = self.read(months, 1, 12, MONTHS)
        self.is_last = days == "L"
        self.days: set[int] = set() if days in ("L", "?") else self.read(days, 1, 31)
        self.weekdays = None if weekdays == "?" else self.read(weekdays, 1, 7, WEEKDAYS)

    @staticmethod
    def read(field: str, low: int, high: int, names: list[str] | None = None) -> set[int]:
        def number(text: str) -> int:
            value = names.index(text) + low if names and text in names else int(text)
            assert low <= value <= high
            return value

        numbers: set[int] = set()
        for part in field.split(","):
            base, _, step = part.partition("/")
            first, _, last = base.partition("-")
            if base == "*":
                start, end = low, high
            elif last:
                start, end = number(first), number(last)
                assert start <= end, "EventBridge knows no range that wraps"
            else:
                start = number(first)
                end = high if step else start
            numbers.update(range(start, end + 1, int(step or 1)))
        return numbers

    def fires(self, at: datetime) -> bool:
        return at.hour * 60 + at.minute in self.times and self.on(at.date())

    def during(self, first: datetime, days: int) -> Iterator[datetime]:
        """Give the minutes at which it fires in so many days, from a moment on."""
        end = first + timedelta(days=days)
        for day in (first.date() + timedelta(days=number) for number in range(days + 1)):
            for minute in sorted(self.times) if self.on(day) else ():
                at = datetime.combine(day, time(*divmod(minute, 60)), first.tzinfo)
                if first <= at < end:
                    yield at

    def on(self, day: date) -> bool:
        if self.year not in (None, day.year):
            return False
        if day.month not in self.months:
            return False
        if self.weekdays is not None:
            return day.isoweekday() % 7 + 1 in self.weekdays
        if self.is_last:
            return day.day == calendar.monthrange(day.year, day.month)[1]
        return day.day in self.days
