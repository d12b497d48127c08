"""Celery's ``celery.app``: the app, and tasks for every app."""

from caraway.contrib.celery._elsewhere import elsewhere
from caraway.contrib.celery._state import current_app, current_task
from caraway.contrib.celery.app.base import Celery, app_or_default
from caraway.shared import shared_task

__all__ = ["Celery", "app_or_default", "current_app", "current_task", "shared_task"]

__getattr__ = elsewhere(__name__, __all__)
