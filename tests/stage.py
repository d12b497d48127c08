"""What tests of the app face share: an app over an account in memory, and a worker for it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from caraway import Caraway
from caraway.aws.memory import MemoryAws
from caraway.core.disposition import Delete, Delivery, Disposition
from caraway.core.envelope import parse_envelope
from caraway.core.executor import Executor
from caraway.core.message import Message, read_message
from caraway.core.port import run_now
from caraway.core.record import Record
from caraway.requests.sqs import ChangeMessageVisibility, DeleteMessage, ReceiveMessages

if TYPE_CHECKING:
    from caraway.core.events import Event


class MemoryApp(Caraway):
    """An app whose every way to AWS leads to one account in memory."""

    def __init__(self, main: str | None = "shop", **options: Any) -> None:
        super().__init__(main, **options)
        self.memory = MemoryAws()

    @property
    def aws(self) -> Any:
        return self.memory

    @property
    def aio(self) -> Any:
        return self.memory


class Stage:
    """An app on an account in memory, and a worker that consumes its queues when it is told to.

    Parameters
    ----------
    conf
        Settings of the app.
    """

    def __init__(self, main: str | None = "shop", **conf: Any) -> None:
        self.app = MemoryApp(main)
        self.app.conf.update(conf)
        self.memory = self.app.memory
        self.events: list[Event] = []

    # -- looking ----------------------------------------------------------------------------

    def sent(self, queue: str = "default") -> list[Message]:
        """Return the messages on a queue."""
        name = self.app.site.router.queue(queue).sqs_name()
        return [read_message(parse_envelope(body)) for body in self.memory.bodies(name)]

    def delays(self, queue: str = "default") -> list[int]:
        """Return the delays, in seconds, with which the messages on a queue were sent."""
        name = self.app.site.router.queue(queue).sqs_name()
        return [stored.request.delay_s for stored in self.memory.queues.get(name, ())]

    def record(self, id: str) -> Record:
        """Return the record of a task."""
        return Record.read(self.memory.item(self.app.conf.task_table, id) or {"id": id})

    # -- working ----------------------------------------------------------------------------

    def deliver(self, message: Message, *, receive_count: int = 1) -> Disposition:
        """Hand a message to a worker, whether or not it is still on its queue."""
        return self._execute(message.to_body(), "default", receive_count)

    def _execute(self, body: str, queue: str, receive_count: int) -> Disposition:
        kind = self.app.site.router.queue(queue)
        executor = Executor(
            self.memory,
            self.app.site,
            self.app.tasks,
            door="ecs",
            hostname="worker",
            observe=self.events.append,
            rng=random.Random(0),
        )
        return run_now(executor.execute(Delivery(body, kind, 360.0, receive_count, group_id="g")))

    def work_once(self) -> bool:
        """Run the message that is due first, with the clock moved there; False without one."""
        queues = self.app.site.router.queues
        due = [
            (at, name)
            for name, queue in queues.items()
            if (at := self.memory.next_visible_at(queue.sqs_name())) is not None
        ]
        if not due:
            return False
        at, name = min(due)
        self.memory.time = max(self.memory.time, at)
        url = f"memory://{queues[name].sqs_name()}"
        (received,) = run_now(self.memory.perform(ReceiveMessages(url, limit=1)))
        disposition = self._execute(received.body, name, received.receive_count)
        handle = received.receipt_handle
        if isinstance(disposition, Delete):
            run_now(self.memory.perform(DeleteMessage(url, handle)))
        else:
            wait_s = disposition.visible_in_s
            run_now(self.memory.perform(ChangeMessageVisibility(url, handle, wait_s)))
        return True

    def work(self, limit: int = 50) -> None:
        """Run messages until the queues are empty."""
        for _ in range(limit):
            if not self.work_once():
                return
        raise AssertionError(f"messages are left after {limit} deliveries")
