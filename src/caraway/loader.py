"""Finding an app by its name."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from caraway.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from caraway.app import Caraway


def load_app(name: str | None = None) -> Caraway:
    """Return the app that a name stands for.

    Parameters
    ----------
    name
        ``module:attribute``, or ``module`` for its attribute ``app``, or its only app. None reads
        the environment variable ``CARAWAY_APP``. The working folder can be imported from.

    Raises
    ------
    ImproperlyConfigured
        If no name is given, or no app is there.
    """
    from caraway.app import Caraway

    name = name or os.environ.get("CARAWAY_APP")
    if not name:
        raise ImproperlyConfigured("no app: give -A module:attribute, or set CARAWAY_APP")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module_name, _, attribute = name.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.split(".")[0] == error.name.split(".")[0]:
            raise ImproperlyConfigured(
                f"there is no module {error.name!r} to find the app {name!r} in: "
                "run from the folder that holds it, or install it"
            ) from error
        raise
    if attribute:
        found = getattr(module, attribute, None)
    else:
        found = getattr(module, "app", None)
        if not isinstance(found, Caraway):
            apps = [each for each in vars(module).values() if isinstance(each, Caraway)]
            found = apps[0] if len(apps) == 1 else None
    if not isinstance(found, Caraway):
        raise ImproperlyConfigured(
            f"{name!r} is no Caraway app: name it as module:attribute, such as shop:app"
        )
    return found
