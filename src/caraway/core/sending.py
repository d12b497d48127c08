"""From a described message to a durable one: packed, put on its queue or in a schedule."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from math import ceil
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from caraway.core.claim_check import pack
from caraway.core.lots import lots
from caraway.core.options import GROUP
from caraway.core.outcomes import all_done
from caraway.core.patience import unhurried
from caraway.core.scheduling import by_second_name, eta_schedule
from caraway.exceptions import CarawayError, EndpointUnreachable, Throttled
from caraway.requests.scheduler import (
    INPUT_LIMIT_BYTES,
    CreateSchedule,
    ScheduleExists,
    verbatim,
)
from caraway.requests.sqs import BATCH_LIMIT, DELAY_LIMIT_S, GetQueueArn, GetQueueUrl, SendMessage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Outgoing, Site
    from caraway.core.routing import Queue

Sending: TypeAlias = "SendMessage | CreateSchedule"
"""What makes a message durable."""

_url_of: Final = lru_cache(1_000)(GetQueueUrl)
_PASSING: Final = (EndpointUnreachable, Throttled)


async def queue_url(aws: Aws, site: Site, queue: Queue) -> str:
    """Return a queue's address; a port asks AWS once per queue."""
    return await aws.perform(_url_of(queue.sqs_name(site.queue_prefix)))


async def request_to_send(aws: Aws, site: Site, outgoing: Outgoing) -> Sending:
    """Return the request that makes a message durable; what is large is in S3 by then.

    A message that is due later than SQS can delay it waits in a schedule. Where the app has no role
    for Scheduler, or the message is too large for it, it comes early and is sent on.

    Raises
    ------
    ImproperlyConfigured
        If it is too large to send and no bucket is configured.
    """
    return await _request(aws, site, outgoing, await queue_url(aws, site, outgoing.queue))


async def _request(aws: Aws, site: Site, outgoing: Outgoing, url: str) -> Sending:
    message, queue, to = outgoing.message, outgoing.queue, site.scheduling
    body = await pack(aws, site.store, message, site.signing)
    wait_s, limit_s = _wait_s(aws, outgoing), site.delay_limit_s
    if wait_s > limit_s and message.eta and to is not None and _fits(body):
        arn = await aws.perform(GetQueueArn(url))
        return CreateSchedule(eta_schedule(to, message, message.eta, arn, body))
    return SendMessage(
        url,
        body,
        delay_s=min(wait_s, limit_s),
        group_id=message.group_id,
        deduplication_id=(outgoing.deduplication_id or _of_attempt(message))
        if queue.fifo
        else None,
    )


def _wait_s(aws: Aws, outgoing: Outgoing) -> int:
    """Return how long a message is to be held; a send that is tried again may be late for that."""
    if outgoing.delay_s <= DELAY_LIMIT_S or outgoing.message.eta is None:
        return outgoing.delay_s
    return max(0, ceil((outgoing.message.eta - aws.now()).total_seconds()))


def _fits(body: str) -> bool:
    return len(verbatim(body).encode()) <= INPUT_LIMIT_BYTES


def _of_attempt(message: Message) -> str:
    plain = f"{message.id}:{message.attempt}"
    return plain if GROUP.fullmatch(plain) else sha256(plain.encode()).hexdigest()


async def send(aws: Aws, site: Site, outgoing: Outgoing) -> None:
    """Make a message durable.

    Raises
    ------
    OperationalError
        If AWS did not take it, or did not say so; sending the same ``Outgoing`` again is safe,
        because the id is the same.
    """
    await send_all(aws, [await request_to_send(aws, site, outgoing)])


async def send_one(
    aws: Aws, site: Site, outgoing: Outgoing, policy: Mapping[str, Any]
) -> Exception | None:
    """Make a message durable as :func:`send_each` does, with less around it: most come alone."""
    try:
        request = await request_to_send(aws, site, outgoing)
        if isinstance(request, SendMessage):
            await aws.perform(request)
            return None
        (outcome,) = await _performed(aws, [request])
    except CarawayError as error:
        outcome = error
    (left,) = await _again(aws, site, [outgoing], policy, [outcome])
    return left


async def send_all(aws: Aws, requests: Sequence[Sending]) -> None:
    """Make several messages durable, in batches; raises the first failure."""
    all_done(await _performed(aws, requests))


async def send_each(
    aws: Aws, site: Site, outgoings: Sequence[Outgoing], policy: Mapping[str, Any]
) -> list[Exception | None]:
    """Make messages durable, asking again while AWS is unreachable or throttles.

    Returns the failure of each that was not taken, in its place.

    ``policy`` is Celery's ``retry_policy``: ``max_retries`` (3; None for ever), ``interval_start``
    (0 s), ``interval_step`` (0.2 s) and ``interval_max`` (0.2 s), on top of the SDK's own retries.
    Those that were taken are not sent again.
    """
    return await _again(aws, site, outgoings, policy, await _send_some(aws, site, outgoings))


