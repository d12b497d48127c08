"""What a recorded ending leads to: callbacks, errbacks, and the dead-letter queue last.

Everything here is a function of the message and the record, so a redelivery of the message of a
finished task can complete what an earlier delivery did not.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from caraway import states
from caraway.core.claim_check import keep_text, load_text, pack
from caraway.core.codec import dumps
from caraway.core.errors import error_to_json
from caraway.core.message import Message, read_time
from caraway.core.publish import Outgoing, Site, from_signature, send_all
from caraway.core.record import FAILED, Record, Written
from caraway.core.settle import Failed, Succeeded
from caraway.exceptions import EncodeError, ImproperlyConfigured
from caraway.requests.sqs import GetQueueUrl, SendMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.core.disposition import Delivery
    from caraway.core.port import Aws
    from caraway.core.settle import Definition, Ending
    from caraway.requests.base import Json

TRACEBACK_LIMIT: Final = 4_000
"""Characters kept of a traceback, its end: every write of a record bills the whole item."""
REASON_LIMIT: Final = 1_000
"""Characters kept of a reason in a dead letter's attributes."""


@dataclass(frozen=True)
class Recorded:
    """An ending that is durable.

    Attributes
    ----------
    result
        The result, or the error of a failure, as JSON.
    dead_lettered
        Whether the message goes to the dead-letter queue.
    """

    message: Message
    state: str
    result: Json = None
    traceback: str | None = None
    dead_lettered: bool = False

    @classmethod
    async def read(cls, aws: Aws, site: Site, message: Message, record: Record) -> Recorded:
        """Return the ending that a record holds."""
        text = await load_text(aws, site.store, record.result) if record.result else "null"
        failed = record.phase == FAILED
        if failed:
            message = replace(message, attempt=record.attempt - 1)
        return cls(message, record.state, json.loads(text), record.traceback, failed)


async def written(
    aws: Aws, site: Site, message: Message, ending: Ending, *, token: str, keeps: bool
) -> tuple[Written, Ending]:
    """Return what the record keeps of an ending; large parts are stored in S3 first.

    ``keeps`` says whether a success keeps its value. A value that is too large to keep anywhere
    turns the ending into a failure with that reason.
    """
    store = site.store
    if isinstance(ending, Succeeded):
        if not keeps:
            return Written(ending.state), ending
        try:
            text = dumps(ending.product.wire)
            kept = await keep_text(
                aws, store, f"results/{message.id}/{token}", text, f"the result of {message.task}"
            )
        except (EncodeError, ImproperlyConfigured) as refused:
            ending = Failed(refused)
        else:
            return Written(ending.state, kept), ending
    error = error_of(ending)
    if error is None:
        return Written(ending.state), ending
    text = json.dumps(error_to_json(error), separators=(",", ":"))
    traceback = getattr(ending, "traceback", None)
    body = message.to_body() if ending.state == states.FAILURE else None
    return (
        Written(
            ending.state,
            await keep_text(aws, store, f"results/{message.id}/{token}", text, "the error"),
            traceback[-TRACEBACK_LIMIT:] if traceback else None,
            body
            and await keep_text(
                aws, store, f"messages/{message.id}/{message.attempt}", body, "the message"
            ),
        ),
        ending,
    )


def error_of(ending: Ending) -> BaseException | None:
    """Return the exception that an ending keeps in the record."""
    error: BaseException | None = getattr(ending, "error", None)
    return error


def recorded(message: Message, ending: Ending, *, dead_lettered: bool = False) -> Recorded:
    """Return the ending as its follow-up step needs it."""
    if isinstance(ending, Succeeded):
        return Recorded(message, ending.state, ending.product.wire)
    error = error_of(ending)
    return Recorded(
        message,
        ending.state,
        error_to_json(error) if error is not None else None,
        getattr(ending, "traceback", None),
        dead_lettered,
    )


async def follow_up(
    aws: Aws, site: Site, tasks: Mapping[str, Definition], delivery: Delivery, done: Recorded
) -> None:
    """Send what an ending leads to; its dead letter last, so that a crash repeats all of it."""
    message, now = done.message, aws.now()
    outgoing: list[Outgoing] = []
    if done.state == states.SUCCESS:
        outgoing = [
            from_signature(site, wire, [done.result], message, f"link:{index}", now)
            for index, wire in enumerate(message.link)
        ]
    elif done.state == states.FAILURE:
        for index, wire in enumerate(message.link_error):
            errback = tasks.get(wire["task"])
            arguments: list[Json] = [message.id]
            if errback is not None:
                arguments = errback.errback_arguments(message, done.result, done.traceback)
            outgoing.append(
                from_signature(site, wire, arguments, message, f"link_error:{index}", now)
            )
    if outgoing:
        await send_all(aws, site, outgoing)
    if done.dead_lettered:
        error = done.result or {}
        reason = ", ".join(map(str, error.get("exc_message", ()))) or done.state
        await dead_letter(aws, site, delivery, message.next_attempt(retries=0), reason)


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
    body = delivery.body if message is None else await pack(aws, site.store, message)
    await aws.perform(
        SendMessage(
            url,
            body,
            attributes=attributes,
            group_id=(delivery.group_id or "dead-letters") if queue.fifo else None,
            deduplication_id=_deduplication_id(message, body) if queue.fifo else None,
        )
    )


def _deduplication_id(message: Message | None, body: str) -> str:

    return (
        f"{message.id}:{message.attempt}" if message else hashlib.sha256(body.encode()).hexdigest()
    )


def printable(text: str) -> str:
    """Return text that an SQS attribute may hold: not empty, without control characters."""
    shown = "".join(c if c.isprintable() else " " for c in text[:REASON_LIMIT])
    return shown.strip() or "unknown"


async def resumed(aws: Aws, site: Site, message: Message, record: Record) -> Message:
    """Return the message of the attempt that a record waits for.

    The record holds what a retry changed of the message; the message itself may be an older one.
    """
    changes = json.loads(await load_text(aws, site.store, record.retry)) if record.retry else {}
    return changed(replace(message, attempt=record.attempt), changes)


def changed(message: Message, changes: Mapping[str, Json]) -> Message:
    """Return a message with the changes of a retry, which are JSON data."""
    fields = dict(changes)
    for name in ("eta", "expires"):
        if fields.get(name) is not None:
            fields[name] = read_time(fields[name], name)
    if "args" in fields:
        fields["args"] = tuple(fields["args"])
    return replace(message, **fields)
