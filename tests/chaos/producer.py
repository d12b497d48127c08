"""The producer of a run: ``python -m tests.chaos.producer WORKLOAD SEED RUN TASKS DOOR...``.

It sends each call until AWS has said that it took it, always under the same id: a send whose
answer was lost happens twice. What it has sent is in the enqueue log, and what it has revoked, when
it had the answer, in the log of revokes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar, cast

from caraway.exceptions import OperationalError
from tests.chaos import app as tasks
from tests.chaos.history import Revoke
from tests.chaos.subjects import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.chaos.workload import Call, Door, Stop

T = TypeVar("T")

AT_ONCE: Final = 100


async def until_answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask AWS for as long as it takes."""
    while True:
        with suppress(OperationalError):
            return await ask()


async def send(call: Call) -> None:
    """Send one call, or the workflow that it is."""
    if call.canvas is not None:
        await until_answered(call.canvas.aapply_async)
        return
    task = tasks.app.tasks[f"tests.chaos.app.{call.task}"]
    options: dict[str, Any] = {"task_id": call.id, "queue": call.queue}
    if call.follows:
        options["link"] = tasks.after.s().set(queue=call.queue)
    if call.group is not None:
        options["message_group_id"] = call.group
    if call.countdown_s:
        options["countdown"] = call.countdown_s
    await until_answered(lambda: task.aapply_async(call.args, **options))


async def revoke(call: Call, stop: Stop, log: TextIO) -> None:
    """Revoke a call that was sent, after a while, and note the answer."""
    await asyncio.sleep(stop.after_s)
    result = tasks.app.AsyncResult(call.id)
    answer = await until_answered(lambda: result.arevoke(terminate=stop.terminate))
    log.write(json.dumps(asdict(Revoke(call.id, answer.happened, time.time()))) + "\n")


async def send_in_order(calls: Sequence[Call], turns: asyncio.Semaphore, log: TextIO) -> None:
    """Send calls one after the other, and revoke those that are to be."""
    for call in calls:
        async with turns:
            await send(call)
        if call.stop is not None:
            await revoke(call, call.stop, log)


async def produce(calls: Sequence[Call], folder: Path) -> None:
    """Send a run's workload; the enqueue log has each task before it is sent."""
    with (folder / "enqueue.log").open("w") as log:
        for call in calls:
            for ending in call.endings:
                log.write(json.dumps(asdict(ending)) + "\n")
    turns = asyncio.Semaphore(AT_ONCE)
    groups: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        groups[call.group or call.id].append(call)
    with (folder / "revokes.log").open("w") as revokes:
        await asyncio.gather(*(send_in_order(each, turns, revokes) for each in groups.values()))


if __name__ == "__main__":
    tasks.app.finalize()
    workload, seed, run, count, *doors = sys.argv[1:]
    made = WORKLOADS[workload](int(seed), run, int(count), tuple(cast("list[Door]", doors)))
    asyncio.run(produce(list(made), Path(os.environ["CHAOS_FOLDER"])))
