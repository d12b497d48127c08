"""A process with all that it starts: its CPU time, its memory, and a pause."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from typing_extensions import Self

ROOT = Path(__file__).parents[1]
_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_S = 20.0
_GROUP, _TIMES = 2, slice(11, 15)
"""Of ``/proc/PID/stat``, counted from what follows the command's name."""


class Group:
    """A process in a group of its own, as a context manager that kills the group at its end.

    Parameters
    ----------
    log
        Where it says what it does; its standard output is a pipe if `talks`.
    """

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], log: Path, *, talks: bool = False
    ) -> None:
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                command,
                env=dict(environ),
                cwd=ROOT,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else said,
                stderr=said,
                start_new_session=True,
            )
        self.log = log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tell(signal.SIGCONT)
        self._tell(signal.SIGKILL)
        self.process.wait(_STOP_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def pause(self) -> None:
        """Stop all of it where it is."""
        self._tell(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._tell(signal.SIGCONT)

    def check(self) -> None:
        """Raise what it said last, if it has ended."""
        if self.process.poll() is not None:
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{' '.join(map(str, self.process.args))} has ended:\n{last}")  # type: ignore[arg-type]

    def _tell(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def pids(self) -> list[int]:
        """Ids of its processes."""
        return [pid for pid, fields in _processes() if int(fields[_GROUP]) == self.process.pid]

    def cpu_s(self) -> float:
        """CPU seconds of all of its processes so far, those that have ended included."""
        ticks = sum(
            sum(map(int, fields[_TIMES]))
            for _, fields in _processes()
            if int(fields[_GROUP]) == self.process.pid
        )
        return ticks / _TICKS

    def memory_mb(self) -> float:
        """Resident memory; what its processes share is counted once."""
        private, shared = 0, 0
        for pid in self.pids():
            with suppress(FileNotFoundError, ProcessLookupError):
                mine = _rollup(pid)
                own = mine["Private_Clean"] + mine["Private_Dirty"]
                private += own
                shared = max(shared, mine["Rss"] - own)
        return (private + shared) / 1024


def _processes() -> Iterator[tuple[int, list[str]]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                stat = Path("/proc", name, "stat").read_text()
                yield int(name), stat.rpartition(")")[2].split()


def _rollup(pid: int) -> dict[str, int]:
    lines = Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}
