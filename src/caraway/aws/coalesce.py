"""Which requests AWS takes in batches, and how: pure descriptions, used by every port."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from caraway.aws.failures import answer_of, error_of_code, meaning_of
from caraway.lean import dataclass
from caraway.requests import partiql
from caraway.requests.dynamodb import READ_LIMIT, BatchGetItem, ConditionFailed, GetItem, UpdateItem
from caraway.requests.items import Change, from_item
from caraway.requests.sqs import (
    BATCH_LIMIT,
    BILLED_BYTES,
    MESSAGE_LIMIT_BYTES,
    ChangeMessageVisibility,
    DeleteMessage,
    SendMessage,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from caraway.requests.base import Request

LOOKED_OVER: Final = 100
"""Messages that wait at most to be cut into batches that fill chunks."""

ToQueue: TypeAlias = "SendMessage | DeleteMessage | ChangeMessageVisibility"


@dataclass(frozen=True)
class Alone:
    """An entry's outcome that a batch cannot tell: the request is put by itself, and it does.

    Attributes
    ----------
    refused
        Whether the place does not take what a batch is made of, as far as this entry shows.
    is_certain
        Whether it says so itself: a role that may not, an operation that is not known. Any other
        refusal may be of this one request.
    """

    refused: bool = False
    is_certain: bool = False


class Batch(ABC):
    """How requests of one class travel together.

    Attributes
    ----------
    service, operation
        The SDK's names of the batch operation.
    limit, limit_bytes
        Most entries, and most bytes of them together.
    linger_s
        How long the first request may wait for company, in seconds. 0 waits one turn of the event
        loop only.
    lingers_alone
        Whether it waits also while no user code runs, which might bring another one.
    optional
        Whether a place, or a role, may be without the operation: then each request travels alone.
    in_turn
        Whether one caller's batches go one after another: they may write the same item.
    """

    service: ClassVar[str]
    operation: ClassVar[str]
    limit: ClassVar[int]
    limit_bytes: ClassVar[int] = MESSAGE_LIMIT_BYTES
    linger_s: ClassVar[float] = 0.0
    lingers_alone: ClassVar[bool] = False
    optional: ClassVar[bool] = False
    in_turn: ClassVar[bool] = False

    def size_bytes(self, request: Any) -> int:  # noqa: ARG002 - not every batch is bounded
        """Return what one request adds to the batch."""
        return 0

    def key(self, request: Any) -> Hashable:  # noqa: ARG002 - nor has a key
        """Return what may be only once in a batch; None if it does not matter."""
        return None

    def is_enough(self, count: int, size_bytes: int) -> bool:
        """Say whether those that wait leave better now than with more company."""
        return count >= self.limit or size_bytes >= self.limit_bytes

    def cut(self, requests: Sequence[Any]) -> Iterator[int]:
        """Yield how many requests each batch takes, of those that wait, in their order."""
        keys: set[Hashable] = set()
        count = total = 0
        for request in requests:
            size, key = self.size_bytes(request), self.key(request)
            is_full = count >= self.limit or total + size > self.limit_bytes
            if count and (is_full or key in keys):
                yield count
                keys.clear()
                count = total = 0
            if key is not None:
                keys.add(key)
            count += 1
            total += size
        if count:
            yield count

    @abstractmethod
    def params(self, requests: Sequence[Any]) -> dict[str, Any]:
        """Return the batch operation's arguments."""

    @abstractmethod
    def outcomes(self, requests: Sequence[Any], response: Mapping[str, Any]) -> list[Any]:
        """Return each request's own answer, its own exception, or :class:`Alone`."""


