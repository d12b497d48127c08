"""What a recorded ending leads to: callbacks, errbacks, and the dead-letter queue last.

Everything here is a function of the message and the record, so a redelivery of the message of a
finished task can complete what an earlier delivery did not.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from caraway import states
from caraway.core.claim_check import keep_text, load_text, pack
from caraway.core.codec import dumps
from caraway.core.errors import error_to_json
from caraway.core.message import parse_envelope, read_message
from caraway.core.publish import from_signature, request_to_send, send_all
from caraway.core.record import FAILED, Written
from caraway.core.settle import Failed, Rejected, Succeeded
from caraway.exceptions import ImproperlyConfigured, Reject, TaskError
from caraway.requests.sqs import MESSAGE_LIMIT_BYTES, GetQueueUrl, SendMessage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from caraway.core.disposition import Delivery
    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.record import Record
    from caraway.core.settle import Definition, Ending
    from caraway.requests.base import Json

TRACEBACK_LIMIT: Final = 4_000
"""Characters kept of a traceback, its end: every write of a record bills the whole item."""
REASON_LIMIT: Final = 1_000
"""Characters kept of a reason in a dead letter's attributes."""
ATTRIBUTES_BYTES: Final = 8_000
"""More than a dead letter's attributes can take."""


@dataclass(frozen=True)
class Recorded:
    """An ending as the record has it.

    Attributes
    ----------
    message
        The message of the attempt that ended.
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
    def of(cls, message: Message, ending: Ending) -> Recorded:
        """Return an ending as the record will have it."""
        if isinstance(ending, Succeeded):
            return cls(message, ending.state, ending.product.wire)
        error: BaseException | None = getattr(ending, "error", None)
        traceback: str | None = getattr(ending, "traceback", None)
        if traceback is not None:
            # Text of the operating system, such as a file's name, need not be Unicode.
            traceback = traceback[-TRACEBACK_LIMIT:].encode(errors="backslashreplace").decode()
        return cls(
            message,
            ending.state,
            None if error is None else error_to_json(error),
            traceback,
            isinstance(ending, Rejected),
        )

    @classmethod
    async def read(cls, aws: Aws, site: Site, message: Message, record: Record) -> Recorded:
        """Return the ending that a record holds, as far as the message leads to something.

        Raises
        ------
        PayloadMissing, InvalidMessage
            If a part of it should be in S3 and is not to be had.
        """
        failed = record.phase == FAILED
        if not failed and not _callbacks(message, record.state):
            return cls(message, record.state)
        result = await load_text(aws, site.store, record.result) if record.result else "null"
        if record.message:
            message = read_message(parse_envelope(await load_text(aws, site.store, record.message)))
        else:
            message = replace(message, attempt=record.attempt - failed)
        return cls(message, record.state, json.loads(result), record.traceback, failed)


async def write_down(
    aws: Aws, site: Site, message: Message, ending: Ending, *, token: str, keeps: bool
) -> tuple[Ending, Recorded, Written]:
    """Return an ending and what the record keeps of it; large parts are stored in S3 first.

    ``keeps`` says whether a success keeps its value. A value that cannot be kept anywhere turns
    the ending into a failure with that reason.
    """
    recorded = Recorded.of(message, ending)
    try:
        return ending, recorded, await _written(aws, site, recorded, token, keeps=keeps)
    except (ImproperlyConfigured, TaskError) as refused:
        failed = Failed(refused)
        recorded = Recorded.of(message, failed)
        return failed, recorded, await _written(aws, site, recorded, token, keeps=keeps)


async def _written(aws: Aws, site: Site, recorded: Recorded, token: str, *, keeps: bool) -> Written:
    id, state, result = recorded.message.id, recorded.state, recorded.result
    if state == states.SUCCESS and not keeps:
        return Written(state)
    if result is None and state != states.SUCCESS:
        return Written(state)
    return Written(
        state,
        await keep_text(aws, site.store, id, token, dumps(result)),
        recorded.traceback,
        await _kept_message(aws, site, recorded.message, token)
        if state == states.FAILURE
        else None,
    )


async def _kept_message(aws: Aws, site: Site, message: Message, token: str) -> str | None:
    """Return what the record keeps of the message of a failure, None when it is too large."""
    try:
        return await keep_text(aws, site.store, message.id, token, message.to_body(), "message")
    except ImproperlyConfigured:
        return None


def _callbacks(message: Message, state: str) -> tuple[Json, ...]:
    """Return the signatures that an ending in this state leads to."""
    return {states.SUCCESS: message.link, states.FAILURE: message.link_error}.get(state, ())


def _calls(
    done: Recorded, tasks: Mapping[str, Definition]
) -> Iterator[tuple[str, Json, list[Json]]]:
    """Give the role, the signature and the first arguments of each callback."""
    message = done.message
    for index, wire in enumerate(_callbacks(message, done.state)):
        if done.state == states.SUCCESS:
            yield f"link:{index}", wire, [done.result]
            continue
        errback = tasks.get(wire["task"])
        arguments: list[Json] = [message.id]
        if errback is not None:
            arguments = errback.errback_arguments(message, done.result, done.traceback)
        # A redrive may fail once more, and that failure has an errback of its own.
        yield f"link_error:{index}:{message.attempt}", wire, arguments


async def follow_up(
    aws: Aws, site: Site, tasks: Mapping[str, Definition], delivery: Delivery, done: Recorded
) -> str | None:
    """Send what an ending leads to; its dead letter last, so that a crash repeats all of it.

    Returns
    -------
    str | None
        Why the message went to the dead-letter queue although the ending does not ask for it: a
        callback that nobody could send as it is. A redrive tries again.
    """
    message = done.message
    requests, faults = await callbacks_of(aws, site, tasks, done)
    if requests:
        await send_all(aws, requests)
    if done.dead_lettered:
        reason = "; ".join([reason_of(done.result), *faults])
        again = replace(message.next_attempt(), retries=0)
        await dead_letter(aws, site, delivery, again, reason)
    elif faults:
        await dead_letter(aws, site, delivery, message, "; ".join(faults))
    return "; ".join(faults) or None


async def callbacks_of(
    aws: Aws, site: Site, tasks: Mapping[str, Definition], done: Recorded
) -> tuple[list[SendMessage], list[str]]:
    """Return the requests that send an ending's callbacks, and why others cannot be sent."""
    calls = [
        await _callback(aws, site, done.message, role, wire, arguments)
        for role, wire, arguments in _calls(done, tasks)
    ]
    requests = [call for call in calls if isinstance(call, SendMessage)]
    return requests, [call for call in calls if isinstance(call, str)]


async def _callback(
    aws: Aws, site: Site, message: Message, role: str, wire: Json, arguments: list[Json]
) -> SendMessage | str:
    """Return the request that sends a callback, or why there cannot be one."""
    try:
        outgoing = from_signature(site, wire, arguments, message, role, aws.now())
        return await request_to_send(aws, site, outgoing)
    except (ImproperlyConfigured, TaskError) as error:
        return f"its callback {wire['task']} cannot be sent: {error}"


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
