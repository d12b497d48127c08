"""Requests to SQS."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from caraway.exceptions import OperationalError
from caraway.lean import dataclass
from caraway.requests.base import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

MESSAGE_LIMIT_BYTES: Final = 1_048_576
"""Largest message, and largest sum of a batch, attributes included ("Amazon SQS quotas")."""
BILLED_BYTES: Final = 65_536
"""A request is billed once for each of so many bytes ("Amazon SQS pricing")."""
BATCH_LIMIT: Final = 10
"""Entries in one batch request ("Amazon SQS quotas")."""
DELAY_LIMIT_S: Final = 900
"""Longest DelaySeconds ("Amazon SQS quotas")."""
VISIBILITY_LIMIT_S: Final = 43_200
"""Longest visibility timeout, counted from the receive ("Amazon SQS quotas")."""
WAIT_LIMIT_S: Final = 20
"""Longest long poll ("Amazon SQS short and long polling")."""


@dataclass(frozen=True)
class ReceivedMessage:
    """One message as SQS delivered it.

    Attributes
    ----------
    receive_count
        How often SQS has handed it out; never a count of failures.
    sent_at_s
        When it was sent, in seconds since the epoch.
    group_id
        The FIFO message group, None on a standard queue without fair queues.
    attributes
        String message attributes.
    """

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int = 1
    sent_at_s: float = 0.0
    group_id: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


def plain_attributes(wire: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the string attributes of a received message."""
    return {name: value["StringValue"] for name, value in wire.items() if "StringValue" in value}


@dataclass(frozen=True)
class GetQueueUrl(Request[str]):
    """Look a queue's address up by its name. Remembered: a queue does not move."""

    service: ClassVar[str] = "sqs"
    operation: ClassVar[str] = "get_queue_url"
    memoised: ClassVar[bool] = True

    name: str

    def params(self) -> dict[str, Any]:
        return {"QueueName": self.name}

    def answer(self, response: Mapping[str, Any]) -> str:
        url: str = response["QueueUrl"]
        return url

    def subject(self) -> str:
        return f"queue {self.name!r}"


class ReceiptExpired(OperationalError):
    """A message is not this receiver's any more: it was handed out again, or deleted.

    An expected event wherever work takes longer than a visibility timeout.
    """


@dataclass(frozen=True)
class _ToQueue:
    queue_url: str

    service: ClassVar[str] = "sqs"

    def subject(self) -> str:
        return f"queue {self.queue_url.rpartition('/')[2]!r}"


@dataclass(frozen=True)
class SendMessage(_ToQueue, Request[str]):
    """Send one message; answers SQS's message id.

    Parameters
    ----------
    delay_s
        0 to 900 whole seconds; must be 0 on a FIFO queue.
    group_id, deduplication_id
        For FIFO queues; a group id on a standard queue makes it fair between groups.
    """

    operation: ClassVar[str] = "send_message"

    body: str
    delay_s: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    group_id: str | None = None
    deduplication_id: str | None = None

    def entry(self) -> dict[str, Any]:
        """Return what the request and its entry in a batch have in common."""
        entry: dict[str, Any] = {"MessageBody": self.body}
        if self.delay_s:
            entry["DelaySeconds"] = self.delay_s
        if self.attributes:
            entry["MessageAttributes"] = {
                name: {"DataType": "String", "StringValue": value}
                for name, value in self.attributes.items()
            }
        if self.group_id is not None:
            entry["MessageGroupId"] = self.group_id
        if self.deduplication_id is not None:
            entry["MessageDeduplicationId"] = self.deduplication_id
        return entry

    def params(self) -> dict[str, Any]:
        return {"QueueUrl": self.queue_url, **self.entry()}

    def answer(self, response: Mapping[str, Any]) -> str:
        message_id: str = response["MessageId"]
        return message_id


class _ByReceipt:
    """What has a receipt handle may come too late."""

    def refusal(self, code: str, response: Mapping[str, Any]) -> Exception | None:
        message = str(response.get("Error", {}).get("Message", ""))
        expired = code == "InvalidParameterValue" and "expired" in message
        if expired or code.endswith("MessageNotInflight"):
            return ReceiptExpired("its receipt has expired: it was handed out again, or deleted")
        return None


