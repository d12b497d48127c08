"""Threads that send at the same time share batches, and each has the answer to its own request."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError

from caraway import Caraway
from caraway.aws import sharing
from caraway.aws.blocking_aws import THREADS, BlockingAws
from caraway.aws.lanes import FLIGHTS
from caraway.aws.sharing import Sharing
from caraway.core.port import run_now
from caraway.exceptions import EndpointUnreachable, RequestFailed
from caraway.requests.sqs import MESSAGE_LIMIT_BYTES, SendMessage
from tests.integration.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from caraway.aws.lanes import Lane

URL = "http://sqs/1/a"


class Sqs:
    """A wire that answers when it is told to; it refuses what names itself ``refused``.

    Attributes
    ----------
    held
        How many of the first requests wait for :attr:`open`.
    """

    def __init__(self, held: int = 0, breaks: BaseException | None = None) -> None:
        self.open = threading.Event()
        self.held = held
        self.breaks = breaks
        self.sent: list[list[str]] = []
        self.addresses = 0
        self._lock = threading.Lock()

    def __call__(self, _service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        if operation == "get_queue_url":
            self.addresses += 1
            return {"QueueUrl": URL}
        entries = params.get("Entries", [params])
        bodies = [each["MessageBody"] for each in entries]
        with self._lock:
            number = len(self.sent)
            self.sent.append(bodies)
        if number < self.held:
            self.open.wait()
        if operation == "send_message":
            return {"MessageId": f"id of {bodies[0]}"}
        if self.breaks is not None:
            raise self.breaks
        answer: dict[str, list[dict[str, Any]]] = {"Successful": [], "Failed": []}
        for entry, body in zip(entries, bodies, strict=True):
            if "refused" in body:
                answer["Failed"].append({"Id": entry["Id"], "Code": "Refused", "Message": body})
            else:
                answer["Successful"].append({"Id": entry["Id"], "MessageId": f"id of {body}"})
        return answer


@pytest.fixture(autouse=True)
def _nobody_is_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing leave because the machine is slow."""
    monkeypatch.setattr(sharing, "PATIENCE_S", 600.0)


def port(wire: Sqs) -> BlockingAws:
    aws = BlockingAws()
    aws._send = wire  # type: ignore[assignment]
    return aws


def send(aws: BlockingAws, body: str) -> str:
    return run_now(aws.perform(SendMessage(URL, body)))


@contextmanager
def threads(number: int, wire: Sqs) -> Iterator[ThreadPoolExecutor]:
    """Give a pool; a test that fails in it lets its threads go on, or it would wait for them."""
    with ThreadPoolExecutor(number) as pool:
        try:
            yield pool
        finally:
            wire.open.set()


def gathered(aws: BlockingAws) -> int:
    """Return how many requests wait to leave."""
    with aws._sharing._lock:
        return sum(len(each.requests) for each in aws._sharing._gathering.values())


def while_one_is_under_way(wire: Sqs, aws: BlockingAws, bodies: list[str]) -> list[Future[str]]:
    """Send bodies from as many threads while a first request is under way; then let it land."""
    with threads(len(bodies) + 1, wire) as pool:
        first = pool.submit(send, aws, "first")
        wait_until(lambda: wire.sent)
        sent = [pool.submit(send, aws, body) for body in bodies]
        wait_until(lambda: sum(map(len, wire.sent)) + gathered(aws) == len(bodies) + 1)
        wire.open.set()
        assert first.result() == "id of first"
    return sent


def test_a_lone_caller_waits_for_nothing() -> None:
    wire = Sqs()
    aws = port(wire)
    assert [send(aws, body) for body in "ab"] == ["id of a", "id of b"]
    assert wire.sent == [["a"], ["b"]]


def test_what_comes_while_a_request_is_under_way_travels_together() -> None:
    wire = Sqs(held=1)
    bodies = [str(number) for number in range(25)]
    sent = while_one_is_under_way(wire, port(wire), bodies)
    assert [each.result() for each in sent] == [f"id of {body}" for body in bodies]
    assert sorted(map(len, wire.sent)) == [1, 5, 10, 10]


def test_a_thousand_threads_that_delay_at_once_make_a_tenth_of_a_request_for_each() -> None:
    wire = Sqs(held=1)
    app = Caraway("shop", set_as_current=False)
    aws = app._blocking = port(wire)
    task = app.task(name="shop.double")(lambda number: 2 * number)
    with threads(1_000, wire) as pool:
        sent = [pool.submit(task.delay, number) for number in range(1_000)]
        wait_until(lambda: sum(map(len, wire.sent)) + gathered(aws) == 1_000)
        wire.open.set()
        assert len({each.result().id for each in sent}) == 1_000
    assert wire.addresses == 1
    assert sorted(map(len, wire.sent)) == [1, 9, *[10] * 99]


