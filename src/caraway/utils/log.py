"""Logging for tasks and workers, with Celery's names."""

from __future__ import annotations

import logging
from typing import Final

from caraway.core.context import current

TASK_LOGGER: Final = "caraway.task"


def get_logger(name: str) -> logging.Logger:
    """Return a logger below ``caraway``."""
    return logging.getLogger(name if name.startswith("caraway") else f"caraway.{name}")


def get_task_logger(name: str) -> logging.Logger:
    """Return a logger for use inside tasks: its lines carry the task's name and id.

    Parameters
    ----------
    name
        Usually ``__name__``.
    """
    logger, parent = logging.getLogger(name), logging.getLogger(TASK_LOGGER)
    if not _is_below(logger, parent) and not _is_below(parent, logger):
        logger.parent = parent
    return logger


def _is_below(logger: logging.Logger | None, parent: logging.Logger) -> bool:
    while logger is not None and logger is not parent:
        logger = logger.parent
    return logger is parent


class TaskFormatter(logging.Formatter):
    """Fills ``%(task_id)s`` and ``%(task_name)s``; ``???`` outside of tasks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        context = current.get()
        running = context.running() if context is not None else None
        record.task_id = (running.id if running else None) or "???"
        record.task_name = (running.task if running else None) or "???"
        return super().format(record)
