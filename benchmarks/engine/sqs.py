"""Standard queues of SQS in memory, with delays, visibility timeouts and long polls."""

from __future__ import annotations

import asyncio
import heapq
import time
import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from hashlib import md5
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from benchmarks.engine.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Params = Mapping[str, Any]
    Answer = dict[str, Any]

BATCH_LIMIT: Final = 10
BATCH_LIMIT_BYTES: Final = 1_048_576
DEFAULTS: Final = {
    "VisibilityTimeout": "30",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
}
_ARN: Final = "arn:aws:sqs:us-east-1:000000000000:"
_numbers: Final = count(1)


@dataclass(slots=True)
class Message:
    """One message.

    Attributes
    ----------
    due
        When it becomes visible, by the clock of :func:`time.monotonic`; while it is not.
    receipt
        The last receipt handle, the only one by which it can be deleted.
    """

    body: str
    attributes: dict[str, Any]
    group: str | None
    number: int = field(default_factory=lambda: next(_numbers))
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    sent_ms: int = field(default_factory=lambda: int(time.time() * 1000))
    first_ms: int = 0
    receives: int = 0
    receipt: str = ""
    due: float = 0.0

    def system(self) -> dict[str, str]:
        """Return the attributes that SQS gives it."""
        group = {} if self.group is None else {"MessageGroupId": self.group}
        return {
            "SenderId": "000000000000",
            "SentTimestamp": str(self.sent_ms),
            "ApproximateReceiveCount": str(self.receives),
            "ApproximateFirstReceiveTimestamp": str(self.first_ms),
            **group,
        }


class _Poll:
    """A receive that waits."""

    def __init__(self, params: Params, answer: asyncio.Future[Answer]) -> None:
        self.params = params
        self.answer = answer


class Queue:
    """One queue."""

    def __init__(self, name: str, attributes: Mapping[str, str]) -> None:
        self.name = name
        self.attributes = {**DEFAULTS, **attributes}
        self.purge()
        self._polls: deque[_Poll] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def purge(self) -> None:
        """Forget every message."""
        self._visible: OrderedDict[int, Message] = OrderedDict()
        self._delayed: dict[int, Message] = {}
        self._in_flight: dict[int, Message] = {}
        self._due: list[tuple[float, int]] = []

    def described(self) -> dict[str, str]:
        """Return all attributes."""
        self._release(time.monotonic())
        return {
            **self.attributes,
            "QueueArn": _ARN + self.name,
            "ApproximateNumberOfMessages": str(len(self._visible)),
            "ApproximateNumberOfMessagesNotVisible": str(len(self._in_flight)),
            "ApproximateNumberOfMessagesDelayed": str(len(self._delayed)),
        }

    # -- senders ------------------------------------------------------------------------------

    def put(self, entry: Params) -> Message:
        """Take a message; :meth:`wake` hands it to who waits."""
        message = Message(
            entry["MessageBody"], entry.get("MessageAttributes", {}), entry.get("MessageGroupId")
        )
        delay_s = int(entry.get("DelaySeconds", self.attributes["DelaySeconds"]))
        if delay_s:
            self._delayed[message.number] = message
            self._hide(message, time.monotonic() + delay_s)
        else:
            self._visible[message.number] = message
        return message

    def wake(self) -> None:
        """Hand what is visible to the receives that wait, and see to it that they get the next."""
        now = time.monotonic()
        self._release(now)
        while self._visible and self._polls:
            poll = self._polls.popleft()
            if not poll.answer.done():
                poll.answer.set_result(self._taken(poll.params, now))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due and self._polls:
            self._timer = asyncio.get_running_loop().call_at(self._due[0][0], self.wake)

    # -- receivers ----------------------------------------------------------------------------

    def receive(self, params: Params) -> Answer | asyncio.Future[Answer]:
        """Return messages, or a future of them; who does not wait any more cancels it."""
        now = time.monotonic()
        self._release(now)
        default = self.attributes["ReceiveMessageWaitTimeSeconds"]
        wait_s = int(params.get("WaitTimeSeconds", default))
        if self._visible or not wait_s:
            return self._taken(params, now)
        loop = asyncio.get_running_loop()
        poll = _Poll(params, loop.create_future())
        self._polls.append(poll)
        giving_up = loop.call_later(wait_s, self._give_up, poll)
        poll.answer.add_done_callback(lambda _: self._over(poll, giving_up))
        self.wake()
        return poll.answer

    def _give_up(self, poll: _Poll) -> None:
        if not poll.answer.done():
            poll.answer.set_result({})

    def _over(self, poll: _Poll, giving_up: asyncio.TimerHandle) -> None:
        giving_up.cancel()
        if poll in self._polls:  # nobody handed it messages
            self._polls.remove(poll)

    def delete(self, entry: Params) -> None:
        """Delete a message; nothing happens if it is gone, or was handed out again since."""
        message = self._of(entry["ReceiptHandle"])
        if message is not None:
            self._in_flight.pop(message.number, None)
            self._visible.pop(message.number, None)

    def change_visibility(self, entry: Params) -> None:
        """Make a message visible after a number of seconds from now."""
        message = self._of(entry["ReceiptHandle"])
        self._release(time.monotonic())
        if message is None or message.number not in self._in_flight:
            raise Refused(
                "MessageNotInflight",
                "The message referred to isn't in flight.",
                "AWS.SimpleQueueService.MessageNotInflight",
            )
        self._hide(message, time.monotonic() + int(entry["VisibilityTimeout"]))

    def _of(self, receipt: str) -> Message | None:
        queue, _, rest = receipt.partition("#")
        number, _, nth = rest.partition("#")
        if queue != self.name or not (number.isdigit() and nth.isdigit()):
            raise Refused(
                "ReceiptHandleIsInvalid", f'The input receipt handle "{receipt}" is not valid.'
            )
        message = self._in_flight.get(int(number)) or self._visible.get(int(number))
        return message if message is not None and message.receipt == receipt else None

    def _hide(self, message: Message, due: float) -> None:
        message.due = due
        heapq.heappush(self._due, (due, message.number))

    def _release(self, now: float) -> None:
        """Make visible what is due. An entry counts if its message is still due at that time."""
        while self._due and self._due[0][0] <= now:
            due, number = heapq.heappop(self._due)
            hidden = self._in_flight if number in self._in_flight else self._delayed
            message = hidden.get(number)
            if message is not None and message.due == due:
                self._visible[number] = hidden.pop(number)

    def _taken(self, params: Params, now: float) -> Answer:
        limit = min(len(self._visible), int(params.get("MaxNumberOfMessages", 1)))
        timeout_s = int(params.get("VisibilityTimeout", self.attributes["VisibilityTimeout"]))
        messages = []
        for _ in range(limit):
            number, message = self._visible.popitem(last=False)
            message.receives += 1
            message.first_ms = message.first_ms or int(time.time() * 1000)
            message.receipt = f"{self.name}#{number}#{message.receives}"
            self._in_flight[number] = message
            self._hide(message, now + timeout_s)
            messages.append(_received(message, params))
        return {"Messages": messages} if messages else {}


