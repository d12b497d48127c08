"""``python -m benchmarks.page [FOLDER]``: write the page and its plots from the figures.

Nothing is measured here; the same figures give the same page.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from subprocess import run
from typing import TYPE_CHECKING, Any

from benchmarks import aims
from benchmarks.figures import (
    FOLDER,
    Figures,
    cpu,
    number,
    percentile,
    rate,
    requests,
    spread,
    table,
)
from benchmarks.processes import ROOT
from benchmarks.systems import BY_NAME, PLOTS_LOCK, installed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.figures import Row

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
its result. Its pool is `asyncio` unless threads are said, 20 at a time. *Tuned* Celery polls
without pauses, prefetches ten, and asks for a result each 20 ms."""


def title(system: str) -> str:
    """Return what the page calls a system."""
    return BY_NAME[system].title


def plot(name: str, words: str) -> list[str]:
    """Return a picture."""
    return [f"![{words}](results/{name}.png)", ""]


def operations(rows: Sequence[Row]) -> str:
    """Return the requests of the median row per task, by operation."""
    row = sorted(rows, key=requests)[len(rows) // 2]
    parts = {name: count / row["tasks"] for name, count in row["requests"].items()}
    ordered = sorted(parts.items(), key=lambda each: -each[1])
    return ", ".join(f"{name.partition(':')[2] or name} {number(n)}" for name, n in ordered)


def head(figures: Figures) -> list[str]:
    """Return how and where it was measured."""
    machine = figures.sections["work"]["machine"] if "work" in figures.sections else {}
    if not machine:
        machine = next(iter(figures.sections.values()), {}).get("machine", {})
    versions = ", ".join(f"{name} {it}" for name, it in machine.get("versions", {}).items())
    loads = ", ".join(
        f"{name} {each['machine']['load']}" for name, each in sorted(figures.sections.items())
    )
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
        "",
        *HOW.splitlines(),
        f"The systems take turns, in {rounds} rounds: medians, with the range in brackets.",
        "",
        *WHO.splitlines(),
        "",
    ]


def work(figures: Figures) -> list[str]:
    """Return requests, CPU and throughput of workers."""
    names = figures.systems("work")
    if not names:
        return []
    latencies = sorted({row["ms"] for row in figures.rows("work")})
    first = [
        (
            title(name),
            spread(figures.values("work", requests, system=name, ms=0)),
            operations(figures.rows("work", system=name, ms=0)),
        )
        for name in names
    ]
    least = [figures.middle("work", cpu, system=name, ms=0) or 0.0 for name in names]
    ours = figures.middle("work", cpu, system="caraway", ms=0)
    second = [
        (
            title(name),
            spread(figures.values("work", cpu, system=name, ms=0)),
            number(middle / ours) if ours else "",
        )
        for name, middle in zip(names, least, strict=True)
    ]
    third = [
        (
            title(name),
            *(spread(figures.values("work", rate, system=name, ms=ms)) for ms in latencies),
        )
        for name in names
    ]
    return [
        "## Requests of a worker",
        "",
        "Requests per task, and by operation; the producer's are below.",
        "",
        *plot("requests", "requests per task of each system"),
        *table(("", "per task", "of which"), first),
        "## CPU of a worker",
        "",
        *plot("cpu", "CPU seconds per 1,000 tasks of each system"),
        *table(("", "CPU s per 1,000 tasks", "times Caraway's default"), second),
        "## Throughput",
        "",
        "Tasks per second of one worker whose queue is full, so many ms added to each request.",
        "",
        *plot("throughput", "tasks per second over added latency"),
        *table(("", *(f"{ms} ms" for ms in latencies)), third),
    ]


def local(figures: Figures) -> list[str]:
    """Return the same on the local engine."""
    names = figures.systems("local")
    if not names:
        return []
    rows = [
        (
            title(name),
            spread(figures.values("local", requests, system=name)),
            operations(figures.rows("local", system=name)),
            spread(figures.values("local", rate, system=name)),
        )
        for name in names
    ]
    return [
        "## On the local engine",
        "",
        "The same workers on a real engine of SQS and DynamoDB, which answers a few hundred",
        "requests a second: throughput is mostly its own.",
        "",
        *table(("", "requests per task", "of which", "tasks per second"), rows),
    ]


def producers(figures: Figures) -> list[str]:
    """Return what sending costs."""
    rows = []
    for name in figures.systems("producers"):
        modes = dict.fromkeys(row["mode"] for row in figures.rows("producers", system=name))
        for mode in modes:
            like = {"system": name, "mode": mode}
            rows.append(
                (
                    "Celery on SQS" if name == "celery" else title(name).partition(",")[0],
                    mode,
                    spread(figures.values("producers", requests, ms=0, **like)),
                    spread(figures.values("producers", cpu, ms=0, **like)),
                    spread(figures.values("producers", rate, ms=20, **like)),
                )
            )
    if not rows:
        return []
    return [
        "## Producers",
        "",
        "1,000 tasks by one process that has sent some before: one call after the other (`loop`),",
        "from 16 threads, at the same time in one event loop (`concurrent`), within `app.batch()`",
        "or its like (`batch`), as a `group`.",
        "",
        *table(("", "", "requests per task", "CPU s per 1,000", "tasks per second at 20 ms"), rows),
    ]


