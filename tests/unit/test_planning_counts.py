"""What the plan says that a task asks of AWS is what it asks for."""

from __future__ import annotations

from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest

from caraway import chord
from caraway.planning.counts import (
    CLAIM_BYTES,
    ENDING_BYTES,
    ENVELOPE_BYTES,
    INLINE_MESSAGE_BYTES,
    INLINE_RESULT_BYTES,
    MEMBER_BYTES,
    MEMBER_RECORD_BYTES,
    POINTER_BYTES,
    WRITE_UNIT_BYTES,
    counts,
)
from caraway.planning.workload import Workload
from caraway.requests.dynamodb import BatchGetItem, GetItem, UpdateItem
from caraway.requests.s3 import GetObject, PutObject
from caraway.requests.sqs import DeleteMessage, ReceiveMessages, SendMessage
from caraway.settings import SETTINGS
from tests.stage import Stage

if TYPE_CHECKING:
    from caraway.requests.base import Request

NAME = "shop.reports.send_monthly"
MEMBERS = 300


class Counting(Stage):
    """A stage that keeps the size of each item as it is after each write."""

    def __init__(self) -> None:
        super().__init__(payload_bucket="payloads")
        self.written_bytes: list[int] = []
        perform = self.memory.perform

        async def counted(request: Request[Any]) -> Any:
            answer = await perform(request)
            if isinstance(request, UpdateItem):
                self.written_bytes.append(size(self.memory.items[request.table, request.id]))
            return answer

        self.memory.perform = counted  # type: ignore[method-assign]

    def asked(self, *kinds: type[Request[Any]]) -> int:
        """Return how many requests of some kinds there were."""
        return sum(isinstance(each, kinds) for each in self.memory.requests)

    @property
    def read(self) -> int:
        """How many items were read."""
        batches = [each for each in self.memory.requests if isinstance(each, BatchGetItem)]
        return self.asked(GetItem) + sum(len(each.ids) for each in batches)


def size(value: Any) -> int:
    """Return what a value takes in an item ("DynamoDB item sizes and formats")."""
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, int | float | Decimal):
        return len(str(value)) // 2 + 1
    if isinstance(value, dict):
        return sum(len(name) + size(each) for name, each in value.items())
    if isinstance(value, set | frozenset | list | tuple):
        return sum(map(size, value))
    return len(value)


def run(tries: int = 1, text: str = "", result: str = "", **options: Any) -> Counting:
    """Run one task."""
    stage = Counting()

    @stage.app.task(name=NAME, bind=True, **options)
    def send_monthly(self: Any, text: str) -> str:
        if self.request.retries + 1 < tries:
            raise self.retry(countdown=0)
        return result

    send_monthly.delay(text)
    stage.work()
    return stage


@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize("ignore_result", [False, True])
@pytest.mark.parametrize("tries", [1, 2, 4])
def test_a_task_asks_for_what_is_planned(idempotent: bool, ignore_result: bool, tries: int) -> None:
    stage = run(tries, idempotent=idempotent, ignore_result=ignore_result)
    work = Workload(
        1, idempotent=idempotent, ignore_result=ignore_result, batch_size=1, retries=tries - 1
    )
    plan = counts(work, "ecs")
    assert stage.asked(SendMessage) == plan.sends
    assert stage.asked(ReceiveMessages) == plan.receives
    assert stage.asked(DeleteMessage) == plan.deletes
    assert len(stage.written_bytes) == plan.writes
    assert sum(ceil(each / WRITE_UNIT_BYTES) for each in stage.written_bytes) == plan.write_units
    assert stage.read == plan.reads


def test_a_message_and_a_record_are_as_large_as_is_planned() -> None:
    stage = run(text="x" * 1_000, result="y" * 100)
    (body,) = [each.body for each in stage.memory.requests if isinstance(each, SendMessage)]
    assert 0.8 * ENVELOPE_BYTES <= len(body) - 1_000 <= ENVELOPE_BYTES
    begun, ended = stage.written_bytes
    assert 0.8 * CLAIM_BYTES <= begun <= CLAIM_BYTES
    assert 0.8 * ENDING_BYTES <= ended - 100 <= ENDING_BYTES


def test_a_large_result_is_billed_by_the_kilobyte() -> None:
    stage = run(result="y" * 3_000)
    plan = counts(Workload(1, result_kb=3_000 / 1_024), "ecs")
    assert sum(ceil(each / WRITE_UNIT_BYTES) for each in stage.written_bytes) == plan.write_units


def test_what_is_too_large_goes_to_the_bucket_as_is_planned() -> None:
    stage = run(text="x" * 300_000, result="y" * 5_000)
    plan = counts(Workload(1, payload_kb=300_000 / 1_024, result_kb=5_000 / 1_024), "ecs")
    assert stage.asked(PutObject) == plan.puts == 2
    assert stage.asked(GetObject) == plan.gets == 1
    (body,) = [each.body for each in stage.memory.requests if isinstance(each, SendMessage)]
    assert len(body) <= POINTER_BYTES
    assert len(stage.written_bytes) == plan.write_units == 2


def test_the_members_of_a_chord_ask_for_what_is_planned() -> None:
    stage = Counting()
    member = stage.app.task(name=NAME)(lambda number: number)
    body = stage.app.task(name="shop.reports.gather")(lambda numbers: len(numbers))
    chord([member.s(number) for number in range(MEMBERS)], body.s()).delay()
    stage.work(2 * MEMBERS)
    one = counts(Workload(1, batch_size=1), "ecs")
    each = counts(Workload(1, batch_size=1, chord_share=1), "ecs")
    assert len(stage.written_bytes) == pytest.approx(MEMBERS * each.writes + one.writes)
    assert stage.read == pytest.approx(MEMBERS * each.reads)
    units = sum(ceil(each / WRITE_UNIT_BYTES) for each in stage.written_bytes)
    assert units == pytest.approx(MEMBERS * each.write_units + one.write_units)
    sent = [each for each in stage.memory.requests if isinstance(each, SendMessage)]
    assert len(sent) == MEMBERS * each.sends + one.sends
    assert len(sent[0].body) <= ENVELOPE_BYTES + MEMBER_BYTES
    assert stage.written_bytes[0] <= CLAIM_BYTES + MEMBER_RECORD_BYTES


def test_the_sizes_above_which_things_go_to_the_bucket_are_those_of_the_settings() -> None:
    assert SETTINGS["message_inline_limit_bytes"].default == INLINE_MESSAGE_BYTES
    assert SETTINGS["result_inline_limit_bytes"].default == INLINE_RESULT_BYTES


@pytest.mark.parametrize(
    ("payload_kb", "sends", "billed"),
    [(1, 0.1, 0.3), (6, 0.1, 0.3), (7, 0.1, 0.5), (64, 0.1, 2.3), (200, 0.2, 6.5)],
)
def test_sqs_bills_sixty_four_kilobytes_as_a_request(
    payload_kb: float, sends: float, billed: float
) -> None:
    plan = counts(Workload(1, payload_kb=payload_kb, sent_together=10), "ecs")
    assert plan.sends == pytest.approx(sends)
    assert plan.billed_requests == pytest.approx(billed)


def test_tasks_that_run_together_share_the_requests_for_their_records() -> None:
    for together, requests in [(1, 1.1), (2, 0.6), (10, 0.2), (100, 0.2)]:
        plan = counts(Workload(1, lambda_concurrency=together), "lambda")
        assert plan.of_worker("lambda") == plan.write_requests == pytest.approx(requests)
