"""The runs of an entry: what the records of its last occurrences say, and what that costs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from caraway.core.ids import occurrence_id
from caraway.core.message import Message
from caraway.core.port import run_now
from caraway.core.run_history import DEPTHS, Run, Summary, history, last_runs, summary
from caraway.core.timing import Timing
from caraway.exceptions import Retry
from caraway.requests.dynamodb import BatchGetItem
from caraway.requests.s3 import GetObject
from caraway.schedules import clocked, crontab, schedule
from tests.stage import Stage

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
HOURLY = Timing(crontab(0))


class Shift(Stage):
    """Tasks that take a while, each in its way, and the occurrences that run them."""

    def __init__(self, **conf: Any) -> None:
        super().__init__(**conf)
        self.memory.time = NOON
        self.app.task(name="clean")(self.memory.pass_time)
        self.app.task(name="fail")(self._fail)
        self.app.task(name="again")(_again)
        self.app.task(name="quiet", idempotent=True, ignore_result=True)(lambda: None)

    def _fail(self, seconds: float, why: str) -> None:
        self.memory.pass_time(seconds)
        raise ValueError(why)

    def occur(
        self, due: datetime, task: str, *args: Any, late_s: float = 0.5, when: Any = None
    ) -> None:
        """Run the occurrence of entry "tick" that is due at a time, some moments later."""
        self.memory.time = due + timedelta(seconds=late_s)
        id = occurrence_id("tick", due)
        self.deliver(Message(id, task, args, schedule="tick", scheduled_time=due, when=when))

    def history(self, count: int = 5, timing: Timing = HOURLY, **options: Any) -> list[Run]:
        return run_now(history(self.memory, self.app.site, "tick", timing, count, **options))

    def reads(self) -> int:
        return sum(isinstance(each, BatchGetItem) for each in self.memory.requests)


@pytest.fixture
def shift() -> Shift:
    return Shift()


def hours(count: int) -> datetime:
    return NOON + timedelta(hours=count)


def test_a_run_is_told_by_the_record_of_its_occurrence(shift: Shift) -> None:
    shift.occur(NOON, "clean", 90.0)
    (run,) = shift.history(1)
    assert run == Run(
        id=occurrence_id("tick", NOON),
        scheduled_time=NOON,
        state="SUCCESS",
        started_at=NOON + timedelta(seconds=0.5),
        ended_at=NOON + timedelta(seconds=90.5),
        door="ecs",
    )
    assert run.duration_s == 90.0
    assert run.has_begun


def test_runs_come_the_latest_first_and_so_do_occurrences_that_never_ran(shift: Shift) -> None:
    shift.occur(NOON, "clean", 1.0)
    shift.occur(hours(2), "clean", 1.0)
    shift.memory.time = hours(3)
    runs = shift.history(4)
    assert [run.scheduled_time for run in runs] == [hours(3), hours(2), hours(1), NOON]
    assert [run.state for run in runs] == ["PENDING", "SUCCESS", "PENDING", "SUCCESS"]
    assert [run.has_begun for run in runs] == [False, True, False, True]
    assert [run.scheduled_time for run in shift.history(2, before=hours(1))] == [hours(1), NOON]


def test_why_a_run_failed_is_told(shift: Shift) -> None:
    shift.occur(NOON, "fail", 3.0, "no stock")
    (run,) = shift.history(1)
    assert (run.state, run.reason, run.duration_s) == ("FAILURE", "ValueError: no stock", 3.0)


def test_a_long_error_is_read_from_s3_and_a_long_result_is_not() -> None:
    shift = Shift(payload_bucket="payloads", result_inline_limit_bytes=100)
    shift.app.task(name="long")(lambda: "x" * 1_000)
    shift.occur(NOON, "fail", 0.0, "w" * 1_000)
    shift.occur(hours(1), "long")
    long, failed = shift.history(2)
    assert (long.state, failed.reason) == ("SUCCESS", f"ValueError: {'w' * 1_000}")
    assert sum(isinstance(each, GetObject) for each in shift.memory.requests) == 1
    shift.memory.objects.clear()
    (_, failed) = shift.history(2)
    assert failed.reason is not None
    assert failed.reason.startswith("PayloadMissing")


def test_a_run_that_is_retried_has_not_ended(shift: Shift) -> None:
    shift.occur(NOON, "again")
    (run,) = shift.history(1)
    assert (run.state, run.ended_at, run.duration_s) == ("RETRY", None, None)
    shift.memory.pass_time(600)
    shift.work_once()
    (run,) = shift.history(1)
    assert run.retries == 1
    assert run.started_at == NOON + timedelta(seconds=600.5)


def test_a_run_that_goes_on_is_started() -> None:
    shift = Shift(task_track_started=False)
    seen: list[Run] = []
    shift.app.task(name="look")(lambda: seen.extend(shift.history(1)))
    shift.occur(NOON, "look")
    assert [(run.state, run.ended_at) for run in seen] == [("STARTED", None)]


def test_an_occurrence_that_was_missed_is_told_with_the_reason_and_took_no_time(
    shift: Shift,
) -> None:
    grace = {**HOURLY.to_json(), "grace_s": 60}
    shift.occur(NOON, "clean", 1.0, late_s=600, when=grace)
    (run,) = shift.history(1)
    assert (run.state, run.duration_s, run.has_begun) == ("MISSED", None, True)
    assert run.reason is not None
    assert "its grace is 60 s" in run.reason
    assert summary([run]) == Summary({"MISSED": 1}, None)


def test_when_a_run_was_is_told_also_when_its_result_has_expired(shift: Shift) -> None:
    shift.occur(NOON, "fail", 3.0, "no stock")
    shift.memory.pass_time(2 * 86_400)
    (run,) = shift.history(1, Timing(clocked(NOON)))
    assert (run.state, run.duration_s, run.reason) == ("FAILURE", 3.0, None)


def test_a_task_that_keeps_no_record_has_no_history(shift: Shift) -> None:
    shift.occur(NOON, "quiet")
    assert shift.history(1) == [Run(occurrence_id("tick", NOON), NOON)]


def test_who_ran_it_is_told_where_records_keep_that() -> None:
    shift = Shift(result_extended=True)
    shift.occur(NOON, "clean", 0.0)
    (run,) = shift.history(1)
    assert run.worker == "worker"


def test_runs_are_summed_up(shift: Shift) -> None:
    for hour, seconds in enumerate([5.0, 1.0, 3.0]):
        shift.occur(hours(hour), "clean", seconds)
    assert summary(shift.history(4)) == Summary({"SUCCESS": 3}, 3.0)
    shift.occur(hours(3), "fail", 4.0, "no")
    told = summary(shift.history(5))
    assert (told.runs, told.failures, told.median_s) == (4, 1, 3.5)
    assert summary([]) == Summary({}, None)
    assert summary([Run("id", NOON)]).runs == 0


# -- the last runs of many ------------------------------------------------------------------------


def test_the_last_run_is_the_last_occurrence_that_has_begun(shift: Shift) -> None:
    shift.occur(NOON, "clean", 1.0)
    shift.occur(hours(1), "fail", 1.0, "no")
    shift.memory.time = hours(1) + timedelta(minutes=59)
    timings = {"tick": HOURLY, "never": Timing(crontab(30)), "later": Timing(clocked(hours(9)))}
    found = run_now(last_runs(shift.memory, shift.app.site, timings))
    assert {name: (run.scheduled_time, run.state) for name, run in found.items()} == {
        "tick": (hours(1), "FAILURE")
    }
    shift.memory.time = hours(31)
    found = run_now(last_runs(shift.memory, shift.app.site, timings))
    assert found["tick"].scheduled_time == hours(1)
    shift.memory.time = hours(sum(DEPTHS) + 1)
    assert run_now(last_runs(shift.memory, shift.app.site, timings)) == {}


@pytest.mark.parametrize(("waiting", "requests"), [(0, 10), (1, 40), (3, 40)])
def test_the_last_runs_of_a_thousand_entries_cost_ten_to_forty_requests(
    shift: Shift, waiting: int, requests: int
) -> None:
    """As many of their last occurrences wait in the queue."""
    timings = {f"entry {number}": Timing(schedule(600)) for number in range(1_000)}
    table = shift.app.site.records.table
    for name in timings:
        id = occurrence_id(name, NOON - timedelta(seconds=600 * waiting))
        shift.memory.items[table, id] = {"id": id, "phase": "done", "state": "SUCCESS"}
    assert len(run_now(last_runs(shift.memory, shift.app.site, timings))) == 1_000
    assert shift.reads() == requests


def test_a_history_of_a_hundred_runs_is_one_request_that_may_be_some_moments_behind(
    shift: Shift,
) -> None:
    assert len(shift.history(100, Timing(schedule(1)))) == 100
    (read,) = shift.memory.requests
    assert isinstance(read, BatchGetItem)
    assert not read.consistent


def _again() -> None:
    raise Retry(exc=KeyError("busy"), when=600)
