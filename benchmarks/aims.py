"""What Caraway aims at, and whether it is there: judged by the figures, not by hand."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.figures import cpu, number, percentile, rate, requests, share, table
from benchmarks.systems import BY_NAME, WIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figures

MANY = ("group", "concurrent")
BUSY = 0.85
"""A worker that uses so much of a CPU is at the CPU's limit."""
FLAT_MB = 1.0
"""What a worker's memory may grow by between 10,000 tasks and 100,000."""


@dataclass(frozen=True)
class Aim:
    """An aim: what is measured, what it should be and is, and whether that is enough."""

    what: str
    aim: str
    measured: str
    is_met: bool


def aims(figures: Figures) -> list[Aim]:
    """Return the aims whose figures there are."""
    parts = (_records, _handler, _producers, _latency, _start_up, _memory)
    return [aim for part in parts for aim in part(figures)]


def lines(figures: Figures) -> list[str]:
    """Return the section of the page."""
    rows = [
        (aim.what, aim.aim, aim.measured, "met" if aim.is_met else "**not met**")
        for aim in aims(figures)
    ]
    return ["## Aims", "", *table(("", "aim", "measured", ""), rows)]


def _at_most(what: str, figure: float | None, limit: float, unit: str = "") -> Iterator[Aim]:
    if figure is not None:
        yield Aim(
            what, f"at most {number(limit)}{unit}", f"{number(figure)}{unit}", figure <= limit
        )


def _part(
    what: str,
    ours: float | None,
    theirs: float | None,
    part: int,
    whose: str,
    *,
    how: str = "",
) -> Iterator[Aim]:
    """Judge a cost against a part of a peer's."""
    if ours is not None and theirs:
        aim = f"at most 1/{part} of {whose} ({number(theirs)})"
        told = f"{number(ours)}, 1/{theirs / ours:.1f}{how}"
        yield Aim(what, aim, told, ours <= theirs / part)


def _cheapest(figures: Figures, *systems: str) -> tuple[str, float | None]:
    """Return the one of these that needs the least CPU, and its CPU; None if none was measured."""
    found = {name: figures.middle("work", cpu, system=name, ms=0) for name in systems}
    measured = {name: each for name, each in found.items() if each is not None}
    if not measured:
        return "", None
    least = min(measured, key=lambda name: measured[name])
    return least, measured[least]


def _least(figures: Figures, *systems: str) -> float | None:
    """Return the CPU of the one of these that needs the least."""
    return _cheapest(figures, *systems)[1]


def _records(figures: Figures) -> Iterator[Aim]:
    sent = figures.middle("producers", requests, system="caraway", mode="group", ms=0)
    without, usual = "`idempotent=True, ignore_result=True`", "default: claim and DynamoDB result"
    for name, title, most, least in (
        ("caraway-cheapest", without, 0.32, 2_000),
        ("caraway", usual, 0.60, 1_000),
    ):
        worked = figures.middle("work", requests, system=name, ms=0)
        if worked is not None and sent is not None:
            yield from _at_most(f"{title}: requests per task", worked + sent, most)
        # Of each one's pools and settings the cheapest, as of Celery's.
        best, ours = _cheapest(figures, name, f"{name}-threads")
        how = f" ({BY_NAME[best].title.partition(', ')[2]})" if best else ""
        what = f"{title}: worker CPU s per 1,000"
        if name == "caraway-cheapest":
            theirs = _least(figures, "celery", "celery-tuned")
            yield from _part(what, ours, theirs, 5, "Celery on SQS", how=how)
        else:
            theirs = _least(figures, "celery-dynamodb", "celery-dynamodb-tuned")
            yield from _part(what, ours, theirs, 8, "Celery with DynamoDB results", how=how)
            theirs = _least(figures, "celery-redis-results")
            yield from _part(what, ours, theirs, 2, "Celery on Redis with results", how=how)
        yield from _fast(figures, f"{title}: tasks per second at 20 ms per request", name, least)


def _fast(figures: Figures, what: str, name: str, least: int) -> Iterator[Aim]:
    """Judge by the fastest of the pools and numbers of tasks at a time that were measured."""
    same = [f"{name}{pool}{wide}" for pool in ("", "-threads") for wide in ("", f"-{WIDE}")]
    rates = {each: figures.middle("work", rate, system=each, ms=20) for each in same}
    measured = {each: found for each, found in rates.items() if found is not None}
    if measured:
        best = max(measured, key=lambda each: measured[each])
        used = figures.middle("work", share, system=best, ms=20) or 0.0
        how = BY_NAME[best].title.partition(", ")[2]
        aim = f"at least {least:,}, or the CPU's limit"
        told = f"{number(measured[best])}, {used:.0%} of a CPU ({how})"
        yield Aim(what, aim, told, measured[best] >= least or used >= BUSY)


