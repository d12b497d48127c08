"""Celery's ``celery.schedules``."""

from caraway.exceptions import ParseException
from caraway.schedules import crontab, maybe_schedule, schedule

__all__ = ["ParseException", "crontab", "maybe_schedule", "schedule"]
