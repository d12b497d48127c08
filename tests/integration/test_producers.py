"""Producers: how many requests a call costs, and what is left of them."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Queue
from caraway.aws.wires import AiobotocoreWire
from caraway.exceptions import CredentialsMissing, EndpointUnreachable, ResourceMissing
from tests.ports import closed_port

if TYPE_CHECKING:
    from caraway import Caraway
    from tests.integration.conftest import Place


def count_sent(app: Caraway) -> list[str]:
    """Return a list that grows by each request that the app's synchronous code sends."""
    sent: list[str] = []
    events = app.aws._send._client("sqs").meta.events
    events.register_first(
        "before-send.sqs",
        lambda request, **_: sent.append(request.headers["X-Amz-Target"].decode()),
    )
    return sent


def add(x: int, y: int = 0) -> int:
    return x + y


# -- requests -------------------------------------------------------------------------------------


def test_delay_is_one_request_once_the_queues_address_is_known(local: Place) -> None:
    app = local.app()
    task = app.task(add)
    sent = count_sent(app)
    task.delay(1)
    assert sent == ["AmazonSQS.GetQueueUrl", "AmazonSQS.SendMessage"]
    sent.clear()
    for n in range(5):
        task.delay(n)
    assert sent == ["AmazonSQS.SendMessage"] * 5


def test_a_thousand_calls_at_once_travel_ten_at_a_time(
    local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[str] = Counter()
    send = AiobotocoreWire.send

    async def counting(wire: Any, service: str, operation: str, params: Any) -> Any:
        asked[operation] += 1
        return await send(wire, service, operation, params)

    monkeypatch.setattr(AiobotocoreWire, "send", counting)
    app = local.app()
    task = app.task(add)

    async def producer() -> list[str]:
        results = await asyncio.gather(*(task.adelay(n) for n in range(1_000)))
        return [result.id for result in results]

    assert len(set(asyncio.run(producer()))) == 1_000
    assert asked == {"get_queue_url": 1, "send_message_batch": 100}
    assert local.depth(app) == 1_000


def test_nothing_is_open_when_the_event_loop_has_ended(local: Place) -> None:
    app = local.app()
    task = app.task(add)
    port = int((local.endpoint_url or "").rpartition(":")[2])

    def connected() -> int:
        gc.collect()
        sockets = [each for each in gc.get_objects() if issubclass(type(each), socket.socket)]
        return sum(each.fileno() != -1 and _peer_port(each) == port for each in sockets)

    async def producer() -> int:
        await asyncio.gather(*(task.adelay(n) for n in range(20)))
        assert not (await task.adelay(1)).ignored
        return connected()

    before = connected()
    for _ in range(2):
        assert asyncio.run(producer()) > before
        assert connected() == before
    assert local.depth(app) == 42


def _peer_port(each: socket.socket) -> int | None:
    try:
        peer = each.getpeername()
    except OSError:
        return None
    return int(peer[1]) if isinstance(peer, tuple) else None


def test_asynchronous_code_works_without_aiobotocore(
    local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each.split(".")[0] == "aiobotocore"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "aiobotocore", None)
    app = local.app()
    task = app.task(add)

    async def producer() -> str:
        await asyncio.gather(*(task.adelay(n) for n in range(20)))
        return await (await task.adelay(1)).astate()

    assert asyncio.run(producer()) == "PENDING"
    assert local.depth(app) == 21


def test_synchronous_calls_work_inside_a_running_loop(local: Place) -> None:
    app = local.app()

    async def producer() -> None:
        app.task(add).delay(1)

    asyncio.run(producer())
    assert local.depth(app) == 1


# -- what is sent ---------------------------------------------------------------------------------


def test_a_large_message_travels_through_the_bucket(local: Place) -> None:
    app = local.app()
    result = app.task(name="echo")(lambda text: text).delay("x" * 300_000)
    (message,) = local.receive(local.url(app))
    assert len(message["Body"]) < 1_000
    kept = local.client("s3").list_objects_v2(Bucket=app.conf.payload_bucket)["Contents"]
    (key,) = [each["Key"] for each in kept]
    assert key.startswith(f"messages/{result.id}/0")


def test_a_message_for_a_fifo_queue_is_sent_once_per_id(local: Place) -> None:
    app = local.app(Queue("orders.fifo"))
    task = app.task(queue="orders")(add)
    for _ in range(2):
        task.apply_async((1,), task_id="mine", message_group_id="order-42")
    (message,) = local.receive(local.url(app, "orders"))
    assert message["Attributes"]["MessageGroupId"] == "order-42"


def test_a_delayed_message_is_held_by_sqs(local: Place) -> None:
    app = local.app()
    app.task(add).apply_async((1,), countdown=600)
    assert local.waiting(app) == []
    assert local.depth(app) == 1


# -- what is missing ------------------------------------------------------------------------------


def test_a_queue_that_is_not_there_is_said_to_the_producer(local: Place) -> None:
    app = local.app()
    app.conf.queue_name_prefix = "elsewhere-"
    with pytest.raises(ResourceMissing, match="elsewhere-default"):
        app.task(add).delay(1)


def test_an_endpoint_that_is_down_is_said_to_the_producer(
    local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closed_port() as port:
        app = local.app()
        app.conf.aws_endpoint_url = f"http://127.0.0.1:{port}"
        with pytest.raises(EndpointUnreachable, match="127"):
            app.task(add).apply_async((1,), retry=False)


def test_missing_credentials_are_said_to_the_producer(
    local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = local.app()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(CredentialsMissing):
        app.task(add).delay(1)
