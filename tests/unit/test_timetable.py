"""``app.schedules``: what people see of the schedule that AWS stores, and how they change it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from caraway.aws.memory import MemoryAws
from caraway.beat import schedules_of, stores_of
from caraway.core.beat_sync import sync
from caraway.core.ids import occurrence_id
from caraway.core.message import Message, read_message
from caraway.core.policies import fields_of
from caraway.core.port import run_now
from caraway.exceptions import (
    AccessDenied,
    ImproperlyConfigured,
    InvalidMessage,
    ScheduleNotFound,
    UnknownOption,
)
from caraway.requests.base import Request
from caraway.requests.dynamodb import BatchGetItem
from caraway.requests.scheduler import DeleteSchedule, GetSchedule, ListSchedules
from caraway.requests.sqs import GetQueueAttributes
from caraway.schedules import clocked, crontab, schedule
from tests.stage import Stage
from tests.timekeepers import Timekeepers

UTC = timezone.utc
ROLE = "arn:aws:iam::123456789012:role/scheduler"
if TYPE_CHECKING:
    from caraway.core.schedule_entries import ScheduleEntry

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""A Monday."""
CODE: dict[str, Any] = {
    "clean": {"task": "shop.clean", "schedule": crontab(0, "*/6"), "args": (30,)},
    "report": {"task": "shop.report", "schedule": 600, "kwargs": {"to": "x@example.com"}},
    "never": {"task": "shop.clean", "schedule": 3_600, "args": (1,), "enabled": False},
}


@dataclass
class Account(MemoryAws):
    """An account in memory that has rules, and queues with addresses, too."""

    rules: Timekeepers = field(default_factory=Timekeepers)
    forbidden: type[Request[Any]] | None = None

    def _answer(self, request: Any) -> Any:
        if self.forbidden is not None and isinstance(request, self.forbidden):
            raise AccessDenied("not allowed")
        if isinstance(request, GetQueueAttributes):
            name = request.queue_url.rpartition("/")[2]
            return {"QueueArn": f"arn:aws:sqs:us-east-1:123456789012:{name}"}
        if request.service == "events":
            return run_now(self.rules.perform(request))
        return super()._answer(request)


class Shop(Stage):
    """An app whose schedule is in AWS, as rules or in Scheduler."""

    def __init__(self, kind: str, **conf: Any) -> None:
        role = {"scheduler_role_arn": ROLE} if kind == "schedule" else {}
        super().__init__(queue_name_prefix="dev-", beat_schedule=CODE, **role, **conf)
        self.account = Account()
        self.memory = self.app.memory = self.account
        self.memory.time = NOON
        self.schedules = self.app.schedules
        self.ran: list[Any] = []

        @self.app.task(name="shop.clean", bind=True)
        def clean(task: Any, days: int) -> None:
            self.ran.append((days, task.request.id, task.request.scheduled_time))

        @self.app.task(name="shop.report")
        def report(to: str, pages: int = 1) -> None:
            self.ran.append((to, pages))

    def sync(self) -> None:
        stores, wanted = stores_of(self.app), schedules_of(self.app, self.memory.now())
        run_now(sync(self.memory, stores, wanted))

    def statuses(self) -> dict[str, str]:
        return {entry.name: entry.status for entry in self.schedules.list()}

    def sent(self, queue: str = "dev-default") -> list[Message]:
        return [read_message(json.loads(body)) for body in self.memory.bodies(queue)]

    def asked(self, *kinds: type) -> int:
        return sum(isinstance(each, kinds) for each in self.memory.requests)


@pytest.fixture(params=["rule", "schedule"])
def shop(request: pytest.FixtureRequest) -> Shop:
    made = Shop(request.param)
    made.sync()
    return made


# -- looking -------------------------------------------------------------------------------------


