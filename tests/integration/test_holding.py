"""What a worker holds: pauses while AWS does not answer, and the heartbeat."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from caraway.aws.asyncio_aws import AsyncioAws
from caraway.core.revoked_stamps import RevokedStamp, RevokedStamps
from caraway.core.routing import Queue
from caraway.core.transitions import Records
from caraway.exceptions import EndpointUnreachable, ResourceMissing
from caraway.requests.dynamodb import ConditionFailed, GetItem, UpdateItem
from caraway.requests.sqs import ChangeMessageVisibility, ReceiptExpired, ReceivedMessage
from caraway.workers.holding import (
    FAULTS_KNOWN,
    FEW,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    QUIET_S,
    Backoff,
    Heartbeat,
    Held,
)
from tests.virtual import run_virtually

DOWN = EndpointUnreachable("nobody answers")


# -- pauses ---------------------------------------------------------------------------------------


def test_pauses_grow_with_the_failures_in_a_row_up_to_a_limit() -> None:
    async def scene() -> list[float]:
        backoff, stopping = Backoff(), asyncio.Event()
        stopping.set()  # nobody really waits here
        longest = [backoff.longest_s]
        for _ in range(7):
            backoff.fail(DOWN)
            longest.append(backoff.longest_s)
            await backoff.pause(stopping)
        return longest

    assert run_virtually(scene()) == [
        0,
        FIRST_PAUSE_S,
        2,
        4,
        8,
        16,
        LONGEST_PAUSE_S,
        LONGEST_PAUSE_S,
    ]


def test_failures_between_two_pauses_count_as_one(caplog: pytest.LogCaptureFixture) -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.fail(DOWN)
    assert backoff.failures == 1
    assert caplog.text.count("nobody answers (the worker goes on trying)") == 1


def test_it_is_said_that_aws_answers_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="caraway")
    backoff = Backoff()
    backoff.succeed()
    assert not caplog.text
    backoff.fail(DOWN)
    backoff.succeed()
    assert (backoff.failures, backoff.longest_s) == (0, 0)
    assert "AWS answers again" in caplog.text


def test_the_first_failure_and_then_every_tenth_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        backoff, stopping = Backoff(), asyncio.Event()
        stopping.set()
        for _ in range(21):
            backoff.fail(DOWN)
            await backoff.pause(stopping)

    run_virtually(scene())
    assert caplog.text.count("goes on trying") == 3


@dataclass
class Hands:
    """A clock that a test moves."""

    at: float = 0.0

    def __call__(self) -> float:
        return self.at


MISSING = ResourceMissing("queue 'orders-dlq' does not exist")


def test_what_one_message_misses_is_said_once_while_others_succeed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="caraway")
    clock = Hands()
    backoff = Backoff(shared=True, _clock=clock)
    left_alone = []
    for _ in range(9):
        clock.at += LONGEST_PAUSE_S
        left_alone.append(backoff.fail(MISSING, "m1"))
        backoff.succeed("m2")
    assert left_alone == [1, 2, 4, 8, 16, 30, 30, 30, 30]  # its receives do not run out
    assert caplog.text.count("goes on trying") == 1
    assert "answers again" not in caplog.text
    clock.at += QUIET_S  # another worker took it, perhaps
    backoff.succeed("m2")
    backoff.succeed("m2")
    assert caplog.text.count("answers again") == 1


def test_what_was_missed_is_there_when_the_message_that_missed_it_succeeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="caraway")
    backoff = Backoff(shared=True)
    backoff.fail(MISSING, "m1")
    backoff.fail(MISSING, "m2")
    backoff.succeed("m3")
    assert "answers again" not in caplog.text
    backoff.succeed("m2")
    assert caplog.text.count("answers again") == 1


def test_many_messages_that_miss_the_same_are_one_failure_for_a_pause() -> None:
    clock = Hands()
    backoff = Backoff(shared=True, _clock=clock)
    waits = []
    for _ in range(5):
        waits.append(backoff.fail(MISSING))
        backoff.succeed()
    assert waits == [1] * 5


def test_an_outage_of_everything_is_over_with_the_first_success(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="caraway")
    backoff = Backoff(shared=True)
    backoff.fail(DOWN)
    backoff.succeed()
    assert caplog.text.count("answers again") == 1


def test_what_one_message_meets_between_others_that_succeed_holds_up_nobody() -> None:
    clock = Hands()
    backoff = Backoff(shared=True, _clock=clock)
    for number in range(100):
        clock.at += 1
        assert backoff.fail(DOWN, f"m{number}") >= FIRST_PAUSE_S  # its message is left alone
        backoff.fail(DOWN, f"n{number}")
        assert backoff.longest_s == 0
        backoff.succeed("another")


def test_several_that_fail_in_a_row_hold_up_all_until_one_succeeds() -> None:
    async def scene() -> list[float]:
        backoff, stopping = Backoff(shared=True), asyncio.Event()
        stopping.set()
        longest = []
        for number in range(FEW + 2):
            backoff.fail(DOWN, f"m{number}")
            longest.append(backoff.longest_s)
            await backoff.pause(stopping)
        backoff.succeed("m")
        backoff.fail(DOWN, "another")
        return [*longest, backoff.longest_s]

    assert run_virtually(scene()) == [0, 0, FIRST_PAUSE_S, 2, 4, 0]


def test_faults_without_number_do_not_fill_the_memory() -> None:
    backoff = Backoff(shared=True)
    for number in range(FAULTS_KNOWN * 3):
        backoff.fail(ResourceMissing(f"object {number}"))
    assert len(backoff._faults) <= FAULTS_KNOWN


def test_a_pause_is_drawn_and_ends_by_itself() -> None:
    class Hurried(random.Random):
        def uniform(self, low: float, high: float) -> float:
            drawn.append((low, high))
            return 0.0

    drawn: list[tuple[float, float]] = []

    async def scene() -> None:
        backoff = Backoff(_rng=Hurried())
        await backoff.pause(asyncio.Event())
        backoff.fail(DOWN)
        await backoff.pause(asyncio.Event())

    run_virtually(scene())
    assert drawn == [(FIRST_PAUSE_S / 2, FIRST_PAUSE_S)]


# -- the heartbeat ------------------------------------------------------------------------------


@dataclass
class FakeAws:
    """Keeps what it is asked, and answers as it is told."""

    answers: dict[type, Any] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    time: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)

    def now(self) -> datetime:
        return self.time

    async def perform(self, request: Any) -> Any:
        (answer,) = await self.perform_all([request])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def perform_all(self, requests: list[Any]) -> list[Any]:
        self.asked += requests
        return [self.answers.get(type(request)) for request in requests]


QUEUE = Queue("default", consumer="ecs", visibility_timeout_s=30)


def held(age_s: float) -> Held:
    message = ReceivedMessage(f"m{age_s}", f"receipt-{age_s:g}", "{}", 1, 0.0)
    return Held(QUEUE, "url", message, asyncio.get_running_loop().time() - age_s)


def claimed(aws: FakeAws, age_s: float) -> Any:
    return SimpleNamespace(
        token="token",
        message=SimpleNamespace(id="id", task="work", stamps={}),
        job=SimpleNamespace(delivery=SimpleNamespace(lease_s=30.0)),
        began=aws.time - timedelta(seconds=age_s),
    )


def heartbeat(aws: FakeAws, messages: list[Held], *claims: Any) -> Heartbeat:
    port: Any = aws
    executor: Any = SimpleNamespace(
        running={each.token: each for each in claims}, revoked_stamps=RevokedStamps(port, "tasks")
    )
    return Heartbeat(port, Records("tasks"), executor, messages)


def test_a_renewal_that_fails_is_said_once_for_each_message_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> tuple[list[Any], Held]:
        aws = FakeAws({ChangeMessageVisibility: DOWN})
        messages = [held(age_s=20), held(age_s=21)]
        beating = heartbeat(aws, messages)
        for _ in range(3):
            await beating._beat()
        return aws.asked, messages[0]

    asked, message = run_virtually(scene())
    assert len(asked) == 6
    assert not message.is_renewed
    assert caplog.text.count("a message of default may be handed out again") == 2
    assert "nobody answers" in caplog.text


def test_a_receipt_that_has_expired_is_expected_and_not_renewed_any_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="caraway")

    async def scene() -> list[Any]:
        aws = FakeAws({ChangeMessageVisibility: ReceiptExpired("its receipt has expired")})
        beating = heartbeat(aws, [held(age_s=20)])
        for _ in range(3):
            await beating._beat()
        return aws.asked

    assert len(run_virtually(scene())) == 1
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_what_is_held_for_a_third_of_its_time_is_renewed() -> None:
    async def scene() -> list[Any]:
        aws = FakeAws()
        young, old = held(4), held(11)
        beat = heartbeat(aws, [young, old])
        await beat._beat()
        await beat._beat()  # it is young again
        return aws.asked

    assert run_virtually(scene()) == [ChangeMessageVisibility("url", "receipt-11", 30)]


class CountingWire:
    """Says yes to everything, and counts."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()

    async def send(self, _service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        self.requests[operation] += 1
        return {
            "Successful": [{"Id": entry["Id"]} for entry in params.get("Entries", ())],
            "Responses": [{"Item": {}} for _ in params.get("Statements", ())],
            "Attributes": {},
        }

    async def renew(self) -> None:
        pass

    async def close(self) -> None:
        pass


def renewals_at_each_beat(messages: list[Held], beats: int) -> list[int]:
    """Let them be held for so many beats of 5 s; count the requests of each.

    However long a beat takes here, none of its time passes for what is held.
    """
    wire = CountingWire()

    async def scene() -> list[int]:
        port = AsyncioAws(wire)
        executor: Any = SimpleNamespace(running={})
        beating = Heartbeat(port, Records("tasks"), executor, messages)
        clock = asyncio.get_running_loop().time
        counts, now = [], clock()
        for _ in range(beats):
            before, last, now = wire.requests.total(), now, clock()
            for each in messages:
                each.renewed_at = min(each.renewed_at, last) + (now - last) - 5
            await beating._beat()
            counts.append(wire.requests.total() - before)
            assert all(now - each.renewed_at < 15 for each in messages)  # of 30
        await port.close()
        return counts

    counts = asyncio.run(scene())
    assert set(wire.requests) <= {"change_message_visibility_batch", "change_message_visibility"}
    return counts


def test_a_thousand_running_tasks_are_kept_by_a_hundred_requests_within_a_third_of_their_time() -> (
    None
):
    rng = random.Random(1)
    now = time.monotonic()  # what the loop's clock is
    messages = []
    for number in range(1_000):
        message = ReceivedMessage(f"m{number}", f"receipt-{number}", "{}", 1, 0.0)
        messages.append(Held(QUEUE, "url", message, now - rng.uniform(0, 10), running=True))
    counts = renewals_at_each_beat(messages, beats=30)
    assert max(map(sum, pairwise(counts))) <= 100
    assert sum(counts) > 1_000


def test_the_leases_of_a_thousand_running_tasks_are_forty_writes_within_a_third_of_their_time() -> (
    None
):
    rng, wire = random.Random(1), CountingWire()

    async def scene() -> list[int]:
        port, counts = AsyncioAws(wire), []
        running = {}
        for number in range(1_000):
            age_s = timedelta(seconds=rng.uniform(0, 10))
            running[f"{number}"] = SimpleNamespace(
                token=f"{number}",
                message=SimpleNamespace(id=f"{number}", task="work", stamps={}),
                job=SimpleNamespace(delivery=SimpleNamespace(lease_s=30.0)),
                began=port.now() - age_s,
            )
        executor: Any = SimpleNamespace(running=running)
        beating = Heartbeat(port, Records("tasks"), executor, [])
        clock = asyncio.get_running_loop().time
        for _ in range(20):  # of 5 s, however long they take here
            before, now = wire.requests.total(), clock()
            await beating._beat()
            counts.append(wire.requests.total() - before)
            too_long = clock() - now - 5
            for token in running:
                beating._leases[token] = min(beating._leases[token], now) + too_long
                running[token].began += timedelta(seconds=too_long)
        await port.close()
        return counts

    counts = asyncio.run(scene())
    assert set(wire.requests) <= {"batch_execute_statement", "update_item"}
    assert max(map(sum, pairwise(counts))) <= 1_000 / 25 + 2
    assert sum(counts) > 300


def test_a_batch_is_filled_with_what_would_be_due_at_the_next_beat_and_with_nothing_younger() -> (
    None
):
    async def scene() -> list[str]:
        aws = FakeAws()
        await heartbeat(aws, [held(4), held(6), held(11), held(3), held(5.5)])._beat()
        return [request.receipt_handle for request in aws.asked]

    assert run_virtually(scene()) == ["receipt-11", "receipt-6", "receipt-5.5"]


def test_messages_that_are_not_yet_due_make_no_request_of_their_own() -> None:
    async def scene() -> list[Any]:
        aws = FakeAws()
        await heartbeat(aws, [held(9), held(6)], claimed(aws, 9))._beat()
        return aws.asked

    assert run_virtually(scene()) == []


def test_a_renewal_that_fails_is_tried_again_at_the_next_beat() -> None:
    async def scene() -> int:
        aws = FakeAws(answers={ChangeMessageVisibility: DOWN})
        beat = heartbeat(aws, [held(11)])
        await beat._beat()
        await beat._beat()
        return len(aws.asked)

    assert run_virtually(scene()) == 2


def test_the_lease_of_a_running_task_is_renewed_with_its_message() -> None:
    async def scene() -> list[Any]:
        aws = FakeAws()
        for age_s in (5, 11):
            await heartbeat(aws, [], claimed(aws, age_s))._beat()
        return aws.asked

    (renewal,) = run_virtually(scene())
    assert isinstance(renewal, UpdateItem)
    assert renewal.id == "id"
    assert renewal.change.assign["open_at"] == FakeAws().time.timestamp() + 30


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ConditionFailed({}), "Task work[id] was taken over by another worker"),
        (DOWN, "heartbeat: nobody answers"),
    ],
)
def test_a_lease_that_is_not_renewed_is_said(
    caplog: pytest.LogCaptureFixture, answer: Exception, said: str
) -> None:
    async def scene() -> None:
        aws = FakeAws(answers={UpdateItem: answer})
        await heartbeat(aws, [], claimed(aws, 11))._beat()

    run_virtually(scene())
    assert said in caplog.text


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"phase": "running", "token": "token"}, []),
        ({"phase": "running", "token": "token", "revoked": "revoke"}, []),
        ({"phase": "running", "revoked": "terminate:SIGINT"}, [("token", "SIGINT")]),
        (ConditionFailed({"phase": "running", "token": "another's"}), [("token", "SIGKILL")]),
        (ConditionFailed({"phase": "done", "token": "token"}), []),
        (DOWN, []),
    ],
)
def test_a_run_is_stopped_that_was_terminated_or_overtaken_and_no_other(
    answer: object, told: list[tuple[str, str]]
) -> None:
    stopped: list[tuple[str, str]] = []

    async def scene() -> None:
        aws = FakeAws(answers={UpdateItem: answer})
        beating = heartbeat(aws, [], claimed(aws, 11))
        beating._stop = lambda token, signal: stopped.append((token, signal))
        await beating._beat()

    run_virtually(scene())
    assert stopped == told


