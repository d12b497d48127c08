"""The two systems as processes: how each sends, and how its workers run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

ROOT = Path(__file__).parents[2]
LOOK_S = 0.2


@dataclass(frozen=True)
class System:
    """A task system.

    Attributes
    ----------
    python
        Of the environment in which it is installed.
    """

    name: str
    python: Path
    module: str
    worker: tuple[str, ...]

    def send(self, environ: Mapping[str, str], *arguments: str) -> None:
        """Send calls, or chords."""
        subprocess.run(
            [str(self.python), "-m", self.module, *arguments],
            env=dict(environ),
            cwd=ROOT,
            check=True,
        )

    def start(self, environ: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start a worker, in a process group of its own."""
        with log.open("ab") as said:
            return subprocess.Popen(
                [str(self.python), "-m", *self.worker],
                env=dict(environ),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def caraway() -> System:
    """Return Caraway: workers with four processes each."""
    worker = ("caraway", "-A", "benchmarks.beside.caraway_app:app", "worker", "-P", "prefork")
    return System(
        "Caraway",
        Path(sys.executable),
        "benchmarks.beside.caraway_app",
        (*worker, "-c", "4", "-Q", "beside"),
    )


def celery(python: Path) -> System:
    """Return Celery: workers with four processes each."""
    worker = ("celery", "-A", "benchmarks.beside.celery_app", "worker", "-P", "prefork")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO")
    return System(
        "Celery",
        python,
        "benchmarks.beside.celery_app",
        (*worker, "-c", "4", "-Q", "beside", *quiet),
    )


class Workers:
    """Workers that are started again when they die, as a context manager."""

    def __init__(
        self, system: System, count: int, environ: Mapping[str, str], folder: Path
    ) -> None:
        self._system, self._environ, self._folder = system, environ, folder
        self._stopping = threading.Event()
        self._running = [self._start(place) for place in range(count)]
        self._keeper = threading.Thread(target=self._keep)

    def __enter__(self) -> Self:
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._keeper.join()
        for place in range(len(self._running)):
            self.kill(place)

    def kill(self, place: int) -> None:
        """Kill a worker with all its processes, as a container dies."""
        worker = self._running[place]
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    @property
    def processes(self) -> Sequence[int]:
        """Ids of the workers' main processes."""
        return [worker.pid for worker in self._running]

    def _start(self, place: int) -> subprocess.Popen[bytes]:
        return self._system.start(self._environ, self._folder / f"worker-{place}.log")

    def _keep(self) -> None:
        while not self._stopping.wait(LOOK_S):
            for place, worker in enumerate(self._running):
                if worker.poll() is not None:
                    self._running[place] = self._start(place)