def test_the_list_shows_what_the_code_says_and_what_was_made_at_run_time(shop: Shop) -> None:
    shop.schedules.create("extra", "shop.clean", "every 10m", args=(1,))
    listed = {entry.name: entry for entry in shop.schedules.list()}
    assert list(listed) == ["clean", "extra", "never", "report"]
    clean, extra, report = listed["clean"], listed["extra"], listed["report"]
    assert (clean.task, clean.args) == ("shop.clean", [30])
    assert clean.schedule == crontab(0, "*/6", tz="UTC")
    assert (clean.origin, clean.status, clean.queue) == ("code", "active", "default")
    assert (extra.origin, extra.status, extra.schedule) == ("data", "active", schedule(600))
    assert report.kwargs == {"to": "x@example.com"}
    assert (listed["never"].status, listed["never"].next()) == ("off", [])
    assert clean.kind == ("schedule" if shop.app.conf.scheduler_role_arn else "rule")


def test_what_is_as_the_code_says_is_listed_and_not_read(shop: Shop) -> None:
    shop.memory.requests.clear()
    shop.schedules.list()
    assert shop.asked(GetSchedule) == 0
    assert shop.asked(ListSchedules) <= 4
    assert shop.asked(BatchGetItem) <= 3


def test_a_list_tells_what_the_next_sync_will_do(shop: Shop) -> None:
    said = {**CODE, "clean": {**CODE["clean"], "args": (31,)}, "fresh": CODE["report"]}
    del said["report"]
    shop.app.conf.beat_schedule = said
    assert shop.statuses() == {
        "clean": "differs",
        "fresh": "missing",
        "never": "off",
        "report": "left over",
    }
    (clean, fresh, *_) = shop.schedules.list()
    assert clean.args == [30]
    assert fresh.next() == []
    assert shop.schedules.get("clean").status == "differs"
    assert shop.schedules.get("report").status == "left over"


def test_the_next_occurrences_are_told(shop: Shop) -> None:
    times = [NOON + timedelta(hours=hours) for hours in (6, 12, 18)]
    assert shop.schedules.next("clean") == times[:1]
    assert shop.schedules.next("clean", 3) == times
    assert shop.schedules.get("clean").next(2) == shop.schedules.next("clean", 2)


def test_the_last_runs_and_the_history_are_told(shop: Shop) -> None:
    id = occurrence_id("clean", NOON)
    shop.deliver(Message(id, "shop.clean", (30,), schedule="clean", scheduled_time=NOON))
    entry = shop.schedules.get("clean")
    assert entry.last_run is not None
    assert (entry.last_run.id, entry.last_run.state) == (id, "SUCCESS")
    assert {each.name: each.last_run for each in shop.schedules.list()}["clean"] == entry.last_run
    runs = shop.schedules.history("clean", 3)
    assert [run.scheduled_time.hour for run in runs] == [12, 6, 0]
    assert runs[0] == entry.last_run
    assert shop.schedules.history("clean", 1, before=NOON - timedelta(seconds=1)) == [runs[1]]


def test_a_name_that_nothing_has_is_refused_with_the_nearest(shop: Shop) -> None:
    shop.schedules.create("tidy", "shop.clean", 600, args=(1,))
    for name, near in (("cleen", "clean"), ("tidi", "tidy")):
        with pytest.raises(ScheduleNotFound, match=f"did you mean '{near}'"):
            shop.schedules.get(name)
    shop.app.conf.beat_schedule = {**CODE, "fresh": CODE["report"]}
    with pytest.raises(ScheduleNotFound, match="AWS does not have 'fresh' of beat_schedule yet"):
        shop.schedules.pause("fresh")


def test_who_may_not_look_into_the_store_that_is_not_used_sees_the_other_one() -> None:
    shop = Shop("rule")
    shop.sync()
    shop.account.forbidden = ListSchedules
    assert shop.statuses()["clean"] == "active"
    with pytest.raises(ScheduleNotFound):
        shop.schedules.get("nothing like it")


