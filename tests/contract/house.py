"""What an app has on an engine, as far as its tasks need it to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from caraway.core import results
from caraway.core.claim_check import Store
from caraway.core.disposition import Delete, Delivery, Leave
from caraway.core.executor import Executor
from caraway.core.publish import Outgoing, Site, describe
from caraway.core.retry import RetryPolicy
from caraway.core.routing import Queue, Router
from caraway.core.sending import send
from caraway.core.settle import Product
from caraway.core.transitions import Records
from caraway.requests.sqs import ChangeMessageVisibility, DeleteMessage, GetQueueUrl

if TYPE_CHECKING:
    from caraway.core.context import Context
    from caraway.core.disposition import Disposition
    from caraway.core.message import Message
    from caraway.requests.base import Json
    from caraway.requests.sqs import ReceivedMessage
    from tests.contract.conftest import Harness

QUEUE = Queue("work")
FIFO = Queue("ordered.fifo")


@dataclass
class FakeTask:
    """A task as the executor knows it: what it runs takes the arguments as they travelled."""

    name: str
    function: Callable[..., Any]
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    idempotent: bool = False
    sensitive: bool = False
    at_most_once: bool = False
    ignore_result: bool = False
    time_limit: float | None = None
    soft_time_limit: float | None = None
    queue: str | None = None
    track_started: bool = False
    store_errors_even_if_ignored: bool = False
    trail: bool = True
    hooks: None = None
    ran: list[tuple[Any, ...]] = field(default_factory=list)

    def runner(self, context: Context) -> Product:
        self.ran.append(tuple(context.args))
        value = self.function(*context.args)
        return Product(value, value)

    def errback_arguments(self, failed: Message, error: Json, traceback: str | None) -> list[Json]:
        return [failed.id]


class House:
    """An app's things on an engine: two queues with their dead letters, a table, a bucket."""

    def __init__(self, harness: Harness, *tasks: FakeTask, **store: Any) -> None:
        prefix = harness.unique_name() + "-"
        for queue in (QUEUE, FIFO):
            for name in (queue.sqs_name(prefix), queue.dead_letter_sqs_name(prefix)):
                harness.queue_name(name)
        self.harness = harness
        self.site = Site(
            Router([QUEUE, FIFO], default=QUEUE.name),
            Records(harness.table()),
            Store(harness.bucket(), **store),
            queue_prefix=prefix,
        )
        registered = {task.name: task for task in tasks}
        self.executor = Executor(harness.aws, self.site, registered, door="contract")

    def send(self, task: str, *args: Json, **options: Any) -> str:
        outgoing: Outgoing = describe(
            self.site,
            task,
            args,
            {},
            options,
            now=self.harness.aws.now(),
            new_id=lambda _digest: self.harness.unique_name(),
        )
        self.harness.run(send(self.harness.aws, self.site, outgoing))
        return outgoing.message.id

    def url(self, name: str) -> str:
        return self.harness.perform(GetQueueUrl(name))

    def receive(self, queue: Queue = QUEUE) -> ReceivedMessage:
        (received,) = self.harness.next_visible(self.url(queue.sqs_name(self.site.queue_prefix)))
        return received

    def execute(self, received: ReceivedMessage, queue: Queue = QUEUE) -> Disposition:
        """Run one delivery."""
        delivery = Delivery(
            received.body,
            queue,
            lease_s=60,
            receive_count=received.receive_count,
            sent_at_s=received.sent_at_s,
            group_id=received.group_id,
            attributes=received.attributes,
        )
        return self.harness.run(self.executor.execute(delivery))

    def run(self, received: ReceivedMessage, queue: Queue = QUEUE) -> Disposition:
        """Run one delivery and do with it what the executor says, as a door does."""
        disposition = self.execute(received, queue)
        url = self.url(queue.sqs_name(self.site.queue_prefix))
        match disposition:
            case Delete():
                self.harness.perform(DeleteMessage(url, received.receipt_handle))
            case Leave(visible_in_s):
                self.harness.perform(
                    ChangeMessageVisibility(url, received.receipt_handle, visible_in_s)
                )
        return disposition

    def look(self, id: str) -> results.Seen:
        return self.harness.run(results.look(self.harness.aws, self.site, id))

    def is_empty(self, queue: Queue = QUEUE) -> bool:
        return not self.harness.visible_now(self.url(queue.sqs_name(self.site.queue_prefix)))
