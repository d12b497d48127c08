"""An entry of a schedule, and what a worker does when its rule fires."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from caraway import Caraway, Queue
from caraway.aws.memory import MemoryAws
from caraway.beat import schedules_of
from caraway.core.disposition import Delete, Delivery
from caraway.core.executor import Executor
from caraway.core.ids import occurrence_id
from caraway.core.port import run_now
from caraway.core.record import Record
from caraway.core.rule_store import template_of
from caraway.requests.sqs import DeleteMessage, ReceiveMessages, SendMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from caraway import AsyncResult
    from caraway.core.context import Context
    from caraway.core.events import Event
    from caraway.schedules import BaseSchedule

UTC = timezone.utc
LEASE_S = 600.0
MONDAY = datetime(2026, 6, 1, 9, tzinfo=UTC)
"""The first of June: a Monday."""


class Clockwork:
    """An app with one entry, and what its worker does when the entry's rule fires.

    Attributes
    ----------
    ran
        The times of the occurrences that ran, in order.
    run
        What the task does, given its request.
    """

    def __init__(
        self,
        when: BaseSchedule,
        queue: str = "default",
        *,
        conf: Mapping[str, Any] | None = None,
        **entry: Any,
    ) -> None:
        self.aws = MemoryAws()
        self.aws.time = MONDAY
        self.app = Caraway("clock", set_as_current=False)
        self.app.conf.update(task_queues=[Queue(queue)], **(conf or {}))
        self.app._blocking = self.aws  # type: ignore[assignment]
        self.ran: list[datetime] = []
        self.run: Callable[[Context], Any] = lambda _request: None

        @self.app.task(name="tick", bind=True)
        def tick(task: Any) -> Any:
            self.ran.append(task.request.scheduled_time)
            return self.run(task.request)

        entry = {"task": "tick", "schedule": when, **entry}
        self.app.conf.beat_schedule = {"tick": entry}
        (self.rule,) = schedules_of(self.app, MONDAY)
        self.queue = self.app.site.router.queues[Queue(queue).name]
        self.events: list[Event] = []
        self.executor = Executor(
            self.aws, self.app.site, self.app.tasks, door="ecs", observe=self.events.append
        )

    def fire(self, at: datetime, **changes: Any) -> Any:
        """Deliver what the rule sends at a time."""
        self.aws.time = max(self.aws.time, at)
        return self.deliver(self.body(at, **changes))

    def body(self, at: datetime, **changes: Any) -> str:
        """Return what the rule sends at a time."""
        body = template_of(self.rule.text).replace("<time>", at.isoformat().replace("+00:00", "Z"))
        return json.dumps({**json.loads(body), **changes})

    def put(self, *times: datetime) -> None:
        """Put on the queue what the rule sends at these times, and let nobody work."""
        url = f"memory://{self.queue.sqs_name('')}"
        for at in times:
            self.aws.time = max(self.aws.time, at)
            run_now(self.aws.perform(SendMessage(url, self.body(at))))

    def deliver(self, body: str, receive_count: int = 1) -> Any:
        group = "default" if self.queue.fifo else None
        delivery = Delivery(body, self.queue, LEASE_S, receive_count, group_id=group)
        return run_now(self.executor.execute(delivery))

    def record(self, at: datetime) -> Record:
        """Return the record of an occurrence."""
        id = occurrence_id("tick", at)
        return Record.read(self.aws.item(self.app.conf.task_table, id) or {"id": id})

    def result(self, at: datetime) -> AsyncResult[Any]:
        """Return the result of an occurrence."""
        return self.app.AsyncResult(occurrence_id("tick", at))

    def sent(self) -> list[datetime]:
        """Deliver what lies on the queue, each when it comes into sight; says when that was."""
        seen = []
        name = self.queue.sqs_name("")
        url = f"memory://{name}"
        while (at := self.aws.next_visible_at(name)) is not None:
            self.aws.time = max(self.aws.time, at)
            for message in run_now(self.aws.perform(ReceiveMessages(url, limit=10))):
                seen.append(self.aws.now())
                assert isinstance(self.deliver(message.body), Delete)
                run_now(self.aws.perform(DeleteMessage(url, message.receipt_handle)))
        return seen
