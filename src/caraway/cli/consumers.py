"""The Lambda functions that consume an app's queues, as their event sources tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caraway.exceptions import OperationalError
from caraway.lean import dataclass
from caraway.requests.lambda_ import ListEventSources
from caraway.requests.sqs import GetQueueAttributes, GetQueueUrl

if TYPE_CHECKING:
    from caraway.core.port import Aws
    from caraway.core.routing import Router


@dataclass(frozen=True)
class LambdaConsumer:
    """A function that consumes a queue; ``state`` is its event source's, such as ``Enabled``."""

    queue: str
    function: str
    state: str

    @property
    def is_on(self) -> bool:
        """Whether it receives messages."""
        return not self.state.startswith("Disabl")


async def lambda_consumers(
    aws: Aws, router: Router, prefix: str
) -> list[LambdaConsumer] | OperationalError:
    """Return who consumes the queues with ``consumer="lambda"``, or why that is not known.

    It is nice to know: workers in containers can be shown without.
    """
    found: list[LambdaConsumer] = []
    try:
        for queue in router.queues.values():
            if queue.consumer == "lambda":
                url = await aws.perform(GetQueueUrl(queue.sqs_name(prefix)))
                attributes = await aws.perform(GetQueueAttributes(url))
                found += [
                    LambdaConsumer(queue.name, each.function.rpartition(":")[2], each.state)
                    for each in await aws.perform(ListEventSources(attributes["QueueArn"]))
                ]
    except OperationalError as error:
        return error
    return found