def latency(figures: Figures) -> list[str]:
    """Return how long a result takes."""
    rows = []
    for name in figures.systems("latency"):
        taken = [s * 1000 for row in figures.rows("latency", system=name) for s in row["seconds"]]
        told = (number(percentile(taken, part)) for part in (50, 90, 99))
        rows.append((title(name), f"{len(taken)}", *told))
    if not rows:
        return []
    return [
        "## From call to result",
        "",
        "`delay()` and `get()`, one call after the other, nothing added to a request; in ms.",
        "Celery as it comes asks for a result in DynamoDB each half a second.",
        "",
        *plot("latency", "distribution of the time from call to result"),
        *table(("", "calls", "p50", "p90", "p99"), rows),
    ]


def growth(figures: Figures) -> list[str]:
    """Return costs over the number of tasks, and memory."""
    rows, memory = [], []
    for name in figures.systems("growth"):
        measured = figures.rows("growth", system=name)
        for row in measured:
            sent = {"tasks": row["tasks"], **row["sent"]}
            per_task = (number(requests(sent)), number(requests(row)))
            seconds = (number(cpu(sent)), number(cpu(row)))
            rows.append((title(name), f"{row['tasks']:,}", *per_task, *seconds, number(rate(row))))
        longest = max(measured, key=lambda row: int(row["tasks"]))["memory_mb"]
        places = {0, len(longest) // 10, len(longest) // 2, len(longest) - 1}
        told = ", ".join(f"{longest[at][1]:.1f} after {longest[at][0]:,}" for at in sorted(places))
        memory.append((title(name), told))
    if not rows:
        return []
    return [
        "## Growth",
        "",
        "What a task costs when there are 10^2 to 10^5 on the queue; each system once.",
        "",
        *plot("growth", "requests and CPU per task over the number of tasks"),
        *table(
            (
                "",
                "tasks",
                "requests per task sent",
                "and run",
                "CPU s per 1,000 sent",
                "and run",
                "tasks per second",
            ),
            rows,
        ),
        "## Memory of a worker",
        "",
        "Resident MB; pages that its processes share are counted once.",
        "",
        *plot("memory", "resident memory over the tasks run"),
        *table(("", "MB"), memory),
    ]


def handler(figures: Figures) -> list[str]:
    """Return what a Lambda function does."""
    rows: list[tuple[str, ...]] = []
    for concurrency in sorted({row["concurrency"] for row in figures.rows("handler")}):
        for ms in sorted({row["ms"] for row in figures.rows("handler")}):
            found = figures.rows("handler", concurrency=concurrency, ms=ms)
            taken = median(row["wall_s"] * 1000 for row in found)
            trips = f"{taken / ms:.1f}" if ms else ""
            asked = spread([requests(row) for row in found])
            used = spread([cpu(row) for row in found])
            cells = (
                f"{concurrency}",
                f"{ms}",
                asked,
                operations(found),
                used,
                number(taken),
                trips,
            )
            rows.append(cells)
    if not rows:
        return []
    return [
        "## A Lambda function",
        "",
        "Invocations of the real handler with ten messages of default tasks, so many at a time.",
        "Lambda's poller receives and deletes; these requests are not the handler's.",
        "",
        *table(
            (
                "at a time",
                "ms added",
                "requests per task",
                "of which",
                "CPU s per 1,000",
                "p50 ms",
                "round trips",
            ),
            rows,
        ),
    ]


def start_up(figures: Figures) -> list[str]:
    """Return what a fresh process takes."""
    words = {
        "first send": "Caraway: import, app, task, `delay()`",
        "boto3 send": "boto3: import, client, GetQueueUrl, SendMessage",
        "celery send": "Celery: import, app, task, `delay()`",
        "init": "Caraway: init of a Lambda handler with 20 tasks",
        "boto3 import": "`import boto3`",
    }

    def ms(of: str) -> Callable[[Row], float]:
        return lambda row: float(row[of]) * 1000

    rows = [
        (
            told,
            spread(figures.values("start_up", ms("wall_s"), what=what)),
            spread(figures.values("start_up", ms("cpu_s"), what=what)),
            number(figures.middle("start_up", lambda row: float(row["modules"]), what=what)),
        )
        for what, told in words.items()
        if figures.rows("start_up", what=what)
    ]
    if not rows:
        return []
    return [
        "## A fresh process",
        "",
        "In turn, the interpreter's own start not counted.",
        "",
        *table(("", "ms", "CPU ms", "modules"), rows),
    ]


SECTIONS = (head, aims.lines, work, local, producers, latency, growth, handler, start_up)


def text(figures: Figures) -> str:
    """Return the page."""
    return "\n".join(line for section in SECTIONS for line in section(figures))


def write(folder: Path = FOLDER, page: Path = PAGE) -> None:
    """Write the page, and draw the plots beside the figures."""
    page.write_text(text(Figures(folder)))
    command: list[Any] = [installed(PLOTS_LOCK), "-m", "benchmarks.plots", folder]
    run(command, check=True, cwd=ROOT)


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:2]))
