"""Run all measurements and write ``benchmarks/RESULTS.md``."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from benchmarks import app as bench
from benchmarks import codecs, pools, start_up, work
from caraway import __version__
from caraway.local.engine import LocalEngine
from caraway.local.environment import environment

HERE = Path(__file__).parent


def say(line: str) -> None:
    """Tell the person who waits."""
    print(line, file=sys.stderr, flush=True)


def row(measured: work.Measured) -> str:
    """Return a run as a line of a table."""
    counted = {**measured.sent}
    for name, count in measured.worked.items():
        counted[name] = counted.get(name, 0) + count
    detail = ", ".join(f"{name} {count:,}" for name, count in sorted(counted.items()))
    return (
        f"| `{measured.task}` | {measured.tasks:,} | {measured.per_task:.3f} | "
        f"{measured.worker_cpu_s / measured.tasks * 1000:.2f} | {detail} |"
    )


def first_of(speeds: dict[pools.Pool, float], pool: pools.Pool) -> float:
    """Return the speed of the first pool that ran the same task."""
    return next(speed for each, speed in speeds.items() if each.task == pool.task)


def pool_row(pool: pools.Pool, speed: float, first: float) -> str:
    """Return the speed of a pool as a line of a table."""
    return f"| `{pool.task}` | `{pool.options}` | {speed:.1f} | {speed / first:.2f} |"


def main() -> None:
    """Measure, and write the page."""
    bench.count_requests()
    celery = environment(HERE / "celery.lock", progress=say)
    say("start-up ...")
    ours, theirs = start_up.compare(sys.executable, celery)
    with LocalEngine(port=0, progress=say) as engine:
        os.environ.update(engine.environ())
        work.prepare(engine)
        runs = []
        for task, tasks in (("cheapest", 1_000), ("usual", 1_000), ("cheapest", 10_000)):
            say(f"{tasks:,} x {task} ...")
            runs.append(work.measure(task, tasks))
        speeds = {}
        for pool in pools.POOLS:
            say(f"{pool.tasks:,} x {pool.task} {pool.options} ...")
            speeds[pool] = pools.per_second(pool)
    memory = runs[-1].rss_kb
    lines = [
        "# Results",
        "",
        "Written by `make bench`.",
        "",
        f"Caraway {__version__}, Python {platform.python_version()}, {os.cpu_count()} cores.",
        "The local engine runs on the same machine.",
        "",
        "## Requests per task",
        "",
        f"Enqueued in one go with `adelay`, consumed by one worker (`-c {work.CONCURRENCY}`).",
        "Producer and worker together; empty receives are not counted. `cheapest` is",
        "`idempotent=True, ignore_result=True`; `usual` has a claim and a result.",
        "",
        "| task | tasks | AWS requests per task | worker CPU ms per task | requests |",
        "|---|---|---|---|---|",
        *map(row, runs),
        "",
        "## Pools",
        "",
        f"`compute` keeps a CPU busy for {pools.CPU_S:g} s, `sleep` sleeps for",
        f"{pools.SLEEP_S:g} s; one worker, its queue full, tasks without claim and result.",
        "",
        "| task | worker | tasks per second | against the first |",
        "|---|---|---|---|",
        *map(pool_row, speeds, speeds.values(), [first_of(speeds, each) for each in speeds]),
        "",
        *codecs.lines(),
        "## Start-up",
        "",
        "`import`, an app and one task in fresh processes, medians, in turn.",
        "",
        "| | ms |",
        "|---|---|",
        f"| Caraway | {ours * 1000:.0f} |",
        f"| Celery | {theirs * 1000:.0f} |",
        "",
        "## Memory of a worker",
        "",
        "| tasks run | resident MB |",
        "|---|---|",
        *(f"| {done:,} | {kb / 1024:.1f} |" for done, kb in sorted(memory.items())),
        "",
    ]
    (HERE / "RESULTS.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