def _handler(figures: Figures) -> Iterator[Aim]:
    for concurrency, words in ((1, "one at a time"), (10, "`concurrency=10`")):
        rows = figures.rows("handler", concurrency=concurrency, ms=20)
        if rows:
            title = f"Lambda, a batch of ten, {words}"
            asked = median(requests(row) for row in rows)
            trips = median(row["wall_s"] for row in rows) / 0.020
            yield from _at_most(f"{title}: requests per task by the handler", asked, 0.25)
            yield from _at_most(f"{title}: p50 at 20 ms", trips, 3, " round trips")


def _producers(figures: Figures) -> Iterator[Aim]:
    looped = figures.middle("producers", cpu, system="celery", mode="loop", ms=0)
    for mode in MANY:
        like = {"system": "caraway", "mode": mode}
        title = f"1,000 calls, {mode}"
        asked = figures.middle("producers", requests, ms=0, **like)
        yield from _at_most(f"{title}: requests per task", asked, 0.1)
        ours = figures.middle("producers", cpu, ms=0, **like)
        yield from _part(
            f"{title}: CPU s per 1,000", ours, looped, 8, "Celery's `delay()` in a loop"
        )
        fast = figures.middle("producers", rate, ms=20, **like)
        if fast is not None:
            what = f"{title}: tasks per second at 20 ms per request"
            yield Aim(what, "at least 2,000", number(fast), fast >= 2_000)


def _latency(figures: Figures) -> Iterator[Aim]:
    taken = [s * 1000 for row in figures.rows("latency", system="caraway") for s in row["seconds"]]
    theirs = [
        s * 1000
        for row in figures.rows("latency", system="celery-redis-results")
        for s in row["seconds"]
    ]
    if taken:
        what = "`delay()` and its result, idle queue, p50"
        ours = percentile(taken, 50)
        yield from _at_most(what, ours, 15, " ms")
        if theirs:
            limit = percentile(theirs, 50) + 5
            aim = f"below Celery on Redis + 5 ms ({number(limit)} ms)"
            yield Aim(what, aim, f"{number(ours)} ms", ours < limit)


def _start_up(figures: Figures) -> Iterator[Aim]:
    def wall(what: str) -> float | None:
        return figures.middle("start_up", lambda row: float(row["wall_s"]) * 1000, what=what)

    sends, bare = wall("first send"), wall("boto3 send")
    if sends and bare:
        aim = f"at most 1.15 x bare boto3 ({number(bare)} ms)"
        measured = f"{number(sends)} ms, {sends / bare:.2f} x"
        yield Aim(
            "first send of a fresh process, with imports", aim, measured, sends <= 1.15 * bare
        )
    init, boto3 = wall("init"), wall("boto3 import")
    if init and boto3:
        limit = boto3 + 80
        aim = f"at most boto3's import + 80 ms ({number(limit)} ms), no pydantic"
        imported = any(row["pydantic"] for row in figures.rows("start_up", what="init"))
        measured = f"{number(init)} ms, {'with' if imported else 'no'} pydantic"
        what = "Lambda cold start: init of a handler with 20 tasks"
        yield Aim(what, aim, measured, init <= limit and not imported)


def _memory(figures: Figures) -> Iterator[Aim]:
    for name, title in (("caraway-threads", "threads"), ("caraway", "asyncio")):
        rows = figures.rows("growth", system=name)
        if not rows:
            continue
        longest = max(rows, key=lambda row: int(row["tasks"]))
        after = dict(map(tuple, longest["memory_mb"]))
        whole = longest["tasks"]
        first = min((each for each in after if each >= whole / 10), default=whole)
        grown = after[whole] - after[first]
        what = f"worker memory, {title}, {whole:,} tasks"
        aim = f"grows by at most {FLAT_MB:g} MB after the first tenth"
        yield Aim(what, aim, f"{grown:+.1f} MB", grown <= FLAT_MB)
        if name == "caraway-threads":
            yield from _at_most(f"worker memory, {title}", max(after.values()), 60, " MB")
