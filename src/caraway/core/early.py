"""A message that comes before its ETA: it is sent on with the rest of the time as its delay.

So a message that SQS cannot hold for as long as it has to wait travels in steps, and one that a
schedule has let go gets its last minute. Each step is a message of the same task and attempt.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from caraway.core.disposition import Delete, Delivery, Leave
from caraway.core.job import Decided
from caraway.core.publish import Outgoing, Site
from caraway.core.record import DONE, Record
from caraway.core.refusal import refused
from caraway.core.sending import send
from caraway.requests.dynamodb import GetItem
from caraway.requests.sqs import DELAY_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.settle import Definition

EARLY_S: Final = 1.0
"""A message this much before its eta is run: SQS delays are whole seconds."""


async def hold_if_early(
    aws: Aws,
    site: Site,
    tasks: Mapping[str, Definition],
    delivery: Delivery,
    message: Message,
    eta: datetime,
) -> None:
    """Let a message with an ETA pass that is due.

    Raises
    ------
    Decided
        If it is not: it was sent on, or its task has ended and it need not travel any more.
    """
    wait_s = (eta - aws.now()).total_seconds()
    if wait_s <= EARLY_S:
        return
    why = f"it is due in {wait_s:.0f} s"
    delay_s = min(ceil(wait_s), site.delay_limit_s)
    if delivery.queue.fifo:
        raise Decided(Leave(min(delay_s, DELAY_LIMIT_S), why))
    if wait_s > site.delay_limit_s:
        await _end_if_over(aws, site, tasks, delivery, message)
    # Never into a schedule: the one that it came from may still be there, under the same name.
    await send(aws, site, Outgoing(message, delivery.queue, delay_s))
    raise Decided(Delete(f"{why}: sent again with that delay"))


async def _end_if_over(
    aws: Aws,
    site: Site,
    tasks: Mapping[str, Definition],
    delivery: Delivery,
    message: Message,
) -> None:
    """Let what waits for a task that was revoked learn of it now, and not at the ETA."""
    item = await aws.perform(GetItem(site.records.table, message.id))
    record = Record.read(item or {})
    if record.phase == DONE:
        raise Decided(await refused(aws, site, tasks, delivery, message, record), record)
