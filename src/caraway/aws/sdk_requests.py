"""The SDK's requests, written lightly: arguments that are JSON already go as they are.

Before a request leaves, the SDK copies its arguments value by value, by the model of the service.
What Caraway asks of SQS and DynamoDB is in the form of the wire from the start, and a batch of
claims has three hundred values: to copy them was half of what it costs. And the connections to an
address are found by it as it is written, which urllib3 otherwise takes apart for each request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakValueDictionary

from botocore.serialize import create_serializer

from caraway.aws.clients import OFTEN
from caraway.core.json_text import writer

if TYPE_CHECKING:
    from botocore.model import OperationModel
    from urllib3 import HTTPConnectionPool, PoolManager

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
        session = client._endpoint.http_session  # type: ignore[attr-defined]  # noqa: SLF001
        manager = getattr(session, "_manager", None)  # of urllib3, which only botocore has
        if manager is not None:
            _remembering(manager)
    return client


def _remembering(manager: PoolManager) -> None:
    """Let urllib3 find the connections to an address again without reading the address anew.

    Those that it has given up are forgotten: they are held weakly.
    """
    own = manager.connection_from_url
    known: WeakValueDictionary[str, HTTPConnectionPool] = WeakValueDictionary()

    def connection_from_url(
        url: str, pool_kwargs: dict[str, Any] | None = None
    ) -> HTTPConnectionPool:
        if pool_kwargs is not None:
            return own(url, pool_kwargs)
        found = known.get(url)
        if found is None:
            found = known[url] = own(url)
        return found

    setattr(manager, "connection_from_url", connection_from_url)  # noqa: B010 - in this one only


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
