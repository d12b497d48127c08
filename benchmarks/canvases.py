"""What workflows cost: requests of chords and groups, the time of a chain, and memory.

    python -m benchmarks.canvases

writes ``benchmarks/WORKFLOWS.md``. The local engine runs on the same machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import app as bench
from benchmarks import work
from caraway import __version__, chain, chord
from caraway.local.engine import LocalEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SIZES = (100, 1_000, 10_000)
PATIENCE_S = 600
CHAIN = 5
ROUNDS = 20


@dataclass(frozen=True)
class Chord:
    """One chord: what its producer, its worker and whoever waits for it have asked AWS for."""

    size: int
    sent: Counter[str]
    worked: Counter[str]
    waited: Counter[str]
    rss_kb: dict[int, int]

    @property
    def requests(self) -> int:
        """All of them."""
        return self.sent.total() + self.worked.total() + self.waited.total()

    def row(self) -> str:
        """Return it as a line of a table."""
        detail = self.sent + self.worked + self.waited
        counts = ", ".join(f"{name} {count:,}" for name, count in sorted(detail.items()))
        return (
            f"| {self.size:,} | {self.sent['send_message_batch']:,} | {self.requests:,} | "
            f"{self.requests / self.size:.3f} | {counts} |"
        )


def chord_of(size: int) -> Chord:
    """Send a chord, let one worker run it, and ask for its result once."""
    bench.asked.clear()
    members = [bench.usual.s(number) for number in range(size)]
    result: Any = asyncio.run(chord(members, bench.gathered.s()).adelay())
    sent = bench.asked.copy()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.worker", str(work.CONCURRENCY)],
        env={**os.environ, "BENCH_TASKS": str(size + 1)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    report = json.loads(done.stdout.splitlines()[-1])
    bench.asked.clear()
    assert asyncio.run(result.aget(timeout=PATIENCE_S)) == sum(range(size))
    rss_kb = {int(ran): kb for ran, kb in report["rss_kb"].items()}
    return Chord(size, sent, Counter(report["requests"]), bench.asked.copy(), rss_kb)


@contextmanager
def worker() -> Iterator[None]:
    """Run a worker that nothing stops before the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker", str(work.CONCURRENCY)],
        env={**os.environ, "BENCH_TASKS": "0"},
        stdout=subprocess.DEVNULL,
    )
    try:
        bench.usual.delay(0).get(timeout=PATIENCE_S)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def chain_against_round_trips() -> tuple[float, float]:
    """Return the seconds of a chain, and of as many tasks one after another; medians, in turn."""
    chains, trips = [], []
    with worker():
        for _ in range(ROUNDS):
            began = time.perf_counter()
            chain(*[bench.usual.si(number) for number in range(CHAIN)]).delay().get(
                timeout=PATIENCE_S
            )
            ended = time.perf_counter()
            for number in range(CHAIN):
                bench.usual.delay(number).get(timeout=PATIENCE_S)
            chains.append(ended - began)
            trips.append(time.perf_counter() - ended)
    return statistics.median(chains), statistics.median(trips)


def producer_kb(size: int) -> int:
    """Return the peak memory of a process that sends a group from a generator."""
    sent = subprocess.run(
        [sys.executable, "-m", "benchmarks.producer", str(size)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    return int(sent.stdout)


def lines(engine: LocalEngine) -> list[str]:
    """Measure, and return the page."""
    work.prepare(engine)
    chords = [chord_of(size) for size in SIZES]
    chain_s, trips_s = chain_against_round_trips()
    memory = {size: producer_kb(size) for size in SIZES}
    largest = chords[-1].rss_kb
    return [
        "# Workflows",
        "",
        "Written by `python -m benchmarks.canvases`, which `make bench` runs too.",
        "",
        f"Caraway {__version__}, Python {platform.python_version()}, {os.cpu_count()} cores.",
        "The local engine runs on the same machine.",
        "",
        "## Requests of a chord",
        "",
        f"Sent with `adelay`, consumed by one worker (`-c {work.CONCURRENCY}`), its result asked",
        "for once: producer, worker and whoever waits. Empty receives are not counted.",
        "",
        "| members | batches sent | requests | per member | by operation |",
        "|---|---|---|---|---|",
        *(each.row() for each in chords),
        "",
        "## A chain",
        "",
        f"A chain of {CHAIN} tasks, and {CHAIN} tasks each of which is waited for before the next",
        f"is sent; one idle worker, medians of {ROUNDS}, in turn.",
        "",
        "| | ms |",
        "|---|---|",
        f"| the chain | {chain_s * 1000:.0f} |",
        f"| the round trips | {trips_s * 1000:.0f} |",
        "",
        "## Memory",
        "",
        "The peak of a producer that sends `group(generator)`, each in a process of its own, and",
        f"what a worker holds during the chord of {SIZES[-1]:,}.",
        "",
        "| members | producer MB |",
        "|---|---|",
        *(f"| {size:,} | {kb / 1024:.1f} |" for size, kb in memory.items()),
        "",
        "| members run | worker MB |",
        "|---|---|",
        *(f"| {ran:,} | {kb / 1024:.1f} |" for ran, kb in sorted(largest.items())),
        "",
    ]


def main() -> None:
    """Measure, and write the page."""
    bench.count_requests()
    with LocalEngine(port=0, progress=lambda line: print(line, file=sys.stderr)) as engine:
        os.environ.update(engine.environ())
        page = "\n".join(lines(engine))
    (HERE / "WORKFLOWS.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
