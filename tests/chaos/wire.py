"""What an HTTP request to AWS asks for, and how each service says that it failed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from caraway.requests.items import from_attribute, from_item

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tests.chaos.faults import Kind

_TARGETS: Final = {"AmazonSQS": "sqs", "DynamoDB_20120810": "dynamodb"}
_NAMESPACES: Final = {
    "sqs": "com.amazonaws.sqs#",
    "dynamodb": "com.amazonaws.dynamodb.v20120810#",
}
_ERRORS: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "bad_request": {
        "sqs": (400, "InvalidParameterValue"),
        "dynamodb": (400, "ValidationException"),
        "s3": (400, "InvalidRequest"),
    },
    "internal": {
        "sqs": (500, "InternalFailure"),
        "dynamodb": (500, "InternalServerError"),
        "s3": (500, "InternalError"),
    },
    "unavailable": {
        "sqs": (503, "ServiceUnavailable"),
        "dynamodb": (503, "ServiceUnavailable"),
        "s3": (503, "ServiceUnavailable"),
    },
    "throttled": {
        "sqs": (403, "RequestThrottled"),
        "dynamodb": (400, "ProvisionedThroughputExceededException"),
        "s3": (503, "SlowDown"),
    },
    "expired": {
        "sqs": (403, "ExpiredToken"),
        "dynamodb": (400, "ExpiredTokenException"),
        "s3": (400, "ExpiredToken"),
    },
}
_ENTRIES: Final = {"sqs": "Entries", "dynamodb": "Statements"}
STATEMENT_ERRORS: Final = (
    "InternalServerError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "ThrottlingError",
    "TransactionConflict",
)
"""What befalls one statement of a batch (Amazon DynamoDB API Reference, "BatchStatementError")."""
_TOKEN: Final = re.compile(r"#token = (:\d+)")
_PLACE: Final = re.compile(r"""(?:SET )?["'](\w+)["'](?: =|:) \?""")
"""A parameter's place in a PartiQL statement, with the attribute that it is for."""


@dataclass(frozen=True)
class Asked:
    """One request, as far as faults depend on it.

    Attributes
    ----------
    operation
        ``service:Operation``; for S3 the method stands for the operation.
    params
        What the JSON protocols carry, empty for S3.
    """

    service: str
    operation: str
    params: dict[str, Any]

    @classmethod
    def read(cls, method: str, headers: Mapping[str, str], body: bytes) -> Asked:
        """Return what a request asks for."""
        target, _, operation = headers.get("X-Amz-Target", "").partition(".")
        service = _TARGETS.get(target)
        if service is None:
            return cls("s3", f"s3:{method}", {})
        return cls(service, f"{service}:{operation}", json.loads(body or b"{}"))


@dataclass(frozen=True)
class Refusal:
    """An error response."""

    status: int
    content_type: str
    body: bytes


def refusal(service: str, kind: Kind) -> Refusal:
    """Return an error as a service of AWS words it."""
    status, code = _ERRORS[kind][service]
    message = f"Injected: {kind}"
    if service == "s3":
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        return Refusal(status, "application/xml", text.encode())
    body = json.dumps({"__type": _NAMESPACES[service] + code, "message": message})
    return Refusal(status, "application/x-amz-json-1.0", body.encode())


def entries_of(asked: Asked) -> list[dict[str, Any]]:
    """Return the entries of a batch: messages of SQS, statements of DynamoDB."""
    entries: list[dict[str, Any]] = asked.params[_ENTRIES[asked.service]]
    return entries


def without(asked: Asked, places: Collection[int]) -> Asked:
    """Return a batch without some of its entries."""
    rest = [each for place, each in enumerate(entries_of(asked)) if place not in places]
    return replace(asked, params={**asked.params, _ENTRIES[asked.service]: rest})


def saying_failed(
    asked: Asked, answer: Mapping[str, Any], places: Mapping[int, float]
) -> dict[str, Any]:
    """Return a batch's answer, be it of all entries or of the others, with these as failed.

    ``places`` has a number from 0 to 1 for each, which chooses its error.
    """
    if asked.service == "dynamodb":
        return {**answer, "Responses": _statements_failed(asked, answer, places)}
    failed = [
        {
            "Id": entries_of(asked)[place]["Id"],
            "SenderFault": False,
            "Code": "InternalError",
            "Message": "Injected: an entry fails",
        }
        for place in places
    ]
    gone = {each["Id"] for each in failed}
    good = [each for each in answer.get("Successful", []) if each["Id"] not in gone]
    bad = [each for each in answer.get("Failed", []) if each["Id"] not in gone]
    return {**answer, "Successful": good, "Failed": [*bad, *failed]}


def _statements_failed(
    asked: Asked, answer: Mapping[str, Any], places: Mapping[int, float]
) -> list[dict[str, Any]]:
    responses = list(answer.get("Responses", []))
    count = len(entries_of(asked))
    if len(responses) == count:
        responses = [each for place, each in enumerate(responses) if place not in places]
    others = iter(responses)
    return [
        _statement_error(places[place]) if place in places else next(others)
        for place in range(count)
    ]


def _statement_error(choice: float) -> dict[str, Any]:
    code = STATEMENT_ERRORS[int(choice * len(STATEMENT_ERRORS))]
    return {"Error": {"Code": code, "Message": "Injected: a statement fails"}}


def writer_of(params: Mapping[str, Any]) -> str | None:
    """Return the token under which an UpdateItem writes, None when it names none.

    It is read from the request, not from the item afterwards: a write that is not fenced would
    show the owner's token there.
    """
    text = f"{params.get('UpdateExpression', '')} {params.get('ConditionExpression', '')}"
    named = _TOKEN.search(text)
    if named is None:
        return None
    token: str = from_attribute(params["ExpressionAttributeValues"][named[1]])
    return token


def with_item(asked: Asked, body: bytes) -> bytes:
    """Return the body of a request that answers what it has written, whoever reads it."""
    if asked.operation != "dynamodb:UpdateItem":
        return body
    return json.dumps({**asked.params, "ReturnValues": "ALL_NEW"}).encode()


def item_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the item that a write left."""
    return from_item(answer.get("Attributes", {}))


def ids_of(asked: Asked) -> list[str]:
    """Return the ids of the items that a request writes."""
    if asked.operation == "dynamodb:UpdateItem":
        return [asked.params["Key"]["id"]["S"]]
    if asked.operation == "dynamodb:BatchExecuteStatement":
        return [dict(_named(each))["id"] for each in asked.params["Statements"]]
    return []


def written_by(asked: Asked, answer: Mapping[str, Any]) -> list[tuple[dict[str, Any], str | None]]:
    """Return each item that a request left, and the token under which it was written."""
    if asked.operation == "dynamodb:UpdateItem":
        return [(item_of(answer), writer_of(asked.params))]
    statements = zip(asked.params["Statements"], answer["Responses"], strict=True)
    return [_stated(statement, said) for statement, said in statements if "Error" not in said]


def _stated(
    statement: dict[str, Any], said: Mapping[str, Any]
) -> tuple[dict[str, Any], str | None]:
    named = _named(statement)
    # The last that is named: in the WHERE of an UPDATE, in the item of an INSERT.
    writer = next((value for name, value in reversed(named) if name == "token"), None)
    return from_item(said["Item"]) if "Item" in said else dict(named), writer


def _named(statement: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the parameters of a statement, with the attributes that they are for."""
    names = _PLACE.findall(statement["Statement"])
    return list(zip(names, map(from_attribute, statement["Parameters"]), strict=True))
