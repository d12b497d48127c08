"""Lists that AWS gives in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.core.port import Aws
    from caraway.requests.base import Listed, Request

T = TypeVar("T")


async def all_of(aws: Aws, page: Callable[[str | None], Request[Listed[T]]]) -> list[T]:
    """Return all that a list has.

    Parameters
    ----------
    page
        Returns the request for the page that a token names; None names the first one.
    """
    found: list[T] = []
    token: str | None = None
    while True:
        answer = await aws.perform(page(token))
        found += answer.items
        token = answer.next_token
        if token is None:
            return found
