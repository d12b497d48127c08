"""Logging for tasks and workers, with Celery's names."""

from __future__ import annotations

import logging
from typing import Final

from caraway.core.context import current

TASK_LOGGER: Final = "caraway.task"
_TO_THE_SECOND: Final = len("2026-01-02 03:04:05,")


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


class Clocked(logging.Formatter):
    """Writes the time of a record; the second, which many records share, once.

    For a ``datefmt`` of None, with which a time has its milliseconds after 20 characters.
    """

    _second: tuple[int | None, str, str] = (None, "", "")

    def formatTime(  # noqa: N802 - logging calls it so
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Return the time."""
        if datefmt is not None or self.datefmt is not None:
            return super().formatTime(record, datefmt)
        second, before, after = self._second
        if second != int(record.created):
            text = super().formatTime(record)
            before, after = text[:_TO_THE_SECOND], text[_TO_THE_SECOND + 3 :]
            self._second = int(record.created), before, after
        return f"{before}{int(record.msecs):03}{after}"


class TaskFormatter(Clocked):
    """Fills ``%(task_id)s`` and ``%(task_name)s``; ``???`` outside of tasks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        context = current.get()
        running = context.running() if context is not None else None
        record.task_id = (running.id if running else None) or "???"
        record.task_name = (running.task if running else None) or "???"
        return super().format(record)
