"""Occurrences that are late, and that come while another one runs, on every engine."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from caraway import states
from caraway.core.beat import entries, schedules
from caraway.core.disposition import Delete
from caraway.core.ids import occurrence_id
from caraway.core.retry import RetryPolicy
from caraway.core.stored import Owner
from caraway.core.stores import Stores
from caraway.requests.sqs import SendMessage
from tests.contract.house import QUEUE, FakeTask, House

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.conftest import Harness

DAY = timedelta(days=1)
PATIENT = RetryPolicy(autoretry_for=(ConnectionError,), default_retry_delay_s=0)


class Beat:
    """An entry of the schedule, every day, whose occurrences come when the test says so."""

    def __init__(self, harness: Harness, task: FakeTask, **policy: Any) -> None:
        self.house, self.entry = House(harness, task), harness.unique_name()
        now: datetime = harness.aws.now()
        self.day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        said = {"task": task.name, "schedule": 86_400, **policy}
        (self._stored,) = schedules(
            self.house.site,
            Stores.of(Owner("shop")).current,
            entries({self.entry: said}),
            zone=timezone.utc,
            now=now,
        )

    def fire(self, due: datetime) -> str:
        """Send what EventBridge would send for a time; return the id of the task."""
        body = f'{self._stored.text[:-1]},"scheduled_time":"{due.isoformat()}"}}'
        url = self.house.url(QUEUE.sqs_name(self.house.site.queue_prefix))
        self.house.harness.perform(SendMessage(url, body))
        return occurrence_id(self.entry, due)

    def work(self) -> None:
        """Run the message that lies on the queue."""
        self.house.run(self.house.receive())

    def work_twice(self) -> None:
        """Run the message that lies on the queue, and once more as if it had not been deleted."""
        received = self.house.receive()
        assert isinstance(self.house.execute(received), Delete)
        assert isinstance(self.house.run(received), Delete)

    def why(self, id: str) -> str:
        """Return why an occurrence was missed."""
        seen = self.house.look(id)
        assert seen.state == states.MISSED
        return str(seen.result)


def telling(answers: list[str | Exception]) -> Callable[[], str]:
    """Return a function that takes its answers from a list, one a run."""

    def function() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return function


def test_an_occurrence_beyond_its_grace_is_missed_once_and_for_all(harness: Harness) -> None:
    task = FakeTask("report", lambda: "made")
    beat = Beat(harness, task, misfire_grace_s=216_000)
    late = beat.fire(beat.day - 3 * DAY)
    beat.work_twice()
    in_time = beat.fire(beat.day - DAY)
    beat.work_twice()
    assert "its grace is 216000 s" in beat.why(late)
    assert beat.house.look(in_time).result == "made"
    assert task.ran == [()]


def test_of_late_occurrences_the_latest_runs(harness: Harness) -> None:
    task = FakeTask("report", lambda: "made")
    beat = Beat(harness, task, catch_up="latest")
    ids = []
    for days in (2, 1, 0):
        ids.append(beat.fire(beat.day - days * DAY))
        beat.work()
    assert "a later one was due" in beat.why(ids[0])
    assert "a later one was due" in beat.why(ids[1])
    assert beat.house.look(ids[2]).result == "made"
    assert task.ran == [()]


def test_an_occurrence_is_missed_while_another_one_goes_on_and_the_next_one_runs(
    harness: Harness,
) -> None:
    answers: list[str | Exception] = [ConnectionError("not yet"), "made", "made anew"]
    beat = Beat(harness, FakeTask("report", telling(answers), PATIENT), overlap="skip")
    url = beat.house.url(QUEUE.sqs_name(beat.house.site.queue_prefix))
    first = beat.fire(beat.day - 2 * DAY)
    beat.work()
    assert beat.house.look(first).state == states.RETRY
    retried = beat.house.receive()  # its second attempt, which nobody has begun yet
    second = beat.fire(beat.day - DAY)
    beat.work()
    assert f"is still going: task {first}" in beat.why(second)
    beat.house.run(retried)
    assert beat.house.look(first).result == "made"
    third = beat.fire(beat.day)
    beat.work()
    assert beat.house.look(third).result == "made anew"
    assert beat.house.harness.visible_now(url) == []


def test_an_occurrence_that_is_fired_again_while_it_goes_on_does_not_miss_itself(
    harness: Harness,
) -> None:
    answers: list[str | Exception] = [ConnectionError("not yet"), "made"]
    beat = Beat(harness, FakeTask("report", telling(answers), PATIENT), overlap="skip")
    id = beat.fire(beat.day)
    beat.work()
    retried = beat.house.receive()
    beat.fire(beat.day)
    beat.work()  # it finds the retry, and sends that again
    beat.house.run(retried)
    assert beat.house.look(id).result == "made"
    beat.work()  # of the one sent again nothing is left to do
    assert answers == []
