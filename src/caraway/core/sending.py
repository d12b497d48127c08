"""From a described message to a durable one: packed, put on its queue, and asked for again."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from caraway.core.claim_check import pack
from caraway.core.options import GROUP
from caraway.core.outcomes import all_done
from caraway.exceptions import EndpointUnreachable, Throttled
from caraway.requests.sqs import GetQueueUrl, SendMessage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Outgoing, Site
    from caraway.core.routing import Queue


async def queue_url(aws: Aws, site: Site, queue: Queue) -> str:
    """Return a queue's address; a port asks AWS once per queue."""
    return await aws.perform(GetQueueUrl(queue.sqs_name(site.queue_prefix)))


async def request_to_send(aws: Aws, site: Site, outgoing: Outgoing) -> SendMessage:
    """Return the request that makes a message durable; what is large is in S3 by then.

    Raises
    ------
    ImproperlyConfigured
        If it is too large to send and no bucket is configured.
    """
    message, queue = outgoing.message, outgoing.queue
    return SendMessage(
        await queue_url(aws, site, queue),
        await pack(aws, site.store, message, site.signing),
        delay_s=outgoing.delay_s,
        group_id=message.group_id,
        deduplication_id=(outgoing.deduplication_id or _of_attempt(message))
        if queue.fifo
        else None,
    )


def _of_attempt(message: Message) -> str:
    plain = f"{message.id}:{message.attempt}"
    return plain if GROUP.fullmatch(plain) else sha256(plain.encode()).hexdigest()


async def send(aws: Aws, site: Site, outgoing: Outgoing) -> None:
    """Make a message durable.

    Raises
    ------
    OperationalError
        If SQS did not take it, or did not say so; sending the same ``Outgoing`` again is safe,
        because the id is the same.
    """
    await aws.perform(await request_to_send(aws, site, outgoing))


async def send_all(aws: Aws, requests: Sequence[SendMessage]) -> None:
    """Make several messages durable, in batches; raises the first failure."""
    all_done(await aws.perform_all(requests))


async def send_patiently(
    aws: Aws, site: Site, outgoings: Sequence[Outgoing], policy: Mapping[str, Any]
) -> None:
    """Make messages durable, asking again while AWS is unreachable or throttles.

    ``policy`` is Celery's ``retry_policy``: ``max_retries`` (3; None for ever), ``interval_start``
    (0 s), ``interval_step`` (0.2 s) and ``interval_max`` (0.2 s), on top of the SDK's own retries.
    Those that were taken are not sent again.
    """
    limit = policy.get("max_retries", 3)
    wait_s = float(policy.get("interval_start", 0))
    tried, left = 0, list(outgoings)
    while True:
        left, failure = await _send_some(aws, site, left)
        if failure is None:
            return
        if limit is not None and tried >= limit:
            raise failure
        await aws.sleep(wait_s)
        tried += 1
        step = float(policy.get("interval_step", 0.2))
        wait_s = min(wait_s + step, float(policy.get("interval_max", 0.2)))


async def _send_some(
    aws: Aws, site: Site, outgoings: Sequence[Outgoing]
) -> tuple[list[Outgoing], Exception | None]:
    """Send messages; returns those that may be sent again, and why they were not taken."""
    left: list[Outgoing] = []
    failure: Exception | None = None
    try:
        requests = [await request_to_send(aws, site, outgoing) for outgoing in outgoings]
        answers = await aws.perform_all(requests)
    except (EndpointUnreachable, Throttled) as error:
        return list(outgoings), error
    for outgoing, answer in zip(outgoings, answers, strict=True):
        if isinstance(answer, EndpointUnreachable | Throttled):
            left.append(outgoing)
            failure = answer
        elif isinstance(answer, Exception):
            raise answer
    return left, failure
