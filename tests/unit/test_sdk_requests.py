"""The SDK's requests are written lightly, and say what the SDK itself writes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.session import get_session

from caraway.aws.blocking_aws import Botocore
from caraway.aws.clients import ClientSettings
from caraway.aws.coalesce import DELETES, SENDS, WRITES
from caraway.aws.wires import AiobotocoreWire
from caraway.core.transitions import Records
from caraway.requests.dynamodb import BatchGetItem, GetItem, UpdateItem
from caraway.requests.items import Absent, Change
from caraway.requests.sqs import DeleteMessage, GetQueueUrl, ReceiveMessages, SendMessage

if TYPE_CHECKING:
    from caraway.requests.base import Json

QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders"
WRITE = Records("tasks").release("a task", "a token", 1.5)
ODD = UpdateItem("tasks", "ü☕", Change({"n": 0.5, "no": None, "l": ["a", {"b": 1}]}), Absent("id"))
SENT = SendMessage(QUEUE, 'a "body", ☕', 3, {"name": "ü"}, group_id="g", deduplication_id="d")
HEADERS = ("X-Amz-Target", "Content-Type", "x-amzn-query-mode")
REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "queue address": ("sqs", "get_queue_url", GetQueueUrl("orders").params()),
    "receive": ("sqs", "receive_message", ReceiveMessages(QUEUE).params()),
    "send": ("sqs", "send_message", SENT.params()),
    "sends": ("sqs", SENDS.operation, SENDS.params([SENT, SendMessage(QUEUE, "b")])),
    "deletes": ("sqs", DELETES.operation, DELETES.params([DeleteMessage(QUEUE, "receipt")])),
    "write": ("dynamodb", "update_item", ODD.params()),
    "writes": ("dynamodb", WRITES.operation, WRITES.params([WRITE])),
    "read": ("dynamodb", "get_item", GetItem("tasks", "a task").params()),
    "reads": ("dynamodb", "batch_get_item", BatchGetItem("tasks", ("a", "b")).params()),
    "bytes": (
        "dynamodb",
        "update_item",
        UpdateItem("tasks", "a", Change({"bytes": b"\x00\xff"}), Absent("id")).params(),
    ),
}


def seen(client: Any, operation: str, params: dict[str, Any]) -> tuple[Json, dict[str, Any]]:
    """Return the body and the headers of a request that a client is about to send."""
    requests: list[Any] = []

    def answer(request: Any, **_about: Any) -> AWSResponse:
        requests.append(request)
        return AWSResponse(request.url, 200, HTTPHeaders(), _Raw())

    client.meta.events.register("before-send", answer)
    getattr(client, operation)(**params)
    (request,) = requests
    return json.loads(request.body), {name: request.headers.get(name) for name in HEADERS}


class _Raw:
    """An empty answer."""

    def stream(self, *_about: Any, **_more: Any) -> list[bytes]:
        return [b"{}"]


@pytest.fixture(autouse=True)
def _somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_request_says_what_the_sdk_itself_would_write(
    request_: tuple[str, str, dict[str, Any]],
) -> None:
    service, operation, params = request_
    ours = Botocore(ClientSettings(region="eu-central-1"))._client(service)
    own = get_session().create_client(
        service, region_name="eu-central-1", config=Config(parameter_validation=False)
    )
    assert seen(ours, operation, params) == seen(own, operation, params)


def test_the_worker_writes_its_requests_lightly_too() -> None:
    async def serializer() -> object:
        wire = AiobotocoreWire(ClientSettings(region="eu-central-1"))
        try:
            return (await wire._client("sqs"))._serializer
        finally:
            await wire.close()

    own = Botocore(ClientSettings(region="eu-central-1"))._client("sqs")
    assert type(asyncio.run(serializer())) is type(own._serializer)


def test_connections_to_an_address_are_those_that_urllib3_has() -> None:
    """They are remembered, and forgotten with what urllib3 forgets."""
    client = Botocore(ClientSettings(region="eu-central-1"))._client("sqs")
    manager = client._endpoint.http_session._manager
    found = manager.connection_from_url(QUEUE)
    assert manager.connection_from_url(QUEUE) is found
    assert manager.connection_from_host(found.host, scheme="https") is found
    assert manager.connection_from_url("https://localhost/") is not found
    manager.clear()
    del found
    again = manager.connection_from_url(QUEUE)
    assert manager.connection_from_host(again.host, scheme="https") is again
