"""How much the stub can do: ``python -m benchmarks.engine.capacity``.

A client that only writes and reads bytes asks as fast as it is answered, over several connections;
beside it, what a request costs a botocore client.
"""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from benchmarks.engine.client import Engine

if TYPE_CHECKING:
    from collections.abc import Callable

    Ask = Callable[[str, dict[str, Any]], Any]

TABLE: Final = "tasks"
BODY: Final = json.dumps({"id": "0" * 36, "task": "shop.send", "args": [1, 2], "kwargs": {}})
CONNECTIONS: Final = 8
ROUNDS: Final = 1_000
BOTOCORE_ROUNDS: Final = 300


class Bare:
    """A connection that does nothing but write requests and read answers."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)))

    def __call__(self, target: str, params: dict[str, Any]) -> Any:
        """Ask, and return the answer."""
        body = json.dumps(params).encode()
        self._socket.sendall(
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: %b\r\nContent-Length: %d\r\n\r\n"
            % (target.encode(), len(body))
            + body
        )
        come = b""
        while (end := come.find(b"\r\n\r\n")) < 0:
            come += self._socket.recv(1 << 20)
        length = int(come[come.find(b"Content-Length: ") + 16 : come.find(b"\r\nDate")])
        while len(come) < end + 4 + length:
            come += self._socket.recv(1 << 20)
        return json.loads(come[end + 4 :])

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def prepare(engine: Engine) -> str:
    """Make a queue and a table; return the queue's address."""
    engine.client("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    url: str = engine.client("sqs").create_queue(QueueName="bench")["QueueUrl"]
    return url


def one_by_one(ask: Ask, url: str, name: str) -> None:
    """Send, receive, record and delete a message: four requests."""
    ask("AmazonSQS.SendMessage", {"QueueUrl": url, "MessageBody": BODY})
    got = ask("AmazonSQS.ReceiveMessage", {"QueueUrl": url, "MaxNumberOfMessages": 1})
    item = {"id": {"S": name}, "body": {"S": BODY}}
    ask("DynamoDB_20120810.PutItem", {"TableName": TABLE, "Item": item})
    receipt = got["Messages"][0]["ReceiptHandle"]
    ask("AmazonSQS.DeleteMessage", {"QueueUrl": url, "ReceiptHandle": receipt})


def in_batches(ask: Ask, url: str, name: str) -> None:
    """Send, receive, claim, finish and delete ten messages: five requests."""
    ten = range(10)
    sends = [{"Id": str(place), "MessageBody": BODY} for place in ten]
    ask("AmazonSQS.SendMessageBatch", {"QueueUrl": url, "Entries": sends})
    got = ask("AmazonSQS.ReceiveMessage", {"QueueUrl": url, "MaxNumberOfMessages": 10})
    ids = [{"S": f"{name}-{place}"} for place in ten]
    insert = f"INSERT INTO \"{TABLE}\" VALUE {{'id': ?, 'phase': ?, 'token': ?}}"
    claims = [
        {"Statement": insert, "Parameters": [id, {"S": "running"}, {"S": name}]} for id in ids
    ]
    ask("DynamoDB_20120810.BatchExecuteStatement", {"Statements": claims})
    update = (
        f'UPDATE "{TABLE}" SET "phase" = ? SET "result" = ? REMOVE "open_at" '
        'WHERE "id" = ? AND "token" = ? RETURNING ALL NEW *'
    )
    finishes = [
        {"Statement": update, "Parameters": [{"S": "done"}, {"S": "1"}, id, {"S": name}]}
        for id in ids
    ]
    ask("DynamoDB_20120810.BatchExecuteStatement", {"Statements": finishes})
    deletes = [
        {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
        for place, message in enumerate(got["Messages"])
    ]
    ask("AmazonSQS.DeleteMessageBatch", {"QueueUrl": url, "Entries": deletes})


def report(what: str, engine: Engine, act: Callable[[], None]) -> None:
    """Do something, and print how much the stub was asked, how fast, and what it cost it."""
    engine.reset()
    began_cpu_s, began = engine.cpu_s(), time.perf_counter()
    act()
    wall_s = time.perf_counter() - began
    counts = engine.counts()
    asked, cpu_s = sum(counts.requests.values()), counts.cpu_s - began_cpu_s
    print(
        f"{what}: {asked:,} requests, {asked / wall_s:,.0f} per second, stub's CPU "
        f"{cpu_s / asked * 1e6:.0f} microseconds each ({asked / cpu_s:,.0f} per CPU second)"
    )


def over_connections(engine: Engine, url: str, act: Callable[[Ask, str, str], None]) -> None:
    """Do something over all connections at once."""

    def one(place: int) -> None:
        ask = Bare(engine.url)
        for number in range(ROUNDS // CONNECTIONS):
            act(ask, url, f"{place}-{number}")
        ask.close()

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        list(threads.map(one, range(CONNECTIONS)))


def main() -> None:
    """Print the figures."""
    with Engine.stub() as engine:
        url = prepare(engine)
        for what, act in (("one by one", one_by_one), ("in tens", in_batches)):
            report(what, engine, lambda act=act: over_connections(engine, url, act))  # type: ignore[misc]
        sqs = engine.client("sqs")

        def send() -> None:
            for _ in range(BOTOCORE_ROUNDS):
                sqs.send_message(QueueUrl=url, MessageBody=BODY)

        began_s = time.process_time()
        report("boto3's send_message", engine, send)
        used_s = time.process_time() - began_s
        print(f"boto3's own CPU: {used_s / BOTOCORE_ROUNDS * 1e6:.0f} microseconds each")


if __name__ == "__main__":
    main()
