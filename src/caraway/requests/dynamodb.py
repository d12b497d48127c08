"""Requests to DynamoDB."""

from __future__ import annotations

from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

from caraway.lean import dataclass
from caraway.requests.base import Request
from caraway.requests.items import Change, Condition, Item, Names, from_item, to_item

if TYPE_CHECKING:
    from collections.abc import Mapping

ITEM_LIMIT_BYTES: Final = 400 * 1024
"""Largest item (Amazon DynamoDB Developer Guide, "Quotas in Amazon DynamoDB")."""
READ_LIMIT: Final = 100
"""Most items of one BatchGetItem (Amazon DynamoDB API Reference, "BatchGetItem")."""


class ConditionFailed(Exception):
    """A conditional write found its condition false.

    Attributes
    ----------
    item
        The item as it is, empty when there is none.
    """

    def __init__(self, item: Item) -> None:
        super().__init__("the write's condition does not hold")
        self.item = item


@dataclass(frozen=True)
class GetItem(Request["Item | None"]):
    """Read one item; answers None when there is none."""

    service: ClassVar[str] = "dynamodb"
    operation: ClassVar[str] = "get_item"

    table: str
    id: str
    consistent: bool = True

    def params(self) -> dict[str, Any]:
        return {
            "TableName": self.table,
            "Key": to_item({"id": self.id}),
            "ConsistentRead": self.consistent,
        }

    def answer(self, response: Mapping[str, Any]) -> Item | None:
        return from_item(response["Item"]) if "Item" in response else None

    def subject(self) -> str:
        return f"table {self.table!r}"


@dataclass(frozen=True)
class Found:
    """What a read of many items has found.

    Attributes
    ----------
    items
        Those that are there, by their ids.
    unprocessed
        Ids that have to be asked for again: the answer would have been above 16 MB, or DynamoDB
        is asked for too much.
    """

    items: Mapping[str, Item] = field(default_factory=dict)
    unprocessed: tuple[str, ...] = ()


@dataclass(frozen=True)
class BatchGetItem(Request[Found]):
    """Read up to :data:`READ_LIMIT` items, each id named once."""

    service: ClassVar[str] = "dynamodb"
    operation: ClassVar[str] = "batch_get_item"

    table: str
    ids: tuple[str, ...]
    consistent: bool = True

    def params(self) -> dict[str, Any]:
        keys = [to_item({"id": id}) for id in self.ids]
        return {"RequestItems": {self.table: {"Keys": keys, "ConsistentRead": self.consistent}}}

    def answer(self, response: Mapping[str, Any]) -> Found:
        read = [from_item(item) for item in response["Responses"].get(self.table, ())]
        left = response.get("UnprocessedKeys", {}).get(self.table, {})
        unprocessed = tuple(from_item(key)["id"] for key in left.get("Keys", ()))
        return Found({item["id"]: item for item in read}, unprocessed)

    def subject(self) -> str:
        return f"table {self.table!r}"


@dataclass(frozen=True)
class Page:
    """A part of what a scan has found.

    Attributes
    ----------
    read
        Items that were read, and are billed.
    last
        The id of the last of them, behind which the next page begins; None at the end.
    """

    items: tuple[Item, ...] = ()
    read: int = 0
    last: str | None = None


@dataclass(frozen=True)
class Scan(Request[Page]):
    """Read a table, whoever its items are: up to 1 MB of it, and of that what is asked for.

    A read that may be some moments behind: it costs half of a consistent one.

    Parameters
    ----------
    condition, fields
        Of which items which attributes are answered: all are read.
    after
        The id behind which it begins; None for the beginning.
    limit
        Items that are read at most.
    """

    service: ClassVar[str] = "dynamodb"
    operation: ClassVar[str] = "scan"

    table: str
    condition: Condition
    fields: tuple[str, ...]
    after: str | None = None
    limit: int | None = None

    def params(self) -> dict[str, Any]:
        names = Names()
        params: dict[str, Any] = {
            "TableName": self.table,
            "FilterExpression": self.condition.render(names),
            "ProjectionExpression": ", ".join(map(names.attribute, self.fields)),
            "ExpressionAttributeNames": names.attributes,
        }
        if names.values:  # DynamoDB refuses an empty map
            params["ExpressionAttributeValues"] = to_item(names.values)
        if self.after is not None:
            params["ExclusiveStartKey"] = to_item({"id": self.after})
        if self.limit is not None:
            params["Limit"] = self.limit
        return params

    def answer(self, response: Mapping[str, Any]) -> Page:
        last = response.get("LastEvaluatedKey")
        return Page(
            tuple(from_item(item) for item in response.get("Items", ())),
            response.get("ScannedCount", 0),
            from_item(last)["id"] if last else None,
        )

    def subject(self) -> str:
        return f"table {self.table!r}"


@dataclass(frozen=True)
class UpdateItem(Request[Item]):
    """Change one item, or create it, if the condition holds; answers the item as it is then.

    Where nobody reads it, without ``answers_item``, it answers an empty one.

    Raises :class:`ConditionFailed` with the item as it is when the condition does not hold.

    Parameters
    ----------
    is_first
        Whether the item is most likely not there yet. It changes nothing of what the write means:
        a port may first try what is faster then.
    """

    service: ClassVar[str] = "dynamodb"
    operation: ClassVar[str] = "update_item"

    table: str
    id: str
    change: Change
    condition: Condition
    is_first: bool = False
    answers_item: bool = True

    @cached_property
    def created(self) -> Item:
        """The item that it makes where there is none."""
        return {"id": self.id, **self.change.assigned({})}

    def params(self) -> dict[str, Any]:
        names = Names()
        update = self.change.render(names)
        condition = self.condition.render(names)
        params = {
            "TableName": self.table,
            "Key": to_item({"id": self.id}),
            "UpdateExpression": update,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": names.attributes,
            "ReturnValues": "ALL_NEW" if self.answers_item else "NONE",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if names.values:  # DynamoDB refuses an empty map
            params["ExpressionAttributeValues"] = to_item(names.values)
        return params

    def answer(self, response: Mapping[str, Any]) -> Item:
        return from_item(response["Attributes"]) if self.answers_item else {}

    def refusal(self, code: str, response: Mapping[str, Any]) -> Exception | None:
        if code == "ConditionalCheckFailedException":
            return ConditionFailed(from_item(response.get("Item", {})))
        return None

    def subject(self) -> str:
        return f"table {self.table!r}"


@dataclass(frozen=True)
class DescribeTable(Request["dict[str, Any]"]):
    """Describe a table: its status, keys and settings."""

    service: ClassVar[str] = "dynamodb"
    operation: ClassVar[str] = "describe_table"

    table: str

    def params(self) -> dict[str, Any]:
        return {"TableName": self.table}

    def answer(self, response: Mapping[str, Any]) -> dict[str, Any]:
        description: dict[str, Any] = response["Table"]
        return description

    def subject(self) -> str:
        return f"table {self.table!r}"


@dataclass(frozen=True)
class DescribeTimeToLive(Request["str | None"]):
    """Ask by which attribute a table's items expire; answers None when they do not."""

    service: ClassVar[str] = "dynamodb"
    operation: ClassVar[str] = "describe_time_to_live"

    table: str

    def params(self) -> dict[str, Any]:
        return {"TableName": self.table}

    def answer(self, response: Mapping[str, Any]) -> str | None:
        described = response["TimeToLiveDescription"]
        if described.get("TimeToLiveStatus") not in {"ENABLED", "ENABLING"}:
            return None
        attribute: str | None = described.get("AttributeName")
        return attribute

    def subject(self) -> str:
        return f"table {self.table!r}"
