"""The claim: taking a task's record for an attempt, or finding out why it cannot be taken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from caraway import states
from caraway.core.attempts import resumed
from caraway.core.codec import dumps
from caraway.core.context import Context
from caraway.core.ids import new_token
from caraway.core.job import Claimed, Decided
from caraway.core.record import HORIZON_S, Record
from caraway.core.refusal import refused
from caraway.requests.dynamodb import ConditionFailed
from caraway.requests.items import OrElse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.core.job import Job
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.settle import Definition

EAGER: Final = "eager"
"""The door of tasks that run in the caller's process, over a port of their own."""
CALL_LIMIT_BYTES: Final = 4_096
"""What a record keeps of arguments at most: every write of it bills the whole item."""


async def claim(
    aws: Aws, site: Site, tasks: Mapping[str, Definition], job: Job, door: str, hostname: str
) -> Claimed:
    """Take the record for an attempt.

    Raises
    ------
    Decided
        If it cannot be taken: with what becomes of the message.
    """
    message, record, token, now = job.message, None, None, aws.now()
    if door == EAGER:  # who called it has its result, as in Celery
        message = replace(message, ignore_result=False)
    if _takes_claim(job):
        token = new_token()
        record = await _take(aws, site, tasks, job, door, token, now.timestamp(), hostname)
        if job.delivery.queue.fifo and record.attempt > message.attempt:
            message = await resumed(aws, site, message, record)
    context = Context.of(
        message,
        job.delivery,
        token=token,
        hostname=hostname,
        ignore_result=job.task.ignore_result,
        timelimit=(job.task.time_limit, job.task.soft_time_limit),
        port=aws if door == EAGER else None,
        sensitive=bool(job.task.sensitive),
    )
    return Claimed(job, message, token, record, context, now, now)


def _takes_claim(job: Job) -> bool:
    """Say whether there is a record for this attempt.

    An idempotent task does without: but for FIFO, where the record counts the attempts, for a
    message that comes back, as somebody must count the workers that die of it, and for an
    occurrence that may be missed.
    """
    delivery, may_be_missed = job.delivery, job.message.when is not None
    comes_back = delivery.receive_count > 1
    return not job.task.idempotent or delivery.queue.fifo or comes_back or may_be_missed


async def _take(
    aws: Aws,
    site: Site,
    tasks: Mapping[str, Definition],
    job: Job,
    door: str,
    token: str,
    now: float,
    hostname: str,
) -> Record:
    delivery, message = job.delivery, job.message
    asked_for_s = message.asked_for_s or delivery.sent_at_s or now
    request = site.records.claim(
        message,
        token,
        now,
        delivery.lease_s,
        fifo=delivery.queue.fifo,
        may_create=now - asked_for_s < HORIZON_S,
        counts=job.counts,
        shown={
            "state": states.STARTED if job.task.track_started else states.PENDING,
            "task": message.task,
            "queue": delivery.queue.name,
            "door": door,
            "started_at": now,
            "due_at": round(asked_for_s, 3),
            **({"call": _call(job, hostname)} if site.keeps_calls else {}),
            **({"begun_at": OrElse("begun_at", now)} if message.when is not None else {}),
        },
    )
    try:
        return Record.read(await aws.perform(request))
    except ConditionFailed as failed:
        record = Record.read(failed.item)
        # With my own token in it, an answer was lost and the SDK asked again: it is a win.
        if record.token == token:
            return record
        disposition = await refused(aws, site, tasks, delivery, message, record)
        raise Decided(disposition, record) from failed


def _call(job: Job, hostname: str) -> str:
    """Return what the record keeps of a call: who runs it, and its arguments if they are few."""
    message = job.message
    arguments = {"args": message.args, "kwargs": message.kwargs}
    worker = {"worker": hostname}
    if job.task.sensitive:
        return dumps(worker)
    text = dumps({**arguments, **worker})
    return text if len(text.encode()) <= CALL_LIMIT_BYTES else dumps(worker)
