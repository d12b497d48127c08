"""A proxy in front of a real engine, which counts what goes through and makes it take longer.

``python -m benchmarks.engine.proxy --target http://127.0.0.1:4566 --latency-ms 20`` prints its
address and passes on what comes there. Of HTTP it counts the requests by operation, as the stub
does. Of anything else (``--target redis://127.0.0.1:6379``) it counts turns: how often a client
spoke after it had been answered. Each request, and each turn, takes longer by the latency.

:mod:`benchmarks.engine.meter` says how it is asked for its counts; of a target that does not speak
HTTP, on a connection of its own.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from benchmarks.engine.framing import CONTINUE, Asked, Inbox, response
from benchmarks.engine.meter import PATH, RECEIVE, Meter, entries_of, operation_of
from benchmarks.engine.serving import arguments, serve

if TYPE_CHECKING:
    from collections.abc import Callable

TURN: Final = "tcp:turn"
_CONTROL: Final = tuple(f"{method} {PATH}".encode() for method in ("GET", "POST"))
_RECEIVED: Final = b'"ReceiptHandle":'
"""Once in an answer for each message; in a body that has it too, the quotes are escaped."""


class _Target(asyncio.Protocol):
    """The connection to the engine, on behalf of one client."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def data_received(self, data: bytes) -> None:
        self._link.answer(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._link.close()


class Link(asyncio.Protocol):
    """A client's connection, and one to the engine that carries the same bytes.

    Requests and not answers are held back, which comes to the same, as nobody sees when the engine
    got them.
    """

    _transport: asyncio.Transport

    def __init__(self, meter: Meter, host: str, port: int) -> None:
        self._meter = meter
        self._address = host, port
        self._loop = asyncio.get_running_loop()
        self._opening: asyncio.Task[None] | None = None
        self._target: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._last_due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        """Leave the engine too."""
        if self._opening is not None:
            self._opening.cancel()
        if self._target is not None:
            self._target.close()

    def close(self) -> None:
        """Leave the client."""
        self._transport.close()

    def answer(self, data: bytes) -> None:
        """Hand the client what the engine said."""
        self._transport.write(data)

    def control(self, asked: Asked) -> None:
        """Answer a request that is for the proxy itself."""
        told = self._meter.control(asked.method, asked.path)
        self._transport.write(response(404 if told is None else 200, json.dumps(told).encode()))

    def pass_on(self, data: bytes) -> None:
        """Hand the engine what the client said, after the latency and in order."""
        self._last_due = max(self._last_due, self._loop.time() + self._meter.latency_s)
        self._loop.call_at(self._last_due, self._write, data)

    def _write(self, data: bytes) -> None:
        if self._target is not None:
            self._target.write(data)
            return
        self._early.append(data)
        if self._opening is None:
            self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            self._target, _ = await self._loop.create_connection(
                lambda: _Target(self), *self._address
            )
        except OSError:
            self._transport.abort()
            return
        self._target.writelines(self._early)


class HttpLink(Link):
    """Counts requests by operation, and the messages of receives."""

    def __init__(self, meter: Meter, host: str, port: int) -> None:
        super().__init__(meter, host, port)
        self._inbox = Inbox()
        self._receive: Inbox | None = None

    def data_received(self, data: bytes) -> None:
        """Pass on each request that is whole."""
        self._inbox.add(data)
        while (asked := self._inbox.take()) is not None:
            if asked.path.startswith(PATH):
                self.control(asked)
                continue
            operation = operation_of(asked.target, asked.method)
            self._receive = Inbox() if operation == RECEIVE else None
            self._meter.count(operation, _entries(operation, asked.body))
            self.pass_on(asked.raw)
        if self._inbox.is_waited_for:
            self._transport.write(CONTINUE)

    def answer(self, data: bytes) -> None:
        """Hand on an answer; count the messages in that of a receive."""
        super().answer(data)
        if self._receive is not None:
            self._receive.add(data)
            if (received := self._receive.take()) is not None:
                self._receive = None
                self._meter.count_received(received.body.count(_RECEIVED))


def _entries(operation: str, body: bytes) -> int:
    if "Batch" in operation:
        return entries_of(json.loads(body))
    return 0 if operation == RECEIVE else 1


class TurnLink(Link):
    """Counts how often the client speaks after it has been answered."""

    def __init__(self, meter: Meter, host: str, port: int) -> None:
        super().__init__(meter, host, port)
        self._is_clients_turn = True
        self._inbox: Inbox | None = None

    def data_received(self, data: bytes) -> None:
        """Pass on what came, unless it is for the proxy itself."""
        if data.startswith(_CONTROL):
            self._inbox = Inbox()
        if self._inbox is not None:
            self._inbox.add(data)
            while (asked := self._inbox.take()) is not None:
                self.control(asked)
            return
        if self._is_clients_turn:
            self._is_clients_turn = False
            self._meter.count(TURN)
        self.pass_on(data)

    def answer(self, data: bytes) -> None:
        """Hand on an answer."""
        self._is_clients_turn = True
        super().answer(data)


def _main() -> None:
    parser = arguments("proxy", "A proxy that counts, in front of a real engine.")
    parser.add_argument("--target", required=True, help="http://HOST:PORT or redis://HOST:PORT")
    options = parser.parse_args()
    target = urlsplit(options.target)
    if target.hostname is None or target.port is None:
        parser.error(f"{options.target} has no host and port: say http://127.0.0.1:4566")
    host, port = target.hostname, target.port
    link = HttpLink if target.scheme == "http" else TurnLink

    def make(_: str, meter: Meter) -> Callable[[], Link]:
        return lambda: link(meter, host, port)

    serve(options, make)


if __name__ == "__main__":
    _main()
