"""From one attempt of a task to the next: the message that asks for it, the record that waits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

from caraway.core.claim_check import keep_text, load_text, put
from caraway.core.codec import dumps
from caraway.core.disposition import Delete, Leave
from caraway.core.endings import write_down
from caraway.core.publish import Outgoing
from caraway.core.sending import Sending, request_to_send
from caraway.exceptions import ImproperlyConfigured, InvalidMessage
from caraway.lean import dataclass
from caraway.requests.sqs import VISIBILITY_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.core.disposition import Delivery, Disposition
    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.record import Record
    from caraway.core.settle import Again
    from caraway.requests.base import Json
    from caraway.requests.dynamodb import UpdateItem


REPLACED: Final = "replaced"
"""What a record calls the steps that take a task's place, beside the changes of a retry."""


@dataclass(frozen=True)
class Handover:
    """What a retry or a replacement consists of, ready to be performed in this order.

    Attributes
    ----------
    write
        Hands the record to it; None for a task that took no claim.
    sends
        Send it; empty on FIFO, where the one message stays, and with it its place in the group.
    disposition
        What becomes of this attempt's message then.
    at_once
        The same retry without its delay: of a task that was revoked while it ran, which does not
        run again, and whose followers are to learn of that now.
    """

    write: UpdateItem | None
    sends: tuple[Sending, ...]
    disposition: Disposition
    at_once: Outgoing | None = None


async def hand_over(
    aws: Aws,
    site: Site,
    delivery: Delivery,
    message: Message,
    ending: Again,
    *,
    token: str | None,
    record: Record | None,
    sensitive: bool = False,
) -> Handover:
    """Prepare a retry; what is large is in S3 by then, so that nothing can fail but AWS.

    Raises
    ------
    ImproperlyConfigured, TaskError
        If the next attempt cannot be sent or recorded as it was asked for.
    """
    now = aws.now()
    eta = now + timedelta(seconds=ending.delay_s) if ending.delay_s else None
    changes = {**ending.changes, "eta": eta.isoformat() if eta else None}
    following = message.next_attempt().changed(changes)
    fifo = delivery.queue.fifo
    again_ = again(following, delivery, aws)
    sends = () if fifo else (await request_to_send(aws, site, again_),)
    why = f"attempt {following.attempt} is next"
    after = Leave(min(ceil(ending.delay_s), VISIBILITY_LIMIT_S), why) if fifo else Delete(why)
    if token is None:
        return Handover(None, sends, after)
    # An older message may have to send it: it needs what earlier retries changed, too.
    earlier = await _changes(aws, site, record) if record else {}
    changes = {**earlier, **changes}
    _, _, written = await write_down(aws, site, message, ending, token=token, keeps=True)
    write = site.records.retry(
        message.id,
        token,
        now.timestamp(),
        attempt=following.attempt,
        open_at=eta.timestamp() if fifo and eta else 0,
        until=eta.timestamp() if eta else 0,
        changes=await keep_changes(aws, site, message, token, changes, sensitive=sensitive),
        written=written,
    )
    is_delayed = bool(sends) and eta is not None
    return Handover(write, sends, after, at_once(following, delivery) if is_delayed else None)


def again(message: Message, delivery: Delivery, aws: Aws) -> Outgoing:
    """Return the message of a retry for its queue, held until it is due."""
    wait_s = (message.eta - aws.now()).total_seconds() if message.eta else 0.0
    return Outgoing(message, delivery.queue, max(0, ceil(wait_s)))


def at_once(message: Message, delivery: Delivery) -> Outgoing:
    """Return the message of a retry for its queue, due now."""
    return Outgoing(replace(message, eta=None), delivery.queue)


async def resumed(aws: Aws, site: Site, message: Message, record: Record) -> Message:
    """Return the message of the attempt that a record is at; ``message`` is of an older one."""
    changes = await _changes(aws, site, record)
    return replace(message, attempt=record.attempt).changed(changes)


async def begun_anew(
    aws: Aws,
    site: Site,
    message: Message,
    token: str,
    record: Record | None,
    *,
    sensitive: bool = False,
) -> str | None:
    """Return what a record keeps of its retries when a redrive counts them from nothing.

    None when there were none: then the first message and the dead letter ask for the same.
    """
    if record is None or record.retry is None:
        return None
    changes = {**await _changes(aws, site, record), "retries": 0}
    return await keep_changes(aws, site, message, token, changes, sensitive=sensitive)


async def keep_changes(
    aws: Aws,
    site: Site,
    message: Message,
    token: str,
    changes: Mapping[str, Json],
    *,
    sensitive: bool,
) -> str:
    """Return what a record keeps of the changes of retries.

    Other arguments of a sensitive task lie where its large messages do, which workers alone can
    read: they are needed when a crash comes between the record and the send.

    Raises
    ------
    ImproperlyConfigured
        If there is no bucket for these, or for what is too large.
    """
    text = dumps(changes)
    if not sensitive or changes.keys().isdisjoint(("args", "kwargs", REPLACED)):
        return await keep_text(aws, site.store, message.id, token, text, "retry")
    if site.store.bucket is None:
        raise ImproperlyConfigured(
            f"{message.task}, or what replaces it, is sensitive, so the arguments of what comes "
            "next are not kept in the record: set payload_bucket (or CARAWAY_PAYLOAD_BUCKET), or "
            "retry it with the same ones"
        )
    key = f"messages/{message.id}/{token}-{_digest(text)}.retry"
    return await put(aws, site.store, key, text.encode(), f"the retry of task {message.id}")


async def _changes(aws: Aws, site: Site, record: Record) -> dict[str, Json]:
    """Return what the retries so far have changed of the first message; no retries, no changes."""
    changes = await kept_changes(aws, site, record)
    return {} if REPLACED in changes else changes


async def kept_changes(aws: Aws, site: Site, record: Record) -> dict[str, Json]:
    """Return what a record keeps for its next attempt."""
    if record.retry is None:
        return {}
    text = await load_text(aws, site.store, record.retry)
    # Who may send may write there: the record, which only workers write, says what it has to be.
    among_messages = f"s3://{site.store.bucket}/{site.store.base_path}messages/"
    if record.retry.startswith(among_messages) and f"-{_digest(text)}." not in record.retry:
        raise InvalidMessage(f"what is kept at {record.retry:.80} is not what was put there")
    changes: dict[str, Json] = json.loads(text)
    return changes


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
