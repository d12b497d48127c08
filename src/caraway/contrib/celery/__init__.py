"""Celery's module names: existing code changes its imports and nothing else.

``from celery.schedules import crontab`` becomes ``from caraway.contrib.celery.schedules import
crontab``, and so on for ``celery``, ``celery.app``, ``celery.canvas``, ``celery.exceptions``,
``celery.result``, ``celery.schedules``, ``celery.signals``, ``celery.states``, ``celery.utils`` and
``celery.utils.log``. The objects are Caraway's own, but for :class:`Celery`, ``current_app`` and
``current_task``.

Nothing makes ``import celery`` itself find them: packages that look for Celery to extend it would
take this for it, and reach for parts of it that have no meaning here.
"""

from caraway.contrib.celery._elsewhere import elsewhere
from caraway.contrib.celery._state import current_app, current_task
from caraway.contrib.celery.app.base import Celery
from caraway.contrib.celery.canvas import (
    Signature,
    chain,
    chord,
    chunks,
    group,
    maybe_signature,
    signature,
    subtask,
    xmap,
    xstarmap,
)
from caraway.contrib.celery.utils import uuid
from caraway.shared import shared_task
from caraway.task import Task

__all__ = [
    "Celery",
    "Signature",
    "Task",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "current_task",
    "group",
    "maybe_signature",
    "shared_task",
    "signature",
    "subtask",
    "uuid",
    "xmap",
    "xstarmap",
]

__getattr__ = elsewhere(__name__, __all__)
