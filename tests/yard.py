"""A yard for workflows: an app whose account is in memory, and a worker that takes everything.

The worker delivers each message as often as it is told to, in an order that a seed decides. What a
message leads to is sent by each of its deliveries; of what comes of that, so many copies are
delivered, and no more: else a workflow of ten steps would be a thousand deliveries of its last.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from caraway import Caraway, Queue
from caraway.aws.memory import MemoryAws
from caraway.core.disposition import Delete, Delivery
from caraway.core.executor import Executor
from caraway.core.port import run_now
from caraway.exceptions import EndpointUnreachable
from caraway.requests.sqs import (
    ChangeMessageVisibility,
    DeleteMessage,
    ReceivedMessage,
    ReceiveMessages,
    SendMessage,
)

if TYPE_CHECKING:
    from caraway.core.events import Event

_LEASE_S = 600.0


class Yard:
    """An app with some tasks, and what happened to them.

    Attributes
    ----------
    runs
        The name and the arguments of each run, in order.
    """

    def __init__(self, *, copies: int = 1, seed: int | None = None) -> None:
        self.aws = MemoryAws()
        self.app = Caraway("yard", set_as_current=False)
        self.app.conf.update(task_queues=[Queue("default")])
        self.app._blocking = self.aws  # type: ignore[assignment]
        self.runs: list[tuple[Any, ...]] = []
        self.events: list[Event] = []
        self._copies = copies
        self._rng = None if seed is None else random.Random(seed)
        self._declare()

    def _declare(self) -> None:
        task, noted = self.app.task, self.runs.append

        @task(name="add")
        def add(x: Any, y: Any = 0) -> Any:
            noted(("add", x, y))
            return x + y

        @task(name="ident")
        def ident(x: Any = None) -> Any:
            noted(("ident", x))
            return x

        @task(name="total")
        def total(values: list[Any], more: Any = 0) -> Any:
            noted(("total", values, more))
            return sum(values) + more

        @task(name="fail")
        def fail(x: Any = None) -> Any:
            noted(("fail", x))
            raise ValueError(x)

        @task(name="told")
        def told(id: Any) -> Any:
            noted(("told", id))
            return id

        self.add, self.ident, self.total, self.fail, self.told = add, ident, total, fail, told

    def work(self, rounds: int = 5_000) -> None:
        """Deliver messages until there is none, or so many times up to ten."""
        executor = Executor(
            self.aws, self.app.site, self.app.tasks, door="ecs", observe=self.events.append
        )
        done: Counter[str] = Counter()
        for _ in range(rounds):
            if (queue := self._next_queue()) is None:
                return
            request = ReceiveMessages(f"memory://{queue.name}", limit=10)
            received = run_now(self.aws.perform(request))
            if self._rng is not None:
                self._rng.shuffle(received)
            for message in received:
                with suppress(EndpointUnreachable):  # as a door does, it leaves the message then
                    after = self._after(executor, queue, message, done)
                    run_now(self.aws.perform(after))

    def _after(
        self, executor: Executor, queue: Queue, message: ReceivedMessage, done: Counter[str]
    ) -> DeleteMessage | ChangeMessageVisibility:
        """Deliver a message, and return what becomes of it."""
        url, handle = f"memory://{queue.name}", message.receipt_handle
        # The same again, sent by another delivery, comes late: when much has gone on meanwhile.
        if self._copies == 1 or done[message.body] < self._copies:
            for copy in range(self._copies):
                delivery = Delivery(message.body, queue, _LEASE_S, message.receive_count + copy)
                said = run_now(executor.execute(delivery))
            if not isinstance(said, Delete):
                return ChangeMessageVisibility(url, handle, said.visible_in_s)
            done[message.body] += 1
        return DeleteMessage(url, handle)

    def _next_queue(self) -> Queue | None:
        """Return the queue whose message is due first, with the clock moved there."""
        due = [
            (at, name)
            for name in self.app.site.router.queues
            if (at := self.aws.next_visible_at(name)) is not None
        ]
        if not due:
            return None
        at, name = min(due)
        self.aws.time = max(self.aws.time, at)
        return self.app.site.router.queues[name]

    def redrive(self, queue: str = "default") -> None:
        """Move the dead letters of a queue back to it, as SQS does."""
        name = self.app.site.router.queue(queue).dead_letter_sqs_name()
        for stored in self.aws.queues.pop(name, []):
            run_now(self.aws.perform(SendMessage(f"memory://{queue}", stored.request.body)))

    def ran(self, name: str) -> int:
        """Return how often a task has run."""
        return sum(run[0] == name for run in self.runs)
