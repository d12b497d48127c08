"""When tasks are due: Celery's ``schedule``, ``crontab`` and ``solar``, and ``clocked``.

EventBridge keeps the time. A schedule is a plain value that says when, and :mod:`caraway.core.cron`
says the same in EventBridge's words.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from caraway.exceptions import ImproperlyConfigured
from caraway.schedules.base import BaseSchedule, schedstate
from caraway.schedules.clocked import clocked
from caraway.schedules.crontab import crontab
from caraway.schedules.interval import schedule
from caraway.schedules.solar import solar

__all__ = [
    "BaseSchedule",
    "clocked",
    "crontab",
    "maybe_schedule",
    "schedstate",
    "schedule",
    "solar",
]


def maybe_schedule(when: Any) -> BaseSchedule:
    """Return a schedule from what an entry may give: seconds, a timedelta, or a schedule.

    Raises
    ------
    ImproperlyConfigured
        If it is something else.
    """
    if isinstance(when, BaseSchedule):
        return when
    if isinstance(when, timedelta | int | float) and not isinstance(when, bool):
        return schedule(when)
    raise ImproperlyConfigured(
        f"{when!r} is no schedule: expected crontab(...), schedule(...), a timedelta or seconds"
        + ("; crontab.from_string reads a line of a Unix crontab" if isinstance(when, str) else "")
    )
