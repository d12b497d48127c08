"""``caraway.testing``: what users' tests have, over moto and over the local engine."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from caraway import Caraway, Queue
from caraway.exceptions import LocalError, ResourceMissing, TaskMissed
from caraway.local.engine import LocalEngine
from caraway.schedules import clocked, crontab, schedule
from caraway.testing import Clock, Fired, create_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "us-east-1"
START = datetime(2026, 3, 1, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


class Shop:
    """An app with some tasks, and what they did."""

    def __init__(self, endpoint_url: str | None, place: str) -> None:
        self.place = place
        self.endpoint_url = endpoint_url
        self.app = app = Caraway(place, set_as_current=False)
        app.conf.update(
            aws_region=REGION,
            aws_endpoint_url=endpoint_url,
            queue_name_prefix=f"{place}-",
            task_table=place,
            task_queues=[Queue("default"), Queue("orders.fifo")],
        )
        self.account = "123456789012" if endpoint_url is None else "000000000000"
        self.runs: list[tuple[str, datetime]] = []
        self.fails = 0

        @app.task(name="note")
        def note(text: str) -> None:
            self.runs.append((text, app.aws.now()))

        @app.task(name="flaky", bind=True, max_retries=5)
        def flaky(task: Any) -> None:
            self.runs.append(("flaky", app.aws.now()))
            if self.fails:
                self.fails -= 1
                raise task.retry(countdown=300)

        self.note, self.flaky = note, flaky

    def entries(self, **schedules: Any) -> None:
        """Let entries note their names."""
        self.app.conf.beat_schedule = {
            name: {"task": "note", "args": (name,), "schedule": when}
            if not isinstance(when, dict)
            else {"task": "note", "args": (name,), **when}
            for name, when in schedules.items()
        }

    def client(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=REGION,
            endpoint_url=self.endpoint_url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


@pytest.fixture(scope="module")
def quiet_engine() -> Iterator[LocalEngine]:
    with LocalEngine(port=0, fires=False) as started:
        yield started


@pytest.fixture(params=["moto", pytest.param("engine", marks=pytest.mark.e2e)])
def shop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with ExitStack() as closing:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        endpoint_url = None
        if request.param == "moto":
            closing.enter_context(mock_aws())
        else:
            endpoint_url = request.getfixturevalue("quiet_engine").endpoint_url
            # What a test has stored would fire in the next one.
            reset = urllib.request.Request(f"{endpoint_url}/_ministack/reset", method="POST")
            urllib.request.urlopen(reset).read()
        made = Shop(endpoint_url, f"shop{abs(hash(request.node.nodeid))}")
        create_resources(made.app)
        yield made


@pytest.fixture
def clock(shop: Shop) -> Iterator[Clock]:
    with Clock(shop.app, START) as made:
        yield made


def names(fired: list[Fired]) -> list[str]:
    return [each.name for each in fired]


def test_a_day_of_schedules_is_one_test(shop: Shop, clock: Clock) -> None:
    shop.entries(
        hourly=crontab(minute=0),
        seoul=crontab(minute=0, hour=9, tz="Asia/Seoul"),
        off={"schedule": 60, "enabled": False},
        once=clocked(START + timedelta(hours=5, seconds=30)),
        morning=crontab(minute=0, hour=9, tz="Europe/Berlin"),
    )
    clock.sync()
    fired = clock.advance(days=1, run=True)
    assert Counter(names(fired)) == {"hourly": 24, "seoul": 1, "once": 1, "morning": 1}
    assert [each.scheduled_time for each in fired] == sorted(each.scheduled_time for each in fired)
    assert shop.runs == [(each.name, each.scheduled_time) for each in fired]
    assert [each.state for each in clock.ran] == ["SUCCESS"] * 27
    assert clock.now() == START + timedelta(days=1)


def test_what_is_fired_lies_on_the_queues_until_it_is_run(shop: Shop, clock: Clock) -> None:
    shop.entries(minutely=schedule(60))
    clock.sync()
    assert names(clock.advance(minutes=3)) == ["minutely"] * 3
    assert shop.runs == []
    ran = clock.run_all()
    assert [each.schedule for each in ran] == ["minutely"] * 3
    assert shop.runs == [("minutely", clock.now())] * 3
    assert clock.run_all() == []


def test_an_entry_of_seconds_is_fired_at_each_of_them(shop: Shop, clock: Clock) -> None:
    shop.entries(often=schedule(25))
    clock.sync()
    fired = clock.advance(minutes=2, run=True)
    assert [(each.sent_at - START).total_seconds() for each in fired] == [25, 50, 75, 100]
    assert [time for _, time in shop.runs] == [each.sent_at for each in fired]


@pytest.mark.parametrize("role", [None, "arn:aws:iam::123456789012:role/scheduler"])
def test_pause_and_resume_and_a_changed_schedule(
    shop: Shop, clock: Clock, role: str | None
) -> None:
    shop.app.conf.update(scheduler_role_arn=role)
    shop.entries(job=crontab(minute=0))
    clock.sync()
    shop.app.schedules.pause("job")
    assert clock.advance(hours=3) == []
    shop.app.schedules.resume("job")
    assert len(clock.advance(hours=3)) == 3
    shop.entries(job=crontab(minute="*/15"))
    assert len(clock.advance(hours=1)) == 1
    clock.sync()
    assert len(clock.advance(hours=1)) == 4
    assert shop.app.schedules.next("job", 1) == [clock.now() + timedelta(minutes=15)]
    shop.entries()
    clock.sync()
    assert clock.advance(hours=1) == []


def test_an_occurrence_that_comes_late_is_missed(shop: Shop, clock: Clock) -> None:
    shop.entries(job={"schedule": crontab(minute=0), "misfire_grace_s": 600})
    clock.sync()
    (fired,) = clock.advance(minutes=90)
    assert [each.state for each in clock.run_all()] == ["MISSED"]
    with pytest.raises(TaskMissed):
        shop.app.AsyncResult(clock.ran[0].id).get(timeout=5)
    assert clock.ran[0].scheduled_time == fired.scheduled_time
    clock.advance(minutes=30, run=True)
    assert [each.state for each in clock.ran] == ["MISSED", "SUCCESS"]
    assert shop.runs == [("job", START + 2 * HOUR)]


def test_an_entry_with_a_jitter_runs_somewhat_later(shop: Shop, clock: Clock) -> None:
    shop.entries(job={"schedule": crontab(minute=0), "jitter_s": 300})
    clock.sync()
    fired = clock.advance(hours=3, run=True)
    assert [time for _, time in shop.runs] == [each.sent_at for each in fired]
    late = [each.sent_at - each.scheduled_time for each in fired]
    assert all(timedelta() <= each <= timedelta(minutes=5) for each in late)
    assert len(set(late)) == len(late)


def test_a_firing_that_is_repeated_runs_once(shop: Shop, clock: Clock) -> None:
    shop.entries(job=crontab(minute=0))
    clock.sync()
    (fired,) = clock.advance(hours=1)
    url = shop.client("sqs").get_queue_url(QueueName=fired.target)["QueueUrl"]
    shop.client("sqs").send_message(QueueUrl=url, MessageBody=fired.body)
    clock.run_all()
    assert len(shop.runs) == 1


def test_countdowns_and_retries_wait_for_the_clock(shop: Shop, clock: Clock) -> None:
    shop.fails = 2
    shop.flaky.delay()
    shop.note.apply_async(("later",), countdown=600)
    shop.note.apply_async(("much later",), countdown=900)
    states = [each.state for each in clock.run_all()]
    assert states == ["RETRY"]
    assert clock.run_all() == []
    clock.advance(hours=2, run=True)
    assert [(name, (time - START).total_seconds()) for name, time in shop.runs] == [
        ("flaky", 0),
        ("flaky", 300),
        ("later", 600),
        ("flaky", 600),
        ("much later", 900),
    ]


def test_a_far_countdown_is_a_schedule_that_the_clock_reaches(shop: Shop, clock: Clock) -> None:
    role = "arn:aws:iam::123456789012:role/scheduler"
    shop.app.conf.update(scheduler_role_arn=role)
    shop.note.apply_async(("far",), countdown=5_000)
    assert clock.run_all() == []
    (fired,) = clock.advance(days=1, run=True)
    assert fired.name.startswith("eta-")
    assert (fired.task, fired.sent_at) == ("note", START + timedelta(seconds=5_000))
    assert shop.runs == [("far", fired.sent_at)]
    assert clock.advance(days=1, run=True) == []


def test_entries_are_kept_in_scheduler_and_fire_from_there(shop: Shop, clock: Clock) -> None:
    shop.app.conf.update(scheduler_role_arn="arn:aws:iam::123456789012:role/scheduler")
    shop.entries(hourly=crontab(minute=0), often=schedule(1_000))
    clock.sync()
    fired = clock.advance(hours=2, run=True)
    assert Counter(names(fired)) == {"hourly": 2, "often": 7}
    assert shop.runs == [(each.name, each.scheduled_time) for each in fired]
    shop.entries()
    clock.sync()
    assert clock.advance(hours=2) == []


def test_a_retry_on_a_fifo_queue_waits_for_the_clock_and_keeps_its_place(
    shop: Shop, clock: Clock
) -> None:
    shop.fails = 1
    shop.flaky.apply_async(queue="orders.fifo", message_group_id="a")
    shop.note.apply_async(("after",), queue="orders.fifo", message_group_id="a")
    clock.run_all()
    assert [name for name, _ in shop.runs] == ["flaky"]
    clock.advance(minutes=10, run=True)
    assert [(name, (time - START).total_seconds()) for name, time in shop.runs] == [
        ("flaky", 0),
        ("flaky", 300),
        ("after", 300),
    ]


def schedule_of(shop: Shop, name: str, expression: str, body: Any, **more: Any) -> None:
    shop.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=expression,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": f"arn:aws:sqs:{REGION}:{shop.account}:{shop.place}-default",
            "RoleArn": "arn:aws:iam::123456789012:role/scheduler",
            "Input": json.dumps(body),
        },
        **more,
    )


def test_schedules_of_scheduler_fire_and_are_deleted_after_the_last_time(
    shop: Shop, clock: Clock
) -> None:
    body = {"caraway": 1, "task": "note", "schedule": "made"}
    time = {"scheduled_time": "<aws.scheduler.scheduled-time>"}
    schedule_of(shop, "daily", "rate(1 day)", {**body, "args": ["daily"], **time})
    schedule_of(
        *(shop, "soon", "at(2026-03-01T10:00:00)", {**body, "args": ["soon"], **time}),
        ActionAfterCompletion="DELETE",
    )
    fired = clock.advance(days=2, run=True)
    assert [each.scheduled_time - START for each in fired] == [10 * HOUR, 24 * HOUR, 48 * HOUR]
    assert [name for name, _ in shop.runs] == ["soon", "daily", "daily"]
    left = shop.client("scheduler").list_schedules()["Schedules"]
    assert [each["Name"] for each in left if shop.place in each["Target"]["Arn"]] == ["daily"]
    shop.client("scheduler").delete_schedule(Name="daily")


def test_workers_elsewhere_get_what_they_can_run_at_once(shop: Shop) -> None:
    shop.entries(often=schedule(200))
    made = datetime.now(timezone.utc)
    body = {"caraway": 1, "id": "x", "task": "note", "args": ["eta"]}
    body["eta"] = (made + timedelta(hours=2)).isoformat()
    with Clock(shop.app, START, workers="elsewhere") as clock:
        clock.advance(hours=100)
        clock.sync()
        at = (made + timedelta(minutes=119)).strftime("at(%Y-%m-%dT%H:%M:%S)")
        schedule_of(shop, "eta", at, body, ActionAfterCompletion="DELETE")
        assert shop.app.aws.now() > made
        fired = [each for each in clock.advance(hours=3) if each.task == "note"]
        with pytest.raises(LocalError, match="workers='elsewhere'"):
            clock.run_all()
    assert Counter(names(fired)) == {"often": 54, "eta": 1}
    (far,) = (each for each in fired if each.name == "eta")
    assert abs(far.sent_at - (START + 102 * HOUR)) < timedelta(minutes=1)
    assert all("eta" not in json.loads(each.body) for each in fired)


def test_what_is_fired_does_not_depend_on_the_steps(shop: Shop) -> None:
    shop.entries(often=schedule(37), half=crontab(minute=30), uneven=crontab(minute="*/7"))
    with Clock(shop.app, START) as clock:
        clock.sync()
        at_once = clock.advance(minutes=30)
    with Clock(shop.app, START) as clock:
        in_steps = [each for _ in range(9) for each in clock.advance(seconds=200)]
    assert in_steps == at_once
    counts = Counter(names(at_once))
    assert (counts["half"], counts["uneven"]) == (1, 4)
    assert counts["often"] in (48, 49)


def test_the_app_is_on_real_time_again_afterwards(shop: Shop) -> None:
    port = shop.app.aws
    with Clock(shop.app, START):
        assert shop.app.aws.now() == START
    assert shop.app.aws is port
    assert shop.app.aws.now() > START


def test_the_clock_does_not_go_back(clock: Clock) -> None:
    with pytest.raises(LocalError, match="does not go back"):
        clock.advance_to(START - HOUR)


def test_a_queue_that_is_not_there_is_told(shop: Shop, clock: Clock) -> None:
    for url in shop.client("sqs").list_queues(QueueNamePrefix=shop.place)["QueueUrls"]:
        shop.client("sqs").delete_queue(QueueUrl=url)
    with pytest.raises(ResourceMissing):
        clock.run_all()


def test_what_is_there_already_is_created_no_second_time(shop: Shop) -> None:
    create_resources(shop.app)
