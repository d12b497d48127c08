"""A worker that stops while a receive is in flight, and loops that must not end in silence."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from caraway import Caraway, Queue
from caraway.requests.sqs import ChangeMessageVisibility, ReceivedMessage, ReceiveMessages
from caraway.workers import receiving, session
from caraway.workers.holding import Backoff, Heartbeat
from caraway.workers.pools import PoolOptions, make_pool
from caraway.workers.prefetch import Prefetch
from caraway.workers.receiving import Receiver
from caraway.workers.session import Session
from caraway.workers.slots import Slots
from caraway.workers.vitals import Vitals, Watch
from tests.integration.conftest import PATIENCE_S

QUEUE = Queue("default", consumer="ecs")


@dataclass
class PollingAws:
    """Holds every receive until a test answers it; all else is answered at once."""

    asked: list[Any] = field(default_factory=list)
    polls: list[asyncio.Future[Any]] = field(default_factory=list)
    heard_at: float = 0.0

    async def perform(self, request: Any) -> Any:
        self.asked.append(request)
        if isinstance(request, ReceiveMessages):
            self.polls.append(asyncio.get_running_loop().create_future())
            return await self.polls[-1]
        return "https://sqs/default"

    async def perform_all(self, requests: list[Any]) -> list[Any]:
        return [await self.perform(request) for request in requests]

    async def close(self) -> None:
        pass

    def released(self) -> list[str]:
        """Return the receipts of messages that were made visible at once."""
        return [
            each.receipt_handle
            for each in self.asked
            if isinstance(each, ChangeMessageVisibility) and each.visible_in_s == 0
        ]


def message(name: str) -> ReceivedMessage:
    return ReceivedMessage(name, f"receipt-{name}", "{}", 1, 0.0)


async def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it has not come true"
        await asyncio.sleep(0)


def session_on(aws: PollingAws, vitals: Vitals | None = None) -> Session:
    app = Caraway("shop").finalize()
    app.conf.task_queues = [QUEUE]
    pool = make_pool(PoolOptions("asyncio", 2), app)
    vitals = vitals or Vitals("w1")
    made = Session(app, [QUEUE], pool, hostname="w1", shutdown_timeout_s=0, vitals=vitals)
    made._aws = aws  # type: ignore[assignment]
    for receiver in made._receivers:
        receiver._aws = aws  # type: ignore[assignment]
    return made


@pytest.mark.parametrize(("stops", "code"), [(1, 0), (2, 1)])
def test_what_comes_with_the_receive_in_flight_is_released_by_a_warm_and_a_cold_shutdown(
    stops: int, code: int
) -> None:
    async def scene() -> tuple[int, list[str]]:
        aws = PollingAws()
        worker = session_on(aws)
        running = asyncio.ensure_future(worker.run())
        await until(lambda: aws.polls)
        for _ in range(stops):
            worker.stop("SIGTERM")
        for _ in range(100):
            await asyncio.sleep(0)
        assert not running.done()  # SQS may have given it messages already
        aws.polls[0].set_result([message("a"), message("b")])
        ended, unfinished = await running
        assert not unfinished
        return ended, aws.released()

    assert asyncio.run(scene()) == (code, ["receipt-a", "receipt-b"])


def test_a_receive_that_is_never_answered_does_not_keep_a_worker_from_stopping(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session, "POLL_S", 0.0)
    monkeypatch.setattr(session, "PARTING_S", 0.05)

    async def scene() -> int:
        aws = PollingAws()
        worker = session_on(aws)
        running = asyncio.ensure_future(worker.run())
        await until(lambda: aws.polls)
        worker.stop("SIGTERM")
        return (await running)[0]

    assert asyncio.run(scene()) == 0
    assert "AWS does not answer 1 receives" in caplog.text


def receiver_on(
    aws: Any, stopping: asyncio.Event, watch: Watch, prefetch: Prefetch | None = None
) -> Receiver:
    site: Any = SimpleNamespace(queue_prefix="")
    return Receiver(
        aws,
        site,
        QUEUE,
        alone=True,
        prefetch=prefetch or Prefetch(Slots(2)),
        working=Backoff(shared=True),
        stopping=stopping,
        begin=lambda _: None,
        watch=watch,
    )


def test_a_receive_that_hangs_is_given_up_and_polling_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(receiving, "RECEIVE_S", 0.01)
    monkeypatch.setattr("caraway.workers.holding.FIRST_PAUSE_S", 0.0)

    class SlowAtFirst(PollingAws):
        async def perform(self, request: Any) -> Any:
            monkeypatch.setattr(receiving, "RECEIVE_S", 60.0)  # for all receives after this one
            return await super().perform(request)

    async def scene() -> Watch:
        aws, stopping, watch = SlowAtFirst(), asyncio.Event(), Watch("polling of default")
        polling = asyncio.ensure_future(receiver_on(aws, stopping, watch).run())
        await until(lambda: len(aws.polls) == 2)
        assert aws.polls[0].cancelled()
        assert watch.done_at is None
        stopping.set()
        aws.polls[1].set_result([])
        await polling
        return watch

    assert asyncio.run(scene()).done_at is not None
    assert "receiving from default was given up" in caplog.text


@pytest.mark.parametrize(("slots", "in_flight"), [(1_000, [2, 4, 1, 1]), (20, [1, 0, 0, 0])])
def test_full_receives_bring_others_beside_them_and_an_idle_queue_has_one_in_flight(
    slots: int, in_flight: list[int]
) -> None:
    async def scene() -> list[int]:
        aws, stopping = PollingAws(), asyncio.Event()
        prefetch = Prefetch(Slots(slots))
        receiver = receiver_on(aws, stopping, Watch("polling of default"), prefetch)
        polling = asyncio.ensure_future(receiver.run())
        await until(lambda: aws.polls)
        seen = []
        for bringing in (10, 10, 9, 9):  # none of which ends: their slots stay taken
            for poll in [each for each in aws.polls if not each.done()]:
                poll.set_result([message(str(each)) for each in range(bringing)])
            for _ in range(100):
                await asyncio.sleep(0)
            seen.append(sum(not each.done() for each in aws.polls))
        stopping.set()
        prefetch.close()
        if not aws.polls[-1].done():
            aws.polls[-1].set_result([])
        await polling
        return seen

    assert asyncio.run(scene()) == in_flight


def test_a_worker_whose_polling_fails_for_ever_ends_so_that_it_is_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("caraway.workers.vitals.FIRST_RESTART_S", 0.0)

    async def broken(_: Receiver) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(Receiver, "run", broken)
    code, _ = asyncio.run(session_on(PollingAws()).run())
    assert code == 1
    assert "polling of default failed; it is started again" in caplog.text
    assert "the worker ends, for another to take its place" in caplog.text


def test_a_beat_that_hangs_is_given_up_for_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> int:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            beats += 1
            if beats == 1:
                await asyncio.Event().wait()
            beaten.set()

        anything: Any = None
        beaten, watch = asyncio.Event(), Watch("the heartbeat")
        heartbeat = Heartbeat(anything, anything, anything, [], watch)
        heartbeat._beat = beat  # type: ignore[method-assign]
        beating = asyncio.ensure_future(heartbeat.run(0.03))
        await beaten.wait()
        beating.cancel()
        return beats

    assert asyncio.run(scene()) == 2
    assert "AWS does not answer the heartbeat, which is tried again" in caplog.text
