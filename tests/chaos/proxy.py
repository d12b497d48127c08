"""A fault-injecting endpoint in front of the local engine.

It listens on a free port of 127.0.0.1 and passes on what it gets, unless the plan says otherwise.
It keeps the order of the writes to each record, so that what it notes of them is their history.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp import web

from tests.chaos.faults import (
    NOTHING,
    Delay,
    FailEntries,
    Fault,
    Lose,
    Plan,
    Redeliver,
    Refuse,
    Resend,
)
from tests.chaos.history import Write
from tests.chaos.wire import (
    Asked,
    entries_of,
    ids_of,
    refusal,
    saying_failed,
    with_item,
    without,
    written_by,
)

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

HOST: Final = "127.0.0.1"
_LARGEST_BYTES: Final = 16 * 1024 * 1024
# Of one connection, or about a body that may have been changed.
_NOT_PASSED_ON: Final = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Answer:
    """What the engine said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body of a JSON protocol."""
        read: dict[str, Any] = json.loads(self.body or b"{}")
        return read

    def saying(self, answer: dict[str, Any]) -> Answer:
        """Return it with another body."""
        kept = {name: each for name, each in self.headers.items() if name.lower() != _CHECKSUM}
        return Answer(self.status, {**kept, "Content-Type": _JSON}, json.dumps(answer).encode())


_JSON: Final = "application/x-amz-json-1.0"
_CHECKSUM: Final = "x-amz-crc32"


@dataclass
class Noted:
    """What a proxy has seen.

    Attributes
    ----------
    writes
        Every write to a record that succeeded, in the engine's order for each record.
    bodies
        Every message that was put on a queue, with the queue's address.
    faults
        How often each kind of fault was injected.
    under_way
        The operation of each request that has not been answered, and since when, by the monotonic
        clock; by the number of the request.
    """

    writes: list[Write] = field(default_factory=list)
    bodies: list[tuple[str, str]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    under_way: dict[int, tuple[str, float]] = field(default_factory=dict)


class Proxy:
    """The endpoint, as a context manager; it runs on a thread of its own.

    Parameters
    ----------
    upstream
        The engine's endpoint.
    plan
        What goes wrong.
    log
        File for one line of JSON for each injected fault.

    Attributes
    ----------
    endpoint_url
        What ``AWS_ENDPOINT_URL`` is to be, once started.
    noted
        What it has seen so far.
    """

    endpoint_url: str

    def __init__(self, upstream: str, plan: Plan = NOTHING, log: Path | None = None) -> None:
        self.noted = Noted()
        self._upstream = upstream
        self._plan = plan
        self._log = log.open("a") if log else None
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._log:
            self._log.close()

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        app = web.Application(client_max_size=_LARGEST_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.endpoint_url = f"http://{HOST}:{port}"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    # -- one request ------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
        except ConnectionResetError:  # who asked was killed in the middle of it
            return web.Response()
        asked = Asked.read(request.method, request.headers, body)
        number = self.noted.requests.total()
        self.noted.under_way[number] = asked.operation, time.monotonic()
        try:
            return await self._answer(request, asked, body)
        finally:
            del self.noted.under_way[number]

    async def _answer(self, request: web.Request, asked: Asked, body: bytes) -> web.StreamResponse:
        """Pass a request on, with the fault that the plan has for it."""
        number = self.noted.requests[asked.operation]
        self.noted.requests[asked.operation] += 1
        fault = self._plan.decide(asked.operation, number)
        if fault is not None:
            self._note(fault, asked.operation, number)
        if isinstance(fault, Refuse):
            refused = refusal(asked.service, fault.kind)
            return web.Response(
                status=refused.status, body=refused.body, content_type=refused.content_type
            )
        if isinstance(fault, Lose) and not fault.executed:
            return _cut(request, reset=fault.reset)
        chance = self._plan.chance(asked.operation, number, "how much")
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.request_s * chance.random())
        if isinstance(fault, FailEntries):
            answer = await self._without_some(request, asked, fault, number)
        else:
            answer = await self._pass_on(request, asked, body)
        if isinstance(fault, Redeliver | Resend) and answer.status == 200:
            answer = await self._again(request, asked, answer, fault)
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.response_s * chance.random())
        if isinstance(fault, Lose):
            return _cut(request, reset=fault.reset)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    def _note(self, fault: Fault, operation: str, number: int) -> None:
        self.noted.faults[type(fault).__name__] += 1
        if self._log:
            line = {"operation": operation, "number": number, "fault": repr(fault)}
            self._log.write(json.dumps(line) + "\n")

    async def _pass_on(self, request: web.Request, asked: Asked, body: bytes) -> Answer:
        ids = ids_of(asked)
        if not ids:
            answer = await self._ask(request, body)
            if answer.status == 200:
                self._note_bodies(asked)
            return answer
        async with AsyncExitStack() as turns:
            for id in sorted(set(ids)):  # in one order, so that no two wait for each other
                await turns.enter_async_context(self._turns[id])
            answer = await self._ask(request, with_item(asked, body))
            if answer.status == 200:
                at = time.time()
                for item, writer in written_by(asked, answer.json):
                    self.noted.writes.append(Write.of(item, writer, at))
        return answer

    async def _ask(
        self, request: web.Request, body: bytes, headers: dict[str, str] | None = None
    ) -> Answer:
        kept = headers or {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _NOT_PASSED_ON
        }
        async with self._session.request(
            request.method, self._upstream + request.raw_path, headers=kept, data=body
        ) as response:
            answered = {
                name: value
                for name, value in response.headers.items()
                if name.lower() not in _NOT_PASSED_ON
            }
            return Answer(response.status, answered, await response.read())

    def _note_bodies(self, asked: Asked) -> None:
        if asked.operation.startswith("sqs:SendMessage"):
            for entry in asked.params.get("Entries", [asked.params]):
                self.noted.bodies.append((asked.params["QueueUrl"], entry["MessageBody"]))

    # -- batches and receives ---------------------------------------------------------------

    async def _without_some(
        self, request: web.Request, asked: Asked, fault: FailEntries, number: int
    ) -> Answer:
        """Perform a batch of which some entries fail, or are said to have failed."""
        chance = self._plan.chance(asked.operation, number, "which entries")
        failing = fault.draw(chance, len(entries_of(asked)))
        performed = asked if fault.executed else without(asked, failing)
        if not entries_of(performed):
            return Answer(200, {"Content-Type": _JSON}, b"").saying(
                saying_failed(asked, {}, failing)
            )
        answer = await self._pass_on(request, performed, json.dumps(performed.params).encode())
        if answer.status != 200:
            return answer
        return answer.saying(saying_failed(asked, answer.json, failing))

    async def _again(
        self, request: web.Request, asked: Asked, answer: Answer, fault: Redeliver | Resend
    ) -> Answer:
        """Let the first of the received messages come a second time, at once or later."""
        received = answer.json
        messages = received.get("Messages") or []
        if not messages:
            return answer
        if isinstance(fault, Redeliver):
            return answer.saying({**received, "Messages": [*messages, messages[0]]})
        copy = {
            "QueueUrl": asked.params["QueueUrl"],
            "MessageBody": messages[0]["Body"],
            "DelaySeconds": fault.delay_s,
        }
        headers = {"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": _JSON}
        headers["Authorization"] = request.headers.get("Authorization", "")
        await self._ask(request, json.dumps(copy).encode(), headers)
        return answer


def _cut(request: web.Request, *, reset: bool) -> web.Response:
    """Break the connection off; the response is for nobody."""
    transport = request.transport
    if transport is not None:
        if reset:
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    return web.Response()
