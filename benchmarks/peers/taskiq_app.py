"""taskiq with taskiq-aio-sqs, its batches on."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from taskiq_aio_sqs import SQSBroker

from benchmarks.marks import one_more
from benchmarks.peers import QUEUE
from benchmarks.peers.producing import serve


class Broker(SQSBroker):  # type: ignore[misc]
    """Knows how many messages are sent: a call returns when its message is in a buffer."""

    sent = 0

    async def _send_batch_for_queue(self, queue_name: str, batch: list[Any]) -> None:
        await super()._send_batch_for_queue(queue_name, batch)
        self.sent += len(batch)


broker = Broker(
    QUEUE,
    endpoint_url=os.environ["AWS_ENDPOINT_URL"],
    region_name=os.environ.get("AWS_REGION", "us-east-1"),
    max_number_of_messages=10,
    wait_time_seconds=20,
    enable_batching=True,
    batch_timeout=0.1,
)


@broker.task(task_name="work")  # type: ignore[untyped-decorator]
async def work(number: int) -> None:
    """Run."""
    one_more()


async def one_by_one(count: int) -> None:
    whole = broker.sent + count
    for number in range(count):
        await work.kiq(number)
    await until_sent(whole)


async def together(count: int) -> None:
    whole = broker.sent + count
    await asyncio.gather(*(work.kiq(number) for number in range(count)))
    await until_sent(whole)


async def until_sent(whole: int) -> None:
    while broker.sent < whole:
        await asyncio.sleep(0.001)


def main() -> None:
    """Send what is asked for."""
    events = asyncio.new_event_loop()
    events.run_until_complete(broker.startup())
    serve(
        {
            "loop": lambda count: events.run_until_complete(one_by_one(count)),
            "concurrent": lambda count: events.run_until_complete(together(count)),
        }
    )


if __name__ == "__main__":
    main()
