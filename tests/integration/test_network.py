"""What goes wrong between Caraway and AWS: each meets it, backs off, and goes on."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Caraway, Queue
from caraway.aws import asyncio_aws
from caraway.aws.clock import Clock
from caraway.exceptions import EndpointUnreachable
from caraway.workers import holding, receiving
from caraway.workers.ecs import Worker
from tests.chaos.faults import FailEntries, Fault, Lose, Plan, Refuse
from tests.chaos.proxy import Proxy
from tests.integration.conftest import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Place

pytestmark = pytest.mark.usefixtures("unmeasured", "loggers_as_they_were")

# What is lost with an answer comes again so soon; a busy machine does not stand still for so long.
QUEUE = Queue("default", consumer="ecs", visibility_timeout_s=10)
ATTEMPTS = 3
"""Of the SDK: one fault more is seen by Caraway."""


@dataclass(frozen=True)
class First(Plan):
    """The first so many requests of some operations meet a fault."""

    operations: str = "*"
    fault: Fault | None = None
    times: int = 1

    def decide(self, operation: str, number: int) -> Fault | None:
        met = fnmatchcase(operation, self.operations) and number < self.times
        return self.fault if met else None


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Do not wait long between two attempts."""
    monkeypatch.setattr(holding, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(receiving, "POLL_S", 1)
    caplog.set_level(logging.INFO, logger="caraway")


def elsewhere(app: Caraway, endpoint_url: str) -> Caraway:
    """Return an app that has the same things at another address."""
    other = Caraway(app.main)
    other.conf.update(
        aws_region=app.conf.aws_region,
        aws_endpoint_url=endpoint_url,
        queue_name_prefix=app.conf.queue_name_prefix,
        task_table=app.conf.task_table,
        payload_bucket=app.conf.payload_bucket,
        task_queues=[QUEUE],
    )
    return other


@contextmanager
def working(app: Caraway, **options: Any) -> Iterator[Worker]:
    worker = Worker(app, heartbeat_interval_s=0, **options)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        worker.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("operations", "fault"),
    [
        ("sqs:ReceiveMessage", Refuse("throttled")),
        ("sqs:ReceiveMessage", Lose(executed=False, reset=True)),
        ("sqs:ReceiveMessage", Lose(executed=True)),
        ("sqs:DeleteMessage*", Refuse("expired")),
        ("sqs:DeleteMessage*", Lose(executed=True)),
        ("dynamodb:*", Refuse("unavailable")),
        ("dynamodb:*", Refuse("throttled")),
        ("dynamodb:*", Refuse("expired")),
    ],
    ids=str,
)
def test_a_worker_goes_on_after_more_faults_than_the_sdk_bears(
    local: Place, fault: Fault, operations: str
) -> None:
    producer, runs = local.app(QUEUE), []
    plan = First(1, operations=operations, fault=fault, times=ATTEMPTS * 2)
    with Proxy(local.endpoint_url or "", plan) as proxy:
        app = elsewhere(producer, proxy.endpoint_url)

        @app.task(name="work")
        def work() -> int:
            runs.append(1)
            return 5

        with working(app, concurrency=2):
            assert producer.send_task("work").get(timeout=PATIENCE_S) == 5
            wait_until(lambda: local.depth(producer) == 0)
        app.close()
    assert len(runs) == 1


def test_entries_of_a_batch_that_fail_are_acknowledged_later(local: Place) -> None:
    producer, runs = local.app(QUEUE), []
    plan = First(1, operations="sqs:DeleteMessageBatch", fault=FailEntries(0.5), times=2)
    with Proxy(local.endpoint_url or "", plan) as proxy:
        app = elsewhere(producer, proxy.endpoint_url)
        app.task(name="work")(lambda: runs.append(1))
        results = [producer.send_task("work") for _ in range(20)]
        with working(app):
            for result in results:
                result.get(timeout=PATIENCE_S)
            wait_until(lambda: local.depth(producer) == 0)
        app.close()
    assert len(runs) == 20


def test_a_name_that_does_not_resolve_for_a_while_stops_nothing(
    local: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    producer = local.app(QUEUE)
    app = elsewhere(producer, (local.endpoint_url or "").replace("127.0.0.1", "localhost"))
    app.task(name="work")(lambda: 5)
    resolve = socket.getaddrinfo
    asked: list[Any] = []

    def unknown(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "localhost" and len(asked) < 3 * ATTEMPTS:
            asked.append(host)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with working(app):
        assert producer.send_task("work").get(timeout=PATIENCE_S) == 5
    app.close()
    assert len(asked) == 3 * ATTEMPTS
    assert "the worker goes on trying" in caplog.text
    assert "AWS answers again" in caplog.text


# -- clocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("off_s", [-3_600, 3_600])
def test_a_worker_whose_clock_is_an_hour_off_runs_what_is_due_and_takes_nothing_over(
    local: Place, monkeypatch: pytest.MonkeyPatch, off_s: int
) -> None:
    # Its lease is shorter than the clock is off, and longer than a busy machine stands still.
    queue = Queue("default", consumer="ecs", visibility_timeout_s=60)
    app, runs, gate = local.app(queue), [], threading.Event()

    @app.task(bind=True, max_retries=2)
    def again(self: Any) -> int:
        if self.request.retries == 0:
            raise self.retry(countdown=1)
        return int(self.request.retries)

    @app.task(name="long")
    def long() -> None:
        runs.append(1)
        assert gate.wait(PATIENCE_S)

    with working(app, concurrency=4):  # whose clock is right
        held = long.delay()
        wait_until(lambda: runs)
        monkeypatch.setattr(asyncio_aws, "Clock", lambda: Clock(lambda: time.time() + off_s))
        with working(app, concurrency=4):
            app.send_task("long", task_id=held.id)  # the same message once more
            assert again.delay().get(timeout=PATIENCE_S) == 1
            assert again.apply_async(countdown=2, expires=60).get(timeout=PATIENCE_S) == 1
            gate.set()
            held.get(timeout=PATIENCE_S)
    assert len(runs) == 1


# -- producers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("executed", [True, False])
def test_a_send_whose_answer_was_lost_is_sent_again_and_is_one_run(
    local: Place, executed: bool
) -> None:
    app, runs = local.app(QUEUE), []
    app.task(name="work")(lambda: runs.append(1))
    plan = First(1, operations="sqs:SendMessage", fault=Lose(executed=executed), times=ATTEMPTS * 2)
    with Proxy(local.endpoint_url or "", plan) as proxy:
        producer = elsewhere(app, proxy.endpoint_url)
        with pytest.raises(EndpointUnreachable):
            producer.send_task("work", task_id="one", retry=False)
        policy = {"max_retries": 3, "interval_start": 0, "interval_step": 0, "interval_max": 0}
        result = producer.send_task("work", task_id="one", retry_policy=policy)
        assert result.id == "one"
        producer.close()
    copies = ATTEMPTS * 2 + 1 if executed else 1
    assert local.depth(app) == copies
    with working(app):
        app.AsyncResult("one").get(timeout=PATIENCE_S)
        wait_until(lambda: local.depth(app) == 0)
    assert len(runs) == 1
