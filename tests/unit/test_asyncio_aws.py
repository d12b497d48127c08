"""The asynchronous port: what it remembers, and how it lives and ends with its loop."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread, current_thread
from typing import Any

import pytest

from caraway.aws import wires
from caraway.aws.asyncio_aws import AsyncioAws
from caraway.aws.clients import ClientSettings
from caraway.aws.wires import AiobotocoreWire, ThreadWire, Wire, best_wire
from caraway.core.port import Returned, run_now
from caraway.exceptions import EndpointUnreachable
from caraway.requests.s3 import GetObject
from caraway.requests.sqs import GetQueueUrl, SendMessage
from caraway.settings import SETTINGS

LOOK_UP = GetQueueUrl("orders")
WIRES = ("AiobotocoreWire", "ThreadWire")


@dataclass
class FakeWire:
    """Answers, unless told to fail so many times; holds answers back until ``gate`` is open."""

    failures: int = 0
    error: type[Exception] = EndpointUnreachable
    calls: list[str] = field(default_factory=list)
    closed: int = 0
    renewed: int = 0
    gate: asyncio.Event | None = None

    async def send(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(operation)
        if self.gate is not None:
            await self.gate.wait()
        if len(self.calls) <= self.failures:
            raise self.error("as told")
        return {"QueueUrl": f"http://sqs/1/{len(self.calls)}", "MessageId": "m", "Body": b"data"}

    async def renew(self) -> None:
        self.renewed += 1

    async def close(self) -> None:
        self.closed += 1


# -- what it remembers ----------------------------------------------------------------------------


def test_a_queue_is_looked_up_once_however_many_ask() -> None:
    wire = FakeWire()

    async def main() -> list[Any]:
        aws = AsyncioAws(wire)
        together = await asyncio.gather(*(aws.perform(GetQueueUrl("orders")) for _ in range(20)))
        return [*together, await aws.perform(GetQueueUrl("orders"))]

    assert set(asyncio.run(main())) == {"http://sqs/1/1"}
    assert wire.calls == ["get_queue_url"]


def test_two_queues_are_two_look_ups() -> None:
    wire = FakeWire()
    asks = [GetQueueUrl("a"), GetQueueUrl("b")]
    first, second = asyncio.run(AsyncioAws(wire).perform_all(asks))
    assert first != second


def test_a_look_up_that_failed_is_asked_again() -> None:
    wire = FakeWire(failures=1)

    async def main() -> list[Any]:
        aws = AsyncioAws(wire)
        failed = await asyncio.gather(
            *(aws.perform(LOOK_UP) for _ in range(3)), return_exceptions=True
        )
        return [*failed, await aws.perform(LOOK_UP)]

    *failed, answer = asyncio.run(main())
    assert all(isinstance(each, EndpointUnreachable) for each in failed)
    assert answer == "http://sqs/1/2"


def test_one_who_asks_may_give_up_without_disturbing_the_others() -> None:
    async def main() -> list[Any]:
        wire = FakeWire(gate=asyncio.Event())
        aws = AsyncioAws(wire)
        asking = [asyncio.ensure_future(aws.perform(LOOK_UP)) for _ in range(3)]
        while not wire.calls:
            await asyncio.sleep(0)
        asking[0].cancel()
        await asyncio.wait(asking[:1])
        assert wire.gate is not None
        wire.gate.set()
        return await asyncio.gather(*asking, return_exceptions=True)

    first, *others = asyncio.run(main())
    assert isinstance(first, asyncio.CancelledError)
    assert others == ["http://sqs/1/1"] * 2


# -- the port's other methods ---------------------------------------------------------------------


def test_answers_of_many_come_in_their_places() -> None:
    wire = FakeWire(failures=1)
    first, second = asyncio.run(AsyncioAws(wire).perform_all([GetObject("b", "1")] * 2))
    assert isinstance(first, EndpointUnreachable)
    assert second == b"data"


def test_what_is_no_failure_of_aws_is_raised_as_it_is() -> None:
    with pytest.raises(TypeError, match="as told"):
        asyncio.run(AsyncioAws(FakeWire(failures=1, error=TypeError)).perform(LOOK_UP))


def test_cancelling_who_asks_for_many_is_no_answer() -> None:
    async def main() -> None:
        wire = FakeWire(gate=asyncio.Event())
        asking = asyncio.ensure_future(AsyncioAws(wire).perform_all([GetObject("b", "1")]))
        while not wire.calls:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(main())


def test_user_code_runs_where_the_door_wants_it() -> None:
    async def caller(function: Any, *args: Any) -> Returned[Any]:
        return Returned(("by the door", function(*args)))

    assert asyncio.run(AsyncioAws(FakeWire(), caller).call(len, "four")) == Returned(
        ("by the door", 4)
    )


def test_the_time_is_utc_and_waiting_waits() -> None:
    async def main() -> float:
        aws = AsyncioAws(FakeWire())
        before = aws.now()
        await aws.sleep(0.001)
        return (aws.now() - before).total_seconds()

    assert asyncio.run(main()) > 0


def test_a_decision_over_it_cannot_be_run_without_a_loop() -> None:
    async def decision() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="run it on an event loop"):
        run_now(decision())


# -- how it ends ----------------------------------------------------------------------------------


def test_the_connections_are_closed_with_the_loop() -> None:
    wire = FakeWire()
    asyncio.run(AsyncioAws(wire).perform(LOOK_UP))
    assert wire.closed == 1


def test_closing_waits_for_what_is_in_flight() -> None:
    async def main() -> None:
        wire = FakeWire(gate=asyncio.Event())
        aws = AsyncioAws(wire)
        sending = asyncio.ensure_future(aws.perform(SendMessage("http://sqs/1/a", "body")))
        while not wire.calls:
            await asyncio.sleep(0)
        closing = asyncio.ensure_future(aws.close())
        await asyncio.sleep(0)
        closed = [wire.closed]
        assert wire.gate is not None
        wire.gate.set()
        await closing
        assert [*closed, wire.closed] == [0, 1]
        assert await sending == "m"

    asyncio.run(main())


def test_it_may_be_closed_twice_and_used_again() -> None:
    wire = FakeWire()

    async def main() -> None:
        aws = AsyncioAws(wire)
        await aws.close()
        assert wire.closed == 0
        await aws.perform(LOOK_UP)
        await aws.close()
        await aws.close()
        assert wire.closed == 1
        await aws.perform(LOOK_UP)

    asyncio.run(main())
    assert wire.closed == 2


def test_it_does_not_keep_a_loop_alive() -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main(aws: AsyncioAws) -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await aws.perform(LOOK_UP)
        await aws.perform(SendMessage("http://sqs/1/a.fifo", "body", group_id="g"))

    aws = AsyncioAws(FakeWire())
    asyncio.run(main(aws))
    asyncio.run(main(aws))
    gc.collect()
    assert [loop() for loop in loops] == [None, None]


# -- the real wires -------------------------------------------------------------------------------


class _Sqs(BaseHTTPRequestHandler):
    """Knows every queue, and keeps connections open."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"QueueUrl": f"http://sqs/1/{asked['QueueName']}"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the address of an SQS, and hide what this machine knows of AWS."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sqs)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


