"""The sections of the page that show parts of Caraway by themselves."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmarks.comparisons import operations, title
from benchmarks.figures import cpu, number, requests, spread, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.figures import Figures, Row


_WHOSE = (
    ("the SDK", ("botocore", "aiobotocore", "aioitertools", "wrapt", "jmespath")),
    ("HTTP", ("aiohttp", "aiohappyeyeballs", "yarl", "multidict", "propcache", "http", "socket")),
    ("the event loop", ("asyncio", "selectors", "threading", "contextvars", "concurrent")),
    ("JSON", ("json", "caraway.core.json_text")),
    ("Caraway: batches, requests, signatures of requests", ("caraway.aws", "caraway.requests")),
    ("Caraway: describing the call", ("caraway",)),
)
"""Whose a module is: the first of these that it is of."""


def profile(figures: Figures) -> list[str]:
    """Return where the CPU of a producer goes."""
    rows = figures.rows("profile")
    if not rows:
        return []
    names = sorted({name for row in rows for name in row["seconds"]})
    wholes = [sum(row["seconds"].values()) for row in rows]

    def part(several: Iterable[str]) -> float:
        wanted = set(several)
        parts = [sum(s for name, s in row["seconds"].items() if name in wanted) for row in rows]
        return float(median(each / whole for each, whole in zip(parts, wholes, strict=True)))

    whose: dict[str, list[str]] = {}
    for name in names:
        found = [who for who, roots in _WHOSE if any(_is_of(name, root) for root in roots)]
        whose.setdefault(found[0] if found else "the rest", []).append(name)
    lines = []
    for who, its in sorted(whose.items(), key=lambda item: -part(item[1])):
        most = sorted(its, key=lambda name: -part([name]))[:4]
        told = ", ".join(f"`{name}` {part([name]):.1%}" for name in most)
        lines.append((who, f"{part(its):.0%}", told))
    return [
        "## Where a producer's CPU goes",
        "",
        f"{rows[0]['tasks']:,} calls at the same time (`concurrent`), under a profiler: parts of",
        "the time in the functions of each module. What is written in C counts for who called it.",
        "A profiler makes many small functions look dearer than they are, and garbage collections",
        "count for whatever they fell into.",
        "",
        *table(("", "part", "of which"), lines),
    ]


def _is_of(name: str, root: str) -> bool:
    return name == root or name.startswith(f"{root}.")


def workflows(figures: Figures) -> list[str]:
    """Return what chords and a chain cost."""
    chords = figures.rows("workflows", what="chord")
    if not chords:
        return []
    rows = [
        (
            title(row["system"]),
            f"{row['tasks']:,}",
            f"{sum(row['requests'].values()):,}",
            number(requests(row)),
            number(row["wall_s"]),
            operations([row]),
        )
        for row in chords
    ]
    head = ("", "members", "requests", "per member", "seconds", "of which, per member")
    lines = [
        "## Workflows",
        "",
        "A chord from `delay()` to the result of its body, with one worker that runs meanwhile:",
        "requests of the producer, the worker and whoever waits.",
        "",
        *table(head, rows),
    ]
    if chains := figures.rows("workflows", what="chain"):
        trips = figures.rows("workflows", what="round trips")
        a_chain, one_by_one = (
            spread([row["wall_s"] * 1000 for row in found]) for found in (chains, trips)
        )
        lines += [
            f"A chain of five takes {a_chain} ms; five tasks each of which is waited for before",
            f"the next is sent take {one_by_one} ms.",
            "",
        ]
    return lines


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


def pools(figures: Figures) -> list[str]:
    """Return how fast tasks are run in different pools."""
    measured = figures.rows("pools")
    if not measured:
        return []
    first = {row["task"]: row["per_second"] for row in reversed(measured)}
    rows = [
        (
            f"`{row['task']}`",
            f"`{row['options']}`",
            number(row["per_second"]),
            f"{row['per_second'] / first[row['task']]:.2f}",
        )
        for row in measured
    ]
    return [
        "## Pools",
        "",
        "`compute` keeps a CPU busy for 0.2 s, `sleep` sleeps for 0.1 s; one worker, its queue",
        "full, tasks without claim and result.",
        "",
        *table(("task", "worker", "tasks per second", "against the first"), rows),
    ]


def schedules(figures: Figures) -> list[str]:
    """Return what it costs to compare an app's schedules with those in AWS."""
    rows = figures.rows("schedules")
    if not rows:
        return []
    entries = rows[0]["entries"]
    compiled, compared = (spread([row[of] for row in rows]) for of in ("compile_s", "compare_s"))
    asked = ", ".join(f"{name} {count:,}" for name, count in rows[0]["requests"].items())
    return [
        "## Schedules",
        "",
        f"`caraway beat sync`, {entries:,} entries, all of them unchanged: {compiled}",
        f"CPU s to compile them, {compared} to compare them with a made-up AWS; requests: {asked}.",
        "",
    ]


def codecs(figures: Figures) -> list[str]:
    """Return what serializers and compressions cost."""
    written = [row for row in figures.rows("codecs") if "serializer" in row]
    packed = [row for row in figures.rows("codecs") if "compression" in row]
    if not written:
        return []
    rows = [
        (
            f"`{row['serializer']}`",
            f"{row['characters']:,}",
            f"{row['write_s'] * 1e6:.0f}",
            f"{row['read_s'] * 1e6:.0f}",
        )
        for row in written
    ]
    names = list(dict.fromkeys(row["compression"] for row in packed))
    sizes = list(dict.fromkeys(row["bytes"] for row in packed))
    cells = {
        (row["bytes"], row["compression"]): f"{row['part']:.0%}, "
        f"{row['there_s'] * 1e6:.0f} + {row['back_s'] * 1e6:.0f} µs"
        for row in packed
    }
    return [
        "## Serializers",
        "",
        "One argument, orders of 4,096 characters of JSON: what it takes in the body, and",
        "microseconds to write and to read it.",
        "",
        *table(("serializer", "characters", "write", "read"), rows),
        "## Compression",
        "",
        "Bodies of orders: what is left of them in base64, and the time there and back.",
        "",
        *table(
            ("bytes", *names),
            [(f"{size:,}", *(cells[size, name] for name in names)) for size in sizes],
        ),
    ]


def package(figures: Figures) -> list[str]:
    """Return how large the Lambda package is."""
    rows = sorted(figures.rows("package"), key=lambda row: -float(row["mb"]))
    if not rows:
        return []
    whole = sum(row["mb"] for row in rows)
    largest = [(f"`{row['part']}`", f"{row['mb']:.1f}") for row in rows[:8]]
    return [
        "## The Lambda package",
        "",
        f"`make package` makes {whole:.1f} MB, unpacked (AWS takes 250 MB); the largest parts:",
        "",
        *table(("", "MB"), largest),
    ]
