"""The user's project: what its app declares, and the code that its Lambda function needs."""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from caraway.beat import owner_of, schedules_of
from caraway.core.signing import Signing
from caraway.core.stores import Stores
from caraway.exceptions import LocalError
from caraway.lean import dataclass
from caraway.loader import load_app
from caraway.local.environ import scheduling_of
from caraway.local.package import project_sources

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from caraway.app import Caraway
    from caraway.core.routing import Queue
    from caraway.core.scheduling import Scheduling
    from caraway.core.stored import Owner, Stored

REQUIREMENTS: Final = "requirements.txt"

_CARAWAY: Final = Path(__file__).parents[1]
_INSTALLED: Final = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Project:
    """What is to be known of an app and its code; a value, made where the app is imported.

    Attributes
    ----------
    name
        ``module:attribute``, by which a worker loads the app.
    sources
        What goes into the Lambda package.
    requirements
        What the code needs: ``requirements.txt`` beside it, None if there is none.
    queues
        Those that the app declares or names.
    owner, schedules
        The app's schedules, and whose they are; None for an app without a name.
    scheduling, schedule_group
        Where it keeps them by its own settings; not so on a stack that has a place for them.
    signing_key
        Id and text of the key that signs what the app sends; None if nothing is signed.
    region, endpoint_url
        The settings ``aws_region`` and ``aws_endpoint_url``.
    patience_s
        What a worker's running tasks get when it stops.
    folders
        Where code lies that the app imports and that is edited here, with all below it.
    flat_folders
        Of these only what lies directly in them.
    """

    name: str
    sources: tuple[Path, ...]
    requirements: Path | None
    queues: tuple[Queue, ...]
    owner: Owner | None
    scheduling: Scheduling | None
    schedule_group: str
    schedules: tuple[Stored, ...]
    signing_key: tuple[str, str] | None = field(repr=False)
    region: str | None
    endpoint_url: str | None
    patience_s: float
    folders: frozenset[Path]
    flat_folders: frozenset[Path]

    @classmethod
    def load(cls, name: str | None) -> Project:
        """Import an app by its name, with all its tasks; see :meth:`of`.

        Raises
        ------
        ImproperlyConfigured
            If there is no such app.
        """
        return cls.of(load_app(name).finalize(), name)

    @classmethod
    def of(cls, app: Caraway, name: str | None, prefix: str | None = None) -> Project:
        """Describe an app that has been imported.

        Parameters
        ----------
        app
            Finalized.
        name
            By which it was loaded; None reads ``CARAWAY_APP``.
        prefix
            Goes before the names of its queues, if not what the app itself says.

        Raises
        ------
        ImproperlyConfigured
            If its schedule cannot be had.
        LocalError
            If its module is not in a file.
        """
        module = sys.modules[(name or os.environ["CARAWAY_APP"]).partition(":")[0]]
        attribute = next(key for key, value in vars(module).items() if value is app)
        folder, sources = _code_of(sys.modules[module.__name__.partition(".")[0]])
        requirements = folder / REQUIREMENTS
        if prefix is not None:
            app.conf.update(queue_name_prefix=prefix)
        has_schedule = bool(app.conf.beat_schedule)
        folders, flat_folders = _edited(sources)
        return cls(
            f"{module.__name__}:{attribute}",
            tuple(sources),
            requirements if requirements.is_file() else None,
            queues=tuple(app.site.router.queues.values()),
            owner=owner_of(app) if app.main or has_schedule else None,
            scheduling=app.site.scheduling,
            schedule_group=app.conf.scheduler_group_name,
            schedules=tuple(schedules_of(app, datetime.now(timezone.utc)) if has_schedule else ()),
            signing_key=_signing_key_of(app),
            region=app.conf.aws_region,
            endpoint_url=app.conf.aws_endpoint_url,
            patience_s=app.conf.worker_soft_shutdown_timeout,
            folders=folders,
            flat_folders=flat_folders,
        )

    @property
    def signing(self) -> Signing | None:
        """What signs a message as the app would; None if nothing is signed."""
        if self.signing_key is None:
            return None
        id, text = self.signing_key
        return Signing.of({id: text}, id, required=False)

    def stores_in(self, outputs: Mapping[str, str]) -> Stores | None:
        """Return where its schedules are stored; None for an app without a name.

        Parameters
        ----------
        outputs
            Those of the stack that it runs on.
        """
        if self.owner is None:
            return None
        scheduling = scheduling_of(outputs) or self.scheduling
        return Stores.of(self.owner, scheduling, self.schedule_group)


def _signing_key_of(app: Caraway) -> tuple[str, str] | None:
    # As its text: keys themselves cannot be given to another process.
    keys, id = app.conf.task_signing_keys, app.conf.task_signing_key_id
    return (id, keys[id]) if keys and id is not None else None


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


def _edited(sources: list[Path]) -> tuple[frozenset[Path], frozenset[Path]]:
    """Return the folders of the project's code and of all else that was imported from outside.

    Not of what is installed: it changes with an installation, and then everything starts anew.
    """
    folders = {source for source in sources if source.is_dir()}
    flat = {source.parent for source in sources if source.is_file()}
    standard = Path(sysconfig.get_path("stdlib"))
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." in name or name == "__main__" or not (file or getattr(module, "__path__", None)):
            continue
        places = [Path(place).absolute() for place in getattr(module, "__path__", [file])]
        for place in places:
            if set(_INSTALLED) & set(place.parts) or standard in place.parents:
                continue
            if place.is_dir():
                folders.add(place)
            elif place.is_file():
                flat.add(place.parent)
    return frozenset(folders), frozenset(flat)
