"""Credentials that are over: the SDKs read a file once, and believe this machine's clock."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from caraway.aws.asyncio_aws import AsyncioAws
from caraway.aws.blocking_aws import BlockingAws
from caraway.aws.clients import ClientSettings
from caraway.aws.wires import AiobotocoreWire, ThreadWire
from caraway.core.port import run_now
from caraway.exceptions import CredentialsMissing
from caraway.requests.sqs import GetQueueUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WAYS = ["aiobotocore", "threads", "blocking"]


class Sqs(ThreadingHTTPServer):
    """Accepts requests that one key has signed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.accepted = "old"
        self.keys: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Sqs

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        self.server.keys.append(key)
        good = key == self.server.accepted
        answer = {"QueueUrl": "url"} if good else {"__type": "ExpiredToken", "message": "expired"}
        told = json.dumps(answer).encode()
        self.send_response(200 if good else 403)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sqs() -> Iterator[Sqs]:
    with Sqs() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def write(
    aws_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], object]:
    """Return what writes the file of credentials."""
    path = tmp_path / "credentials"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))

    def write(key: str) -> None:
        path.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n")

    write("old")
    return write


@contextmanager
def asking(sqs: Sqs, way: str) -> Iterator[Callable[..., list[Any]]]:
    """Yield what looks up queues at once, and returns the answers."""
    settings = ClientSettings(
        region="us-east-1", endpoint_url=f"http://127.0.0.1:{sqs.server_address[1]}"
    )
    if way == "blocking":
        blocking = BlockingAws(settings)
        yield lambda *names: run_now(blocking.perform_all([GetQueueUrl(each) for each in names]))
        blocking.close()
        return
    wire = AiobotocoreWire(settings) if way == "aiobotocore" else ThreadWire(settings)
    aws = AsyncioAws(wire)
    loop = asyncio.new_event_loop()
    try:
        yield lambda *names: loop.run_until_complete(
            aws.perform_all([GetQueueUrl(each) for each in names])
        )
    finally:
        loop.run_until_complete(aws.close())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@pytest.mark.parametrize("way", WAYS)
def test_credentials_that_were_replaced_are_read_when_aws_refuses_the_old(
    sqs: Sqs, write: Callable[[str], object], way: str
) -> None:
    with asking(sqs, way) as ask:
        assert ask("a") == ["url"]
        write("new")
        sqs.accepted = "new"
        assert ask("b", "c", "d") == ["url"] * 3
        assert ask("e") == ["url"]
    assert sqs.keys.count("new") == 4


@pytest.mark.parametrize("way", WAYS)
def test_credentials_that_nothing_replaces_are_not_read_at_every_request(
    sqs: Sqs, write: Callable[[str], object], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("caraway.aws.asyncio_aws.GRACE_S", -1.0)
    with asking(sqs, way) as ask:
        sqs.accepted = "new"
        for name in "abc":
            (answer,) = ask(name)
            assert isinstance(answer, CredentialsMissing)
        assert len(sqs.keys) == 4  # the first asked again, with what was read anew
        write("new")
        monkeypatch.setattr("caraway.aws.asyncio_aws.RENEWED_EVERY_S", 0.0)
        monkeypatch.setattr("caraway.aws.blocking_aws.RENEWED_EVERY_S", 0.0)
        assert ask("d") == ["url"]
