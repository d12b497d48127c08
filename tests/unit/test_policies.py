"""What becomes of an occurrence that is late: it runs, or it is missed."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway import signals, states
from caraway.announcing import EventSignals
from caraway.beat import schedules_of, stores_of
from caraway.core.beat import entries, plain_arguments
from caraway.core.disposition import Delete
from caraway.core.events import Ended
from caraway.core.ids import occurrence_id
from caraway.core.policies import Policy, jitter_of, why_missed
from caraway.core.port import run_now
from caraway.core.record import DONE
from caraway.core.schedule_changes import edited
from caraway.core.settle import Missed
from caraway.core.timing import Timing
from caraway.exceptions import (
    ChordError,
    EndpointUnreachable,
    ImproperlyConfigured,
    Reject,
    Retry,
    TaskMissed,
    TaskRevokedError,
    UnknownOption,
)
from caraway.requests.dynamodb import UpdateItem
from caraway.schedules import clocked, crontab, schedule, solar
from caraway.workers.logs import LogEvents
from tests.clockwork import MONDAY, UTC, Clockwork
from tests.support import Fates, to_phase

if TYPE_CHECKING:
    from caraway.core.context import Context

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
HOURLY = crontab(minute=0)

# -- the decision ----------------------------------------------------------------------------------

timings = st.sampled_from(
    [
        Timing(schedule(20)),
        Timing(schedule(3_600), start=MONDAY + timedelta(minutes=7)),
        Timing(crontab(minute="*/15", tz="Europe/Berlin")),
        Timing(crontab(0, 9, day_of_week="mon", tz="Asia/Tokyo")),
        Timing(crontab(0), end=MONDAY + 5 * HOUR),
        Timing(solar("sunset", 48.86, 2.35)),
        Timing(clocked(MONDAY + HOUR)),
    ]
)
policies = st.builds(
    Policy,
    st.none() | st.integers(0, 7_200),
    st.sampled_from([None, "skip", "latest", "all"]),
    st.sampled_from(["allow", "skip"]),
    st.integers(0, 900),
) | st.integers(1, 1_440).map(lambda minutes: Policy(jitter_s=minutes * 60, in_window=True))
lateness = st.integers(-60, 4 * 86_400).map(lambda seconds: timedelta(seconds=seconds))


@given(timings, policies, lateness)
def test_whatever_begins_within_its_jitter_and_its_grace_runs(
    timing: Timing, policy: Policy, late: timedelta
) -> None:
    due = timing.after(MONDAY - timedelta(days=8))
    assert due is not None
    why = why_missed(policy, timing, due, due + late)
    in_time = late.total_seconds() <= policy.jitter_s + (policy.grace_s or 0)
    if in_time or policy.late_ones == "all":
        assert why is None
    elif policy.late_ones == "skip":
        assert why is not None
        assert "its grace is" in why


@given(timings, policies, lateness)
def test_of_those_that_are_late_together_latest_runs_the_last_one(
    timing: Timing, policy: Policy, late: timedelta
) -> None:
    first = MONDAY - timedelta(days=8)
    now, policy = first + late, Policy(policy.grace_s, "latest", jitter_s=policy.jitter_s)
    due = timing.during(first, late)[-500:] if late > timedelta() else []
    run = [time for time in due if why_missed(policy, timing, time, now) is None]
    limit = timedelta(seconds=policy.jitter_s + (policy.grace_s or 0))
    is_last = timing.after(due[-1], now + timedelta(microseconds=1)) is None if due else True
    assert run == [time for time in due if now - time <= limit or (is_last and time == due[-1])]


@given(timings, policies, lateness)
def test_a_later_begin_never_saves_an_occurrence(
    timing: Timing, policy: Policy, late: timedelta
) -> None:
    due = timing.after(MONDAY - timedelta(days=8))
    assert due is not None
    if why_missed(policy, timing, due, due + late) is not None:
        assert why_missed(policy, timing, due, due + late + HOUR) is not None


def test_a_reason_names_the_time_and_what_it_was_measured_by() -> None:
    hourly = Timing(HOURLY)
    begun = MONDAY + timedelta(minutes=90)
    assert why_missed(Policy(300), hourly, MONDAY, begun) == (
        "it began 5,400 s after its time, 2026-06-01T09:00:00+00:00: its grace is 300 s"
    )
    assert why_missed(Policy(catch_up="latest"), hourly, MONDAY, begun) == (
        "it began 5,400 s after its time, 2026-06-01T09:00:00+00:00: a later one was due, "
        "2026-06-01T10:00:00+00:00"
    )


@given(policies)
def test_a_policy_travels(policy: Policy) -> None:
    wire = {"every_s": 60, **policy.to_json()}
    assert Policy.read(wire) == policy


def test_what_an_entry_does_not_say_does_not_travel() -> None:
    assert Policy().to_json() == {}
    assert Policy(60, overlap="skip").to_json() == {"grace_s": 60, "overlap": "skip"}


@given(st.text(), st.integers(0, 900))
def test_a_jitter_lies_within_its_bounds_and_stays(id: str, jitter_s: int) -> None:
    jitter = jitter_of(id, jitter_s)
    assert timedelta() <= jitter <= timedelta(seconds=jitter_s)
    assert jitter == jitter_of(id, jitter_s)


def test_jitters_are_spread_over_all_of_their_seconds() -> None:
    ids = [occurrence_id("tick", MONDAY + HOUR * each) for each in range(2_000)]
    assert {jitter_of(id, 60) for id in ids} == {timedelta(seconds=each) for each in range(61)}


# -- an entry --------------------------------------------------------------------------------------


def policy_of(**fields: Any) -> Policy:
    (entry,) = entries({"tick": {"task": "t", "schedule": HOURLY, **fields}})
    return entry.policy


def stored_policy(work: Clockwork) -> Policy:
    return Policy.read(json.loads(work.rule.text)["when"])


def test_an_entry_without_a_grace_runs_all_and_with_one_skips_what_is_late() -> None:
    assert policy_of() == Policy()
    assert policy_of().late_ones == "all"
    assert policy_of(misfire_grace_s=300) == Policy(300)
    assert policy_of(misfire_grace_s=timedelta(minutes=5)).late_ones == "skip"
    assert policy_of(catch_up="latest").grace_s is None
    assert policy_of(overlap="skip", jitter_s=30) == Policy(None, None, "skip", 30)
    assert policy_of(jitter_s=timedelta(minutes=5)).jitter_s == 300


def test_celerys_deadline_is_the_grace_of_crontabs_that_give_none() -> None:
    conf = {"beat_cron_starting_deadline": 3_600}
    assert stored_policy(Clockwork(HOURLY, conf=conf)) == Policy(3_600)
    assert stored_policy(Clockwork(HOURLY, conf=conf, misfire_grace_s=300)) == Policy(300)
    assert stored_policy(Clockwork(schedule(60), conf=conf)) == Policy(), "as in Celery"
    assert stored_policy(Clockwork(HOURLY, conf=conf, catch_up="all")).late_ones == "all"
    assert stored_policy(Clockwork(HOURLY, conf=conf, catch_up="skip")).grace_s == 3_600


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"misfire_grace_s": "300"}, "'misfire_grace_s' is '300', expected seconds"),
        ({"misfire_grace_s": True}, "'misfire_grace_s' is True, expected seconds"),
        ({"misfire_grace_s": -1}, "expected seconds, 0 or more"),
        ({"misfire_grace_s": float("nan")}, "expected seconds, 0 or more"),
        ({"catch_up": "last"}, "expected 'skip', 'latest' or 'all', did you mean 'latest'?"),
        ({"catch_up": False}, "'catch_up' is False, expected 'skip', 'latest' or 'all'"),
        ({"overlap": "deny"}, "'overlap' is 'deny', expected 'allow' or 'skip'"),
        ({"jitter_s": 1.5}, "'jitter_s' is 1.5, expected whole seconds"),
        ({"jitter_s": timedelta(seconds=1.5)}, "'jitter_s' is 1.5, expected whole seconds"),
        ({"jitter_s": True}, "'jitter_s' is True, expected whole seconds"),
        ({"jitter_s": -1}, "expected whole seconds from 0 to 86,400"),
        ({"jitter_s": 86_401}, "expected whole seconds from 0 to 86,400"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_by_its_entry(
    fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        policy_of(**fields)
    assert str(raised.value).startswith("beat_schedule['tick']: ")
    assert problem in str(raised.value)


def test_a_misspelt_policy_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownOption, match="did you mean 'misfire_grace_s'"):
        policy_of(misfire_grace=300)


SCHEDULER = {"scheduler_role_arn": "arn:aws:iam::123456789012:role/scheduler"}


def test_a_jitter_of_whole_minutes_is_a_window_of_scheduler_which_nobody_delays_once_more() -> None:
    work = Clockwork(HOURLY, conf=SCHEDULER, jitter_s=1_800, misfire_grace_s=60)
    assert work.rule.window_minutes == 30
    assert json.loads(work.rule.text)["when"]["window_s"] == 1_800
    work.aws.time = MONDAY + 30 * MINUTE
    assert work.fire(MONDAY) == Delete(states.SUCCESS)
    work.aws.time = MONDAY + HOUR + 32 * MINUTE
    assert work.fire(MONDAY + HOUR) == Delete(states.MISSED)


def test_the_worker_delays_a_jitter_for_which_there_is_no_window() -> None:
    work = Clockwork(HOURLY, conf=SCHEDULER, jitter_s=45)
    assert work.rule.window_minutes == 0
    assert json.loads(work.rule.text)["when"]["jitter_s"] == 45


def test_another_window_is_another_schedule() -> None:
    one, two = (Clockwork(HOURLY, conf=SCHEDULER, jitter_s=each).rule for each in (60, 120))
    assert one.digits() != two.digits()


def test_a_window_suits_a_fifo_queue() -> None:
    work = Clockwork(
        HOURLY, "ticks.fifo", conf=SCHEDULER, jitter_s=60, options={"queue": "ticks.fifo"}
    )
    assert work.rule.window_minutes == 1


@pytest.mark.parametrize(
    ("entry", "queue", "problem"),
    [
        ({"misfire_grace_s": 59}, "default", "EventBridge itself may be late by 60 s: use that"),
        ({"catch_up": "skip"}, "default", "nothing is late without a 'misfire_grace_s'"),
        ({"jitter_s": 901, "conf": SCHEDULER}, "default", "use whole minutes"),
        ({"jitter_s": 901}, "default", "SQS delays a message by 900 s at most"),
        (
            {"jitter_s": 5, "options": {"queue": "ticks.fifo"}},
            "ticks.fifo",
            "a FIFO queue takes",
        ),
    ],
)
def test_a_policy_that_nobody_could_keep_is_refused_at_sync(
    entry: dict[str, Any], queue: str, problem: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=problem):
        Clockwork(HOURLY, queue, **entry)


@pytest.mark.parametrize("expires", [600, timedelta(minutes=10)])
def test_the_option_expires_counts_from_the_time_of_each_occurrence(expires: Any) -> None:
    work = Clockwork(HOURLY, options={"expires": expires})
    for late, state in (10 * MINUTE, states.SUCCESS), (HOUR + 11 * MINUTE, states.REVOKED):
        due = MONDAY + late - late % HOUR
        work.aws.time = MONDAY + late
        assert work.fire(due) == Delete(state)
    with pytest.raises(TaskRevokedError, match="expired"):
        work.result(MONDAY + HOUR).get()


def test_an_occurrence_expires_after_its_delay_too() -> None:
    work = Clockwork(schedule(20), jitter_s=30, options={"expires": 60}, overlap="skip")
    work.fire(MONDAY)
    expiries = {json.loads(body)["expires"] for body in work.aws.bodies("default")}
    assert expiries == {(MONDAY + timedelta(seconds=each + 90)).isoformat() for each in (0, 20, 40)}


@pytest.mark.parametrize("expires", [0, -5, "600", MONDAY, True])
def test_an_entry_has_no_other_expiry(expires: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="seconds after the time of each occurrence"):
        Clockwork(HOURLY, options={"expires": expires})


def test_a_task_that_expires_does_so_in_a_schedule_too() -> None:
    work = Clockwork(HOURLY, options={"expires": None})
    work.app.task(name="brief", expires=60)(lambda: None)
    work.app.conf.beat_schedule = {"tick": {"task": "brief", "schedule": HOURLY}}
    (stored,) = schedules_of(work.app, MONDAY)
    assert json.loads(stored.text)["when"]["expires_s"] == 60


def test_an_edit_leaves_the_policies_that_it_does_not_name() -> None:
    work = Clockwork(
        HOURLY,
        conf=SCHEDULER,
        misfire_grace_s=300,
        overlap="skip",
        jitter_s=120,
        options={"expires": 900},
    )
    how: dict[str, Any] = {"zone": UTC, "now": MONDAY, "to_wire": plain_arguments}
    store = stores_of(work.app).current
    after = edited(work.app.site, store, work.rule, {"misfire_grace_s": 600}, **how)
    assert Policy.read(json.loads(after.text)["when"]) == Policy(600, None, "skip", 120, True, 900)
    assert after.window_minutes == 2
    none = dict.fromkeys(("misfire_grace_s", "catch_up", "overlap", "jitter_s"))
    plain = edited(work.app.site, store, work.rule, none, **how)
    assert Policy.read(json.loads(plain.text)["when"]) == Policy(expires_s=900)


# -- an occurrence ---------------------------------------------------------------------------------


def test_an_occurrence_that_is_late_is_missed_and_says_why() -> None:
    work = Clockwork(HOURLY, misfire_grace_s=300)
    work.put(MONDAY)
    work.aws.time = MONDAY + 2 * HOUR
    work.sent()
    record, result = work.record(MONDAY), work.result(MONDAY)
    assert (record.phase, record.state, work.ran) == (DONE, states.MISSED, [])
    assert result.ready()
    assert not result.successful()
    with pytest.raises(TaskMissed, match="7,200 s after its time, 2026-06-01T09:00:00"):
        result.get()
    (ended,) = [event for event in work.events if isinstance(event, Ended)]
    assert isinstance(ended.ending, Missed)


def test_one_that_begins_within_its_grace_runs() -> None:
    work = Clockwork(HOURLY, misfire_grace_s=300)
    work.put(MONDAY)
    work.aws.time = MONDAY + timedelta(seconds=300)
    work.sent()
    assert work.ran == [MONDAY]


def test_a_run_that_began_in_time_is_not_missed_when_it_is_begun_again() -> None:
    work = Clockwork(HOURLY, misfire_grace_s=300)
    work.aws.fate = Fates().on(UpdateItem, "fail", where=to_phase(DONE))
    with pytest.raises(EndpointUnreachable):
        work.fire(MONDAY)
    work.aws.time = MONDAY + HOUR
    assert work.fire(MONDAY) == Delete(states.SUCCESS)
    assert work.ran == [MONDAY, MONDAY]


def test_one_that_began_too_late_is_missed_although_its_worker_died_before_it_said_so() -> None:
    work = Clockwork(HOURLY, catch_up="latest")
    work.aws.time = MONDAY + 90 * MINUTE
    work.aws.fate = Fates().on(UpdateItem, "fail", where=to_phase(DONE))
    with pytest.raises(EndpointUnreachable):
        work.fire(MONDAY)
    work.aws.time += HOUR
    assert work.fire(MONDAY) == Delete(states.MISSED)
    assert "it began 5,400 s after" in str(work.result(MONDAY).result)


def test_the_last_one_that_began_late_is_not_missed_as_time_goes_on() -> None:
    work = Clockwork(HOURLY, catch_up="latest")
    work.aws.time = MONDAY + 50 * MINUTE
    work.aws.fate = Fates().on(UpdateItem, "fail", where=to_phase(DONE))
    with pytest.raises(EndpointUnreachable):
        work.fire(MONDAY)
    work.aws.time += HOUR
    assert work.fire(MONDAY) == Delete(states.SUCCESS)


@pytest.mark.parametrize("how", ["retry", "release", "requeue"])
def test_a_run_that_goes_on_later_is_not_missed(how: str) -> None:
    work = Clockwork(HOURLY, misfire_grace_s=300)

    def first_time(request: Context) -> None:
        if len(work.ran) > 1:
            return
        if how == "release":  # as a worker that is told to stop does
            token = request.token or ""
            id, now = request.id or "", work.aws.now().timestamp()
            run_now(work.aws.perform(work.app.site.records.release(id, token, now)))
            raise KeyboardInterrupt
        raise Retry(when=900) if how == "retry" else Reject("busy", requeue=True)

    work.run = first_time
    with suppress(KeyboardInterrupt):
        work.fire(MONDAY)
    if how == "retry":
        work.sent()
    else:
        work.aws.time += HOUR
        work.fire(MONDAY)
    assert work.record(MONDAY).state == states.SUCCESS
    assert work.ran == [MONDAY, MONDAY]


def test_a_missed_occurrence_that_is_delivered_again_stays_missed() -> None:
    work = Clockwork(HOURLY, misfire_grace_s=300)
    work.aws.time = MONDAY + HOUR
    assert work.fire(MONDAY) == Delete(states.MISSED)
    assert work.fire(MONDAY) == Delete("it is MISSED already")
    assert work.ran == []


def test_a_revoked_occurrence_is_revoked_however_late() -> None:
    work = Clockwork(HOURLY, misfire_grace_s=300)
    work.app.control.revoke(occurrence_id("tick", MONDAY))
    work.aws.time = MONDAY + HOUR
    work.fire(MONDAY)
    assert work.record(MONDAY).state == states.REVOKED


def test_the_grace_begins_where_the_jitter_ends() -> None:
    work = Clockwork(HOURLY, misfire_grace_s=60, jitter_s=900)
    work.aws.time = MONDAY + timedelta(seconds=960)
    assert work.fire(MONDAY) == Delete(states.SUCCESS)
    work.aws.time = MONDAY + HOUR + timedelta(seconds=961)
    assert work.fire(MONDAY + HOUR) == Delete(states.MISSED)


def test_seconds_that_are_sent_with_a_delay_are_judged_each_by_its_own_time() -> None:
    work = Clockwork(schedule(20), misfire_grace_s=60)
    work.fire(MONDAY)
    work.aws.time = MONDAY + timedelta(seconds=85)
    work.sent()
    assert work.ran == [MONDAY + timedelta(seconds=40)]
    assert work.record(MONDAY + timedelta(seconds=20)).state == states.MISSED


def test_a_task_that_takes_no_claim_takes_one_where_it_may_be_missed() -> None:
    late = Clockwork(HOURLY, misfire_grace_s=300, task="plain")
    late.app.task(name="plain", idempotent=True, ignore_result=True)(lambda: None)
    late.aws.time = MONDAY + HOUR
    late.fire(MONDAY)
    assert late.record(MONDAY).state == states.MISSED


def test_an_occurrence_with_a_grace_costs_what_another_task_costs() -> None:
    for work in Clockwork(HOURLY), Clockwork(HOURLY, misfire_grace_s=300):
        work.fire(MONDAY)
        assert [type(request) for request in work.aws.requests] == [UpdateItem, UpdateItem]


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"grace_s": -1}, "grace_s is -1, and cannot be"),
        ({"grace_s": "300"}, "grace_s is '300'"),
        ({"grace_s": True}, "grace_s is True"),
        ({"catch_up": "some"}, "catch_up is 'some'"),
        ({"catch_up": ["skip"]}, "catch_up is ['skip']"),
        ({"overlap": 1}, "overlap is 1"),
        ({"jitter_s": 0.5}, "jitter_s is 0.5"),
        ({"jitter_s": 10**6}, "jitter_s is 1000000"),
        ({"expires_s": "soon"}, "expires_s is 'soon'"),
        ({"expires_s": 1e300}, "nothing can occur"),
        ({"catch_up": "latest", "every_s": None}, "is no timing"),
    ],
)
@pytest.mark.parametrize("guarded", [False, True])
def test_a_policy_that_cannot_be_read_is_a_dead_letter(
    policy: dict[str, Any], reason: str, guarded: bool
) -> None:
    work = Clockwork(HOURLY)
    covers = {"covers_s": 60} if guarded else {}
    when = {name: value for name, value in {"every_s": 3_600, **policy}.items() if value}
    done = work.fire(MONDAY, when={**when, **covers})
    assert isinstance(done, Delete)
    assert done.undeliverable
    assert reason in done.why
    assert work.ran == []


# -- several that wait together --------------------------------------------------------------------

MIDNIGHT = MONDAY.replace(hour=0)
RUNS, MISSES = "runs", states.MISSED
AFTER_A_NIGHT: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    ({}, "nothing", (RUNS, RUNS, RUNS, RUNS, RUNS)),
    ({"misfire_grace_s": 1800}, "", (RUNS, MISSES, MISSES, MISSES, RUNS)),
    ({"misfire_grace_s": 600}, "", (RUNS, MISSES, MISSES, MISSES, MISSES)),
    ({"catch_up": "latest"}, "", (RUNS, MISSES, MISSES, MISSES, RUNS)),
    ({"misfire_grace_s": 5400, "catch_up": "latest"}, "", (RUNS, MISSES, MISSES, RUNS, RUNS)),
    ({"misfire_grace_s": 600, "catch_up": "all"}, "", (RUNS, RUNS, RUNS, RUNS, RUNS)),
    (
        {"overlap": "skip"},
        '`"overlap": "skip"`, and many workers start at 5:15',
        (RUNS, RUNS, MISSES, MISSES, MISSES),
    ),
]
"""What becomes of the occurrences of 1:00 to 5:00 when nobody works from 1:30 to 5:15."""


@pytest.mark.parametrize(("policy", "_said", "outcomes"), AFTER_A_NIGHT)
def test_after_a_night_without_workers_it_is_as_the_policy_says(
    policy: dict[str, Any], _said: str, outcomes: tuple[str, ...]
) -> None:
    work = Clockwork(HOURLY, **policy)
    work.aws.time = MIDNIGHT
    work.fire(MIDNIGHT + HOUR)
    waiting = [work.body(MIDNIGHT + HOUR * hour) for hour in range(2, 6)]

    def many_workers(_request: Context | None = None) -> None:
        while waiting:  # while one runs, the next one takes what waits
            work.deliver(waiting.pop(0))

    work.aws.time = MIDNIGHT + 5 * HOUR + 15 * MINUTE
    work.run = many_workers
    many_workers()
    ended = [work.record(MIDNIGHT + HOUR * hour).state for hour in range(1, 6)]
    assert tuple(RUNS if state == states.SUCCESS else state for state in ended) == outcomes


def test_the_guide_shows_what_these_tests_show() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    for policy, said, outcomes in AFTER_A_NIGHT:
        shown = said or f"`{json.dumps(policy)[1:-1]}`"
        assert f"\n| {shown} | {' | '.join(outcomes)} |\n" in guide


# -- what follows from it --------------------------------------------------------------------------


def test_a_missed_member_fails_its_chord_and_has_no_errback() -> None:
    work = Clockwork(HOURLY, misfire_grace_s=300)
    body = {"task": "tick", "options": {"task_id": "body"}}
    errback = {"task": "tick", "options": {"task_id": "errback"}}
    work.aws.time = MONDAY + HOUR
    work.fire(
        MONDAY,
        group="g",
        group_index=0,
        chord={"size": 1, "then": [body]},
        link_error=[errback],
    )
    failed = work.app.AsyncResult("body")
    with pytest.raises(ChordError, match="raised TaskMissed"):
        failed.get()
    assert work.sent() == []


def test_what_comes_after_a_missed_one_in_its_chain_is_never_sent() -> None:
    work = Clockwork(HOURLY, misfire_grace_s=300)
    work.aws.time = MONDAY + HOUR
    work.fire(MONDAY, chain=[{"task": "tick", "options": {"task_id": "after"}}])
    assert work.sent() == []
    after = work.app.AsyncResult("after")
    after.parent = work.result(MONDAY)
    with pytest.raises(TaskMissed):
        after.get()


def test_receivers_are_told_of_what_is_missed_and_of_when_it_was_due() -> None:
    work = Clockwork(HOURLY, misfire_grace_s=300)
    heard: list[Any] = []

    def hear(sender: Any, request: Context, reason: str, **_: Any) -> None:
        heard.append((sender.name, request.scheduled_time, reason))

    signals.task_missed.connect(hear)
    announce = EventSignals(work.app.tasks, "worker")
    try:
        work.aws.time = MONDAY + HOUR
        work.fire(MONDAY)
        for event in work.events:
            announce(event)
    finally:
        signals.task_missed.disconnect(hear)
    ((name, due, reason),) = heard
    assert (name, due) == ("tick", MONDAY)
    assert "its grace is 300 s" in reason


def test_the_log_says_what_was_missed(caplog: pytest.LogCaptureFixture) -> None:
    work = Clockwork(HOURLY, misfire_grace_s=300)
    work.aws.time = MONDAY + HOUR
    work.fire(MONDAY)
    with caplog.at_level(logging.INFO, logger="caraway.app.trace"):
        for event in work.events:
            LogEvents(work.app.tasks)(event)
    assert "missed: it began 3,600 s after its time" in caplog.text
