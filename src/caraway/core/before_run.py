"""Between the claim and the run: what keeps an attempt from it, and what its arguments wait for."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from caraway.core.joins import values
from caraway.core.overlaps import why_overlapping
from caraway.core.policies import Policy, why_missed
from caraway.core.settle import Failed, Missed, Rejected, Revoked
from caraway.core.timing import Timing
from caraway.exceptions import ChordError, InvalidMessage, PayloadMissing, WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.core.job import Claimed
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.settle import Ending
    from caraway.requests.base import Json


async def kept_from_running(
    aws: Aws, site: Site, claimed: Claimed, *, is_revoked: bool
) -> Ending | None:
    """Return the ending of an attempt that has none of its function's; None when that is to run.

    Then its arguments are complete.
    """
    message = claimed.message
    kept = not_to_be_run(aws, claimed, is_revoked=is_revoked, max_deliveries=site.max_deliveries)
    if kept is None and message.when is not None:
        kept = await _overlaps(aws, site, claimed, message.when)
    if kept is None and message.values is not None:
        kept = await _gather(aws, site, claimed, message.values)
    return kept


def not_to_be_run(
    aws: Aws, claimed: Claimed, *, is_revoked: bool, max_deliveries: int
) -> Ending | None:
    """Return the ending of an attempt whose function must not run; None when it may.

    ``is_revoked`` says so of its stamps; of its id the record does.
    """
    message, record = claimed.message, claimed.record
    if is_revoked or (record is not None and record.revoked):
        return Revoked("revoked")
    if message.expires is not None and aws.now() > message.expires:
        return Revoked("expired")
    if late := _why_late(aws, claimed):
        return Missed(late)
    if record is None or record.lost == 0:
        return None
    if claimed.job.task.at_most_once:
        return unknown("a worker was lost while it ran the task")
    if record.lost >= max_deliveries:
        reason = f"{record.lost} workers were lost while they ran it"
        return Rejected(reason, WorkerLostError(reason))
    return None


def _why_late(aws: Aws, claimed: Claimed) -> str | None:
    """Return why an occurrence comes too late; the time at which it began first decides."""
    message, record = claimed.message, claimed.record
    if message.when is None or message.scheduled_time is None:
        return None
    if record is not None and record.begun_at is not None:
        begun = datetime.fromtimestamp(record.begun_at, timezone.utc)
    else:
        begun = aws.now()
    policy, timing = Policy.read(message.when), Timing.read(message.when)
    return why_missed(policy, timing, message.scheduled_time, begun)


async def _overlaps(
    aws: Aws, site: Site, claimed: Claimed, when: Mapping[str, Json]
) -> Ending | None:
    if Policy.read(when).overlap == "allow":
        return None
    why = await why_overlapping(aws, site, claimed.message)
    return None if why is None else Missed(why)


async def _gather(
    aws: Aws, site: Site, claimed: Claimed, wanted: Mapping[str, Json]
) -> Ending | None:
    """Put the results of the group that it waited for before its arguments."""
    context = claimed.context
    try:
        gathered = await values(aws, site, wanted["group"], wanted["size"])
    except (ChordError, PayloadMissing, InvalidMessage) as error:
        return Rejected(str(error), error)
    context.args = (gathered, *context.args)
    return None


def unknown(why: str) -> Failed:
    """Return the ending of a task that may have done its work, and must not do it twice."""
    return Failed(WorkerLostError(f"{why}; it runs at most once, and may have done its work"))
