"""Caraway: the cheapest task, and the usual one with a claim and a result."""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.marks import one_more
from benchmarks.peers import CALLERS, PATIENCE_S, QUEUE
from benchmarks.peers.producing import serve
from caraway import Caraway, Queue, chain, chord, group

# aiobotocore imports httpx wherever it is installed, for a backend that is not used here. It is in
# this environment for tests only; nobody who installs Caraway gets it, and it takes 5 MB.
sys.modules["httpx"] = None  # type: ignore[assignment]

app = Caraway("bench")
app.conf.update(task_queues=[Queue(QUEUE, consumer="ecs")], task_default_queue=QUEUE)


@app.task(name="cheapest", idempotent=True, ignore_result=True)
def cheapest(number: int) -> None:
    """Run without a claim and without a result."""
    one_more()


@app.task(name="usual")
def usual(number: int) -> int:
    """Run with a claim and a result, as tasks do that say nothing else."""
    one_more()
    return number


@app.task(name="cheapest_async", idempotent=True, ignore_result=True)
async def cheapest_async(number: int) -> None:
    """Run without a claim and without a result, on the event loop."""
    one_more()


@app.task(name="usual_async")
async def usual_async(number: int) -> int:
    """Run with a claim and a result, on the event loop."""
    one_more()
    return number


@app.task(name="gathered")
def gathered(numbers: list[int]) -> int:
    """Run as the body of a chord."""
    one_more()
    return sum(numbers)


work: Any = globals()[os.environ.get("BENCH_TASK", "usual")]


def loop(count: int) -> None:
    for number in range(count):
        work.delay(number)


def in_a_group(count: int) -> None:
    group(work.s(number) for number in range(count)).delay()


def in_a_batch(count: int) -> None:
    with app.batch():
        loop(count)


def from_threads(count: int) -> None:
    with ThreadPoolExecutor(CALLERS) as threads:
        list(threads.map(work.delay, range(count)))


async def concurrently(count: int) -> None:
    await asyncio.gather(*(work.adelay(number) for number in range(count)))


def get(number: int) -> None:
    assert work.delay(number).get(timeout=PATIENCE_S) == number


def a_chord(size: int) -> None:
    header = [work.s(number) for number in range(size)]
    assert chord(header, gathered.s()).delay().get(timeout=PATIENCE_S) == sum(range(size))


def a_chain(length: int) -> None:
    links = [work.si(number) for number in range(length)]
    assert chain(*links).delay().get(timeout=PATIENCE_S) == length - 1


def round_trips(count: int) -> None:
    for number in range(count):
        get(number)


def main() -> None:
    """Send what is asked for."""
    events = asyncio.new_event_loop()  # kept, as an asynchronous producer keeps its own
    serve(
        {
            "loop": loop,
            "group": in_a_group,
            "batch": in_a_batch,
            "threads": from_threads,
            "concurrent": lambda count: events.run_until_complete(concurrently(count)),
        },
        {"get": get, "chord": a_chord, "chain": a_chain, "round trips": round_trips},
    )


if __name__ == "__main__":
    main()
