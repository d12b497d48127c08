"""Which requests AWS takes in batches, and how: pure descriptions, used by every port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from caraway.aws.failures import answer_of, error_of_code
from caraway.requests.sqs import (
    BATCH_LIMIT,
    MESSAGE_LIMIT_BYTES,
    ChangeMessageVisibility,
    DeleteMessage,
    SendMessage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from caraway.requests.base import Request

Batchable: TypeAlias = "SendMessage | DeleteMessage | ChangeMessageVisibility"


@dataclass(frozen=True)
class Batch:
    """How requests of one class travel together.

    Attributes
    ----------
    service, operation
        The SDK's names of the batch operation.
    linger_s
        How long the first request of a busy port may wait for company, in seconds. 0 waits one
        turn of the event loop only.
    size_bytes
        What one request adds to the batch, counted against SQS's limit for the whole batch.
    """

    service: str
    operation: str
    linger_s: float
    size_bytes: Callable[[Any], int]

    def params(self, requests: Sequence[Batchable]) -> dict[str, Any]:
        """Return the batch operation's arguments; entries are told apart by their place."""
        return {
            "QueueUrl": requests[0].queue_url,
            "Entries": [
                {"Id": str(place), **request.entry()} for place, request in enumerate(requests)
            ],
        }

    def outcomes(self, requests: Sequence[Batchable], response: Mapping[str, Any]) -> list[Any]:
        """Return each request's own answer, or its own exception, in its place."""
        outcomes: list[Any] = [
            error_of_code(each, "MissingEntry", "AWS's answer does not speak of it", {})
            for each in requests
        ]
        for entry in response.get("Successful", ()):
            place = int(entry["Id"])
            outcomes[place] = answer_of(requests[place], entry)
        for entry in response.get("Failed", ()):
            place = int(entry["Id"])
            code, message = entry.get("Code", ""), entry.get("Message", "")
            outcomes[place] = error_of_code(requests[place], code, message, {"Error": entry})
        return outcomes


def _sent_bytes(request: SendMessage) -> int:
    attributes = sum(
        len(name.encode()) + len(b"String") + len(value.encode())
        for name, value in request.attributes.items()
    )
    return len(request.body.encode()) + attributes


BATCHES: Final[dict[type[Request[Any]], Batch]] = {
    SendMessage: Batch("sqs", "send_message_batch", 0.0, _sent_bytes),
    # The slot of a deleted message is free already, so its delete may wait for company.
    DeleteMessage: Batch("sqs", "delete_message_batch", 0.05, lambda _request: 0),
    ChangeMessageVisibility: Batch(
        "sqs", "change_message_visibility_batch", 0.0, lambda _request: 0
    ),
}


def kind(request: Request[Any]) -> tuple[Batch, str] | None:
    """Return the batch that a request may join and what else must agree, None if it goes alone."""
    batch = BATCHES.get(type(request))
    if batch is None:
        return None
    return batch, request.queue_url  # type: ignore[attr-defined]


def chunks(batch: Batch, requests: Sequence[Any]) -> Iterator[list[int]]:
    """Yield the places of requests that fit in one batch together, in their order."""
    places: list[int] = []
    total = 0
    for place, request in enumerate(requests):
        size = batch.size_bytes(request)
        if places and (len(places) == BATCH_LIMIT or total + size > MESSAGE_LIMIT_BYTES):
            yield places
            places, total = [], 0
        places.append(place)
        total += size
    if places:
        yield places
