"""The sections of the page that show systems side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.figures import cpu, number, percentile, rate, requests, spread, table
from benchmarks.systems import BY_NAME, CONCURRENCY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.figures import Figures, Row


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


def work(figures: Figures) -> list[str]:
    """Return requests, CPU and throughput of workers."""
    names = figures.systems("work")
    if not names:
        return []
    latencies = sorted({row["ms"] for row in figures.rows("work")})
    usual = [name for name in names if figures.rows("work", system=name, ms=0)]
    first = [
        (
            title(name),
            spread(figures.values("work", requests, system=name, ms=0)),
            operations(figures.rows("work", system=name, ms=0)),
        )
        for name in usual
    ]
    least = [figures.middle("work", cpu, system=name, ms=0) or 0.0 for name in usual]
    ours = figures.middle("work", cpu, system="caraway", ms=0)
    second = [
        (
            title(name),
            spread(figures.values("work", cpu, system=name, ms=0)),
            number(middle / ours) if ours else "",
        )
        for name, middle in zip(usual, least, strict=True)
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
        "Tasks per second of one worker whose queue is full, so many ms added to each request. It",
        f"runs {CONCURRENCY} tasks at a time, or as many as are said: what fits long requests.",
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
        sizes = ", ".join(f"{row['producer_mb']:.1f} after {row['tasks']:,}" for row in measured)
        places = {0, len(longest) // 10, len(longest) // 2, len(longest) - 1}
        told = ", ".join(f"{longest[at][1]:.1f} after {longest[at][0]:,}" for at in sorted(places))
        memory.append((title(name), told, sizes))
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
        "## Memory",
        "",
        "Resident MB of a worker while it runs the most tasks, and of a producer after it has",
        "sent each number of them (Caraway's as a group from a generator). Pages that processes",
        "share are counted once.",
        "",
        *plot("memory", "resident memory over the tasks run"),
        *table(("", "worker", "producer"), memory),
    ]
