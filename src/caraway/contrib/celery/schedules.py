"""Celery's ``celery.schedules``."""

from caraway.contrib.celery._elsewhere import elsewhere
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

__getattr__ = elsewhere(__name__, __all__)
