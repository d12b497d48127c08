"""One run of an entry at a time: an occurrence is missed while the one before it goes on."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from caraway import states
from caraway.aws.memory import Fate
from caraway.core.context import Context
from caraway.core.disposition import Delete
from caraway.core.ids import occurrence_id
from caraway.core.overlaps import GONE_S, key_of
from caraway.core.record import DONE, FAILED, RETRY
from caraway.exceptions import EndpointUnreachable, Reject, Retry, TaskMissed
from caraway.requests.base import Request
from caraway.requests.dynamodb import GetItem, UpdateItem
from caraway.schedules import crontab
from tests.clockwork import LEASE_S, MONDAY, Clockwork
from tests.support import Fates, to_phase

HOUR = timedelta(hours=1)
NEXT = MONDAY + HOUR
LATER = NEXT + HOUR


def hourly(**entry: Any) -> Clockwork:
    return Clockwork(crontab(minute=0), overlap="skip", **entry)


def begun(
    work: Clockwork, outcome: BaseException | None = None, at: datetime = MONDAY
) -> Clockwork:
    """Let an occurrence begin, and end as it is told; else its worker dies."""

    def run(_request: Context) -> None:
        work.run = lambda _request: None
        if outcome is not None:
            raise outcome

    work.run = run
    if outcome is None:
        work.aws.fate = Fates().on(UpdateItem, "fail", where=to_phase(DONE))
    with suppress(EndpointUnreachable):
        work.fire(at)
    return work


def holder(work: Clockwork) -> str:
    item = work.aws.item(work.app.conf.task_table, key_of("tick"))
    assert item is not None
    return str(item["holder"])


# -- what goes on, and what has ended --------------------------------------------------------------


def test_occurrences_that_do_not_overlap_all_run() -> None:
    work = hourly()
    for time in (MONDAY, NEXT, LATER):
        assert work.fire(time) == Delete(states.SUCCESS)
    assert work.ran == [MONDAY, NEXT, LATER]
    assert holder(work) == occurrence_id("tick", LATER)


def test_an_occurrence_is_missed_while_the_one_before_it_runs() -> None:
    work = hourly()
    answers: list[Any] = []

    def run(_request: Context) -> None:
        work.run = lambda _request: None
        answers.append(work.fire(NEXT))

    work.run = run
    assert work.fire(MONDAY) == Delete(states.SUCCESS)
    assert answers == [Delete(states.MISSED)]
    assert work.ran == [MONDAY]
    with pytest.raises(TaskMissed, match=r"the run of 2026-06-01T09:00:00\+00:00 is still going"):
        work.result(NEXT).get()
    assert work.fire(LATER) == Delete(states.SUCCESS)


@pytest.mark.parametrize(
    "outcome", [Retry(when=900), Retry(), Reject("busy", requeue=True)], ids=repr
)
def test_a_run_that_is_tried_again_goes_on_until_then(outcome: Exception) -> None:
    work = begun(hourly(), outcome)
    assert work.record(MONDAY).phase == RETRY
    assert work.fire(NEXT) == Delete(states.MISSED)
    work.sent() if isinstance(outcome, Retry) else work.fire(MONDAY)
    assert work.ran == [MONDAY, MONDAY]
    assert work.fire(LATER) == Delete(states.SUCCESS)


@pytest.mark.parametrize("outcome", [ValueError("no"), Reject("never")], ids=repr)
def test_a_run_that_has_failed_is_over(outcome: Exception) -> None:
    work = begun(hourly(), outcome)
    assert work.record(MONDAY).phase in (DONE, FAILED)
    assert work.fire(NEXT) == Delete(states.SUCCESS)


def test_a_task_that_other_tasks_replace_goes_on_until_these_have_ended() -> None:
    work = hourly()
    other = work.app.task(name="other")(lambda: "done")

    def run(_request: Context) -> None:
        work.run = lambda _request: None
        work.app.tasks["tick"].replace(other.s())

    work.run = run
    work.fire(MONDAY)
    assert work.fire(NEXT) == Delete(states.MISSED)
    work.sent()
    assert work.fire(LATER) == Delete(states.SUCCESS)
    assert work.result(MONDAY).get() == "done"


def test_a_run_whose_worker_died_goes_on_until_it_is_taken_over() -> None:
    work = begun(hourly())
    assert work.fire(NEXT) == Delete(states.MISSED)
    work.aws.pass_time(LEASE_S + 1)
    assert work.fire(MONDAY) == Delete(states.SUCCESS)
    assert work.ran == [MONDAY, MONDAY]
    assert work.fire(LATER) == Delete(states.SUCCESS)


def test_a_run_that_nobody_took_over_for_long_is_given_up() -> None:
    work = begun(hourly())
    work.aws.pass_time(LEASE_S + GONE_S - 10)
    assert work.fire(NEXT) == Delete(states.MISSED)
    work.aws.pass_time(20)
    assert work.fire(LATER) == Delete(states.SUCCESS)


def test_one_that_comes_back_after_it_was_given_up_runs_beside_nobody() -> None:
    work = begun(hourly())
    work.aws.pass_time(LEASE_S + GONE_S + 10)
    answers: list[Any] = []

    def run(_request: Context) -> None:
        work.run = lambda _request: None
        answers.append(work.fire(MONDAY))

    work.run = run
    work.fire(LATER)
    assert answers == [Delete(states.MISSED)]


def test_a_run_whose_record_has_expired_is_over() -> None:
    work = begun(hourly())
    del work.aws.items[work.app.conf.task_table, occurrence_id("tick", MONDAY)]
    assert work.fire(NEXT) == Delete(states.SUCCESS)


def test_a_revoked_run_is_over() -> None:
    work = begun(hourly(), Retry(when=900))
    work.app.control.revoke(occurrence_id("tick", MONDAY))
    assert work.fire(NEXT) == Delete(states.SUCCESS)


def test_a_dead_letter_that_is_redriven_runs_because_somebody_asked_for_it() -> None:
    work = begun(hourly(), Reject("never"))
    (letter,) = work.aws.bodies("default-dlq")
    answers: list[Any] = []

    def run(_request: Context) -> None:
        work.run = lambda _request: None
        answers.append(work.deliver(letter))

    work.run = run
    work.fire(NEXT)
    assert answers == [Delete(states.SUCCESS)]
    assert work.ran == [MONDAY, NEXT, MONDAY]


# -- the item --------------------------------------------------------------------------------------


def test_an_occurrence_that_died_before_it_had_the_item_is_judged_anew() -> None:
    work = hourly()
    work.aws.fate = Fates().on(UpdateItem, "fail", where=takes_the_item)
    with pytest.raises(EndpointUnreachable):
        work.fire(MONDAY)
    begun(work, at=NEXT)
    assert holder(work) == occurrence_id("tick", NEXT)
    assert work.fire(MONDAY) == Delete(states.MISSED)
    assert work.ran == [NEXT]


def takes_the_item(request: Request[Any]) -> bool:
    return isinstance(request, UpdateItem) and "holder" in request.change.assign


@pytest.mark.parametrize("fate", ["repeat", "lose"])
def test_an_answer_that_is_lost_does_not_make_it_miss_itself(fate: Fate) -> None:
    work = hourly()
    work.fire(MONDAY)
    work.aws.fate = Fates().on(UpdateItem, fate, where=takes_the_item)
    with suppress(EndpointUnreachable):
        work.fire(NEXT)
    work.aws.pass_time(LEASE_S + 1)
    work.fire(NEXT)
    assert work.record(NEXT).state == states.SUCCESS


def test_it_costs_two_reads_and_a_write_and_other_entries_nothing() -> None:
    work = hourly()
    work.fire(MONDAY)
    work.aws.requests.clear()
    work.fire(NEXT)
    asked = [type(request) for request in work.aws.requests]
    assert (asked.count(GetItem), asked.count(UpdateItem)) == (2, 3)
    other = Clockwork(crontab(minute=0))
    other.fire(MONDAY)
    assert [type(request) for request in other.aws.requests] == [UpdateItem, UpdateItem]


def test_the_item_expires_with_the_records() -> None:
    work = hourly()
    work.fire(MONDAY)
    item = work.aws.item(work.app.conf.task_table, key_of("tick"))
    record = work.aws.item(work.app.conf.task_table, occurrence_id("tick", MONDAY))
    assert item is not None
    assert record is not None
    assert (item["due"], item["ttl"]) == (MONDAY.isoformat(), record["ttl"])


def test_a_task_that_takes_no_claim_takes_one_so_that_it_is_seen_to_run() -> None:
    work = hourly(task="plain")
    work.app.task(name="plain", idempotent=True)(lambda: work.fire(NEXT).why)
    work.fire(MONDAY)
    assert work.result(MONDAY).get() == states.MISSED
