"""The producer of a run: ``python -m tests.chaos.producer SEED RUN TASKS DOOR...``.

It sends each call until AWS has said that it took it, always under the same id: a send whose
answer was lost happens twice. What it has sent is in the enqueue log.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from caraway.exceptions import OperationalError
from tests.chaos import app as tasks
from tests.chaos.workload import Call, Door, workload

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_ONCE: Final = 100


async def send(call: Call, turns: asyncio.Semaphore) -> None:
    """Send one call for as long as it takes."""
    task = tasks.app.tasks[f"tests.chaos.app.{call.task}"]
    link = tasks.after.s().set(queue=call.queue) if call.follows else None
    async with turns:
        while True:
            try:
                await task.aapply_async(call.args, task_id=call.id, queue=call.queue, link=link)
            except OperationalError:
                continue
            return


async def produce(seed: int, run: str, count: int, doors: Sequence[Door], folder: Path) -> None:
    """Send a run's workload; the enqueue log has each task before it is sent."""
    turns = asyncio.Semaphore(AT_ONCE)
    calls = list(workload(seed, run, count, tuple(doors)))
    with (folder / "enqueue.log").open("w") as log:
        for call in calls:
            for ending in call.endings:
                log.write(json.dumps(asdict(ending)) + "\n")
    await asyncio.gather(*(send(call, turns) for call in calls))


if __name__ == "__main__":
    tasks.app.finalize()
    asyncio.run(
        produce(
            int(sys.argv[1]),
            sys.argv[2],
            int(sys.argv[3]),
            cast("list[Door]", sys.argv[4:]),
            Path(os.environ["CHAOS_FOLDER"]),
        )
    )
