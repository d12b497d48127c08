"""The processes of a run: workers that come back when they die, and the hand that kills them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Final

from caraway.exceptions import LocalError
from caraway.local.worker import LocalWorker
from tests.chaos.stage import slowness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Self

_LOOK_S: Final = 0.1
_PARTING_S: Final = 10.0
"""What a warm shutdown gets, on a machine that has time for it."""
RECENT_S: Final = 10.0
"""A task that began longer ago is not looked for: its process may be another's by now."""
MERCY: Final = 12
"""Attempts of one task after which who runs it is struck no more."""


class Fleet:
    """Workers, each started again when it ends, as ECS does; as a context manager.

    Attributes
    ----------
    restarts
        How often one ended before its time.
    exit_codes
        Of those that were stopped at the end: 0 after a warm shutdown.
    states
        How each is.
    """

    def __init__(
        self,
        several: Sequence[Sequence[str]],
        environ: Mapping[str, str],
        folder: Path,
        queue: str = "short",
    ) -> None:
        self._queue = queue
        self.restarts = 0
        self.exit_codes: list[int | None] = []
        self.states = ["" for _ in several]
        self._environ = environ
        self._stopping = threading.Event()
        self._keepers = [
            threading.Thread(
                target=self._keep,
                args=(place, options, folder / f"worker-{place}.log"),
                name="keeper",
            )
            for place, options in enumerate(several)
        ]

    def __enter__(self) -> Self:
        for keeper in self._keepers:
            keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for keeper in self._keepers:
            keeper.join()

    def _keep(self, place: int, options: Sequence[str], log: Path) -> None:
        restarts = 0
        with log.open("w", buffering=1) as said:
            while not self._stopping.is_set():
                worker = LocalWorker(
                    ["-A", "tests.chaos.app:app", "-Q", self._queue, *options],
                    self._environ,
                    on_lines=lambda lines: said.writelines(f"{line}\n" for line in lines),
                    patience_s=_PARTING_S * slowness(),
                )
                about = f"worker {place} ({' '.join(options)}), restarted {restarts} times:"
                try:
                    self.states[place] = f"{about} it starts"
                    worker.start()
                    self.states[place] = f"{about} it runs"
                    while not self._stopping.wait(_LOOK_S):
                        worker.check()
                except LocalError:
                    restarts += 1
                    self.restarts += 1
                finally:
                    self.states[place] = f"{about} it stops"
                    worker.stop()
            self.exit_codes.append(worker.exit_code)


class Killer:
    """Kills whoever runs a task, at moments and of a choice that the seed decides.

    Parameters
    ----------
    every_s
        Mean time between two strikes, 0 for none.
    freeze_s
        With more than 0 nobody is killed: a process stands still for so long, and then goes on as
        if nothing had been.
    effects
        The effects log, which says who runs a task.

    Attributes
    ----------
    kills
        How often it struck.
    """

    def __init__(self, seed: int, every_s: float, freeze_s: float, effects: Path) -> None:
        self.kills = 0
        self._freeze_s = freeze_s
        self._rng = Random(f"kills {seed}")
        self._every_s = every_s
        self._effects = effects
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer")

    def __enter__(self) -> Self:
        if self._every_s:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._every_s:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._rng.uniform(0.5, 1.5) * self._every_s):
            victims = sorted(running(self._effects, time.time() - RECENT_S))
            if victims:
                with suppress(ProcessLookupError):
                    self._strike(self._rng.choice(victims))
                    self.kills += 1

    def _strike(self, victim: int) -> None:
        if not self._freeze_s:
            os.kill(victim, signal.SIGKILL)
            return
        os.kill(victim, signal.SIGSTOP)
        try:
            self._stopping.wait(self._freeze_s)
        finally:
            os.kill(victim, signal.SIGCONT)


def running(effects: Path, since: float) -> set[int]:
    """Return the processes that began a task lately and have not ended it.

    Those that run a task begun ``MERCY`` times already are left alone: as the last one on its
    queue it would be struck every time, however often it is begun.
    """
    begun: dict[tuple[str, str], int] = {}
    attempts: Counter[str] = Counter()
    if not effects.exists():
        return set()
    for line in effects.read_text().splitlines():
        event, id, token, pid, at = line.split()
        if event == "end":
            begun.pop((id, token), None)
            continue
        attempts[id] += 1
        if float(at) > since:
            begun[id, token] = int(pid)
    spared = {pid for (id, _), pid in begun.items() if attempts[id] >= MERCY}
    return set(begun.values()) - spared
