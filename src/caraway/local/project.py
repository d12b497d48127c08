"""The user's project: the app, and the code that its Lambda function needs."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from caraway.exceptions import LocalError
from caraway.loader import load_app
from caraway.local.package import project_sources

if TYPE_CHECKING:
    from types import ModuleType

    from caraway.app import Caraway
    from caraway.core.routing import Queue

REQUIREMENTS: Final = "requirements.txt"

_CARAWAY: Final = Path(__file__).parents[1]
_INSTALLED: Final = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Project:
    """An app and its code.

    Attributes
    ----------
    name
        ``module:attribute``, by which a worker loads the app.
    sources
        What goes into the Lambda package.
    requirements
        What the code needs: ``requirements.txt`` beside it, None if there is none.
    """

    app: Caraway
    name: str
    sources: tuple[Path, ...]
    requirements: Path | None

    @classmethod
    def load(cls, name: str | None) -> Project:
        """Import an app by its name, with all its tasks.

        Parameters
        ----------
        name
            As :func:`caraway.loader.load_app` takes it.

        Raises
        ------
        ImproperlyConfigured
            If there is no such app.
        LocalError
            If its module is not in a file.
        """
        app = load_app(name).finalize()
        module = sys.modules[(name or os.environ["CARAWAY_APP"]).partition(":")[0]]
        attribute = next(key for key, value in vars(module).items() if value is app)
        folder, sources = _code_of(sys.modules[module.__name__.partition(".")[0]])
        requirements = folder / REQUIREMENTS
        return cls(
            app,
            f"{module.__name__}:{attribute}",
            tuple(sources),
            requirements if requirements.is_file() else None,
        )

    @property
    def queues(self) -> list[Queue]:
        """The queues that the app declares or names."""
        return list(self.app.site.router.queues.values())


def _code_of(top: ModuleType) -> tuple[Path, list[Path]]:
    """Return the folder that holds a top-level module, and what of it is the project's code.

    Of what is installed, that is the module itself alone; of Caraway nothing, as it is in every
    package anyway.
    """
    places = [top.__file__] if top.__file__ else list(getattr(top, "__path__", []))
    if not places or places[0] is None:
        raise LocalError(f"{top.__name__} is not in a file, so its code cannot be packaged")
    place = Path(places[0]).absolute()
    if place.name == "__init__.py":
        place = place.parent
    if place == _CARAWAY:
        return place.parent, []
    if place.parent.name in _INSTALLED:
        return place.parent, [place]
    return place.parent, project_sources(place.parent)
