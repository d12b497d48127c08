"""From the firing of a rule to the occurrences of its entry.

Every rule's message carries its entry's timing and policies. A rule that fires exactly when its
entry is due needs no more: its firing is the occurrence. That of any other says how much it covers:
a firing at which nothing is due ends here, one that is itself an occurrence is run, and occurrences
later in its minute (or quarter of an hour) are sent with a delay, under ids that their times
decide. So is one that its jitter moves. A firing that is delivered again does the same again. What
is run or sent carries its timing no more, unless a policy may say that it is missed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

from caraway.core.disposition import Delete
from caraway.core.ids import occurrence_id
from caraway.core.job import Decided
from caraway.core.policies import Policy, jitter_of
from caraway.core.publish import Outgoing
from caraway.core.sending import request_to_send, send_all
from caraway.core.timing import Timing
from caraway.exceptions import InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from caraway.core.disposition import Delivery
    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.requests.base import Json

NOT_DUE: Final = "it is not due"
COVERS: Final = "covers_s"
COVERS_LIMIT_S: Final = 900
"""As long as SQS can delay a message."""


def to_json(timing: Timing, covers_s: int | None, policy: Policy) -> dict[str, Json]:
    """Return the ``when`` of a rule's message."""
    covers = {} if covers_s is None else {COVERS: covers_s}
    return {**timing.to_json(), **covers, **policy.to_json()}


async def occurring(
    aws: Aws, site: Site, delivery: Delivery, message: Message, when: Mapping[str, Json]
) -> Message:
    """Return the message of the occurrence that a firing is, ``when`` being what it carries.

    Raises
    ------
    Decided
        If nothing is due, or what is due has been sent with its delay.
    InvalidMessage
        If its timing or its policies cannot be read.
    """
    if message.scheduled_time is None or message.schedule is None:
        raise InvalidMessage("when: the message has no schedule with its time")
    policy, covers_s = Policy.read(when), when.get(COVERS)
    if covers_s is None:
        if policy.may_miss:
            Timing.read(when)  # after the claim it could not be refused
        return _occurrence(message, policy, message.scheduled_time, when)
    occurrences = _covered(message, policy, covers_s, when)
    if [each.scheduled_time for each in occurrences] == [_minute(message.scheduled_time)]:
        return occurrences[0]
    requests = []
    for each in occurrences:
        wait_s = (each.eta - aws.now()).total_seconds() if each.eta else 0.0
        delay_s = 0 if delivery.queue.fifo else min(max(ceil(wait_s), 0), site.delay_limit_s)
        outgoing = Outgoing(each, delivery.queue, delay_s)
        requests.append(await request_to_send(aws, site, outgoing))
    await send_all(aws, requests)
    raise Decided(Delete(f"occurrences sent: {len(occurrences)}" if occurrences else NOT_DUE))


def _covered(
    message: Message, policy: Policy, covers_s: Json, when: Mapping[str, Json]
) -> list[Message]:
    """Return the messages of the occurrences that a firing stands for."""
    if not isinstance(covers_s, int) or not 0 < covers_s <= COVERS_LIMIT_S:
        raise InvalidMessage(f"when: covers_s is {covers_s!r}, not 1 to {COVERS_LIMIT_S} seconds")
    assert message.schedule is not None
    assert message.scheduled_time is not None
    fired, timing = _minute(message.scheduled_time), Timing.read(when)
    try:
        due = timing.during(fired, timedelta(seconds=covers_s))
    except (OverflowError, ValueError) as error:
        raise InvalidMessage(f"when: at {fired} nothing can occur: {error}") from error
    kept = {name: value for name, value in when.items() if name != COVERS}
    occurrences = []
    for time in due:
        id, eta = occurrence_id(message.schedule, time), None if time == fired else time
        one = replace(message, id=id, scheduled_time=time, eta=eta)
        occurrences.append(_occurrence(one, policy, time, kept))
    return occurrences


def _occurrence(
    message: Message, policy: Policy, time: datetime, when: Mapping[str, Json]
) -> Message:
    """Return the message of an occurrence: due when its jitter says, and with what may miss it."""
    eta, expires = message.eta, message.expires
    try:
        if jitter := jitter_of(message.id, 0 if policy.in_window else policy.jitter_s):
            eta = time + jitter
        if policy.expires_s is not None:
            expires = time + timedelta(seconds=policy.jitter_s + policy.expires_s)
    except OverflowError as error:
        raise InvalidMessage(f"when: so long after {time} nothing can occur") from error
    return replace(message, eta=eta, expires=expires, when=when if policy.may_miss else None)


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)
