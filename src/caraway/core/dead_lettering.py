"""Dead letters as they are made: the copy of a message, and why it became one."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from caraway.core.claim_check import pack
from caraway.core.codec import dumps
from caraway.exceptions import ImproperlyConfigured, Reject
from caraway.requests.sqs import MESSAGE_LIMIT_BYTES, GetQueueUrl, SendMessage

if TYPE_CHECKING:
    from caraway.core.disposition import Delivery
    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.requests.base import Json

REASON_LIMIT: Final = 1_000
"""Characters kept of a reason in a dead letter's attributes."""
ATTRIBUTES_BYTES: Final = 8_000
"""More than a dead letter's attributes can take."""


def reason_of(error: Json) -> str:
    """Return a recorded error as the reason of a dead letter."""
    data = error if isinstance(error, dict) else {}
    name, arguments = data.get("exc_type"), data.get("exc_message") or []
    said = [each if isinstance(each, str) else dumps(each) for each in arguments]
    # The reason of a Reject is its first argument, and not the name of an error.
    return said[0] if name == Reject.__name__ and said else f"{name}: {', '.join(said)}"


async def dead_letter(
    aws: Aws, site: Site, delivery: Delivery, message: Message | None, reason: str
) -> None:
    """Copy a message to its queue's dead-letter queue, with the reason as an attribute.

    ``message`` is None for a body that could not be read: it is copied as it is.
    """
    queue = delivery.queue
    url = await aws.perform(GetQueueUrl(queue.dead_letter_sqs_name(site.queue_prefix)))
    attributes = {"reason": printable(reason), "queue": queue.name}
    if message is not None:
        attributes |= {"task": printable(message.task), "id": printable(message.id)}
    body = delivery.body
    if message is not None:
        with suppress(ImproperlyConfigured):  # larger than what was received, by a field or two
            body = await pack(aws, site.store, message, site.signing)
    if len(body.encode()) > MESSAGE_LIMIT_BYTES - ATTRIBUTES_BYTES:
        attributes = {}  # they count as part of the message
    await aws.perform(
        SendMessage(
            url,
            body,
            attributes=attributes,
            group_id=delivery.group_id or ("dead-letters" if queue.fifo else None),
            # Not the id: two messages that claim one id are both kept.
            deduplication_id=hashlib.sha256(body.encode()).hexdigest() if queue.fifo else None,
        )
    )


def printable(text: str) -> str:
    """Return text that an SQS attribute may hold: not empty, without control characters."""
    shown = "".join(c if c.isprintable() else " " for c in text[:REASON_LIMIT])
    return shown.strip() or "unknown"
