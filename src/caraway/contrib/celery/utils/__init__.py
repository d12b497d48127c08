"""Celery's ``celery.utils``: ids."""

from caraway.contrib.celery._elsewhere import elsewhere
from caraway.core.ids import new_id

uuid = gen_unique_id = new_id

__all__ = ["gen_unique_id", "uuid"]

__getattr__ = elsewhere(__name__, __all__)
