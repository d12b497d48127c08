"""The systems that are measured: how each is started, and what to expect of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
PLOTS_LOCK = HERE / "plots.lock"
CONCURRENCY = 20
WIDE = 100
"""What fits requests of 20 ms: 2,000 tasks a second that wait for two or three of them each."""


@dataclass(frozen=True)
class System:
    """A task system with its settings.

    Attributes
    ----------
    worker
        What follows ``python -m``.
    lock
        The lock file of its environment; Caraway runs in this one.
    modes
        How its producer sends; the last one is for many at the least cost.
    broker
        ``aws`` or ``redis``.
    tasks
        What its worker does in some seconds when nothing takes long.
    results
        Whether a result can be waited for.
    like
        The name of the system that it is, but for how many tasks it runs at a time.
    """

    name: str
    title: str
    module: str
    worker: tuple[str, ...]
    lock: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    broker: str = "aws"
    modes: tuple[str, ...] = ("loop", "threads", "group")
    tasks: int = 400
    results: bool = False
    like: str = ""

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return Path(sys.executable) if self.lock is None else installed(self.lock)

    @property
    def bulk(self) -> str:
        """How it sends many at the least cost."""
        return self.modes[-1]


@cache
def installed(lock: Path) -> Path:
    """Return the interpreter of the environment of a lock file; it is built at the first call."""
    from caraway.local.environment import environment  # the plots' environment has no Caraway

    return environment(lock, lambda line: print(line, file=sys.stderr, flush=True))


def locked(lock: Path, *names: str) -> dict[str, str]:
    """Return the versions of packages that a lock file names."""
    pins = dict(line.split(" ")[0].split("==") for line in lock.read_text().splitlines())
    return {name: pins[name] for name in names}


def versions() -> dict[str, str]:
    """Return the versions of the peers."""
    return {
        **locked(CELERY_LOCK, "celery", "kombu"),
        **locked(_lock("dramatiq"), "dramatiq", "dramatiq-sqs"),
        **locked(_lock("taskiq"), "taskiq", "taskiq-aio-sqs"),
        **locked(_lock("sqs_workers"), "sqs-workers"),
    }


def _lock(name: str) -> Path:
    return HERE / "peers" / f"{name}.lock"


CELERY_LOCK = _lock("celery")


def _caraway(name: str, title: str, task: str, pool: str, *, tasks: int, results: bool) -> System:
    app = "benchmarks.peers.caraway_app"
    options = ("-P", pool, "-c", str(CONCURRENCY), "-l", "warning", "--without-heartbeat")
    return System(
        name,
        title,
        app,
        ("caraway", "-A", f"{app}:app", "worker", *options),
        environ={"BENCH_TASK": task},
        modes=("loop", "threads", "concurrent", "batch", "group"),
        tasks=tasks,
        results=results,
    )


def _celery(
    name: str, title: str, *, pool: tuple[str, ...], redis: bool = False, tasks: int, **environ: str
) -> System:
    app = "benchmarks.peers.celery_app"
    quiet = ("-l", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")
    return System(
        name,
        title,
        app,
        ("celery", "-A", app, "worker", *pool, *quiet),
        lock=CELERY_LOCK,
        environ=environ,
        broker="redis" if redis else "aws",
        tasks=tasks,
        results="BENCH_RESULTS" in environ,
    )


ONE = ("-P", "prefork", "-c", "1")
THREADS = ("-P", "threads", "-c", str(CONCURRENCY))
"""Of prefork and threads what is faster on SQS."""
SYSTEMS = (
    _caraway(
        "caraway-cheapest",
        "Caraway, no record",
        "cheapest_async",
        "asyncio",
        tasks=6_000,
        results=False,
    ),
    _caraway("caraway", "Caraway, default", "usual_async", "asyncio", tasks=3_000, results=True),
    _caraway(
        "caraway-cheapest-threads",
        "Caraway, no record, threads",
        "cheapest",
        "threads",
        tasks=6_000,
        results=False,
    ),
    _caraway(
        "caraway-threads",
        "Caraway, default, threads",
        "usual",
        "threads",
        tasks=3_000,
        results=True,
    ),
    _celery("celery", "Celery on SQS", pool=ONE, tasks=40),
    _celery("celery-tuned", "Celery on SQS, tuned", pool=THREADS, tasks=400, BENCH_TUNED="1"),
    _celery(
        "celery-dynamodb",
        "Celery on SQS, DynamoDB results",
        pool=ONE,
        tasks=40,
        BENCH_RESULTS="dynamodb",
    ),
    _celery(
        "celery-dynamodb-tuned",
        "Celery on SQS, DynamoDB results, tuned",
        pool=THREADS,
        tasks=200,
        BENCH_TUNED="1",
        BENCH_RESULTS="dynamodb",
    ),
    _celery("celery-redis", "Celery on Redis", pool=ONE, redis=True, tasks=1_000),
    _celery(
        "celery-redis-results",
        "Celery on Redis, results",
        pool=ONE,
        redis=True,
        tasks=600,
        BENCH_RESULTS="redis",
    ),
    System(
        "dramatiq",
        "dramatiq-sqs",
        "benchmarks.peers.dramatiq_app",
        ("dramatiq", "benchmarks.peers.dramatiq_app", "-p", "1", "-t", str(CONCURRENCY)),
        lock=_lock("dramatiq"),
    ),
    System(
        "taskiq",
        "taskiq-aio-sqs",
        "benchmarks.peers.taskiq_app",
        (
            "taskiq",
            "worker",
            "benchmarks.peers.taskiq_app:broker",
            "--workers",
            "1",
            "--max-async-tasks",
            str(CONCURRENCY),
            "--log-level",
            "WARNING",
        ),
        lock=_lock("taskiq"),
        modes=("loop", "concurrent"),
        tasks=600,
    ),
    System(
        "sqs-workers",
        "sqs-workers",
        "benchmarks.peers.sqs_workers_app",
        ("benchmarks.peers.sqs_workers_app", "worker"),
        lock=_lock("sqs_workers"),
        modes=("loop", "batch"),
        tasks=2_000,
    ),
)


def _wide(system: System) -> System:
    """Return a system that runs more tasks at a time."""
    worker = (str(WIDE) if word == str(CONCURRENCY) else word for word in system.worker)
    name, title = f"{system.name}-{WIDE}", f"{system.title}, {WIDE} at a time"
    return replace(system, name=name, title=title, worker=tuple(worker), like=system.name)


WIDER = tuple(_wide(system) for system in SYSTEMS if str(CONCURRENCY) in system.worker)
"""Measured where requests take long. sqs-workers and Celery's prefork have no such setting, or none
that helps: a process for each task."""
BY_NAME = {system.name: system for system in (*SYSTEMS, *WIDER)}
