"""Django's part in an app: its start, its installed apps, and what its tasks are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caraway.contrib.django.connections import Connections, leave_them_to_the_parent
from caraway.contrib.django.task import DjangoTask
from caraway.task import Task

if TYPE_CHECKING:
    from caraway.app import Caraway


class DjangoFixup:
    """Starts Django in a worker, and knows where a project's tasks are."""

    def set_up(self) -> None:
        """Start Django where nobody has: a worker, the command line, a Lambda function."""
        import django
        from django.apps import apps

        if not apps.ready:  # in a web process Django has started by itself
            django.setup()
        leave_them_to_the_parent()

    def packages(self) -> list[str]:
        """Return the installed apps, also those named by their ``AppConfig``."""
        from django.apps import apps

        return [config.name for config in apps.get_app_configs()]


def fit(app: Caraway) -> None:
    """Fit an app to Django; the app does so itself if ``DJANGO_SETTINGS_MODULE`` is set.

    Its tasks derive from :class:`~caraway.contrib.django.DjangoTask` then, unless the app has a
    base class of its own. Whatever their class is, :class:`Connections` surrounds their runs.
    """
    if any(isinstance(each, DjangoFixup) for each in app.fixups):
        return
    app.fixups.append(DjangoFixup())
    app.add_middleware(Connections())
    if app.Task is Task:
        app.Task = DjangoTask
