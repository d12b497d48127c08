"""A standard queue of SQS in memory, with delays, visibility timeouts and long polls."""

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
    from collections.abc import Mapping, Sequence

    Params = Mapping[str, Any]
    Answer = dict[str, Any]

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
        "MD5OfBody": md5_of(message.body),
        "Body": message.body,
    }
    names = params.get("MessageSystemAttributeNames") or params.get("AttributeNames")
    if names:
        answer["Attributes"] = chosen(message.system(), names)
    names = params.get("MessageAttributeNames")
    if names and message.attributes:
        asked = chosen(message.attributes, names)
        if asked:
            answer["MessageAttributes"] = asked
    return answer


def chosen(attributes: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the attributes that are asked for by name, by the beginning of it, or all."""
    if "All" in names or ".*" in names:
        return dict(attributes)
    prefixes = tuple(each.removesuffix("*") for each in names if each.endswith(".*"))
    return {
        name: value
        for name, value in attributes.items()
        if name in names or (prefixes and name.startswith(prefixes))
    }


def md5_of(body: str) -> str:
    """Return the digest by which SQS says what it got."""
    return md5(body.encode(), usedforsecurity=False).hexdigest()
