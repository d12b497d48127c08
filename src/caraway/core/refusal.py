"""Why a claim failed, and what becomes of its message: the record as it is tells."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from caraway.core.attempts import again, at_once, resumed
from caraway.core.dead_lettering import dead_letter
from caraway.core.disposition import Delete, Delivery, Disposition, Leave
from caraway.core.endings import Recorded
from caraway.core.following import follow_up
from caraway.core.publish import Outgoing, Site
from caraway.core.record import DONE, FAILED, RETRY, RUNNING, Record
from caraway.core.replacing import complete, is_replaced
from caraway.core.sending import send
from caraway.exceptions import ImproperlyConfigured, InvalidMessage, PayloadMissing, TaskError
from caraway.requests.sqs import DELAY_LIMIT_S, VISIBILITY_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.settle import Definition

SKEW_S: Final = 2.0
"""Added when waiting for somebody else's lease: clocks disagree."""


async def refused(
    aws: Aws,
    site: Site,
    tasks: Mapping[str, Definition],
    delivery: Delivery,
    message: Message,
    record: Record,
) -> Disposition:
    """Return what to do with a message that may not run now.

    ``record`` has no phase when there is none: the message is older than records are kept.
    """
    if record.phase is None:
        reason = f"sent {message.sent_at}, longer ago than records are kept: it may have run"
        return await undeliverable(aws, site, delivery, message, reason)
    if record.digest not in (None, message.digest):
        reason = f"task id {message.id} was used before with another task or other arguments"
        return await undeliverable(aws, site, delivery, message, reason)
    try:
        return await _overtaken(aws, site, tasks, delivery, message, record)
    except (InvalidMessage, PayloadMissing) as error:
        reason = f"it is {record.state}, but what the record keeps in S3 is not to be had: {error}"
        return await undeliverable(aws, site, delivery, message, reason)


async def _overtaken(
    aws: Aws,
    site: Site,
    tasks: Mapping[str, Definition],
    delivery: Delivery,
    message: Message,
    record: Record,
) -> Disposition:
    """Return what to do with a message whose task has gone on, or runs, without it."""
    if is_replaced(message, record):
        try:
            return await complete(aws, site, message, record)
        except (ImproperlyConfigured, TaskError) as error:
            reason = f"what takes its place cannot be sent: {error}"
            return await undeliverable(aws, site, delivery, message, reason)
    if record.phase in (DONE, FAILED):
        done = await Recorded.read(aws, site, message, record)
        fault = await follow_up(aws, site, tasks, delivery, done)
        return Delete(fault or f"it is {record.state} already", undeliverable=fault is not None)
    replaced = not delivery.queue.fifo or record.is_reopened
    overtaken = message.attempt < record.attempt and replaced
    if overtaken and record.phase == RUNNING:
        return Delete(f"attempt {record.attempt} runs")
    if overtaken and record.phase == RETRY:
        # The retry was recorded, but its message may never have been sent.
        following = await resumed(aws, site, message, record)
        is_over = record.revoked is not None
        outgoing = at_once(following, delivery) if is_over else again(following, delivery, aws)
        await send(aws, site, outgoing)
        return Delete(f"attempt {record.attempt} is next")
    wait_s = max(0.0, (record.open_at or 0) - aws.now().timestamp()) + SKEW_S
    return await leave(aws, site, delivery, message, wait_s, "it runs elsewhere")


async def undeliverable(
    aws: Aws, site: Site, delivery: Delivery, message: Message | None, reason: str
) -> Delete:
    """Copy a message to the dead-letter queue as it is; None for a body that cannot be read."""
    await dead_letter(aws, site, delivery, message, reason)
    return Delete(reason, undeliverable=True)


async def leave(
    aws: Aws, site: Site, delivery: Delivery, message: Message, wait_s: float, why: str
) -> Disposition:
    """Leave a message for later, or replace it by a copy when SQS would soon take it away.

    SQS moves a message that was received too often, and drops one that it has kept too long.
    """
    queue = delivery.queue
    age_s = aws.now().timestamp() - delivery.sent_at_s if delivery.sent_at_s else 0.0
    worn = delivery.receive_count > queue.max_receive_count / 2 or age_s > queue.retention_s / 2
    if worn and not queue.fifo:
        await send(aws, site, Outgoing(message, queue, min(ceil(wait_s), DELAY_LIMIT_S)))
        return Delete(f"{why}; a copy takes its place, as it was received or kept for long")
    return Leave(min(ceil(wait_s), VISIBILITY_LIMIT_S), why)
