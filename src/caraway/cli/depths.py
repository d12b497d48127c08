"""How full queues are, as SQS and CloudWatch tell it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from caraway.exceptions import OperationalError, ResourceMissing
from caraway.lean import dataclass
from caraway.requests.cloudwatch import METRIC_DATA_LIMIT, OldestMessageAges
from caraway.requests.sqs import GetQueueAttributes, GetQueueUrl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from caraway.core.port import Aws
    from caraway.core.routing import Queue

LOOK_BACK: Final = timedelta(minutes=15)
"""CloudWatch has SQS's reports after some minutes."""


@dataclass(frozen=True)
class Depth:
    """How full a queue is; SQS's counts are approximate.

    Attributes
    ----------
    dead_letters
        Messages in its dead-letter queue, None when that does not exist.
    """

    waiting: int
    in_flight: int
    delayed: int
    visibility_timeout_s: int
    dead_letters: int | None

    @property
    def total(self) -> int:
        """All messages of the queue."""
        return self.waiting + self.in_flight + self.delayed


async def depth_of(aws: Aws, queue: Queue, prefix: str) -> Depth | None:
    """Return how full a queue is, None when it does not exist."""
    attributes = await _attributes(aws, queue.sqs_name(prefix))
    if attributes is None:
        return None
    dead = await _attributes(aws, queue.dead_letter_sqs_name(prefix))
    return Depth(
        waiting=int(attributes["ApproximateNumberOfMessages"]),
        in_flight=int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        delayed=int(attributes["ApproximateNumberOfMessagesDelayed"]),
        visibility_timeout_s=int(attributes["VisibilityTimeout"]),
        dead_letters=None if dead is None else int(dead["ApproximateNumberOfMessages"]),
    )


async def _attributes(aws: Aws, name: str) -> Mapping[str, str] | None:
    try:
        return await aws.perform(GetQueueAttributes(await aws.perform(GetQueueUrl(name))))
    except ResourceMissing:
        return None


async def ages_of(aws: Aws, names: Sequence[str]) -> Mapping[str, float] | OperationalError:
    """Return how many seconds old the oldest message of each queue is, as far as it is known.

    An age is nice to have: where CloudWatch cannot be asked, the answer is why.
    """
    now = aws.now()
    ages: dict[str, float] = {}
    try:
        for start in range(0, len(names), METRIC_DATA_LIMIT):
            some = tuple(names[start : start + METRIC_DATA_LIMIT])
            ages.update(await aws.perform(OldestMessageAges(some, now - LOOK_BACK, now)))
    except OperationalError as error:
        return error
    return ages
