"""A worker in this process, which takes what lies on an app's queues when it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from caraway.core.disposition import Delete, Delivery
from caraway.core.events import Ended, Event
from caraway.core.executor import Executor
from caraway.core.port import run_now
from caraway.exceptions import LocalError
from caraway.lean import dataclass
from caraway.local.clock_port import LONGEST_S
from caraway.requests.sqs import BATCH_LIMIT, DeleteMessage, GetQueueUrl, ReceiveMessages
from caraway.workers.observing import observer

if TYPE_CHECKING:
    from datetime import datetime

    from caraway.app import Caraway
    from caraway.core.routing import Queue
    from caraway.local.clock_port import ClockPort

_HOSTNAME: Final = "in-process"
_LEASE_S: Final = 360.0
_DELIVERIES: Final = 100_000


@dataclass(frozen=True)
class Ran:
    """An attempt of a task that has ended.

    Attributes
    ----------
    task
        The task's name.
    id
        The task's id.
    state
        How it ended, such as ``SUCCESS``, ``FAILURE`` or ``RETRY``.
    schedule, scheduled_time
        The entry that it is an occurrence of, and when that was due; None for any other task.
    """

    task: str
    id: str
    state: str
    schedule: str | None = None
    scheduled_time: datetime | None = None


class InProcessWorker:
    """Runs an app's tasks in the calling thread, by the executor that all workers have."""

    def __init__(self, app: Caraway, port: ClockPort) -> None:
        self._app = app
        self._port = port
        self._ran: list[Ran] = []
        self._log = observer(app, _HOSTNAME)
        self._executor = Executor(
            port, app.site, app.tasks, door="ecs", hostname=_HOSTNAME, observe=self._observe
        )

    def run_all(self) -> list[Ran]:
        """Run what can be received now, and what that leads to, until the queues are empty.

        Raises
        ------
        LocalError
            If there is no end of it.
        """
        self._ran = []
        queues = list(self._app.site.router.queues.values())
        left = _DELIVERIES
        while any([self._work_on(queue) for queue in queues]):  # noqa: C419 - a round of all
            left -= 1
            if not left:
                raise LocalError(
                    f"After {_DELIVERIES:,} rounds there still are messages: a task sends itself "
                    "again without a countdown"
                )
        return self._ran

    def _work_on(self, queue: Queue) -> bool:
        name = queue.sqs_name(self._app.site.queue_prefix)
        url = run_now(self._port.perform(GetQueueUrl(name)))
        # What is behind a message of its group waits for it, so it is not received with it.
        limit = 1 if queue.fifo else BATCH_LIMIT
        request = ReceiveMessages(url, limit, wait_s=0, visibility_timeout_s=LONGEST_S)
        received = run_now(self._port.perform(request))
        for message in received:
            delivery = Delivery(
                message.body,
                queue,
                _LEASE_S,
                message.receive_count,
                group_id=message.group_id,
                attributes=message.attributes,
            )
            done = run_now(self._executor.execute(delivery))
            if isinstance(done, Delete):
                run_now(self._port.perform(DeleteMessage(url, message.receipt_handle)))
            else:
                self._port.hide(url, message.receipt_handle, done.visible_in_s)
        return bool(received)

    def _observe(self, event: Event) -> None:
        self._log(event)
        if isinstance(event, Ended):
            message = event.message
            self._ran.append(
                Ran(
                    message.task,
                    message.id,
                    event.ending.state,
                    message.schedule,
                    message.scheduled_time,
                )
            )
