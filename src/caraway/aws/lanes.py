"""What travels with what, and what waits to: the one way in which all ports make batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from caraway.aws.coalesce import ADDS, CHANGES, DELETES, READS, SENDS, WRITES
from caraway.requests import partiql
from caraway.requests.dynamodb import GetItem, UpdateItem
from caraway.requests.items import Always
from caraway.requests.sqs import ChangeMessageVisibility, DeleteMessage, SendMessage

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from caraway.aws.coalesce import Batch
    from caraway.requests.base import Request

T = TypeVar("T")

Lane: TypeAlias = "tuple[Batch, Hashable]"
"""A kind of batch, and what else the requests in one must agree on, such as their queue."""

FLIGHTS: Final = 16
"""Batches of a lane under way at a time: a hundred and sixty messages. What comes faster than AWS
takes it waits as requests, one for each caller, and every caller waits for its answer."""


_TO_QUEUE: Final[dict[type[Any], Batch]] = {
    SendMessage: SENDS,
    DeleteMessage: DELETES,
    ChangeMessageVisibility: CHANGES,
}


def lane_of(request: Request[Any]) -> Lane | None:
    """Return the lane in which a request travels, None if it goes alone."""
    batch = _TO_QUEUE.get(type(request))
    if batch is not None:
        return batch, request.queue_url  # type: ignore[attr-defined]
    if isinstance(request, GetItem):
        return READS, (request.table, request.consistent)
    if isinstance(request, UpdateItem):
        if request.change.add:
            return _additions(request)
        return (WRITES, request.table) if partiql.can_be_said(request) else None
    return None


def keeps_order(lane: Lane) -> bool:
    """Say whether what travels in a lane must arrive in the order in which it left."""
    return isinstance(lane[1], str) and lane[1].endswith(".fifo")


def _additions(request: UpdateItem) -> Lane | None:
    """Return the lane of additions to one item, None if it does anything else as well."""
    change = request.change
    is_plain = (
        isinstance(request.condition, Always)
        and not (change.remove or change.discard)
        and all(isinstance(each, str | int | float) for each in change.assign.values())
    )
    told = tuple(change.assign.items())
    return (ADDS, (request.table, request.id, told)) if is_plain else None


def flights(lane: Lane) -> int:
    """Return how many batches of a lane may be under way at a time."""
    return 1 if keeps_order(lane) else FLIGHTS


class Waiting(Generic[T]):
    """Requests of a lane that wait to leave, in their order, each with who waits for it."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._bytes = 0
        self.members: list[tuple[Any, T]] = []

    def put(self, request: Any, who: T) -> bool:
        """Let a request wait; say whether they leave better now than with more company."""
        self.members.append((request, who))
        self._bytes += self._batch.size_bytes(request)
        return self._batch.is_enough(len(self.members), self._bytes)


def batches(batch: Batch, requests: Sequence[Request[Any]]) -> Iterator[slice]:
    """Yield which requests leave in each batch: however they come together, they are cut here."""
    begin = 0
    for count in batch.cut(requests):
        yield slice(begin, begin + count)
        begin += count
