"""Start-up: import, an app and one task, in fresh processes, side by side with Celery."""

from __future__ import annotations

import json
import statistics
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CARAWAY = """
from caraway import Caraway
app = Caraway("bench")
@app.task
def add(x: int, y: int) -> int:
    return x + y
"""
CELERY = """
from celery import Celery
app = Celery("bench", broker="sqs://")
@app.task
def add(x: int, y: int) -> int:
    return x + y
add.name
"""
_TIMED = """
import json, time
began = time.perf_counter()
{code}
print(json.dumps(time.perf_counter() - began))
"""


def seconds(python: Path | str, code: str) -> float:
    """Return how long a fresh interpreter takes for the code, interpreter start not counted."""
    ran = subprocess.run(
        [str(python), "-c", _TIMED.format(code=code)],
        capture_output=True,
        text=True,
        check=True,
    )
    taken: float = json.loads(ran.stdout)
    return taken


def compare(caraway: Path | str, celery: Path | str, rounds: int = 15) -> tuple[float, float]:
    """Return the medians of Caraway and of Celery, measured in turn after a warm-up."""
    times: list[tuple[float, float]] = [
        (seconds(caraway, CARAWAY), seconds(celery, CELERY)) for _ in range(rounds + 1)
    ][1:]
    ours, theirs = zip(*times, strict=True)
    return statistics.median(ours), statistics.median(theirs)
