"""What many requests have come to, of which ``perform_all`` gives the failures as values.

All of them have been asked for by the time that the first failure is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from caraway.requests.dynamodb import ConditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from caraway.core.port import Aws
    from caraway.requests.base import Request

T = TypeVar("T")


def all_done(outcomes: Sequence[T | Exception]) -> list[T]:
    """Return the answers, or raise the first failure."""
    done: list[T] = []
    for each in outcomes:
        if isinstance(each, Exception):
            raise each
        done.append(each)
    return done


def all_written(outcomes: Sequence[object]) -> list[bool]:
    """Say of each conditional write whether its condition held; raise the first other failure."""
    for each in outcomes:
        if isinstance(each, Exception) and not isinstance(each, ConditionFailed):
            raise each
    return [not isinstance(each, ConditionFailed) for each in outcomes]


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
        outcomes = await aws.perform_all([request for _, request in asked])
        for (place, _), outcome in zip(asked, outcomes, strict=True):
            if isinstance(outcome, Exception):
                failures[place] = outcome
    return failures
