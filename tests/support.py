"""What tests of the core share: tasks made of plain functions, and an account in memory."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from caraway.aws.memory import MemoryAws
from caraway.core.claim_check import Store
from caraway.core.codec import encode
from caraway.core.disposition import Delete, Delivery, Disposition
from caraway.core.envelope import parse_envelope
from caraway.core.executor import Executor
from caraway.core.ids import derived_id
from caraway.core.message import Message, read_message
from caraway.core.port import run_now
from caraway.core.publish import Site, describe
from caraway.core.record import Record
from caraway.core.retry import RetryPolicy
from caraway.core.routing import Queue, Router
from caraway.core.sending import send
from caraway.core.settle import Product
from caraway.core.transitions import Records
from caraway.exceptions import EncodeError
from caraway.requests.dynamodb import UpdateItem
from caraway.requests.sqs import (
    ChangeMessageVisibility,
    DeleteMessage,
    ReceivedMessage,
    ReceiveMessages,
    SendMessage,
)
from tests.firing import fire_next, next_firing_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from caraway.aws.memory import Fate
    from caraway.core.context import Context
    from caraway.core.events import Event
    from caraway.core.port import Aws
    from caraway.core.settle import Ending
    from caraway.requests.base import Json, Request

T = TypeVar("T")
E = TypeVar("E")

TABLE = "tasks"


@dataclass
class FakeTask:
    """A task whose function takes the request of its attempt: ``lambda request: ...``."""

    name: str
    function: Callable[[Context], Any] = lambda _request: None
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    idempotent: bool = False
    at_most_once: bool = False
    ignore_result: bool = False
    time_limit: float | None = None
    soft_time_limit: float | None = None
    queue: str | None = None
    track_started: bool = False
    trail: bool = True
    store_errors_even_if_ignored: bool = False
    sensitive: bool | tuple[str, ...] = False
    hooks: Callable[[Context, Ending], Any] | None = None
    runs: list[Context] = field(default_factory=list)
    """The request of every run of the function, in order."""

    def runner(self, context: Context) -> Product:
        self.runs.append(context)
        value = self.function(context)
        try:
            return Product(value, encode(value))
        except EncodeError as refused:
            return Product(value, refused=refused)

    def errback_arguments(self, failed: Message, error: Json, traceback: str | None) -> list[Json]:
        return [failed.id, error, traceback]


class World:
    """An account in memory, the tasks of an app, and a worker that consumes its queues.

    Parameters
    ----------
    fate
        What becomes of each request; see :class:`~caraway.aws.memory.MemoryAws`.
    """

    def __init__(
        self,
        *tasks: FakeTask,
        queues: Iterable[Queue | str] = ("default",),
        fate: Callable[[Request[Any]], Fate] = lambda _request: "ok",
        store: Store | None = None,
        **site: Any,
    ) -> None:
        self.aws = MemoryAws(fate=fate)
        self.site = Site(
            Router(list(queues)), records=Records(TABLE), store=store or Store(), **site
        )
        self.tasks = {task.name: task for task in tasks}
        self.events: list[Event] = []
        self.executor = self.worker(self.aws)
        self._sent = 0

    def worker(self, aws: Aws, door: str = "ecs") -> Executor:
        return Executor(
            aws,
            self.site,
            self.tasks,
            door=door,
            hostname="worker",
            observe=self.events.append,
            rng=random.Random(0),
        )

    # -- sending ----------------------------------------------------------------------------

    def send(self, task: str, *args: Json, queue: str = "default", **options: Any) -> Message:
        self._sent += 1
        id = derived_id("sent", self._sent)
        outgoing = describe(
            self.site,
            task,
            args,
            {},
            {"queue": queue, **options},
            now=self.aws.now(),
            new_id=lambda _digest: id,
        )
        run_now(send(self.aws, self.site, outgoing))
        return outgoing.message

    def put(self, body: str | Message, queue: str = "default") -> None:
        """Put a body on a queue as it is."""
        text = body if isinstance(body, str) else body.to_body()
        run_now(self.aws.perform(SendMessage(self.url(queue), text, group_id="g")))

    # -- delivering -------------------------------------------------------------------------

    def queue(self, name: str) -> str:
        """Return a queue's name in SQS."""
        return self.site.router.queue(name).sqs_name()

    def url(self, queue: str) -> str:
        return f"memory://{self.queue(queue)}"

    def receive(self, queue: str = "default") -> ReceivedMessage | None:
        kind = self.site.router.queue(queue)
        request = ReceiveMessages(
            self.url(queue), limit=1, visibility_timeout_s=kind.visibility_timeout_s
        )
        received = run_now(self.aws.perform(request))
        return received[0] if received else None

    def delivery(self, received: ReceivedMessage, queue: str = "default") -> Delivery:
        kind = self.site.router.queue(queue)
        return Delivery(
            received.body,
            kind,
            kind.visibility_timeout_s,
            received.receive_count,
            received.sent_at_s,
            received.group_id,
        )

    def deliver(self, queue: str = "default") -> Disposition:
        """Receive a message, execute it, and do with it what the executor says."""
        received = self.receive(queue)
        assert received is not None, f"nothing to be received from {queue}"
        disposition = run_now(self.executor.execute(self.delivery(received, queue)))
        self.apply(disposition, received, queue)
        return disposition

    def apply(
        self, disposition: Disposition, received: ReceivedMessage, queue: str = "default"
    ) -> None:
        url, handle = self.url(queue), received.receipt_handle
        if isinstance(disposition, Delete):
            run_now(self.aws.perform(DeleteMessage(url, handle)))
        else:
            wait_s = disposition.visible_in_s
            run_now(self.aws.perform(ChangeMessageVisibility(url, handle, wait_s)))

    def redeliver(
        self, message: Message | str, queue: str = "default", **given: Any
    ) -> Disposition:
        """Execute a delivery of a message that may have been deleted long ago."""
        body = message if isinstance(message, str) else message.to_body()
        kind = self.site.router.queue(queue)
        return run_now(self.executor.execute(Delivery(body, kind, 360.0, **given)))

    def drain(self, limit: int = 50) -> None:
        """Deliver until nothing is left to be; the clock moves to each message and schedule."""
        for _ in range(limit):
            waiting = [
                (at, name)
                for name, queue in self.site.router.queues.items()
                if (at := self.aws.next_visible_at(queue.sqs_name())) is not None
            ]
            firing_at = next_firing_at(self.aws)
            if firing_at is not None and all(firing_at < at for at, _ in waiting):
                fire_next(self.aws)
                continue
            if not waiting:
                return
            at, name = min(waiting)
            self.aws.time = max(self.aws.time, at)
            self.deliver(name)
        raise AssertionError(f"messages are left after {limit} deliveries: {waiting}")

    # -- looking ----------------------------------------------------------------------------

    def record(self, message: Message | str) -> Record:
        id = message if isinstance(message, str) else message.id
        return Record.read(self.aws.item(TABLE, id) or {"id": id})

    def result(self, message: Message | str) -> Any:
        text = self.record(message).result
        return None if text is None else json.loads(text)

    def messages(self, queue: str = "default") -> list[Message]:
        name = self.site.router.queue(queue).sqs_name()
        return [read_message(parse_envelope(body)) for body in self.aws.bodies(name)]

    def dead_letters(self, queue: str = "default") -> list[SendMessage]:
        name = self.site.router.queue(queue).dead_letter_sqs_name()
        return [stored.request for stored in self.aws.queues.get(name, ())]

    def redrive(self, queue: str = "default") -> None:
        """Move all dead letters back to their queue, as SQS does: bodies and no more."""
        name = self.site.router.queue(queue).dead_letter_sqs_name()
        for stored in self.aws.queues.pop(name, []):
            self.put(stored.request.body, queue)

    def events_of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def asked(self, kind: type[T]) -> list[T]:
        """Return the requests of one kind that were performed."""
        return [request for request in self.aws.requests if isinstance(request, kind)]