@pytest.mark.parametrize(
    ("mode", "told"),
    [("revoke", []), ("terminate:SIGINT", [("token", "SIGINT")])],
)
def test_a_run_is_stopped_whose_stamps_were_revoked_to_end_it(
    mode: str, told: list[tuple[str, str]]
) -> None:
    stopped: list[tuple[str, str]] = []
    listed = RevokedStamp("customer", 17, int(FakeAws.time.timestamp()), mode)

    async def scene() -> list[Any]:
        aws = FakeAws(answers={GetItem: {listed.attribute: json.dumps(vars(listed))}})
        run = claimed(aws, 1)
        run.message.stamps = {"customer": [16, 17]}
        beating = heartbeat(aws, [], run)
        beating._stop = lambda token, signal: stopped.append((token, signal))
        await beating._beat()
        await beating._beat()
        return aws.asked

    assert [type(each) for each in run_virtually(scene())] == [GetItem]
    assert stopped == told * 2


def test_a_list_of_stamps_that_cannot_be_read_ends_no_heartbeat(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        aws = FakeAws(answers={GetItem: DOWN})
        run = claimed(aws, 1)
        run.message.stamps = {"customer": 17}
        await heartbeat(aws, [], run)._beat()

    run_virtually(scene())
    assert "which stamps are revoked is not known: nobody answers" in caplog.text


def test_nothing_is_asked_while_nothing_is_held() -> None:
    async def scene() -> list[Any]:
        aws = FakeAws()
        await heartbeat(aws, [])._beat()
        return aws.asked

    assert run_virtually(scene()) == []


def test_a_heartbeat_that_fails_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        enough = asyncio.Event()
        beats: list[int] = []

        class Faulty(Heartbeat):
            async def _beat(self) -> None:
                beats.append(1)
                if len(beats) == 3:
                    enough.set()
                raise ZeroDivisionError

        executor: Any = None
        port: Any = FakeAws()
        beating = asyncio.ensure_future(Faulty(port, Records("tasks"), executor, []).run(0.001))
        await enough.wait()
        beating.cancel()

    run_virtually(scene())
    assert "the heartbeat failed and goes on" in caplog.text