def test_a_message_of_a_later_version_is_shown_as_unreadable() -> None:
    shop = Shop("schedule")
    shop.schedules.create("later", "shop.clean", 600, args=(1,))
    ((key, stored),) = shop.memory.schedules.items()
    later = stored.input.replace('"caraway":1', '"caraway":99')
    shop.memory.schedules[key] = replace(stored, input=later)
    entry = shop.schedules.get("later")
    assert (entry.status, entry.schedule, entry.next(), entry.task) == (
        "unreadable",
        None,
        [],
        "shop.clean",
    )
    with pytest.raises(ImproperlyConfigured, match="does not say when it is due"):
        shop.schedules.history("later")


# -- pausing -------------------------------------------------------------------------------------


def test_what_is_paused_stays_so_also_after_a_sync_until_it_is_resumed(shop: Shop) -> None:
    assert shop.schedules.pause("clean").status == "paused"
    assert shop.schedules.pause("clean").next() == []
    shop.sync()
    assert shop.statuses()["clean"] == "paused"
    assert shop.schedules.resume("clean").status == "active"
    assert shop.schedules.resume("clean").next() != []
    assert shop.statuses()["clean"] == "active"


def test_what_is_off_is_not_paused(shop: Shop) -> None:
    assert shop.schedules.pause("never").status == "off"
    with pytest.raises(ImproperlyConfigured, match="not paused, it is off: beat_schedule says so"):
        shop.schedules.resume("never")


# -- editing -------------------------------------------------------------------------------------


def test_an_edit_of_an_entry_of_the_code_lasts_until_the_next_sync(shop: Shop) -> None:
    edited = shop.schedules.edit("clean", schedule="30 9 * * mon-fri", args=[7])
    assert (edited.schedule, edited.args) == (crontab(30, 9, "mon-fri", tz="UTC"), [7])
    assert (edited.status, edited.is_edited, edited.origin) == ("edited", True, "code")
    assert shop.statuses() == {"clean": "edited", "never": "off", "report": "active"}
    shop.sync()
    assert shop.statuses()["clean"] == "active"
    assert shop.schedules.get("clean").args == [30]
    assert [entry.name for entry in shop.schedules.list()] == ["clean", "never", "report"]


def test_what_an_edit_does_not_name_stays(shop: Shop) -> None:
    options = {"headers": {"tenant": "a"}, "time_limit": 60, "stamps": {"why": "test"}}
    start, end = NOON, NOON + timedelta(days=9)
    shop.schedules.create(
        "extra",
        "shop.report",
        crontab(0, 9, tz="Europe/Berlin"),
        args=["x"],
        options=options,
        start=start,
        end=end,
    )
    before = shop.schedules.get("extra")
    assert shop.schedules.edit("extra") == before
    edited = shop.schedules.edit("extra", kwargs={"pages": 2})
    assert (edited.args, edited.kwargs) == (["x"], {"pages": 2})
    assert (edited.timing, edited.queue, edited.origin) == (before.timing, "default", "data")
    shop.schedules.edit("extra", options={"time_limit": None, "headers": {"tenant": "b"}})
    shop.schedules.run_now("extra")
    (message,) = shop.sent()
    assert (message.headers, message.time_limit, message.stamps) == (
        {"tenant": "b"},
        None,
        {"why": "test"},
    )
    assert shop.schedules.edit("extra", end=None, start=None).timing.end is None  # type: ignore[union-attr]


def test_the_policies_of_an_entry_stay_and_are_changed(shop: Shop) -> None:
    policies: dict[str, Any] = {"misfire_grace_s": 600, "overlap": "skip", "jitter_s": 120}
    shop.schedules.create("extra", "shop.clean", crontab(0), args=(1,), **policies)
    made = shop.schedules.get("extra")
    assert fields_of(made.policy) == {**policies, "catch_up": None}
    assert shop.schedules.edit("extra", args=(1,)) == made
    edited = shop.schedules.edit("extra", misfire_grace_s=None, catch_up="latest", jitter_s=None)
    assert fields_of(edited.policy) == {
        "misfire_grace_s": None,
        "catch_up": "latest",
        "overlap": "skip",
        "jitter_s": 0,
    }
    with pytest.raises(ImproperlyConfigured, match="'overlap' is 'no'"):
        shop.schedules.edit("extra", overlap="no")  # type: ignore[arg-type]
    shop.app.conf.beat_cron_starting_deadline = 900
    assert shop.statuses()["clean"] == "differs"
    shop.sync()
    assert shop.schedules.get("clean").status == "active"
    assert shop.schedules.get("clean").policy.grace_s == 900