async def _again(
    aws: Aws,
    site: Site,
    outgoings: Sequence[Outgoing],
    policy: Mapping[str, Any],
    outcomes: list[str | Exception],
) -> list[Exception | None]:
    """Send again what did not pass, as often as the policy says; return what is left of each."""
    tried, wait_s = 0, float(policy.get("interval_start", 0))
    while left := [place for place, each in enumerate(outcomes) if isinstance(each, _PASSING)]:
        limit = policy.get("max_retries", 3)
        if limit is not None and tried >= limit:
            break
        await aws.sleep(wait_s)
        again = await _send_some(aws, site, [outgoings[place] for place in left])
        for place, outcome in zip(left, again, strict=True):
            outcomes[place] = outcome
        tried += 1
        step = float(policy.get("interval_step", 0.2))
        wait_s = min(wait_s + step, float(policy.get("interval_max", 0.2)))
    return [each if isinstance(each, Exception) else None for each in outcomes]


async def _send_some(aws: Aws, site: Site, outgoings: Sequence[Outgoing]) -> list[str | Exception]:
    """Send messages; return the answer to each, or why it was not taken."""
    requests: list[Sending] = []
    urls: dict[str, str] = {}
    unfit: dict[int, CarawayError] = {}  # what cannot be sent: it is too large, for example
    for place, outgoing in enumerate(outgoings):
        try:
            name = outgoing.queue.name
            if name not in urls:
                urls[name] = await queue_url(aws, site, outgoing.queue)
            requests.append(await _request(aws, site, outgoing, urls[name]))
        except _PASSING as error:  # noqa: PERF203 - each has its own failure
            return [error] * len(outgoings)  # the next would meet the same
        except CarawayError as error:
            unfit[place] = error
    answers = await _performed(aws, requests)
    if unfit:
        sent = iter(answers)
        answers = [
            unfit[place] if place in unfit else next(sent) for place in range(len(outgoings))
        ]
    return answers


async def _in_order(aws: Aws, requests: Sequence[Sending]) -> list[str | Exception]:
    """Perform requests; what stands behind one of its group that was not taken is not sent.

    It fails as that one did, and is sent again with it: else it would come before it.
    """
    ordered = [place for place, each in enumerate(requests) if _group(each) is not None]
    others = [place for place, each in enumerate(requests) if _group(each) is None]
    answers: dict[int, str | Exception] = dict(
        zip(others, await unhurried(aws, [requests[place] for place in others]), strict=True)
    )
    stopped: dict[tuple[str, str], Exception] = {}
    for several in lots(ordered, BATCH_LIMIT):
        going = [place for place in several if _group(requests[place]) not in stopped]
        outcomes = await aws.perform_all([requests[place] for place in going])
        answers.update(zip(going, outcomes, strict=True))
        for place in several:
            answer, group = answers.get(place), _group(requests[place])
            if group in stopped and answer is None:
                before = stopped[group]
                answers[place] = type(before)(f"one before it in its group was not sent: {before}")
            elif group is not None and isinstance(answer, _PASSING):
                stopped.setdefault(group, answer)
    return [answers[place] for place in range(len(requests))]


def _group(request: Sending) -> tuple[str, str] | None:
    """Return the group in which a message keeps its order; None outside of FIFO queues."""
    if isinstance(request, SendMessage) and request.deduplication_id is not None:
        return request.queue_url, request.group_id or ""
    return None


async def _performed(aws: Aws, requests: Sequence[Sending]) -> list[str | Exception]:
    """Perform requests; a schedule whose name is taken goes by its second one."""
    if not any(isinstance(each, CreateSchedule) or _group(each) for each in requests):
        return await aws.perform_all(requests)  # as nearly always
    answers = await _in_order(aws, requests)
    taken = {
        place: CreateSchedule(by_second_name(request.schedule))
        for place, (request, answer) in enumerate(zip(requests, answers, strict=True))
        if isinstance(request, CreateSchedule) and isinstance(answer, ScheduleExists)
    }
    if not taken:
        return answers
    seconds = await unhurried(aws, list(taken.values()))
    for (place, request), answer in zip(taken.items(), seconds, strict=True):
        # Taken as well: by the same task with the same arguments.
        is_there = isinstance(answer, ScheduleExists)
        answers[place] = request.schedule.name if is_there else answer
    return answers
