"""The two doors of an app, to which each message comes twice.

Three kinds of duplicates, as SQS, its senders and Lambda make them:

* **invoked twice**: a function gets an event again after it has answered.
* **received again**: a message is handed out once more while it is held, and the receipt of the
  first time is void ("Amazon SQS standard queues", at-least-once delivery).
* **sent twice**: whatever is sent is on its queue as two messages (a send whose answer was lost,
  and which was repeated).
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import pytest

from caraway.aws.blocking_aws import Botocore
from caraway.aws.wires import AiobotocoreWire
from caraway.core.port import run_now
from caraway.signals import task_received
from caraway.workers.ecs import Worker
from tests.integration.test_lambda_door import Door

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from caraway import Caraway
    from tests.integration.conftest import Place

Consumer: TypeAlias = Literal["lambda", "ecs"]
Kind: TypeAlias = Literal["invoked twice", "received again", "sent twice"]
Put: TypeAlias = "Callable[[str, Any], Awaitable[Any]]"

LONGEST_WAIT_S: Final = 1
"""How long a message is hidden that finds its task running. A door asks for the rest of the lease,
six minutes with the default visibility timeout, in case that the other one dies: here it comes
soon, and finds what has become of the task."""
LOOK_S: Final = 0.1


def run_all(place: Place, app: Caraway, consumer: Consumer, kind: Kind, patience_s: float) -> None:
    """Let a door work until the queue is empty: a message goes when all it leads to is there."""
    deadline = time.monotonic() + patience_s

    def is_busy() -> bool:
        assert time.monotonic() < deadline, "the queue is not empty"
        return place.depth(app) > 0

    if consumer == "lambda":
        _invoke(place, app, is_busy, times=2 if kind == "invoked twice" else 1)
    else:
        _work(place, app, is_busy)


def _invoke(place: Place, app: Caraway, is_busy: Callable[[], bool], times: int) -> None:
    door, url = Door(place, app, concurrency=10), place.url(app)
    while is_busy():
        event = door.event()
        if not event["Records"]:
            continue
        for _ in range(times):
            left = door.invoke(event)
        done = [each for each in event["Records"] if each["messageId"] not in left]
        if done:
            receipts = [{"ReceiptHandle": each["receiptHandle"]} for each in done]
            place.client("sqs").delete_message_batch(QueueUrl=url, Entries=_numbered(receipts))


def _work(place: Place, app: Caraway, is_busy: Callable[[], bool]) -> None:
    # With room for those that come again: they meet the others while these run.
    worker = Worker(app, pool="threads", concurrency=20, heartbeat_interval_s=0)
    working = threading.Thread(target=worker.run)
    working.start()
    try:
        while is_busy():
            time.sleep(LOOK_S)
    finally:
        worker.stop()
        # It ends the long poll: what comes after the stop is not begun any more.
        place.client("sqs").send_message(QueueUrl=place.url(app), MessageBody="poke")
        working.join()


@dataclass
class Duplicates:
    """Doubles what passes between this process and SQS.

    Attributes
    ----------
    sent
        Messages that were to be sent.
    delivered
        How often a task was handed to a door.
    """

    kind: Kind
    sent: int = 0
    delivered: int = 0
    _known: set[str] = field(default_factory=set)

    async def around(self, put: Put, operation: str, params: Any) -> Any:
        """Perform an operation, and what doubles it."""
        params = _hidden_shortly(operation, params)
        response = await put(operation, params)
        if operation in {"send_message", "send_message_batch"}:
            self.sent += len(params.get("Entries", "1"))
            if self.kind == "sent twice":
                await put(operation, params)
        elif operation == "receive_message" and self.kind == "received again":
            await self._give_back(put, params["QueueUrl"], response.get("Messages", ()))
        return response

    async def _give_back(self, put: Put, url: str, messages: Sequence[Any]) -> None:
        """Make visible, while they are held, those that come for the first time."""
        fresh = [each for each in messages if each["MessageId"] not in self._known]
        self._known.update(each["MessageId"] for each in fresh)
        if fresh:
            again = [{"ReceiptHandle": each["ReceiptHandle"], **_VISIBLE} for each in fresh]
            change = {"QueueUrl": url, "Entries": _numbered(again)}
            await put("change_message_visibility_batch", change)

    def count(self, **_: Any) -> None:
        """Note that a task was handed to a door."""
        self.delivered += 1


@contextmanager
def duplicates(kind: Kind) -> Iterator[Duplicates]:
    """Double what this process sends, or what its workers receive."""
    doubled = Duplicates(kind)
    asynchronous, blocking = AiobotocoreWire.send, Botocore.__call__

    async def send(wire: Any, service: str, operation: str, params: Any) -> Any:
        def put(operation: str, params: Any) -> Awaitable[Any]:
            return asynchronous(wire, service, operation, params)

        return await doubled.around(put, operation, params)

    def call(botocore: Any, service: str, operation: str, params: Any) -> Any:
        async def put(operation: str, params: Any) -> Any:
            return blocking(botocore, service, operation, params)

        return run_now(doubled.around(put, operation, params))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AiobotocoreWire, "send", send)
        patch.setattr(Botocore, "__call__", call)
        task_received.connect(doubled.count)
        try:
            yield doubled
        finally:
            task_received.disconnect(doubled.count)


_VISIBLE: Final = {"VisibilityTimeout": 0}


def _numbered(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"Id": str(place), **each} for place, each in enumerate(entries)]


def _hidden_shortly(operation: str, params: Any) -> Any:
    if operation == "change_message_visibility":
        return _shortly(params)
    if operation == "change_message_visibility_batch":
        return {**params, "Entries": [_shortly(each) for each in params["Entries"]]}
    return params


def _shortly(entry: Any) -> Any:
    return {**entry, "VisibilityTimeout": min(LONGEST_WAIT_S, entry["VisibilityTimeout"])}
