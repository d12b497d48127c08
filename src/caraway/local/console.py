"""What ``caraway dev`` shows: its own lines, and one log of everything that runs."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from caraway.local.logs import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DOORS: Final = {"lambda": "magenta", "worker": "cyan", "app": "blue", "dev": "green"}
_CLOCK: Final = len("12:34:56")
_WIDTH: Final = max(map(len, _DOORS))
_LEVELS: Final = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


class Console:
    """Writes to standard output, from any thread, each record in one piece.

    Parameters
    ----------
    color
        None: colours where a terminal is looked at and ``NO_COLOR`` is not set.
    """

    def __init__(self, color: bool | None = None) -> None:
        if color is None:
            color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._color = color
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._phases: list[str] = []

    def say(self, text: str) -> None:
        """Write as it is: what is to be copied, or read before anything runs."""
        with self._lock:
            click.echo(text, color=self._color)

    def show(self, door: str, records: Sequence[Record]) -> None:
        """Write what one of those that run has logged; the door's name begins each line."""
        head = click.style(f"{door:>{_WIDTH}} |", fg=_DOORS[door])
        lines = [f"{head} {line}" for record in records for line in _lines(record)]
        if lines:
            self.say("\n".join(lines))

    def tell(self, text: str, level: str = "") -> None:
        """Write a line of ``caraway dev`` itself into the log."""
        self.show("dev", [Record(text, level, time.strftime("%H:%M:%S"))])

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Remember how long a part of the start takes, for :meth:`phases`."""
        began = time.monotonic()
        yield
        self._phases.append(f"{name} {time.monotonic() - began:.1f}")

    def phases(self) -> str:
        """Say how long everything took until now, and what of it."""
        return f"{time.monotonic() - self._began:.1f} s ({', '.join(self._phases)})"


def _lines(record: Record) -> list[str]:
    """Return a record's lines; the first has time and level, the others go below its text."""
    first, *others = record.text.strip("\n").splitlines() or [""]
    if not (record.clock or record.level):
        return [line for line in [first, *others] if line.strip()]
    color = _LEVELS.get(record.level)
    level = f"{click.style(f'{record.level:<7}', fg=color)} " if record.level else ""
    below = [f"{'':{_CLOCK}} {click.style(line, fg=color)}" for line in others]
    return [f"{record.clock:{_CLOCK}} {level}{first}", *below]