def test_the_zone_of_a_crontab_stays_unless_another_is_named(shop: Shop) -> None:
    shop.schedules.create("extra", "shop.clean", "0 9 * * *", tz="Europe/Berlin", args=(1,))
    edited = shop.schedules.edit("extra", schedule="0 10 * * *")
    assert edited.schedule == crontab(0, 10, tz="Europe/Berlin")
    assert shop.schedules.edit("extra", tz="Asia/Seoul").schedule == crontab(0, 10, tz="Asia/Seoul")
    shop.app.conf.timezone = "America/New_York"
    shop.schedules.create("here", "shop.clean", "0 9 * * *", args=(1,))
    assert shop.schedules.get("here").schedule == crontab(0, 9, tz="America/New_York")


def test_a_name_that_nothing_has_costs_no_more_where_very_many_were_made_at_run_time() -> None:
    shop = Shop("schedule")
    for number in range(250):
        shop.schedules.create(f"of customer {number:03}", "shop.clean", 600, args=(number,))
    shop.memory.requests.clear()
    with pytest.raises(ScheduleNotFound, match="did you mean 'of customer 000'"):
        shop.schedules.get("of custom 000")
    assert shop.asked(GetSchedule) <= 100
    assert shop.asked(ListSchedules) <= 3


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        (crontab(0, 9), r"tz='Asia/Seoul' is the zone of a schedule that is text.*crontab\(hour=9"),
        (600, "tz='Asia/Seoul' is the zone of a schedule that is text"),
        ("every 10m", "'every 10m' has no zone, and Asia/Seoul would mean nothing: leave it out"),
        ("solar sunset 48.86 2.35", "has no zone, and Asia/Seoul would mean nothing"),
    ],
)
def test_a_zone_that_would_mean_nothing_is_refused(shop: Shop, when: Any, problem: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=problem):
        shop.schedules.create("extra", "shop.clean", when, tz="Asia/Seoul", args=(1,))
    shop.schedules.create("extra", "shop.clean", when, args=(1,))
    with pytest.raises(ImproperlyConfigured, match=problem):
        shop.schedules.edit("extra", schedule=when, tz="Asia/Seoul")


def test_an_edit_leaves_a_pause_and_enabled_decides_what_fires(shop: Shop) -> None:
    shop.schedules.pause("clean")
    assert shop.schedules.edit("clean", args=[1]).status == "paused"
    assert shop.schedules.edit("clean", enabled=False).status == "off"
    assert shop.schedules.edit("clean", enabled=True).status == "edited"
    assert shop.schedules.edit("never", enabled=True).next() != []


@pytest.mark.parametrize(
    ("changes", "error", "problem"),
    [
        ({"shedule": 60}, UnknownOption, "no key named 'shedule', did you mean 'schedule'"),
        ({"args": 5}, ImproperlyConfigured, "'args' is 5, expected a tuple"),
        ({"args": ["much"]}, ImproperlyConfigured, "days"),
        ({"args": []}, ImproperlyConfigured, "days"),
        ({"schedule": "often"}, ImproperlyConfigured, "expected the five fields of a crontab"),
        ({"schedule": "0 0 31 2 *"}, ImproperlyConfigured, "there is no such day"),
        ({"schedule": clocked(NOON - timedelta(days=9))}, ImproperlyConfigured, "its time is past"),
        ({"options": {"queue": "nowhere"}}, ImproperlyConfigured, "no queue named 'nowhere'"),
        ({"options": {"countdown": 5}}, ImproperlyConfigured, "has no meaning in a schedule"),
    ],
)
def test_an_edit_that_cannot_be_is_refused_and_changes_nothing(
    shop: Shop, changes: dict[str, Any], error: type[Exception], problem: str
) -> None:
    before = shop.schedules.get("clean")
    with pytest.raises(error, match=problem):
        shop.schedules.edit("clean", **changes)
    assert shop.schedules.get("clean") == before


