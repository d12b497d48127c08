"""Many requests to EventBridge and its Scheduler, of which they take so many a second."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeVar

from caraway.exceptions import Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from caraway.core.port import Aws, R
    from caraway.requests.base import Request

T = TypeVar("T")

PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0)
"""Longest pauses before requests that were throttled are put again, on top of the SDK's own: small
regions take 250 a second for schedules ("Quotas for Amazon EventBridge Scheduler", its User Guide),
and fewer for rules ("Amazon EventBridge quotas")."""


async def unhurried(aws: Aws, requests: Sequence[Request[R]]) -> list[R | Exception]:
    """Perform requests; of schedules, those that AWS has no time for now are put again."""
    answers = await aws.perform_all(requests)
    for pause_s in PAUSES_S:
        left = [
            place
            for place, answer in enumerate(answers)
            if isinstance(answer, Throttled) and requests[place].concurrent
        ]
        if not left:
            break
        # Somewhere in its second half: other producers are told the same at the same time.
        digits = sha256(requests[left[0]].subject().encode()).digest()
        await aws.sleep(pause_s * (0.5 + digits[0] / 512))
        again = await aws.perform_all([requests[place] for place in left])
        for place, answer in zip(left, again, strict=True):
            answers[place] = answer
    return answers


async def in_turn(
    aws: Aws, each: Sequence[T], *steps: Callable[[T], Request[Any] | None]
) -> list[Exception | None]:
    """Take the steps of each of many, one after another, and return each one's failure.

    A step is a request, or None if there is nothing to do. A failure is the end of its own.
    """
    failures: list[Exception | None] = [None] * len(each)
    for step in steps:
        asked = [
            (place, request)
            for place, one in enumerate(each)
            if failures[place] is None and (request := step(one)) is not None
        ]
        outcomes = await unhurried(aws, [request for _, request in asked])
        for (place, _), outcome in zip(asked, outcomes, strict=True):
            if isinstance(outcome, Exception):
                failures[place] = outcome
    return failures
