"""When tasks are due: Celery's ``schedule`` (every so often) and ``crontab``, as plain values.

EventBridge keeps the time, so a schedule holds no clock and no app: it says when, and
:mod:`caraway.core.cron` says the same in EventBridge's words.

================  ==============================  ==========================
crontab field     numbers                         names
================  ==============================  ==========================
``minute``        0-59
``hour``          0-23
``day_of_week``   0-6, Sunday is 0                ``sun`` ... ``saturday``
``day_of_month``  1-31
``month_of_year`` 1-12                            ``jan`` ... ``december``
================  ==============================  ==========================

A field is a number, a collection of numbers, or text of comma-separated parts, each ``*``, ``a`` or
``a-b``, the first and the last also with a step: ``*/15``, ``8-17/2``. A range may wrap: ``22-4``,
``fri-mon``. A step counts from the beginning of its range, so ``*/10`` days are 1, 11, 21 and 31.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias

from caraway.exceptions import ImproperlyConfigured, ParseException

Cronspec: TypeAlias = "int | str | Iterable[int]"
"""One field of a crontab, as it is written."""

_WEEKDAYS: Final = (
    *("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"),
)
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_PART = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\w*))?")


class schedule:  # noqa: N801 - Celery's name
    """Every so often: ``schedule(timedelta(minutes=5))`` or ``schedule(300)``.

    Parameters
    ----------
    run_every
        A timedelta, or seconds; above 0.

    Raises
    ------
    ImproperlyConfigured
        If it is neither, or not above 0.
    """

    def __init__(self, run_every: timedelta | float) -> None:
        if isinstance(run_every, bool) or not isinstance(run_every, timedelta | int | float):
            raise ImproperlyConfigured(
                f"schedule({run_every!r}): expected a timedelta or a number of seconds"
            )
        try:
            every = run_every if isinstance(run_every, timedelta) else timedelta(seconds=run_every)
        except (OverflowError, ValueError):  # infinite, or not a number
            every = timedelta()
        if every <= timedelta():
            raise ImproperlyConfigured(
                f"schedule({run_every!r}): an interval is above 0 and finite"
            )
        self.run_every: Final = every

    @property
    def seconds(self) -> float:
        """The interval in seconds."""
        return self.run_every.total_seconds()

    @property
    def human_seconds(self) -> str:
        """The interval in the largest unit that it fills, such as ``5.00 minutes``."""
        units = {"day": 86_400, "hour": 3_600, "minute": 60}
        unit, length_s = next(
            ((unit, length_s) for unit, length_s in units.items() if self.seconds >= length_s),
            ("second", 1),
        )
        count = self.seconds / length_s
        return f"{count:.2f} {unit}{'s' if count > 1 else ''}"

    def __eq__(self, other: object) -> bool:
        """Compare intervals; a schedule also equals its own interval."""
        if isinstance(other, schedule):
            return self.run_every == other.run_every
        return self.run_every == other if isinstance(other, timedelta) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.run_every)

    def __repr__(self) -> str:
        return f"<freq: {self.human_seconds}>"


@dataclass(frozen=True)
class _Field:
    """What one field of a crontab may hold."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def expand(self, spec: Any) -> frozenset[int]:
        """Return the numbers that a field means."""
        match spec:
            case str():
                numbers = [number for part in spec.split(",") for number in self._part(part, spec)]
            case int():
                numbers = [spec]
            case Iterable():
                numbers = list(spec)
            case _:
                raise self._error(spec, f"not {type(spec).__qualname__}")
        for number in numbers:
            if not isinstance(number, int):
                raise self._error(spec, f"{number!r} is no number")
            if not self.low <= number <= self.high:
                raise self._error(spec, f"{number} is outside")
        if not numbers:
            raise self._error(spec, "it is empty")
        return frozenset(numbers)

    def _part(self, part: str, spec: str) -> Iterable[int]:
        """Return the numbers of one of the comma-separated parts."""
        found = _PART.fullmatch(part.strip())
        if found is None:
            raise self._error(spec, f"{part!r} cannot be read" if part.strip() else "empty part")
        first, last, step = found["first"], found["last"], found["step"]
        if first is None:
            numbers = list(range(self.low, self.high + 1))
        elif last is None:
            if step is not None:
                raise self._error(spec, f"a step needs a range, as in '{first}-{self.high}/{step}'")
            return [self._number(first, spec)]
        else:
            start, end = self._number(first, spec), self._number(last, spec)
            numbers = list(range(start, end + 1)) or [
                *range(start, self.high + 1),
                *range(self.low, end + 1),
            ]
        if step is None:
            return numbers
        if not (step.isdecimal() and int(step)):
            raise self._error(spec, f"{step!r} is no step: write a number above 0 after '/'")
        return numbers[:: int(step)]

    def _number(self, text: str, spec: str) -> int:
        if text.isdecimal():
            number = int(text)
            if self.low <= number <= self.high:
                return number
            raise self._error(spec, f"{number} is outside")
        for number, name in enumerate(self.names, self.low):
            if len(text) >= 3 and name.startswith(text.lower()):
                return number
        raise self._error(spec, f"{text!r} is no number{' or name' if self.names else ''}")

    def _error(self, spec: object, problem: str) -> ParseException:
        names = f" or {self.names[0][:3]}-{self.names[-1][:3]}" if self.names else ""
        return ParseException(
            f"crontab({self.name}={spec!r}): {problem}; expected numbers of "
            f"{self.low}-{self.high}{names}, as in '*', '*/2', '{self.low},{self.low + 2}' or "
            f"'{self.low}-{self.low + 4}'"
        )