# -- making and deleting -------------------------------------------------------------------------


def test_a_sync_touches_nothing_that_was_made_at_run_time(shop: Shop) -> None:
    made = shop.schedules.create("extra", "shop.report", timedelta(minutes=10), args=["x"])
    assert shop.schedules.pause("extra").status == "paused"
    shop.app.conf.beat_schedule = {}
    shop.sync()
    assert shop.statuses() == {"extra": "paused"}
    assert shop.schedules.resume("extra") == made
    shop.schedules.delete("extra")
    assert shop.schedules.list() == []


def test_a_name_is_given_once(shop: Shop) -> None:
    shop.schedules.create("extra", "shop.clean", 600, args=(1,))
    with pytest.raises(ImproperlyConfigured, match="there is one of that name already"):
        shop.schedules.create("extra", "shop.clean", 600, args=(1,))
    with pytest.raises(ImproperlyConfigured, match="beat_schedule has an entry of that name"):
        shop.schedules.create("clean", "shop.clean", 600, args=(1,))


def test_what_cannot_be_made_is_refused(shop: Shop) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^schedule\['x'\]: .*days"):
        shop.schedules.create("x", "shop.clean", 600)
    with pytest.raises(ImproperlyConfigured, match=r"schedule\['x'\]: 'enabled' is 'no'"):
        shop.schedules.create("x", "shop.clean", 600, enabled="no")  # type: ignore[arg-type]
    with pytest.raises(ImproperlyConfigured, match="is never due again, its time is past"):
        shop.schedules.create("x", "shop.clean", "at 2020-01-01T00:00", args=(1,))
    assert shop.statuses().keys() == CODE.keys()


@pytest.mark.parametrize("name", ["", "x" * 201, "two\nlines"])
def test_a_name_that_no_message_could_carry_is_refused(shop: Shop, name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="printable"):
        shop.schedules.create(name, "shop.clean", 600, args=(1,))
    shop.schedules.create("x" * 200, "shop.clean", 600, args=(1,))
    assert shop.schedules.get("x" * 200).status == "active"


def test_an_entry_of_the_code_is_not_deleted(shop: Shop) -> None:
    with pytest.raises(ImproperlyConfigured, match="take it out there and run 'caraway beat sync'"):
        shop.schedules.delete("clean")


def test_entries_of_the_other_store_are_found_and_move_when_they_are_edited() -> None:
    shop = Shop("rule")
    shop.schedules.create("extra", "shop.clean", 600, args=(1,))
    shop.app.conf.scheduler_role_arn = ROLE
    entry = shop.schedules.get("extra")
    assert entry.kind == "rule"
    assert shop.schedules.pause("extra").status == "paused"
    moved = shop.schedules.edit("extra", args=(2,))
    assert (moved.kind, moved.status, moved.args) == ("schedule", "paused", [2])
    assert not shop.account.rules.rules
    assert [each.name for each in shop.schedules.list() if each.origin == "data"] == ["extra"]


@pytest.fixture
def twofold() -> Shop:
    """Let the edit of an entry be cut short between the new schedule and the old one."""
    shop = Shop("schedule")
    shop.schedules.create("extra", "shop.clean", 600, args=(1,))
    shop.account.forbidden = DeleteSchedule
    with pytest.raises(AccessDenied):
        shop.schedules.edit("extra", args=(2,))
    shop.account.forbidden = None
    assert [each.name for each in shop.schedules.list() if each.origin == "data"] == ["extra"] * 2
    return shop


def made_of(shop: Shop, name: str) -> list[ScheduleEntry]:
    return [each for each in shop.schedules.list() if each.name == name]


@pytest.mark.parametrize("args", [(1,), (2,), (3,)])
def test_an_edit_that_was_cut_short_is_put_right_by_the_next_one(
    twofold: Shop, args: tuple[int]
) -> None:
    twofold.schedules.edit("extra", args=args)
    assert [each.args for each in made_of(twofold, "extra")] == [list(args)]


