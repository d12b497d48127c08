"""Celery's ``celery.app.task``."""

from caraway.core.context import Context
from caraway.task import Task

__all__ = ["Context", "Task"]
