"""Between the claim and the run: what keeps an attempt from it, and what its arguments wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caraway.core.joins import values
from caraway.core.settle import Failed, Rejected, Revoked
from caraway.exceptions import ChordError, InvalidMessage, PayloadMissing, WorkerLostError

if TYPE_CHECKING:
    from datetime import datetime

    from caraway.core.job import Claimed
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.settle import Ending


def not_to_be_run(
    claimed: Claimed, now: datetime, *, is_revoked: bool, max_deliveries: int
) -> Ending | None:
    """Return the ending of an attempt whose function must not run; None when it may.

    ``is_revoked`` says so of its stamps; of its id the record does.
    """
    message, record = claimed.message, claimed.record
    if is_revoked or (record is not None and record.revoked):
        return Revoked("revoked")
    if message.expires is not None and now > message.expires:
        return Revoked("expired")
    if record is None or record.lost == 0:
        return None
    if claimed.job.task.at_most_once:
        return unknown("a worker was lost while it ran the task")
    if record.lost >= max_deliveries:
        reason = f"{record.lost} workers were lost while they ran it"
        return Rejected(reason, WorkerLostError(reason))
    return None


async def gather(aws: Aws, site: Site, claimed: Claimed) -> Ending | None:
    """Put the results of the group that it waited for before its arguments."""
    wanted, context = claimed.message.values, claimed.context
    if wanted is None:
        return None
    try:
        gathered = await values(aws, site, wanted["group"], wanted["size"])
    except (ChordError, PayloadMissing, InvalidMessage) as error:
        return Rejected(str(error), error)
    context.args = (gathered, *context.args)
    return None


def unknown(why: str) -> Failed:
    """Return the ending of a task that may have done its work, and must not do it twice."""
    return Failed(WorkerLostError(f"{why}; it runs at most once, and may have done its work"))
