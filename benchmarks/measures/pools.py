"""How much a pool gains: the same tasks by one worker process, in different pools."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.brokers import stub
from benchmarks.measures import say
from benchmarks.processes import ROOT, Group

if TYPE_CHECKING:
    from benchmarks.measures import Row, Scale

WARM_UP = 10
"""Tasks at either end that are not counted: the pool fills, and runs dry."""
APP = "benchmarks.peers.caraway_pools"
_SEND = f"""
import sys
from {APP} import app
with app.batch():
    for _ in range(int(sys.argv[2])):
        app.tasks[sys.argv[1]].delay(sys.argv[3])
"""


@dataclass(frozen=True)
class Pool:
    """A pool, and how many tasks show what it does."""

    options: str
    task: str
    tasks: int


POOLS = (
    Pool("-P prefork -c 1", "compute", 50),
    Pool("-P prefork -c 2", "compute", 100),
    Pool("-P threads -c 2", "compute", 50),
    Pool("-P solo", "sleep", 50),
    Pool("-P threads -c 32", "sleep", 1_200),
    Pool("-P gevent -c 32", "sleep", 1_200),
)


def measure(scale: Scale) -> list[Row]:
    """Measure each pool once."""
    rows: list[Row] = []
    for pool in POOLS:
        say(f"pools: {pool.task} {pool.options}")
        speed = per_second(pool, scale.tasks(pool.tasks, least=2 * WARM_UP + 5))
        rows.append({"task": pool.task, "options": pool.options, "per_second": speed})
    return rows


def per_second(pool: Pool, tasks: int) -> float:
    """Return how many tasks a worker ends in a second, while it has enough of them."""
    with stub() as aws, TemporaryDirectory(prefix="bench-") as folder:
        log = Path(folder, "ended")
        log.touch()
        environ = {**aws.environ, "PYTHONPATH": str(ROOT)}
        arguments = (pool.task, str(tasks), str(log))
        subprocess.run([sys.executable, "-c", _SEND, *arguments], env=environ, check=True)
        worker = ("caraway", "-A", f"{APP}:app", "worker", *pool.options.split())
        command = [sys.executable, "-m", *worker]
        with Group(command, environ, Path(folder, "worker.log")) as running:
            ended: list[float] = []
            while len(ended) < tasks:
                time.sleep(0.1)
                running.check()
                ended = sorted(map(float, log.read_text().split()))
    counted = ended[WARM_UP:-WARM_UP]
    return (len(counted) - 1) / (counted[-1] - counted[0])