class Fates:
    """Decides the fate of chosen requests, once each; everything else works.

    ``Fates().on(UpdateItem, "lose", nth=2)`` loses the answer of the second write.
    """

    def __init__(self) -> None:
        self._rules: list[tuple[Callable[[Request[Any]], bool], Fate, int]] = []

    def on(
        self,
        kind: type[Request[Any]],
        fate: Fate,
        *,
        nth: int = 1,
        where: Callable[[Any], bool] = lambda _request: True,
    ) -> Fates:
        self._rules.append(
            (lambda request: isinstance(request, kind) and where(request), fate, nth)
        )
        return self

    def __call__(self, request: Request[Any]) -> Fate:
        for index, (matches, fate, nth) in enumerate(self._rules):
            if not matches(request):
                continue
            if nth > 1:
                self._rules[index] = (matches, fate, nth - 1)
                continue
            del self._rules[index]
            return fate
        return "ok"


def to_phase(phase: str) -> Callable[[Any], bool]:
    """Match the write that takes a record to a phase."""
    return lambda request: (
        isinstance(request, UpdateItem) and request.change.assign.get("phase") == phase
    )


def to_queue(name: str) -> Callable[[Any], bool]:
    """Match what is sent to a queue, by its name in SQS."""
    return lambda request: (
        isinstance(request, SendMessage) and request.queue_url.endswith(f"/{name}")
    )


def signature(task: str, *args: Json, **options: Json) -> dict[str, Json]:
    """Return a signature as JSON, as it travels in a message."""
    return {"task": task, "args": list(args), "kwargs": {}, "options": options}


def doing(*outcomes: Any) -> Callable[[Context], Any]:
    """Return a function that does one thing after the other: returns a value, or raises an error.

    The last one is repeated.
    """
    left = list(outcomes)

    def function(_request: Context) -> Any:
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return function
