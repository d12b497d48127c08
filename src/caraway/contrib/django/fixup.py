"""Django's part in an app: its start, its installed apps, the base class of its tasks."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from caraway.contrib.django.task import DjangoTask
from caraway.task import Task

if TYPE_CHECKING:
    from caraway.app import Caraway

_inherited: Final[list[Any]] = []
"""Connections of the parent process: to close them, or to let them go, would end them there."""


class DjangoFixup:
    """Starts Django in a worker, and knows where a project's tasks are."""

    def set_up(self) -> None:
        """Start Django where nobody has: a worker, the command line, a Lambda function."""
        import django
        from django.apps import apps

        if not apps.ready:  # in a web process Django has started by itself
            django.setup()
        _leave_connections_to_the_parent()

    def packages(self) -> list[str]:
        """Return the installed apps, also those named by their ``AppConfig``."""
        from django.apps import apps

        return [config.name for config in apps.get_app_configs()]


def fit(app: Caraway) -> None:
    """Fit an app to Django; the app does so itself if ``DJANGO_SETTINGS_MODULE`` is set.

    Its tasks derive from :class:`~caraway.contrib.django.DjangoTask` then, unless the app has a
    base class of its own.
    """
    if app.Task is Task:
        app.Task = DjangoTask
    if not any(isinstance(each, DjangoFixup) for each in app.fixups):
        app.fixups.append(DjangoFixup())


@cache
def _leave_connections_to_the_parent() -> None:
    """Let children of this process, such as those of prefork, connect to databases anew."""
    os.register_at_fork(after_in_child=_put_aside)


def _put_aside() -> None:
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        _inherited.append(connection)
        del connections[connection.alias]