def test_each_thread_hears_of_its_own_failure() -> None:
    wire = Sqs(held=1)
    bodies = [f"{number}{' refused' if number % 3 == 0 else ''}" for number in range(10)]
    sent = while_one_is_under_way(wire, port(wire), bodies)
    for body, each in zip(bodies, sent, strict=True):
        if "refused" in body:
            with pytest.raises(RequestFailed, match=body):
                each.result()
        else:
            assert each.result() == f"id of {body}"


def test_messages_of_threads_fill_chunks_of_sixty_four_kilobytes() -> None:
    wire = Sqs(held=1)
    bodies = [f"{number:02}" * 3_500 for number in range(36)]
    sent = while_one_is_under_way(wire, port(wire), bodies)
    assert [each.result() for each in sent] == [f"id of {body}" for body in bodies]
    assert sorted(map(len, wire.sent)) == [1, 9, 9, 9, 9]


def test_no_more_batches_of_threads_are_under_way_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joined: list[object] = []
    join = Sharing._join

    def counted(self: Sharing, lane: Lane, request: Any) -> Any:
        place = join(self, lane, request)
        joined.append(request)
        return place

    monkeypatch.setattr(Sharing, "_join", counted)
    wire = Sqs(held=FLIGHTS)
    aws, count = port(wire), 10 * (FLIGHTS + 3)
    with threads(count, wire) as pool:
        sent = [pool.submit(send, aws, str(number)) for number in range(count)]
        wait_until(lambda: len(joined) == count and len(wire.sent) == FLIGHTS)
        assert aws._sharing._under_way.most_common(1)[0][1] == FLIGHTS
        wire.open.set()
        assert [each.result() for each in sent] == [f"id of {number}" for number in range(count)]
    assert len(wire.sent) <= FLIGHTS + 4


def test_a_batch_that_nobody_answers_fails_for_each_of_its_threads() -> None:
    wire = Sqs(held=1, breaks=EndpointConnectionError(endpoint_url="http://sqs"))
    sent = while_one_is_under_way(wire, port(wire), ["a", "b", "c"])
    failures = [each.exception() for each in sent]
    assert [type(each) for each in failures] == [EndpointUnreachable] * 3
    assert len({id(each) for each in failures}) == 3


def test_a_thread_that_is_interrupted_leaves_nobody_waiting() -> None:
    wire = Sqs(held=1, breaks=KeyboardInterrupt())
    sent = while_one_is_under_way(wire, port(wire), ["a", "b", "c"])
    failures = [type(each.exception()) for each in sent]
    assert sorted(each.__name__ for each in failures) == [
        *["EndpointUnreachable"] * 2,
        "KeyboardInterrupt",
    ]


def test_a_request_that_hangs_holds_up_no_other_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "PATIENCE_S", 0.0)
    wire = Sqs(held=1)
    aws = port(wire)
    with threads(1, wire) as pool:
        first = pool.submit(send, aws, "first")
        wait_until(lambda: wire.sent)
        assert send(aws, "second") == "id of second"
        wire.open.set()
        assert first.result() == "id of first"


def test_no_batch_is_larger_than_sqs_takes() -> None:
    wire = Sqs(held=1)
    bodies = [str(number) * (MESSAGE_LIMIT_BYTES // 3) for number in range(8)]
    sent = while_one_is_under_way(wire, port(wire), bodies)
    assert [each.result() for each in sent] == [f"id of {body}" for body in bodies]
    assert all(sum(map(len, each)) <= MESSAGE_LIMIT_BYTES for each in wire.sent)
    assert len(wire.sent) <= 5


# -- one caller's requests, several at a time -----------------------------------------------------


class Noting(Sqs):
    """A wire that notes the threads in which it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[threading.Thread] = set()

    def __call__(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        self.threads.add(threading.current_thread())
        return super().__call__(service, operation, params)


def send_fifty(aws: BlockingAws) -> None:
    answers = run_now(aws.perform_all([SendMessage(URL, str(number)) for number in range(50)]))
    assert answers == [f"id of {number}" for number in range(50)]


def test_threads_that_have_sent_are_there_for_the_next_and_end_with_the_port() -> None:
    wire = Noting()
    aws = port(wire)
    aws._send.close = lambda: None  # type: ignore[method-assign]
    for _ in range(20):
        send_fifty(aws)
    assert len(wire.sent) == 100
    assert len(wire.threads) <= THREADS
    aws.close()
    wire.threads.discard(threading.current_thread())
    wait_until(lambda: not any(each.is_alive() for each in wire.threads))
    send_fifty(aws)
    aws.close()


def test_a_process_that_was_forked_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = Noting(), Noting()
    aws = port(before)
    send_fifty(aws)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    aws._send = after  # type: ignore[assignment]
    send_fifty(aws)
    assert after.threads & before.threads == {threading.current_thread()}