def test_after_an_edit_that_was_cut_short_both_schedules_are_paused_and_deleted(
    twofold: Shop,
) -> None:
    twofold.schedules.pause("extra")
    assert [each.status for each in made_of(twofold, "extra")] == ["paused"] * 2
    twofold.schedules.resume("extra")
    assert [each.status for each in made_of(twofold, "extra")] == ["active"] * 2
    twofold.schedules.delete("extra")
    assert made_of(twofold, "extra") == []


# -- running now ---------------------------------------------------------------------------------


def test_an_entry_is_run_now_as_a_task_of_its_own(shop: Shop) -> None:
    shop.schedules.pause("clean")
    shop.memory.pass_time(7)
    sent = shop.schedules.run_now("clean")
    (message,) = shop.sent()
    assert message.schedule == "clean"
    shop.deliver(message)
    assert shop.ran == [(30, sent.id, NOON + timedelta(seconds=7))]
    assert sent.state == "SUCCESS"
    assert sent.id != occurrence_id("clean", NOON)
    assert shop.schedules.history("clean", 1)[0].state == "PENDING"
    assert shop.schedules.run_now("clean").id != sent.id


def test_a_guard_does_not_keep_an_entry_from_being_run_now(shop: Shop) -> None:
    shop.schedules.create("extra", "shop.clean", crontab(0, 9, "fri", "13"), args=(1,))
    shop.schedules.run_now("extra")
    shop.deliver(*shop.sent())
    assert [days for days, *_ in shop.ran] == [1]


KEYS = {"2026": "a secret of 32 characters or more"}


def test_what_is_run_now_is_signed_anew() -> None:
    shop = Shop(
        "schedule",
        task_signing_keys=KEYS,
        task_signing_key_id="2026",
        task_require_signature=True,
    )
    shop.sync()
    shop.schedules.run_now("clean")
    (body,) = shop.memory.bodies("dev-default")
    assert shop.app.site.signing is not None
    shop.app.site.signing.verify(json.loads(body), shop.memory.now())
    shop.app.conf.task_signing_key_id = None
    with pytest.raises(ImproperlyConfigured, match="no key to sign with"):
        shop.schedules.run_now("clean")


def test_a_stored_message_that_somebody_changed_is_not_signed() -> None:
    shop = Shop("schedule", task_signing_keys=KEYS, task_signing_key_id="2026")
    shop.schedules.create("extra", "shop.clean", 600, args=(30,))
    ((key, stored),) = shop.memory.schedules.items()
    shop.memory.schedules[key] = replace(stored, input=stored.input.replace("[30]", "[99]"))
    with pytest.raises(InvalidMessage, match="its signature with key '2026' does not hold"):
        shop.schedules.run_now("extra")
    with pytest.raises(InvalidMessage, match="does not hold"):
        shop.schedules.edit("extra", schedule=60)
    assert shop.memory.bodies("dev-default") == []


# -- from asynchronous code ------------------------------------------------------------------------


async def _all_twins(shop: Shop) -> list[Any]:
    schedules = shop.schedules
    told = [
        (await schedules.acreate("extra", "shop.clean", 600, args=(1,))).name,
        [entry.name for entry in await schedules.alist()],
        (await schedules.aget("extra")).status,
        len(await schedules.anext("extra", 2)),
        len(await schedules.ahistory("extra", 2)),
        (await schedules.apause("extra")).status,
        (await schedules.aresume("extra")).status,
        (await schedules.aedit("extra", args=(2,))).args,
        (await schedules.arun_now("extra")).name,
    ]
    await schedules.adelete("extra")
    return [*told, [entry.name for entry in await schedules.alist()]]


def test_each_method_has_an_asynchronous_twin(shop: Shop) -> None:
    assert run_now(_all_twins(shop)) == [
        "extra",
        ["clean", "extra", "never", "report"],
        "active",
        2,
        2,
        "paused",
        "active",
        [2],
        "shop.clean",
        ["clean", "never", "report"],
    ]
