"""dramatiq with dramatiq-sqs."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import dramatiq
from dramatiq_sqs import SQSBroker

from benchmarks.marks import one_more
from benchmarks.peers import CALLERS, QUEUE
from benchmarks.peers.producing import serve

broker = SQSBroker(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=QUEUE)  # type: ignore[untyped-decorator]
def work(number: int) -> None:
    """Run."""
    one_more()


def loop(count: int) -> None:
    for number in range(count):
        work.send(number)


def in_a_group(count: int) -> None:
    dramatiq.group(work.message(number) for number in range(count)).run()


def from_threads(count: int) -> None:
    with ThreadPoolExecutor(CALLERS) as threads:
        list(threads.map(work.send, range(count)))


if __name__ == "__main__":
    serve({"loop": loop, "group": in_a_group, "threads": from_threads})
