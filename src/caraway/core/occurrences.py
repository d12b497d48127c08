"""From the firing of a rule to the occurrences of its entry.

Every rule's message carries its entry's timing. A rule that fires exactly when its entry is due
needs no more: its firing is the occurrence. That of any other says how much it covers: a firing at
which nothing is due ends here, one that is itself an occurrence is run, and occurrences later in
its minute (or quarter of an hour) are sent with a delay, under ids that their times decide. A
firing that is delivered again does the same again. What is run or sent carries its timing no more.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

from caraway.core.disposition import Delete
from caraway.core.ids import occurrence_id
from caraway.core.job import Decided
from caraway.core.publish import Outgoing
from caraway.core.sending import request_to_send, send_all
from caraway.core.timing import Timing
from caraway.exceptions import InvalidMessage

if TYPE_CHECKING:
    from caraway.core.disposition import Delivery
    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.requests.base import Json

NOT_DUE: Final = "it is not due"
COVERS: Final = "covers_s"
COVERS_LIMIT_S: Final = 900
"""As long as SQS can delay a message."""


def to_json(timing: Timing, covers_s: int | None) -> dict[str, Json]:
    """Return the ``when`` of a rule's message."""
    return timing.to_json() if covers_s is None else {**timing.to_json(), COVERS: covers_s}


async def occurring(aws: Aws, site: Site, delivery: Delivery, message: Message) -> Message:
    """Return the message of the occurrence that a firing is; any other message as it is.

    Raises
    ------
    Decided
        If nothing is due, or what is due has been sent with its delay.
    InvalidMessage
        If its timing cannot be read.
    """
    if message.when is None:
        return message
    fired, covers_s = message.scheduled_time, message.when.get(COVERS)
    if fired is None or message.schedule is None:
        raise InvalidMessage("when: the message has no schedule with its time")
    if covers_s is None:
        return replace(message, when=None)
    if not isinstance(covers_s, int) or not 0 < covers_s <= COVERS_LIMIT_S:
        raise InvalidMessage(f"when: covers_s is {covers_s!r}, not 1 to {COVERS_LIMIT_S} seconds")
    fired = fired.replace(second=0, microsecond=0)
    timing = Timing.read(message.when)
    try:
        due = timing.during(fired, timedelta(seconds=covers_s))
    except (OverflowError, ValueError) as error:
        raise InvalidMessage(f"when: at {fired} nothing can occur: {error}") from error
    occurrences = [
        replace(
            message,
            id=occurrence_id(message.schedule, time),
            scheduled_time=time,
            eta=None if time == fired else time,
            when=None,
        )
        for time in due
    ]
    if due == [fired]:
        return occurrences[0]
    requests = []
    for each, time in zip(occurrences, due, strict=True):
        wait_s = 0 if delivery.queue.fifo else ceil((time - aws.now()).total_seconds())
        outgoing = Outgoing(each, delivery.queue, max(wait_s, 0))
        requests.append(await request_to_send(aws, site, outgoing))
    await send_all(aws, requests)
    raise Decided(Delete(f"occurrences sent: {len(due)}" if due else NOT_DUE))
