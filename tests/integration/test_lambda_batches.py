"""Quick tasks of one invocation, which share their requests: what a crash and a delay cost them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Queue
from caraway.core.record import DONE, RETRY, RUNNING
from caraway.workers import line
from tests.integration.conftest import PATIENCE_S
from tests.integration.test_lambda_door import Door

if TYPE_CHECKING:
    from caraway import Caraway
    from tests.integration.conftest import Place

pytestmark = pytest.mark.usefixtures("loggers_as_they_were")


@pytest.fixture
def door(moto: Place, monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setattr(line, "AHEAD_S", PATIENCE_S)  # a busy machine may pass for a quick one
    return Door(moto, moto.app(Queue("default")))


def known(door: Door, task: Any, *args: Any) -> None:
    """Let a task have run once, so that it is known to be quick."""
    task.delay(*args)
    assert door.invoke() == []


def let_its_lease_end(place: Place, app: Caraway, id: str) -> None:
    place.client("dynamodb").update_item(
        TableName=app.conf.task_table,
        Key={"id": {"S": id}},
        UpdateExpression="SET open_at = :now",
        ExpressionAttributeValues={":now": {"N": "0"}},
    )


def test_a_function_that_dies_costs_its_quick_tasks_a_run_and_none_is_blamed(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "TOLD_S", PATIENCE_S)
    ran: list[int] = []

    @door.app.task
    def work(number: int) -> int:
        ran.append(number)
        if number == 1 and ran.count(1) == 1:
            raise KeyboardInterrupt  # which ends the invocation, as nothing else of a task does
        return number

    known(door, work, 5)
    results = [work.delay(number) for number in range(3)]
    event = door.event()
    with pytest.raises(KeyboardInterrupt):
        door.invoke(event)
    assert ran == [5, 0, 1]
    for result in results:
        record = door.place.record(door.app, result.id)
        assert record.phase == RUNNING  # the ending of the first one waited for the others'
        let_its_lease_end(door.place, door.app, result.id)
    for record in event["Records"]:
        record["attributes"]["ApproximateReceiveCount"] = "2"
    assert door.invoke(event) == []
    assert ran == [5, 0, 1, 0, 1, 2]
    for number, result in enumerate(results):
        assert result.get(timeout=0) == number
        assert door.place.record(door.app, result.id).lost == 0


def test_what_waits_behind_a_task_that_is_slow_for_once_is_given_back(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "PATIENCE_S", 0.05)

    def phases() -> list[str | None]:
        return [door.place.record(door.app, result.id).phase for result in results]

    @door.app.task
    def work(number: int) -> int:
        until = time.monotonic() + PATIENCE_S
        while number == 0 and phases()[1:] != [RETRY, RETRY] and time.monotonic() < until:
            time.sleep(0.01)
        return number

    known(door, work, 5)
    results = [work.delay(number) for number in range(3)]
    event = door.event()
    ids = [record["messageId"] for record in event["Records"]]
    assert door.invoke(event) == ids[1:]
    assert phases() == [DONE, RETRY, RETRY]
    again = door.event()
    assert [record["messageId"] for record in again["Records"]] == ids[1:]  # visible at once
    assert door.invoke(again) == []
    assert [result.get(timeout=0) for result in results] == [0, 1, 2]


def test_a_task_that_may_begin_once_only_is_claimed_when_it_begins(door: Door) -> None:
    @door.app.task(at_most_once=True)
    def pay(number: int) -> list[str]:
        return [result.state for result in results if result.state == "STARTED"]

    known(door, pay, 5)
    results: list[Any] = []
    results += [pay.delay(number) for number in range(3)]
    assert door.invoke() == []
    assert [result.get(timeout=0) for result in results] == [["STARTED"]] * 3
