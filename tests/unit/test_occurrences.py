"""From a firing to what is due: nothing, the firing itself, or occurrences sent with a delay."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest

from caraway import Caraway
from caraway.core.disposition import Delete, Leave
from caraway.core.ids import occurrence_id
from caraway.core.policies import jitter_of
from caraway.core.port import run_now
from caraway.requests.sqs import ReceiveMessages
from caraway.schedules import clocked, crontab, schedule, solar
from tests.clockwork import MONDAY, UTC, Clockwork


def times(first: datetime, *seconds: int) -> list[datetime]:
    return [first + timedelta(seconds=each) for each in seconds]


def test_a_rule_that_fires_exactly_when_its_entry_is_due_is_asked_nothing() -> None:
    work = Clockwork(crontab(0, 9))
    assert json.loads(work.rule.text)["when"] == {"crontab": "0 9 * * *", "tz": "UTC"}
    assert work.fire(MONDAY) == Delete("SUCCESS")
    assert work.ran == [MONDAY]


def test_a_firing_at_which_nothing_is_due_ends_there() -> None:
    work = Clockwork(crontab(0, 9, "mon", "8-14"))
    assert work.fire(MONDAY) == Delete("it is not due")
    assert work.fire(MONDAY + timedelta(days=7)) == Delete("SUCCESS")
    assert work.ran == [MONDAY + timedelta(days=7)]


def test_a_firing_that_is_delivered_twice_is_one_task() -> None:
    work = Clockwork(crontab(0, 9, "mon", "1-7"))
    assert work.fire(MONDAY) == Delete("SUCCESS")
    assert work.fire(MONDAY) == Delete("it is SUCCESS already")
    assert work.ran == [MONDAY]


def test_a_zone_is_asked_when_its_hour_is() -> None:
    work = Clockwork(crontab(0, 9, tz="Europe/Berlin"))
    assert work.fire(MONDAY.replace(hour=8)) == Delete("it is not due")
    assert work.fire(MONDAY.replace(hour=7)) == Delete("SUCCESS")
    winter = datetime(2026, 12, 1, 8, tzinfo=UTC)
    assert work.fire(winter) == Delete("SUCCESS")
    assert work.ran == [MONDAY.replace(hour=7), winter]


def test_seconds_are_sent_with_a_delay_under_ids_that_their_times_decide() -> None:
    work = Clockwork(schedule(20))
    assert work.fire(MONDAY) == Delete("occurrences sent: 3")
    assert work.fire(MONDAY) == Delete("occurrences sent: 3")
    seen = work.sent()
    assert sorted(set(seen)) == times(MONDAY, 0, 20, 40)
    assert work.ran == times(MONDAY, 0, 20, 40), "though each was sent twice"


def test_an_occurrence_that_is_already_past_is_sent_at_once() -> None:
    work = Clockwork(schedule(20))
    work.aws.time += timedelta(seconds=45)
    work.fire(MONDAY)
    assert set(work.sent()) == {MONDAY + timedelta(seconds=45)}
    assert sorted(work.ran) == times(MONDAY, 0, 20, 40)


def test_the_sun_is_waited_for_within_a_quarter_of_an_hour() -> None:
    work = Clockwork(solar("sunset", 48.86, 2.35))
    sunset = solar("sunset", 48.86, 2.35).after(MONDAY)
    assert sunset is not None
    quarter = sunset.replace(minute=sunset.minute // 15 * 15, second=0)
    assert work.fire(quarter - timedelta(minutes=15)) == Delete("it is not due")
    assert work.fire(quarter) == Delete("occurrences sent: 1")
    assert work.sent() == [sunset]
    assert work.ran == [sunset]


def test_a_moment_with_seconds_is_met_to_the_second() -> None:
    moment = MONDAY + timedelta(seconds=75)
    work = Clockwork(clocked(moment))
    work.fire(MONDAY + timedelta(minutes=1))
    assert work.sent() == work.ran == [moment]


def test_nothing_is_run_before_the_start_or_after_the_end() -> None:
    hour = timedelta(hours=1)
    work = Clockwork(crontab(0), start=MONDAY + hour, end=MONDAY + 2 * hour)
    done = [work.fire(MONDAY + hour * each).why for each in range(4)]
    assert done == ["it is not due", "SUCCESS", "SUCCESS", "it is not due"]


def test_the_seconds_of_a_rule_do_not_matter() -> None:
    work = Clockwork(crontab(0, 9, "mon", "1-7"))
    work.fire(MONDAY + timedelta(seconds=37))
    assert work.ran == [MONDAY]


def test_a_fifo_queue_takes_no_delay_so_that_its_messages_wait_there() -> None:
    work = Clockwork(schedule(30), queue="ticks.fifo")
    assert work.fire(MONDAY) == Delete("occurrences sent: 2")
    received = run_now(work.aws.perform(ReceiveMessages("memory://ticks.fifo", limit=10)))
    done = [work.deliver(message.body) for message in received]
    assert done == [Delete("SUCCESS"), Leave(30, "it is due in 30 s")]


def jitter_at(time: datetime, jitter_s: int) -> timedelta:
    return jitter_of(occurrence_id("tick", time), jitter_s)


def test_an_occurrence_with_a_jitter_is_sent_with_a_delay_that_its_id_decides() -> None:
    work = Clockwork(crontab(0, 9), jitter_s=900)
    jitter = jitter_at(MONDAY, 900)
    assert jitter > timedelta(seconds=1)
    for _ in range(2):
        assert isinstance(work.fire(MONDAY), Delete)
    assert set(work.sent()) == {MONDAY + jitter}
    assert work.ran == [MONDAY], "under the time at which it was due"
    assert work.record(MONDAY).due_at == (MONDAY + jitter).timestamp()


def test_a_jitter_that_is_over_delays_nothing() -> None:
    work = Clockwork(crontab(0, 9), jitter_s=900)
    work.aws.time += timedelta(seconds=900)
    assert work.fire(MONDAY) == Delete("SUCCESS")


def test_each_of_several_occurrences_has_its_own_jitter() -> None:
    work = Clockwork(schedule(20), jitter_s=60)
    work.fire(MONDAY)
    due = {time: time + jitter_at(time, 60) for time in times(MONDAY, 0, 20, 40)}
    assert work.sent() == sorted(due.values())
    assert work.ran == sorted(due, key=lambda time: due[time])


def test_what_a_quarter_of_an_hour_and_a_jitter_come_to_is_waited_for_in_two_steps() -> None:
    work = Clockwork(solar("sunset", 48.86, 2.35), jitter_s=900)
    sunset = solar("sunset", 48.86, 2.35).after(MONDAY)
    assert sunset is not None
    work.fire(sunset.replace(minute=sunset.minute // 15 * 15, second=0, microsecond=0))
    seen = work.sent()
    assert work.ran == [sunset]
    assert timedelta() <= seen[-1] - (sunset + jitter_at(sunset, 900)) < timedelta(seconds=1)


def test_the_messages_of_occurrences_carry_what_may_miss_them_and_no_more() -> None:
    work = Clockwork(schedule(20), misfire_grace_s=60, jitter_s=5)
    work.fire(MONDAY)
    kept = [json.loads(body)["when"] for body in work.aws.bodies("default")]
    assert kept == [{"every_s": 20, "grace_s": 60, "jitter_s": 5}] * 3
    plain = Clockwork(schedule(20), jitter_s=5)
    plain.fire(MONDAY)
    assert all("when" not in json.loads(body) for body in plain.aws.bodies("default"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"scheduled_time": "9999-12-31T23:59:00Z", "when": {"every_s": 60, "jitter_s": 86_400}},
            "nothing can occur",
        ),
        ({"schedule": None, "id": "x"}, "the message has no schedule with its time"),
        ({"scheduled_time": None, "id": "x"}, "the message has no schedule with its time"),
        ({"scheduled_time": "9999-12-31T23:59:30Z"}, "nothing can occur"),
        ({"when": {"every_s": 5, "covers_s": 0}}, "covers_s is 0, not 1 to 900 seconds"),
        ({"when": {"every_s": 5, "covers_s": 901}}, "covers_s is 901"),
        ({"when": {"every_s": 0.001, "covers_s": 60}}, "a second or more"),
        ({"when": {"covers_s": 60}}, "is no timing"),
    ],
)
def test_a_timing_that_cannot_be_read_is_a_dead_letter(changes: Any, reason: str) -> None:
    work = Clockwork(schedule(20))
    done = work.fire(MONDAY, **changes)
    assert isinstance(done, Delete)
    assert done.undeliverable
    assert reason in done.why
    assert work.ran == []


def test_a_timezone_of_the_app_is_its_crontabs() -> None:
    zone: tzinfo = Caraway("zoned", set_as_current=False).timezone
    when = crontab(0, 9, app=Caraway("zoned", set_as_current=False))
    assert str(when.tz) == str(zone) == "UTC"
