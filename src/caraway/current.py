"""Which app is the current one, and what is declared for every app."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

from caraway.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.base import AppBase

_current: AppBase | None = None
_apps: weakref.WeakSet[AppBase] = weakref.WeakSet()
_declarations: list[Callable[[Any], None]] = []


def set_current_app(app: AppBase) -> None:
    """Make an app the one that shared tasks and bare signatures use."""
    global _current
    _current = app


def current_app() -> AppBase:
    """Return the current app: the last one that was made.

    Raises
    ------
    ImproperlyConfigured
        If there is none yet.
    """
    if _current is None:
        raise ImproperlyConfigured(
            "there is no app yet: make one (app = Caraway('name')) in a module that is imported "
            "before tasks are used"
        )
    return _current


def adopt(app: AppBase) -> None:
    """Declare to a new app what is declared for every app; it hears of what comes later, too."""
    _apps.add(app)
    for declare in _declarations:
        declare(app)


def declare_to_all(declare: Callable[[Any], None]) -> None:
    """Call a function with every app there is, and with every one there will be."""
    _declarations.append(declare)
    for app in list(_apps):
        declare(app)


def _forget_clients() -> None:
    """Drop inherited connections in a forked child: replies must not cross between processes."""
    for app in list(_apps):
        app.forget_clients()


os.register_at_fork(after_in_child=_forget_clients)
