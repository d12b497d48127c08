"""Eager tasks: the executor over an account in memory, in the caller's process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caraway.announcing import EventSignals
from caraway.aws.memory import MemoryAws
from caraway.core.claiming import EAGER
from caraway.core.disposition import Delete, Delivery
from caraway.core.events import Ended, Event
from caraway.core.executor import Executor
from caraway.core.port import run_now
from caraway.core.sending import send
from caraway.core.settle import Requeued
from caraway.requests.sqs import ChangeMessageVisibility, DeleteMessage, ReceiveMessages

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from caraway.base import AppBase
    from caraway.core.publish import Outgoing
    from caraway.core.routing import Queue
    from caraway.core.settle import Ending

_LEASE_S = 86_400.0
_HOSTNAME = "eager"


def run(
    app: AppBase, outgoings: Iterable[Outgoing], now: datetime
) -> tuple[MemoryAws, dict[str, BaseException]]:
    """Run calls, their retries and all that they lead to, to the end.

    Delays pass at once. Results are kept whatever ``ignore_result`` says, as in Celery.

    Returns
    -------
    tuple[MemoryAws, dict[str, BaseException]]
        The account that they ran in, and the exceptions that tasks ended with, by their ids.
    """
    site = app.eager_site
    memory = MemoryAws(time=now)
    ended: dict[str, Ending] = {}
    announce = EventSignals(app.tasks, _HOSTNAME)

    def observe(event: Event) -> None:
        announce(event)
        if isinstance(event, Ended):
            ended[event.message.id] = event.ending

    executor = Executor(memory, site, app.tasks, door=EAGER, hostname=_HOSTNAME, observe=observe)
    for outgoing in outgoings:
        run_now(send(memory, site, outgoing))
    queues = {queue.sqs_name(site.queue_prefix): queue for queue in site.router.queues.values()}
    while (due := _next_queue(memory, queues)) is not None:
        run_now(_deliver(memory, executor, due, queues[due]))
        if any(isinstance(ending, Requeued) for ending in ended.values()):
            break  # nobody else is here to take it
    errors = {id: getattr(ending, "error", None) for id, ending in ended.items()}
    return memory, {id: error for id, error in errors.items() if error is not None}


def _next_queue(memory: MemoryAws, queues: dict[str, Queue]) -> str | None:
    """Return the queue whose message is due first, with the clock moved there."""
    due = [(at, name) for name in queues if (at := memory.next_visible_at(name)) is not None]
    if not due:
        return None
    at, name = min(due)
    memory.time = max(memory.time, at)
    return name


async def _deliver(memory: MemoryAws, executor: Executor, name: str, queue: Queue) -> None:
    url = f"memory://{name}"
    for message in await memory.perform(ReceiveMessages(url, limit=1)):
        delivery = Delivery(
            message.body, queue, _LEASE_S, message.receive_count, group_id=message.group_id
        )
        disposition = await executor.execute(delivery)
        if isinstance(disposition, Delete):
            await memory.perform(DeleteMessage(url, message.receipt_handle))
        else:
            await memory.perform(
                ChangeMessageVisibility(url, message.receipt_handle, disposition.visible_in_s)
            )
