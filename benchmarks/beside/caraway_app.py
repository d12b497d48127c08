"""Caraway's side, with its defaults; the same commands as Celery's."""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.beside.effects import CHORD_SIZE, QUEUE, VISIBILITY_S, sum_up, take_time
from caraway import Caraway, Queue, chord

app = Caraway("beside")
app.conf.update(
    task_queues=[Queue(QUEUE, consumer="ecs", visibility_timeout_s=VISIBILITY_S)],
    task_default_queue=QUEUE,
)


@app.task(bind=True, name="work")
def work(self: Any, n: int, seconds: float) -> int:
    take_time(self.request.id, seconds)
    return n


@app.task(bind=True, name="total")
def total(self: Any, values: list[int]) -> int:
    return sum_up(self.request.id, values)


def main() -> None:
    """Send what is asked for."""
    if sys.argv[1] == "--chords":
        for id in json.loads(sys.argv[2]):
            header = [work.s(n, 0.0) for n in range(CHORD_SIZE)]
            chord(header, total.s().set(task_id=id)).apply_async()
        return
    for n, (id, seconds, countdown) in enumerate(json.loads(sys.argv[1])):
        work.apply_async((n, seconds), task_id=id, countdown=countdown or None)


if __name__ == "__main__":
    main()
