"""Celery's ``celery.schedules``."""

from caraway.exceptions import ParseException
from caraway.schedules import BaseSchedule, crontab, maybe_schedule, schedstate, schedule, solar

__all__ = [
    "BaseSchedule",
    "ParseException",
    "crontab",
    "maybe_schedule",
    "schedstate",
    "schedule",
    "solar",
]
