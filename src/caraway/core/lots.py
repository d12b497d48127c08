"""Many things, some at a time."""

from __future__ import annotations

from itertools import chain, islice
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


def lots_in_turn(things: Iterable[T], size: int) -> Iterator[Iterator[T]]:
    """Give things in iterators over ``size`` each, of which none is used after the next is there.

    A thing is taken when it is asked for, but the first of each lot: there is no empty one.
    """
    left = iter(things)
    for first in left:
        yield chain((first,), islice(left, size - 1))
