"""What is measured, a module for each section of the page.

Each has ``measure(scale)``, which returns raw figures (rows of plain values, for JSON): what they
mean is decided where the page and the plots are written, so that neither needs another run.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from subprocess import SubprocessError
from typing import TYPE_CHECKING, Any

from benchmarks.systems import SYSTEMS, WIDER

if TYPE_CHECKING:
    from collections.abc import Callable

Row = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes
    ----------
    rounds
        How often everything is measured; within a round the systems take turns.
    part
        Of the usual number of tasks.
    only
        Names of systems; none: all.
    """

    rounds: int = 3
    part: float = 1.0
    only: tuple[str, ...] = ()

    def tasks(self, usual: int, least: int = 10) -> int:
        """Return how many tasks to run where `usual` is the usual number."""
        return max(least, round(usual * self.part))

    def times(self, part: float) -> Scale:
        """Return a smaller scale."""
        return replace(self, part=self.part * part)

    def has(self, name: str) -> bool:
        """Say whether a system is measured."""
        return not self.only or name in self.only

    def systems(self) -> list[Any]:
        """Return the systems that are measured."""
        return [system for system in SYSTEMS if self.has(system.name)]

    def wider(self) -> list[Any]:
        """Return those that run more tasks at a time."""
        return [system for system in WIDER if self.has(system.name)]


_began = time.monotonic()


def say(line: str) -> None:
    """Tell the person who waits."""
    minutes, seconds = divmod(int(time.monotonic() - _began), 60)
    print(f"{minutes:3}:{seconds:02} {line}", file=sys.stderr, flush=True)


def tried(what: str, measure: Callable[[], list[Row]]) -> list[Row]:
    """Return what is measured; what fails is told, and the rest goes on without it."""
    say(what)
    try:
        return measure()
    except (OSError, RuntimeError, SubprocessError, ValueError) as error:
        say(f"{what}: failed: {error}")
        return []
