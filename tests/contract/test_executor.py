"""From a message sent to a result seen, on every engine through every port."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

import pytest

from caraway import states
from caraway.core.claim_check import Store
from caraway.core.disposition import Delete, Leave
from caraway.core.executor import Executor
from caraway.core.port import Raised, Returned
from caraway.core.publish import Site
from caraway.core.retry import RetryPolicy
from caraway.core.routing import Queue
from tests.contract.house import FIFO, QUEUE, FakeTask, House

if TYPE_CHECKING:
    from tests.contract.conftest import Harness


def test_a_task_that_is_sent_is_run_and_its_result_is_seen(harness: Harness) -> None:
    add = FakeTask("add", lambda x, y: x + y)
    house = House(harness, add)
    id = house.send("add", 2, 3)
    assert house.look(id).state == states.PENDING
    assert isinstance(house.run(house.receive()), Delete)
    seen = house.look(id)
    assert (seen.state, seen.result) == (states.SUCCESS, 5)
    assert (seen.record.task, seen.record.door, seen.record.queue) == ("add", "contract", "work")
    assert house.is_empty()


def test_a_redelivery_does_not_run_a_task_twice(harness: Harness) -> None:
    once = FakeTask("once", lambda: "done")
    house = House(harness, once)
    id = house.send("once")
    received = house.receive()
    house.execute(received)  # the worker is lost before it deletes the message
    assert house.run(received) == Delete("it is SUCCESS already")
    assert once.ran == [()]
    assert house.look(id).result == "done"
    assert house.is_empty()


def test_a_task_sent_twice_runs_once(harness: Harness) -> None:
    once = FakeTask("once", lambda: "done")
    house = House(harness, once)
    for _ in range(2):
        house.send("once", task_id=f"the-same-{house.site.queue_prefix}")
        house.run(house.receive())
    assert once.ran == [()]


def test_a_failure_is_seen_with_its_exception(harness: Harness) -> None:
    def fail() -> None:
        raise ValueError("no such thing ☕")

    house = House(harness, FakeTask("fail", fail))
    id = house.send("fail")
    house.run(house.receive())
    seen = house.look(id)
    assert seen.state == states.FAILURE
    assert isinstance(seen.result, ValueError)
    assert seen.result.args == ("no such thing ☕",)
    assert "ValueError" in (seen.record.traceback or "")
    assert house.is_empty()


def failing_once() -> Callable[[], str]:
    tries = count(1)

    def function() -> str:
        if next(tries) == 1:
            raise ConnectionError("not yet")
        return "at last"

    return function


PATIENT = RetryPolicy(autoretry_for=(ConnectionError,), default_retry_delay_s=0)


def test_a_retry_is_recorded_sent_and_run(harness: Harness) -> None:
    flaky = FakeTask("flaky", failing_once(), PATIENT)
    house = House(harness, flaky)
    id = house.send("flaky")
    assert isinstance(house.run(house.receive()), Delete)
    between = house.look(id)
    assert between.state == states.RETRY
    assert isinstance(between.result, ConnectionError)
    house.run(house.receive())
    seen = house.look(id)
    assert (seen.state, seen.result, seen.record.attempt) == (states.SUCCESS, "at last", 1)
    assert house.is_empty()


def test_a_retry_on_fifo_keeps_its_message_and_its_place(harness: Harness) -> None:
    flaky = FakeTask("flaky", failing_once(), PATIENT)
    house = House(harness, flaky, FakeTask("next", lambda: None))
    first = house.send("flaky", queue="ordered")
    received = house.receive(FIFO)
    house.send("next", queue="ordered")
    assert isinstance(house.run(received, FIFO), Leave)
    (again, following) = house.harness.next_visible(
        house.url(FIFO.sqs_name(house.site.queue_prefix))
    )
    assert again.message_id == received.message_id
    house.run(again, FIFO)
    house.run(following, FIFO)
    seen = house.look(first)
    assert (seen.state, seen.result, seen.record.attempt) == (states.SUCCESS, "at last", 1)
    assert house.is_empty(FIFO)


@pytest.mark.parametrize("queue", [QUEUE, FIFO], ids=lambda queue: queue.name)
def test_what_cannot_be_run_goes_to_the_dead_letters_with_its_reason(
    harness: Harness, queue: Queue
) -> None:
    house = House(harness, FakeTask("known", lambda: None))
    id = house.send("unknown", queue=queue.name)
    assert isinstance(house.run(house.receive(queue), queue), Delete)
    url = house.url(queue.dead_letter_sqs_name(house.site.queue_prefix))
    (letter,) = harness.next_visible(url)
    assert letter.attributes["id"] == id
    assert letter.attributes["queue"] == queue.name
    assert "'unknown'" in letter.attributes["reason"]
    assert house.look(id).state == states.FAILURE
    assert house.is_empty(queue)


def test_large_arguments_and_results_travel_by_claim_check(harness: Harness) -> None:
    echo = FakeTask("echo", lambda text: text[::-1])
    house = House(harness, echo)
    text = "seeds travel ☕ " * 20_000
    id = house.send("echo", text)
    received = house.receive()
    assert len(received.body) < 1_000
    house.run(received)
    assert echo.ran == [(text,)]
    seen = house.look(id)
    assert seen.result == text[::-1]
    assert (seen.record.result or "").startswith(f"s3://{house.site.store.bucket}/results/{id}/")


def test_compressed_arguments_and_results_fit_again(harness: Harness) -> None:
    echo = FakeTask("echo", lambda text: text[::-1])
    house = House(harness, echo, result_compression="gzip")
    text = "seeds travel ☕ " * 20_000
    id = house.send("echo", text, compression="gzip")
    received = house.receive()
    assert 1_000 < len(received.body) < 10_000
    house.run(received)
    assert echo.ran == [(text,)]
    seen = house.look(id)
    assert seen.result == text[::-1]
    assert (seen.record.result or "").startswith("data:application/gzip;base64,")


def test_what_is_too_large_though_compressed_travels_by_claim_check(harness: Harness) -> None:
    limits = {"message_limit_bytes": 5_000, "result_limit_bytes": 100}
    echo = FakeTask("echo", lambda numbers: numbers)
    house = House(harness, echo, result_compression="zlib", **limits)
    id = house.send("echo", list(range(10_000)), compression="bzip2")
    received = house.receive()
    assert '"compression":"bzip2","s3":' in received.body
    house.run(received)
    assert echo.ran == [(list(range(10_000)),)]
    seen = house.look(id)
    assert seen.result == list(range(10_000))
    assert (seen.record.result or "").endswith(".zlib")


def test_the_s3_backend_keeps_every_result_in_the_bucket(harness: Harness) -> None:
    storage = {"StorageClass": "STANDARD_IA", "ServerSideEncryption": "AES256"}
    house = House(
        harness,
        FakeTask("give", lambda: 0),
        keeps_all_results=True,
        base_path="shop/",
        storage=storage,
    )
    id = house.send("give")
    house.run(house.receive())
    seen = house.look(id)
    assert (seen.state, seen.result) == (states.SUCCESS, 0)
    bucket = house.site.store.bucket
    assert (seen.record.result or "").startswith(f"s3://{bucket}/shop/results/{id}/")


def test_a_claim_check_whose_payload_is_gone_is_a_dead_letter(harness: Harness) -> None:
    house = House(harness, FakeTask("echo", len))
    bucket = house.site.store.bucket
    house.send("echo", "x" * 300_000, task_id=f"gone-{bucket}")
    elsewhere = Site(
        house.site.router, house.site.records, Store(harness.bucket()), house.site.queue_prefix
    )
    house.executor = Executor(harness.aws, elsewhere, {}, door="contract")
    assert isinstance(house.run(house.receive()), Delete)
    url = house.url(QUEUE.dead_letter_sqs_name(house.site.queue_prefix))
    (letter,) = harness.next_visible(url)
    assert f"s3://{bucket}/messages/gone-{bucket}/0" in letter.attributes["reason"]


def test_an_idempotent_task_without_a_result_leaves_no_record(harness: Harness) -> None:
    light = FakeTask("light", lambda: "dropped", idempotent=True, ignore_result=True)
    house = House(harness, light)
    id = house.send("light")
    assert isinstance(house.run(house.receive()), Delete)
    assert light.ran == [()]
    assert house.look(id).state == states.PENDING
    assert house.is_empty()


async def greet(name: str) -> str:
    return f"hello {name}"


def leave() -> None:
    raise SystemExit(3)


def test_user_code_ends_as_a_value(harness: Harness) -> None:
    assert harness.run(harness.aws.call(len, "four")) == Returned(4)
    assert harness.run(harness.aws.call(greet, "you")) == Returned("hello you")
    assert isinstance(harness.run(harness.aws.call(int, "x")), Raised)
    left = harness.run(harness.aws.call(leave))
    assert isinstance(left, Raised)
    assert isinstance(left.error, SystemExit)
