"""Tables of DynamoDB in memory, with conditional writes and batches of PartiQL statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from benchmarks.engine import expressions, partiql
from benchmarks.engine.expressions import Scope
from benchmarks.engine.refused import Refused
from benchmarks.engine.values import split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.engine.expressions import Condition, Given
    from benchmarks.engine.values import Item, Value

    Params = Mapping[str, Any]
    Answer = dict[str, Any]

Key: TypeAlias = "tuple[tuple[str, Any], ...]"

STATEMENT_LIMIT: Final = 25
READ_LIMIT: Final = 100
_ARN: Final = "arn:aws:dynamodb:us-east-1:000000000000:table/"
_FAILED: Final = "ConditionalCheckFailedException"
_STATEMENT_CODES: Final = {
    _FAILED: "ConditionalCheckFailed",
    "DuplicateItemException": "DuplicateItem",
    "ResourceNotFoundException": "ResourceNotFound",
    "ValidationException": "ValidationError",
}


class Table:
    """One table: its items by their keys."""

    def __init__(self, params: Params) -> None:
        self.name: str = params["TableName"]
        self.schema = {
            name: params[name]
            for name in ("KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes")
            if name in params
        }
        self.key_names = tuple(each["AttributeName"] for each in params["KeySchema"])
        self.items: dict[Key, Item] = {}
        self.expires_by: str | None = None

    def key(self, item: Mapping[str, Value]) -> Key:
        """Return the key of an item."""
        try:
            return tuple(split(item[name]) for name in self.key_names)
        except KeyError as missing:
            raise Refused(
                "ValidationException", f"The provided key element {missing} is missing"
            ) from None

    def described(self) -> Answer:
        """Return its description."""
        return {
            "TableName": self.name,
            "TableStatus": "ACTIVE",
            "TableArn": _ARN + self.name,
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
            "ItemCount": len(self.items),
            **self.schema,
        }

    def write(
        self, key: Key, params: Params, make: Callable[[Item], Item | None]
    ) -> tuple[Item, Item]:
        """Make an item another one, or none, if the condition holds; return it before and after."""
        before = self.items.get(key, {})
        text = params.get("ConditionExpression")
        if text is not None:
            self.check(expressions.condition(text), _scope(before, params), params)
        after = make(before)
        if after is None:
            self.items.pop(key, None)
        else:
            self.items[key] = after
        return before, after or {}

    @staticmethod
    def check(condition: Condition, scope: Scope, params: Params) -> None:
        """Refuse to go on if a condition does not hold."""
        if not condition(scope):
            wanted = params.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            details = {"Item": scope.item} if scope.item and wanted else {}
            raise Refused(_FAILED, "The conditional request failed", details=details)


def _scope(item: Item, params: Params) -> Scope:
    return Scope(
        item,
        params.get("ExpressionAttributeNames", {}),
        params.get("ExpressionAttributeValues", {}),
    )


def _returned(params: Params, before: Item, after: Item, touched: list[str]) -> Answer:
    match params.get("ReturnValues", "NONE"):
        case "ALL_NEW":
            item = after
        case "ALL_OLD":
            item = before
        case "UPDATED_NEW":
            item = {name: after[name] for name in touched if name in after}
        case "UPDATED_OLD":
            item = {name: before[name] for name in touched if name in before}
        case _:
            item = {}
    return {"Attributes": item} if item else {}


class DynamoDb:
    """The service."""

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {}
        self.operations: dict[str, Callable[[Params], Answer]] = {
            "CreateTable": self._create,
            "DeleteTable": self._delete_table,
            "DescribeTable": lambda params: {"Table": self._table(params).described()},
            "ListTables": lambda _: {"TableNames": list(self._tables)},
            "UpdateTimeToLive": self._set_expiry,
            "DescribeTimeToLive": self._expiry,
            "GetItem": self._get,
            "BatchGetItem": self._get_many,
            "Scan": self._scan,
            "PutItem": self._put,
            "UpdateItem": self._update,
            "DeleteItem": self._delete,
            "BatchExecuteStatement": self._execute_many,
            "ExecuteStatement": self._execute_one,
        }

    # -- tables -------------------------------------------------------------------------------

    def _table(self, params: Params) -> Table:
        table = self._tables.get(params["TableName"])
        if table is None:
            raise Refused("ResourceNotFoundException", "Requested resource not found")
        return table

    def _create(self, params: Params) -> Answer:
        name = params["TableName"]
        if name in self._tables:
            raise Refused("ResourceInUseException", f"Table already exists: {name}")
        self._tables[name] = Table(params)
        return {"TableDescription": self._tables[name].described()}

    def _delete_table(self, params: Params) -> Answer:
        table = self._table(params)
        del self._tables[table.name]
        return {"TableDescription": {**table.described(), "TableStatus": "DELETING"}}

    def _set_expiry(self, params: Params) -> Answer:
        asked = params["TimeToLiveSpecification"]
        self._table(params).expires_by = asked["AttributeName"] if asked["Enabled"] else None
        return {"TimeToLiveSpecification": asked}

    def _expiry(self, params: Params) -> Answer:
        name = self._table(params).expires_by
        if name is None:
            return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": name}}

    # -- reads --------------------------------------------------------------------------------

    def _get(self, params: Params) -> Answer:
        table = self._table(params)
        item = table.items.get(table.key(params["Key"]))
        return {} if item is None else {"Item": _projected(item, params)}

    def _get_many(self, params: Params) -> Answer:
        asked = params["RequestItems"]
        responses: dict[str, list[Item]] = {}
        for name, each in asked.items():
            table = self._table({"TableName": name})
            keys = [table.key(key) for key in each["Keys"]]
            if len(set(keys)) != len(keys):
                raise Refused(
                    "ValidationException", "Provided list of item keys contains duplicates"
                )
            found = (table.items.get(key) for key in keys)
            responses[name] = [_projected(item, each) for item in found if item is not None]
        if sum(len(each["Keys"]) for each in asked.values()) > READ_LIMIT:
            raise Refused("ValidationException", "Too many items requested for the BatchGetItem")
        return {"Responses": responses, "UnprocessedKeys": {}}

    def _scan(self, params: Params) -> Answer:
        table = self._table(params)
        keys = list(table.items)
        start = params.get("ExclusiveStartKey")
        first = keys.index(table.key(start)) + 1 if start else 0
        read = keys[first : first + params.get("Limit", len(keys))]
        text = params.get("FilterExpression")
        holds = expressions.condition(text) if text else None
        items = [
            _projected(item, params)
            for item in map(table.items.__getitem__, read)
            if holds is None or holds(_scope(item, params))
        ]
        answer = {"Items": items, "Count": len(items), "ScannedCount": len(read)}
        if read and read[-1] != keys[-1]:
            last = table.items[read[-1]]
            answer["LastEvaluatedKey"] = {name: last[name] for name in table.key_names}
        return answer

    # -- writes -------------------------------------------------------------------------------

    def _put(self, params: Params) -> Answer:
        table, item = self._table(params), params["Item"]
        before, after = table.write(table.key(item), params, lambda _: item)
        return _returned(params, before, after, [])

    def _delete(self, params: Params) -> Answer:
        table = self._table(params)
        before, after = table.write(table.key(params["Key"]), params, lambda _: None)
        return _returned(params, before, after, [])

    def _update(self, params: Params) -> Answer:
        table = self._table(params)
        touched: list[str] = []

        def make(before: Item) -> Item:
            nonlocal touched
            update = expressions.update(params.get("UpdateExpression", ""))
            after, touched = update.apply(_scope(before or params["Key"], params))
            return after

        before, after = table.write(table.key(params["Key"]), params, make)
        return _returned(params, before, after, touched)

    # -- PartiQL ------------------------------------------------------------------------------

    def _execute_many(self, params: Params) -> Answer:
        statements = params["Statements"]
        if not 0 < len(statements) <= STATEMENT_LIMIT:
            raise Refused(
                "ValidationException",
                f"Member must have length less than or equal to {STATEMENT_LIMIT}",
            )
        return {"Responses": [self._one_of_many(each) for each in statements]}

    def _one_of_many(self, params: Params) -> Answer:
        try:
            return self._execute(params)
        except Refused as refused:
            code = _STATEMENT_CODES.get(refused.code, refused.code)
            return {"Error": {"Code": code, "Message": refused.message, **refused.details}}

    def _execute_one(self, params: Params) -> Answer:
        answer = self._execute(params)
        return {"Items": [answer["Item"]] if "Item" in answer else []}

    def _execute(self, params: Params) -> Answer:
        statement = partiql.statement(params["Statement"])
        given = params.get("Parameters", ())
        table = self._table({"TableName": statement.table})
        if isinstance(statement, partiql.Insert):
            return self._insert(table, statement, given)
        nothing = Scope({}, {}, given)
        equal = {name: value(nothing) for name, value in statement.equal.items()}
        key = table.key({name: value for name, value in equal.items() if value is not None})
        before = table.items.get(key, {})
        scope = Scope(before, {}, given)
        table.check(statement.condition, scope, params)
        after, _ = statement.update.apply(scope)
        table.items[key] = after
        returned = {"ALL_NEW": after, "ALL_OLD": before}.get(statement.returning)
        return {"TableName": table.name, **({"Item": returned} if returned else {})}

    @staticmethod
    def _insert(table: Table, statement: partiql.Insert, given: Given) -> Answer:
        nothing = Scope({}, {}, given)
        item = {name: value(nothing) for name, value in statement.values}
        whole = {name: value for name, value in item.items() if value is not None}
        key = table.key(whole)
        if key in table.items:
            raise Refused("DuplicateItemException", "Duplicate primary key exists in table")
        table.items[key] = whole
        return {"TableName": table.name}


def _projected(item: Item, params: Params) -> Item:
    text = params.get("ProjectionExpression")
    if text is None:
        return item
    names = params.get("ExpressionAttributeNames", {})
    asked = [names.get(each.strip(), each.strip()) for each in text.split(",")]
    return {name: item[name] for name in asked if name in item}
