"""Fix-ups: what fits an app to the framework that its process belongs to."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

_FRAMEWORKS: Final = {"DJANGO_SETTINGS_MODULE": "django"}
"""By the variable that says so: the framework of a process, and its room in ``contrib``."""


class Fixup(Protocol):
    """How an app fits into a framework's process."""

    def set_up(self) -> None:
        """Start the framework, before any module with tasks is imported."""
        ...

    def packages(self) -> Sequence[str]:
        """Return the packages in which the framework's users keep their tasks."""
        ...


def fit_to_environment(app: Any) -> None:
    """Fit a new app to the frameworks that the environment names, as Celery does."""
    for variable, framework in _FRAMEWORKS.items():
        if not os.environ.get(variable):
            continue
        if find_spec(framework) is None:
            logging.getLogger("caraway").warning(
                "%s is set, but %s is not installed: the app is not fitted to it",
                variable,
                framework,
            )
            continue
        # By name: the rooms stand above the app, and need what it does not.
        room: Any = import_module(f"caraway.contrib.{framework}")
        room.fit(app)
