"""The SDK's requests, written lightly: arguments that are JSON already go as they are.

Before a request leaves, the SDK copies its arguments value by value, by the model of the service.
What Caraway asks of SQS and DynamoDB is in the form of the wire from the start, and a batch of
claims has three hundred values: to copy them was half of what it costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from botocore.serialize import create_serializer

from caraway.aws.clients import OFTEN
from caraway.core.json_text import writer

if TYPE_CHECKING:
    from botocore.model import OperationModel

C = TypeVar("C")

compact = writer(separators=(",", ":"))
"""Writes arguments as they go to AWS."""


class _Serializer(Protocol):
    def serialize_to_request(
        self, parameters: dict[str, Any], operation_model: OperationModel
    ) -> dict[str, Any]: ...


def lightened(client: C, service: str) -> C:
    """Return a client of an SDK that writes its requests lightly; it has made none yet."""
    if service in OFTEN:
        setattr(client, "_serializer", _Light())  # noqa: B010 - there is no public way to set it
    return client


class _Light:
    """Writes a request's arguments without a look at them."""

    def __init__(self) -> None:
        self._own: _Serializer = create_serializer("json", include_validation=False)

    def serialize_to_request(
        self, parameters: dict[str, Any], operation_model: OperationModel
    ) -> dict[str, Any]:
        """Return a request as the SDK's own serializer does."""
        try:
            body = compact(parameters)
        except TypeError:  # bytes, which it can write
            return self._own.serialize_to_request(parameters, operation_model)
        return {
            **self._own.serialize_to_request({}, operation_model),
            "body": body.encode(),
        }
