"""Many things, some at a time."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


def lots(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """Give things in lists of ``size``, the last one shorter; none is taken before it is asked for.

    ``itertools.batched`` of Python 3.12.
    """
    left = iter(things)
    while several := list(islice(left, size)):
        yield several
