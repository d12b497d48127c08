"""Lists that AWS gives in pages."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.core.port import Aws
    from caraway.requests.base import Listed, Request

T = TypeVar("T")


async def first_of(
    aws: Aws, page: Callable[[str | None], Request[Listed[T]]], pages: float = inf
) -> tuple[list[T], bool]:
    """Return what the first pages of a list have, and whether that is all.

    Parameters
    ----------
    page
        Returns the request for the page that a token names; None names the first one.
    pages
        How many at most.
    """
    found: list[T] = []
    token: str | None = None
    while pages > 0:
        answer = await aws.perform(page(token))
        found += answer.items
        token = answer.next_token
        if token is None:
            return found, True
        pages -= 1
    return found, False
