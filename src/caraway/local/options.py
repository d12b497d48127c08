"""What the command line of ``caraway dev`` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caraway.lean import dataclass
from caraway.local.provision import TEMPLATE

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Options:
    """What the command line says.

    Attributes
    ----------
    app_name
        ``module:attribute``; None reads ``CARAWAY_APP``.
    port
        For the engine; None: 4566 if it is free, else any.
    template
        A SAM template.
    requirements
        What the app's code needs on Lambda; by default ``requirements.txt`` beside the code.
    worker
        Whether a worker is started for the ``consumer="ecs"`` queues.
    queues
        Other queues for the worker.
    worker_options
        Further options of ``caraway worker``.
    reload
        Whether changed code is brought to the function and the worker.
    speed
        Seconds of the schedules' clock to a real one.
    keep
        Folder that keeps the local AWS until the next start.
    color
        None: as the terminal and ``NO_COLOR`` say.
    """

    app_name: str | None = None
    port: int | None = None
    template: Path = TEMPLATE
    requirements: Path | None = None
    worker: bool = True
    queues: tuple[str, ...] = ()
    worker_options: tuple[str, ...] = ()
    reload: bool = True
    keep: Path | None = None
    speed: float = 1.0
    color: bool | None = None