class _Entries(Batch):
    """A batch of SQS; entries are told apart by their place."""

    service = "sqs"
    limit = BATCH_LIMIT

    def params(self, requests: Sequence[ToQueue]) -> dict[str, Any]:
        return {
            "QueueUrl": requests[0].queue_url,
            "Entries": [
                {"Id": str(place), **request.entry()} for place, request in enumerate(requests)
            ],
        }

    def outcomes(self, requests: Sequence[ToQueue], response: Mapping[str, Any]) -> list[Any]:
        told: dict[int, Any] = {}
        for entry in response.get("Successful", ()):
            place = int(entry["Id"])
            told[place] = meaning_of(requests[place], entry)
        for entry in response.get("Failed", ()):
            place = int(entry["Id"])
            code, message = entry.get("Code", ""), entry.get("Message", "")
            told[place] = error_of_code(requests[place], code, message, {"Error": entry})
        return [
            told[place] if place in told else _not_spoken_of(request)
            for place, request in enumerate(requests)
        ]


class _Sends(_Entries):
    operation = "send_message_batch"

    def size_bytes(self, request: SendMessage) -> int:
        size = _bytes_of(request.body)
        for name, value in request.attributes.items():
            size += _bytes_of(name) + len("String") + _bytes_of(value)
        return size

    def is_enough(self, count: int, size_bytes: int) -> bool:
        """Ten that are billed as one leave; larger ones look for others to fill chunks with."""
        most = self.limit if size_bytes <= BILLED_BYTES else LOOKED_OVER
        return count >= most or size_bytes >= self.limit_bytes

    def cut(self, requests: Sequence[SendMessage]) -> Iterator[int]:
        """Cut so that SQS bills the fewest chunks of 64 KiB, in the fewest requests for that.

        Nine messages of 7 KB are one chunk, and ten of them two. Whole batches of ten are as many
        chunks or more: they are one of the ways to cut.
        """
        sizes = [self.size_bytes(each) for each in requests]
        if max(sizes, default=0) * self.limit <= BILLED_BYTES:
            tens, rest = divmod(len(sizes), self.limit)
            return iter([self.limit] * tens + [rest] * bool(rest))
        best = [(0, 0)]  # of the first so many: chunks, and batches
        counts = [0]
        for end in range(1, len(sizes) + 1):
            least: tuple[int, int] | None = None
            total = taken = 0
            for count in range(1, min(self.limit, end) + 1):
                total += sizes[end - count]
                if count > 1 and total > self.limit_bytes:
                    break
                chunks, batches = best[end - count]
                cost = (chunks + max(1, -(-total // BILLED_BYTES)), batches + 1)
                if least is None or cost < least:
                    least, taken = cost, count
            best.append(least or (0, 0))
            counts.append(taken)
        cuts, end = [], len(sizes)
        while end:
            cuts.append(counts[end])
            end -= counts[end]
        return reversed(cuts)


class _Deletes(_Entries):
    operation = "delete_message_batch"
    # The slot of a deleted message is free already, so its delete may wait for company.
    linger_s = 0.05
    lingers_alone = True


class _Changes(_Entries):
    operation = "change_message_visibility_batch"


_STATEMENT_CODES: Final = {
    "InternalServerError": "InternalServerError",
    "ProvisionedThroughputExceeded": "ProvisionedThroughputExceededException",
    "RequestLimitExceeded": "RequestLimitExceeded",
    "ResourceNotFound": "ResourceNotFoundException",
    "ThrottlingError": "ThrottlingException",
    "TransactionConflict": "ThrottlingException",  # somebody else writes the item: try again
}
"""What an entry's code is called elsewhere (Amazon DynamoDB API Reference, "BatchStatementError").
"""


class _Writes(Batch):
    """Writes of items as PartiQL statements; each has its own condition and fails alone."""

    service = "dynamodb"
    operation = "batch_execute_statement"
    limit = partiql.STATEMENT_LIMIT
    linger_s = 0.005
    optional = True
    in_turn = True

    def size_bytes(self, request: UpdateItem) -> int:
        size = 0
        for each in request.change.assign.values():
            if isinstance(each, str):
                size += len(each)
        return size

    def key(self, request: UpdateItem) -> Hashable:
        return request.id

    def params(self, requests: Sequence[UpdateItem]) -> dict[str, Any]:
        return {"Statements": [partiql.statement(each) for each in requests]}

    def outcomes(self, requests: Sequence[UpdateItem], response: Mapping[str, Any]) -> list[Any]:
        entries = response.get("Responses", ())
        if len(entries) != len(requests):
            return [Alone(refused=True)] * len(requests)
        return [
            self._outcome(request, entry) for request, entry in zip(requests, entries, strict=True)
        ]

    @staticmethod
    def _outcome(request: UpdateItem, entry: Mapping[str, Any]) -> Any:
        error = entry.get("Error")
        if error is None:
            item = partiql.written(request, entry)
            return Alone(refused=True) if item is None else item
        code = error.get("Code", "")
        if code == "ConditionalCheckFailed" and error.get("Item"):
            return ConditionFailed(from_item(error["Item"]))
        if code in {"ConditionalCheckFailed", "DuplicateItem"}:
            return Alone()  # only the request itself brings the item back
        if code in _STATEMENT_CODES:
            return error_of_code(request, _STATEMENT_CODES[code], error.get("Message", ""), entry)
        return Alone(refused=True, is_certain=code == "AccessDenied")


class _Reads(Batch):
    """Reads of items of one table; an item that several ask for is asked for once."""

    service = "dynamodb"
    operation = "batch_get_item"
    limit = READ_LIMIT
    optional = True

    def params(self, requests: Sequence[GetItem]) -> dict[str, Any]:
        ids = tuple(dict.fromkeys(each.id for each in requests))
        return BatchGetItem(requests[0].table, ids, requests[0].consistent).params()

    def outcomes(self, requests: Sequence[GetItem], response: Mapping[str, Any]) -> list[Any]:
        found = answer_of(BatchGetItem(requests[0].table, ()), response)
        left = set(found.unprocessed)
        return [
            error_of_code(each, "ThrottlingException", "", {})
            if each.id in left
            else _copy(found.items.get(each.id))
            for each in requests
        ]


class _Adds(Batch):
    """Additions to sets of one item, in one write: an item takes one write at a time."""

    service = "dynamodb"
    operation = "update_item"
    limit = 100
    in_turn = True

    def params(self, requests: Sequence[UpdateItem]) -> dict[str, Any]:
        return self._united(requests).params()

    def outcomes(self, requests: Sequence[UpdateItem], response: Mapping[str, Any]) -> list[Any]:
        """Show each what it would have seen if they had come one after the other.

        So only the last of them sees all, and what follows a full set is done once.
        """
        after = answer_of(self._united(requests), response)
        hidden = {each for request in requests for each in _elements(request)}
        names = {name for name, _ in hidden}
        outcomes = []
        for request in requests:
            hidden.difference_update(_elements(request))
            shown = {
                name: {each for each in after[name] if (name, each) not in hidden} for name in names
            }
            item = {**after, **shown}
            outcomes.append({name: item[name] for name in item if item[name] != set()})
        return outcomes

    @staticmethod
    def _united(requests: Sequence[UpdateItem]) -> UpdateItem:
        add: dict[str, set[str]] = {}
        for request in requests:
            for name, elements in request.change.add.items():
                add.setdefault(name, set()).update(elements)
        first = requests[0]
        return replace(first, change=Change(first.change.assign, add=add))


SENDS: Final = _Sends()
DELETES: Final = _Deletes()
CHANGES: Final = _Changes()
WRITES: Final = _Writes()
READS: Final = _Reads()
ADDS: Final = _Adds()


def _elements(request: UpdateItem) -> Iterator[tuple[str, str]]:
    """Give each element that a write adds, with the name of its set."""
    for name, elements in request.change.add.items():
        for element in elements:
            yield name, element


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _copy(item: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return an item for one of those who asked for it."""
    return None if item is None else dict(item)


def _not_spoken_of(request: Request[Any]) -> Exception:
    return error_of_code(request, "MissingEntry", "AWS's answer does not speak of it", {})