NOBODY_CLOSES = """
import asyncio, sys
from caraway.aws import wires
from caraway.aws.asyncio_aws import AsyncioAws
from caraway.aws.clients import ClientSettings
from caraway.requests.sqs import GetQueueUrl

aws = AsyncioAws(getattr(wires, sys.argv[1])(ClientSettings("us-east-1", sys.argv[2])))

async def main(run):
    asks = [GetQueueUrl(f"{run}-{number}") for number in range(5)]
    print(*await aws.perform_all(asks))

for run in range(2):
    asyncio.run(main(run))
"""


@pytest.mark.parametrize("wire", WIRES)
def test_a_program_that_closes_nothing_leaves_nothing_open(wire: str, endpoint: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", NOBODY_CLOSES, wire, endpoint],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    assert ended.returncode == 0
    assert ended.stdout.split() == [
        f"http://sqs/1/{run}-{number}" for run in range(2) for number in range(5)
    ]


@pytest.mark.parametrize("wire", WIRES)
def test_a_wire_is_made_once_per_service_and_may_be_closed_unused(wire: str, endpoint: str) -> None:
    async def main() -> list[Any]:
        made: Wire = getattr(wires, wire)(ClientSettings("us-east-1", endpoint))
        await made.close()
        asks = [made.send("sqs", "get_queue_url", {"QueueName": f"{n}"}) for n in range(8)]
        answers = await asyncio.gather(*asks)
        clients = made._clients if isinstance(made, AiobotocoreWire) else made._botocore._clients  # type: ignore[attr-defined]
        assert list(clients) == ["sqs"]
        await made.close()
        return [answer["QueueUrl"].rpartition("/")[2] for answer in answers]

    assert asyncio.run(main()) == [f"{number}" for number in range(8)]


def test_a_connection_stays_open_between_two_heartbeats_of_a_worker() -> None:
    async def main() -> Any:
        wire = AiobotocoreWire(ClientSettings("us-east-1", "http://127.0.0.1:9"))
        client = await wire._client("dynamodb")
        await wire.close()
        return client.meta.config.connector_args["keepalive_timeout"]

    assert asyncio.run(main()) > SETTINGS["worker_heartbeat_interval"].default


def test_requests_in_threads_may_have_threads_of_their_own() -> None:
    async def main() -> str:
        with ThreadPoolExecutor(1, "requests") as threads:
            wire = ThreadWire(ClientSettings(), threads)
            wire._botocore = lambda *_: {"thread": current_thread().name}  # type: ignore[assignment]
            return str((await wire.send("sqs", "get_queue_url", {}))["thread"])

    assert asyncio.run(main()).startswith("requests")


def test_without_aiobotocore_requests_go_through_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(best_wire(ClientSettings()), AiobotocoreWire)
    monkeypatch.setitem(sys.modules, "aiobotocore.session", None)
    assert isinstance(best_wire(ClientSettings()), ThreadWire)
