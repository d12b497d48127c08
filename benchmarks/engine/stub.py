"""A stub of SQS and DynamoDB, in memory: fast, so that what is measured is who asks it.

``python -m benchmarks.engine.stub --port 0 --latency-ms 20`` prints its address and serves it. It
keeps messages and items and judges conditions, but it is no engine to test with: no FIFO, no
permissions, no limits but those of batches. :mod:`benchmarks.engine.meter` says how it is asked for
its counts.
"""

from __future__ import annotations

import asyncio
import json
import traceback
from typing import TYPE_CHECKING, Any, Final

from benchmarks.engine.dynamodb import DynamoDb
from benchmarks.engine.framing import CONTINUE, Asked, Inbox, response
from benchmarks.engine.meter import PATH, RECEIVE, Meter, entries_of, operation_of
from benchmarks.engine.refused import Refused
from benchmarks.engine.serving import arguments, serve
from benchmarks.engine.sqs import Sqs

if TYPE_CHECKING:
    from collections.abc import Callable

_ERRORS: Final = {
    "sqs": "com.amazonaws.sqs#",
    "dynamodb": "com.amazonaws.dynamodb.v20120810#",
}
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class Stub:
    """The services, by operation such as ``sqs:SendMessage``."""

    def __init__(self, url: str, meter: Meter) -> None:
        self.meter = meter
        self.operations: dict[str, Callable[[Any], Any]] = {
            **{f"sqs:{name}": perform for name, perform in Sqs(url).operations.items()},
            **{f"dynamodb:{name}": perform for name, perform in DynamoDb().operations.items()},
        }


class Connection(asyncio.Protocol):
    """A client: its requests are answered one after the other."""

    _transport: asyncio.Transport

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._inbox = Inbox()
        self._is_busy = False
        self._poll: asyncio.Future[dict[str, Any]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        """Wait for nothing any more: no message is for who has gone."""
        if self._poll is not None:
            self._poll.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer if a request is whole."""
        self._inbox.add(data)
        if not self._is_busy:
            self._go_on()

    def _go_on(self) -> None:
        asked = self._inbox.take()
        if asked is not None:
            self._is_busy = True
            self._perform(asked)
        elif self._inbox.is_waited_for:
            self._transport.write(CONTINUE)

    def _perform(self, asked: Asked) -> None:
        meter = self._stub.meter
        if asked.path.startswith(PATH):
            told = meter.control(asked.method, asked.path)
            self._write(response(404 if told is None else 200, _encode(told).encode()))
            return
        operation = operation_of(asked.target, asked.method)
        perform = self._stub.operations.get(operation)
        try:
            if perform is None:
                raise Refused(
                    "UnknownOperationException", f"The benchmarks' stub has no {operation!r}"
                )
            params = json.loads(asked.body)
            meter.count(operation, 0 if operation == RECEIVE else entries_of(params))
            answer = perform(params)
        except Refused as refused:
            self._reply(_refusal(operation, refused))
            return
        except Exception as error:  # noqa: BLE001 - the client is to be told too
            traceback.print_exc()
            wrong = Refused("InternalFailure", f"The benchmarks' stub failed: {error!r}")
            self._reply(_refusal(operation, wrong))
            return
        if isinstance(answer, asyncio.Future):
            self._poll = answer
            answer.add_done_callback(self._polled)
        else:
            self._succeed(operation, answer)

    def _polled(self, poll: asyncio.Future[dict[str, Any]]) -> None:
        self._poll = None
        if not poll.cancelled():
            self._succeed(RECEIVE, poll.result())

    def _succeed(self, operation: str, answer: dict[str, Any]) -> None:
        if operation == RECEIVE:
            self._stub.meter.count_received(len(answer.get("Messages", ())))
        self._reply(response(200, _encode(answer).encode()))

    def _reply(self, content: bytes) -> None:
        latency_s = self._stub.meter.latency_s
        if latency_s:
            asyncio.get_running_loop().call_later(latency_s, self._write, content)
        else:
            self._write(content)

    def _write(self, content: bytes) -> None:
        self._transport.write(content)
        self._is_busy = False
        self._go_on()


def _refusal(operation: str, refused: Refused) -> bytes:
    service = operation.partition(":")[0]
    body = {
        "__type": _ERRORS.get(service, "") + refused.code,
        "message": refused.message,
        **refused.details,
    }
    headers = {"x-amzn-query-error": f"{refused.query_code};Sender"} if refused.query_code else {}
    return response(400, _encode(body).encode(), headers)


def _main() -> None:
    def make(url: str, meter: Meter) -> Callable[[], Connection]:
        stub = Stub(url, meter)
        return lambda: Connection(stub)

    serve(arguments("stub", "A stub of SQS and DynamoDB in memory.").parse_args(), make)


if __name__ == "__main__":
    _main()
