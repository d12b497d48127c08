"""Celery's ``celery.utils.log``."""

import logging

from caraway.contrib.celery._elsewhere import elsewhere
from caraway.utils.log import TASK_LOGGER, TaskFormatter, get_logger, get_task_logger

task_logger = logging.getLogger(TASK_LOGGER)

__all__ = ["TaskFormatter", "get_logger", "get_task_logger", "task_logger"]

__getattr__ = elsewhere(__name__, __all__)
