"""An app that is made as Celery's is."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from caraway.app import Caraway
from caraway.contrib.celery._state import get_current_app
from caraway.exceptions import ImproperlyConfigured, UnknownOption, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from caraway.base import AppBase

__all__ = ["Celery", "app_or_default"]

_log: Final = logging.getLogger("caraway")
_NO_MEANING: Final = {
    "amqp": "SQS is the broker",
    "autofinalize": "every door finalizes the app",
    "backend": "results are kept in the table that the setting task_table names",
    "broker": "SQS is the broker, where the AWS environment says (AWS_ENDPOINT_URL, AWS_REGION)",
    "control": "no worker is controlled by messages",
    "events": "workers send no events: the task records are the monitor",
    "fixups": "Django is found by DJANGO_SETTINGS_MODULE",
    "loader": "modules are named with include= or imports",
    "log": "logging is set up by the setup_logging signal",
    "result_backend": "results are kept in the table that the setting task_table names",
    "tasks": "tasks are registered by @app.task",
}
"""Celery's arguments of an app without a meaning here, and why."""
_ARGUMENTS: Final = (
    "changes",
    "config_source",
    "include",
    "main",
    "namespace",
    "set_as_current",
    "strict_typing",
    "task_cls",
)


class Celery(Caraway):
    """An app that takes Celery's arguments; those without a meaning are answered with one line.

    Parameters
    ----------
    main
        The app's name.
    include
        Modules to import when a worker starts.
    config_source, namespace
        What :meth:`config_from_object` takes.
    changes
        Settings.
    task_cls
        Base class of the app's tasks, or its path: ``"package.module:Class"``.
    strict_typing
        False leaves arguments unchecked when they are sent.
    set_as_current
        Make it the app that ``shared_task`` and bare signatures use.

    Raises
    ------
    UnknownOption
        If Celery has no argument of a name either.
    """

    def __init__(
        self,
        main: str | None = None,
        *,
        include: Iterable[str] | None = None,
        config_source: Any = None,
        namespace: str | None = None,
        changes: Mapping[str, Any] | None = None,
        task_cls: type | str | None = None,
        strict_typing: bool = True,
        set_as_current: bool = True,
        **others: Any,
    ) -> None:
        for name, value in others.items():
            if name not in _NO_MEANING:
                close = nearest(name, [*_NO_MEANING, *_ARGUMENTS])
                raise UnknownOption(f"Celery() takes no {name!r}{close}")
            if value is not None:
                _log.warning("Celery(%s=...) has no meaning here: %s", name, _NO_MEANING[name])
        super().__init__(main, include=include or (), set_as_current=set_as_current)
        self.namespace = namespace
        if task_cls is not None:
            self.Task = _imported(task_cls) if isinstance(task_cls, str) else task_cls
        if not strict_typing:
            self.Task = type("Task", (self.Task,), {"typing": False})
        if config_source is not None:
            self.config_from_object(config_source)
        self.conf.update(changes or {})

    def config_from_object(  # type: ignore[override]  # the order is Celery's
        self,
        source: Any,
        silent: bool = False,
        force: bool = False,  # noqa: ARG002 - settings are read at once, always
        namespace: str | None = None,
    ) -> bool:
        """Read settings from a module's path, an object or a mapping; False if it is not there.

        Parameters
        ----------
        silent
            Return False for a module that is not there, instead of raising.
        """
        if silent and isinstance(source, str) and not _is_there(source.partition(":")[0]):
            return False
        super().config_from_object(source, namespace or self.namespace)
        return True

    def config_from_envvar(self, variable_name: str, silent: bool = False) -> bool:
        """Read settings from the module that an environment variable names.

        Raises
        ------
        ImproperlyConfigured
            If the variable is not set, without ``silent``.
        """
        name = os.environ.get(variable_name)
        if name:
            return self.config_from_object(name, silent=silent)
        if silent:
            return False
        raise ImproperlyConfigured(
            f"config_from_envvar: {variable_name} is not set: it is to name a module of settings"
        )

    def set_default(self) -> None:
        """Make it the app that ``shared_task`` and bare signatures use."""
        self.set_current()


def app_or_default(app: AppBase | None = None) -> AppBase:
    """Return the app, or the current one in place of None."""
    return app or get_current_app()


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it is to be in is not there
        return False


def _imported(path: str) -> Any:
    module, _, name = path.replace(":", ".").rpartition(".")
    return getattr(import_module(module), name)
