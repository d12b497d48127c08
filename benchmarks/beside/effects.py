"""What tasks of either system do: they say when they begin and end, in a log outside of AWS."""

from __future__ import annotations

import os
import time

QUEUE = "beside"
TABLE = "beside-tasks"
RESULTS = "beside-results"
VISIBILITY_S = 6
CHORD_SIZE = 10


def note(event: str, id: str) -> None:
    """Add one line to the effects log; lines that short are never torn."""
    path = os.path.join(os.environ["BESIDE_FOLDER"], "effects.log")
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(log, f"{event} {id} {os.getpid()} {time.time():.3f}\n".encode())
    finally:
        os.close(log)


def take_time(id: str, seconds: float) -> None:
    """Run for so long, and say so."""
    note("begin", id)
    time.sleep(seconds)
    note("end", id)


def sum_up(id: str, values: list[int]) -> int:
    """Take the values of a chord, and say so."""
    take_time(id, 0.0)
    return sum(values)
