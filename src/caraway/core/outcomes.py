"""What many requests have come to, of which ``perform_all`` gives the failures as values.

All of them have been asked for by the time that the first failure is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from caraway.requests.dynamodb import ConditionFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

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
