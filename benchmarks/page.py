"""``python -m benchmarks.page [FOLDER [PAGE]]``: write the page and its plots from the figures.

Nothing is measured here; the same figures give the same page.
"""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run
from typing import Any

from benchmarks import aims, comparisons, own
from benchmarks.figures import FOLDER, Figures
from benchmarks.processes import ROOT
from benchmarks.systems import PLOTS_LOCK, installed

PAGE = Path(__file__).parent / "RESULTS.md"
HOW = """\
Every system has one worker process (Celery's has a child) in an environment of its own, and runs
the same task: it appends a byte to a file. SQS and DynamoDB are a **stub in memory** on the same
machine, unless *local engine* is said: what is measured is who asks, and the CPU of the stub, of
the local engine and of Redis is not counted. Redis is a real server; without one on PATH its
figures are missing. The worker has run some tasks before, and is paused while the queue is filled.
CPU is user and system time of all of its processes until the last result is written and the last
message acknowledged; throughput ends with the last task. A receive that brings nothing is not
counted as a request."""
WHO = """\
*Caraway, no record* is `idempotent=True, ignore_result=True`; *default* claims each task and keeps
its result. Its pool is `asyncio` unless threads are said, 20 at a time or as many as are said.
An httpx that is installed for the tests is kept out of it, as nobody gets one with Caraway. Celery
runs one process (`-P prefork -c 1`); *tuned* it runs 20 threads or what is said, polls without
pauses, prefetches ten for each, and asks for a result each 20 ms."""


def head(figures: Figures) -> list[str]:
    """Return how and where it was measured."""
    machine = figures.sections["work"]["machine"] if "work" in figures.sections else {}
    if not machine:
        machine = next(iter(figures.sections.values()), {}).get("machine", {})
    versions = ", ".join(f"{name} {it}" for name, it in machine.get("versions", {}).items())
    loads = ", ".join(
        f"{name} {each['machine']['load']}" for name, each in sorted(figures.sections.items())
    )
    is_try = any(each.get("part", 1) < 1 for each in figures.sections.values())
    rounds = figures.sections.get("work", {}).get("rounds", 0)
    return [
        "# Results",
        "",
        "Written by `make bench` from the figures in `results/`; `python -m benchmarks NAME`",
        "measures one section anew.",
        "",
        f"Caraway {machine.get('caraway')}, Python {machine.get('python')}, {versions}.",
        f"{machine.get('cpu')}, {machine.get('cores')} cores, {machine.get('system')}.",
        f"Load of the machine when each section began: {loads}.",
        *(["**Fewer tasks than usual were run: these figures are a try only.**"] if is_try else []),
        "",
        *HOW.splitlines(),
        f"The systems take turns, in {rounds} rounds: medians, with the range in brackets.",
        "",
        *WHO.splitlines(),
        "",
    ]


SECTIONS = (
    head,
    aims.lines,
    comparisons.work,
    comparisons.local,
    comparisons.producers,
    comparisons.latency,
    comparisons.growth,
    own.profile,
    own.workflows,
    own.handler,
    own.start_up,
    own.pools,
    own.schedules,
    own.codecs,
    own.package,
)


def text(figures: Figures) -> str:
    """Return the page."""
    return "\n".join(line for section in SECTIONS for line in section(figures))


def write(folder: Path = FOLDER, page: Path = PAGE) -> None:
    """Write the page, and draw the plots beside the figures."""
    page.write_text(text(Figures(folder)))
    command: list[Any] = [installed(PLOTS_LOCK), "-m", "benchmarks.plots", folder]
    run(command, check=True, cwd=ROOT)


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:3]))