def _received(message: Message, params: Params) -> Answer:
    answer: Answer = {
        "MessageId": message.id,
        "ReceiptHandle": message.receipt,
        "MD5OfBody": _md5(message.body),
        "Body": message.body,
    }
    names = params.get("MessageSystemAttributeNames") or params.get("AttributeNames")
    if names:
        answer["Attributes"] = _chosen(message.system(), names)
    names = params.get("MessageAttributeNames")
    if names and message.attributes:
        chosen = _chosen(message.attributes, names)
        if chosen:
            answer["MessageAttributes"] = chosen
    return answer


def _chosen(attributes: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    if "All" in names or ".*" in names:
        return dict(attributes)
    prefixes = tuple(each.removesuffix("*") for each in names if each.endswith(".*"))
    return {
        name: value
        for name, value in attributes.items()
        if name in names or (prefixes and name.startswith(prefixes))
    }


def _md5(body: str) -> str:
    return md5(body.encode(), usedforsecurity=False).hexdigest()


class Sqs:
    """The service: an operation's name is its method's.

    Parameters
    ----------
    url
        What the address of a queue begins with.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url}/000000000000/"
        self._queues: dict[str, Queue] = {}
        self.operations: dict[str, Callable[[Params], Answer | asyncio.Future[Answer]]] = {
            "CreateQueue": self._create,
            "DeleteQueue": self._delete_queue,
            "GetQueueUrl": lambda params: {"QueueUrl": self._url + self._named(params).name},
            "ListQueues": self._list,
            "GetQueueAttributes": self._attributes,
            "SetQueueAttributes": self._set_attributes,
            "PurgeQueue": self._purge,
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "ReceiveMessage": lambda params: self._queue(params).receive(params),
            "DeleteMessage": self._one(Queue.delete),
            "DeleteMessageBatch": self._batch(Queue.delete),
            "ChangeMessageVisibility": self._one(Queue.change_visibility),
            "ChangeMessageVisibilityBatch": self._batch(Queue.change_visibility),
        }

    # -- queues -------------------------------------------------------------------------------

    def _queue(self, params: Params) -> Queue:
        return self._named({"QueueName": params["QueueUrl"].rpartition("/")[2]})

    def _named(self, params: Params) -> Queue:
        queue = self._queues.get(params["QueueName"])
        if queue is None:
            raise Refused(
                "QueueDoesNotExist",
                "The specified queue does not exist.",
                "AWS.SimpleQueueService.NonExistentQueue",
            )
        return queue

    def _create(self, params: Params) -> Answer:
        name = params["QueueName"]
        if name.endswith(".fifo"):
            raise Refused("UnsupportedOperation", "The benchmarks' stub has no FIFO queues.")
        if name not in self._queues:
            self._queues[name] = Queue(name, params.get("Attributes", {}))
        return {"QueueUrl": self._url + name}

    def _delete_queue(self, params: Params) -> Answer:
        del self._queues[self._queue(params).name]
        return {}

    def _list(self, params: Params) -> Answer:
        prefix = params.get("QueueNamePrefix", "")
        urls = [self._url + name for name in self._queues if name.startswith(prefix)]
        return {"QueueUrls": urls} if urls else {}

    def _attributes(self, params: Params) -> Answer:
        described = self._queue(params).described()
        return {"Attributes": _chosen(described, params.get("AttributeNames", ()))}

    def _set_attributes(self, params: Params) -> Answer:
        self._queue(params).attributes.update(params["Attributes"])
        return {}

    def _purge(self, params: Params) -> Answer:
        self._queue(params).purge()
        return {}

    # -- messages -----------------------------------------------------------------------------

    def _send(self, params: Params) -> Answer:
        queue = self._queue(params)
        message = queue.put(params)
        queue.wake()
        return {"MessageId": message.id, "MD5OfMessageBody": _md5(message.body)}

    def _send_batch(self, params: Params) -> Answer:
        queue, entries = self._queue(params), _entries(params)
        if sum(len(each["MessageBody"].encode()) for each in entries) > BATCH_LIMIT_BYTES:
            raise Refused(
                "BatchRequestTooLong",
                f"Batch requests cannot be longer than {BATCH_LIMIT_BYTES} bytes.",
                "AWS.SimpleQueueService.BatchRequestTooLong",
            )
        sent = [(each["Id"], queue.put(each)) for each in entries]
        queue.wake()
        return {
            "Successful": [
                {"Id": id, "MessageId": message.id, "MD5OfMessageBody": _md5(message.body)}
                for id, message in sent
            ]
        }

    def _one(self, act: Callable[[Queue, Params], None]) -> Callable[[Params], Answer]:
        def perform(params: Params) -> Answer:
            queue = self._queue(params)
            act(queue, params)
            queue.wake()
            return {}

        return perform

    def _batch(self, act: Callable[[Queue, Params], None]) -> Callable[[Params], Answer]:
        def perform(params: Params) -> Answer:
            queue = self._queue(params)
            failures = {each["Id"]: _failure(act, queue, each) for each in _entries(params)}
            queue.wake()
            return {
                "Successful": [{"Id": id} for id, failed in failures.items() if failed is None],
                "Failed": [
                    {
                        "Id": id,
                        "SenderFault": True,
                        "Code": failed.query_code or failed.code,
                        "Message": failed.message,
                    }
                    for id, failed in failures.items()
                    if failed is not None
                ],
            }

        return perform


def _failure(act: Callable[[Queue, Params], None], queue: Queue, entry: Params) -> Refused | None:
    try:
        act(queue, entry)
    except Refused as refused:
        return refused
    return None


def _entries(params: Params) -> Sequence[Params]:
    entries: Sequence[Params] = params["Entries"]
    if not entries:
        raise Refused(
            "EmptyBatchRequest",
            "There should be at least one entry.",
            "AWS.SimpleQueueService.EmptyBatchRequest",
        )
    if len(entries) > BATCH_LIMIT:
        raise Refused(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {BATCH_LIMIT}.",
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        )
    if len({each["Id"] for each in entries}) != len(entries):
        raise Refused(
            "BatchEntryIdsNotDistinct",
            "Two entries have the same Id.",
            "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        )
    return entries