MINUTE: Final = _Field("minute", 0, 59)
HOUR: Final = _Field("hour", 0, 23)
DAY_OF_WEEK: Final = _Field("day_of_week", 0, 6, _WEEKDAYS)
DAY_OF_MONTH: Final = _Field("day_of_month", 1, 31)
MONTH_OF_YEAR: Final = _Field("month_of_year", 1, 12, _MONTHS)


class crontab:  # noqa: N801 - Celery's name
    """Whenever minute, hour, day of the week, day of the month and month all match.

    Unlike Unix cron, a day must match ``day_of_week`` *and* ``day_of_month``, as in Celery.

    Parameters
    ----------
    minute, hour, day_of_week, day_of_month, month_of_year
        A number, a collection of numbers, or text such as ``"*/15"``, ``"0,8-17/2"`` or
        ``"mon-fri"``; ``"*"``, the default, is every one. They are times in ``app.conf.timezone``.

    Attributes
    ----------
    minute, hour, day_of_week, day_of_month, month_of_year
        The numbers that the fields mean, as frozen sets; Sunday is day 0 of the week.

    Raises
    ------
    ParseException
        If a field cannot be read; the message names it.
    """

    def __init__(
        self,
        minute: Cronspec = "*",
        hour: Cronspec = "*",
        day_of_week: Cronspec = "*",
        day_of_month: Cronspec = "*",
        month_of_year: Cronspec = "*",
    ) -> None:
        self.minute: Final = MINUTE.expand(minute)
        self.hour: Final = HOUR.expand(hour)
        self.day_of_week: Final = DAY_OF_WEEK.expand(day_of_week)
        self.day_of_month: Final = DAY_OF_MONTH.expand(day_of_month)
        self.month_of_year: Final = MONTH_OF_YEAR.expand(month_of_year)
        written = (minute, hour, day_of_month, month_of_year, day_of_week)
        numbers = (self.minute, self.hour, self.day_of_month, self.month_of_year, self.day_of_week)
        self._text = " ".join(
            spec if isinstance(spec, str) else ",".join(map(str, sorted(meant)))
            for spec, meant in zip(written, numbers, strict=True)
        )

    @classmethod
    def from_string(cls, text: str) -> crontab:
        """Return the crontab of a line of a Unix crontab, such as ``"*/5 8-17 * * mon-fri"``.

        Its fields are minute, hour, day of month, month and day of week.

        Raises
        ------
        ParseException
            If it has not five fields, or one cannot be read.
        """
        fields = text.split()
        if len(fields) != 5:
            raise ParseException(
                f"crontab {text!r} has {len(fields)} fields; expected five: "
                "minute, hour, day of month, month, day of week"
            )
        minute, hour, day_of_month, month_of_year, day_of_week = fields
        return cls(minute, hour, day_of_week, day_of_month, month_of_year)

    def _numbers(self) -> tuple[frozenset[int], ...]:
        days = (self.day_of_week, self.day_of_month, self.month_of_year)
        return (self.minute, self.hour, *days)

    def __eq__(self, other: object) -> bool:
        """Compare what two crontabs mean, however they are written."""
        return self._numbers() == other._numbers() if isinstance(other, crontab) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._numbers())

    def __repr__(self) -> str:
        return f"<crontab: {self._text} (m/h/dM/MY/d)>"


def maybe_schedule(when: Any) -> schedule | crontab:
    """Return a schedule from what an entry may give: seconds, a timedelta, or a schedule.

    Raises
    ------
    ImproperlyConfigured
        If it is something else.
    """
    if isinstance(when, schedule | crontab):
        return when
    if isinstance(when, timedelta | int | float) and not isinstance(when, bool):
        return schedule(when)
    raise ImproperlyConfigured(
        f"{when!r} is no schedule: expected crontab(...), schedule(...), a timedelta or seconds"
    )