@dataclass(frozen=True)
class DeleteMessage(_ByReceipt, _ToQueue, Request[None]):
    """Delete a received message."""

    operation: ClassVar[str] = "delete_message"

    receipt_handle: str

    def entry(self) -> dict[str, Any]:
        """Return what the request and its entry in a batch have in common."""
        return {"ReceiptHandle": self.receipt_handle}

    def params(self) -> dict[str, Any]:
        return {"QueueUrl": self.queue_url, **self.entry()}

    def answer(self, response: Mapping[str, Any]) -> None:
        return None


@dataclass(frozen=True)
class ChangeMessageVisibility(_ByReceipt, _ToQueue, Request[None]):
    """Make a received message visible again after ``visible_in_s`` whole seconds, 0 for at once."""

    operation: ClassVar[str] = "change_message_visibility"

    receipt_handle: str
    visible_in_s: int

    def entry(self) -> dict[str, Any]:
        """Return what the request and its entry in a batch have in common."""
        return {"ReceiptHandle": self.receipt_handle, "VisibilityTimeout": self.visible_in_s}

    def params(self) -> dict[str, Any]:
        return {"QueueUrl": self.queue_url, **self.entry()}

    def answer(self, response: Mapping[str, Any]) -> None:
        return None


@dataclass(frozen=True)
class ReceiveMessages(_ToQueue, Request["list[ReceivedMessage]"]):
    """Receive up to ``limit`` (1 to 10) messages, waiting up to ``wait_s`` (0 to 20) seconds.

    ``visibility_timeout_s`` of None takes the queue's own.
    """

    operation: ClassVar[str] = "receive_message"

    limit: int = BATCH_LIMIT
    wait_s: int = WAIT_LIMIT_S
    visibility_timeout_s: int | None = None

    def params(self) -> dict[str, Any]:
        params: dict[str, Any] = {
            "QueueUrl": self.queue_url,
            "MaxNumberOfMessages": self.limit,
            "WaitTimeSeconds": self.wait_s,
            "MessageSystemAttributeNames": [
                "ApproximateReceiveCount",
                "SentTimestamp",
                "MessageGroupId",
            ],
            "MessageAttributeNames": ["All"],
        }
        if self.visibility_timeout_s is not None:
            params["VisibilityTimeout"] = self.visibility_timeout_s
        return params

    def answer(self, response: Mapping[str, Any]) -> list[ReceivedMessage]:
        return [
            ReceivedMessage(
                message_id=wire["MessageId"],
                receipt_handle=wire["ReceiptHandle"],
                body=wire["Body"],
                receive_count=int(wire["Attributes"]["ApproximateReceiveCount"]),
                sent_at_s=int(wire["Attributes"]["SentTimestamp"]) / 1000,
                group_id=wire["Attributes"].get("MessageGroupId"),
                attributes=plain_attributes(wire.get("MessageAttributes", {})),
            )
            for wire in response.get("Messages", [])
        ]


@dataclass(frozen=True)
class GetQueueAttributes(_ToQueue, Request["dict[str, str]"]):
    """Read all attributes of a queue: depth, timeouts, redrive policy."""

    operation: ClassVar[str] = "get_queue_attributes"

    def params(self) -> dict[str, Any]:
        return {"QueueUrl": self.queue_url, "AttributeNames": ["All"]}

    def answer(self, response: Mapping[str, Any]) -> dict[str, str]:
        attributes: dict[str, str] = response.get("Attributes", {})
        return attributes


@dataclass(frozen=True)
class GetQueueArn(_ToQueue, Request[str]):
    """Look a queue's ARN up by its address. Remembered: a queue does not change it."""

    operation: ClassVar[str] = "get_queue_attributes"
    memoised: ClassVar[bool] = True

    def params(self) -> dict[str, Any]:
        return {"QueueUrl": self.queue_url, "AttributeNames": ["QueueArn"]}

    def answer(self, response: Mapping[str, Any]) -> str:
        arn: str = response["Attributes"]["QueueArn"]
        return arn


@dataclass(frozen=True)
class PurgeQueue(_ToQueue, Request[None]):
    """Delete every message of a queue; SQS takes up to a minute and allows one a minute."""

    operation: ClassVar[str] = "purge_queue"

    def params(self) -> dict[str, Any]:
        return {"QueueUrl": self.queue_url}

    def answer(self, response: Mapping[str, Any]) -> None:
        return None
