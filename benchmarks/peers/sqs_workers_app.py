"""sqs-workers, which sends in batches when told to; ``worker`` as an argument consumes."""

from __future__ import annotations

import sys

from sqs_workers import SQSEnv

from benchmarks.marks import one_more
from benchmarks.peers import QUEUE
from benchmarks.peers.producing import serve

queue = SQSEnv().queue(QUEUE)


@queue.processor("work")  # type: ignore[untyped-decorator]
def work(number: int) -> None:
    """Run."""
    one_more()


def loop(count: int) -> None:
    for number in range(count):
        work.delay(number=number)


def in_a_batch(count: int) -> None:
    with queue.add_batch():
        loop(count)


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        queue.process_queue(wait_second=20)
    else:
        serve({"loop": loop, "batch": in_a_batch})
