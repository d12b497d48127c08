from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.core.beat import Entry, entries, schedules
from caraway.core.envelope import parse_envelope
from caraway.core.message import Message, digest_of, read_message
from caraway.core.publish import Site
from caraway.core.routing import Queue, Router
from caraway.core.rule_store import template_of
from caraway.core.schedule_store import input_of
from caraway.core.scheduling import Scheduling
from caraway.core.stored import Owner, Stored
from caraway.core.stores import Store, Stores
from caraway.exceptions import ImproperlyConfigured, UnknownOption
from caraway.schedules import clocked, crontab, schedule

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
SITE = Site(
    Router([Queue("default"), Queue("reports", consumer="ecs"), Queue("orders.fifo")]),
    queue_prefix="dev-",
)
OWNER = Owner("shop", "dev-")
RULES = Stores.of(OWNER).current
SCHEDULER = Stores.of(OWNER, Scheduling("arn:aws:iam::1:role/scheduler")).current


def made(beat_schedule: dict[str, Any], site: Site = SITE, store: Store = RULES) -> list[Stored]:
    return schedules(site, store, entries(beat_schedule), zone=timezone.utc, now=NOW)


def one(**fields: Any) -> Stored:
    (stored,) = made({"clean": {"task": "shop.clean", "schedule": 60, **fields}})
    return stored


def fired(stored: Stored, time: str = "2026-03-01T10:20:00Z") -> Message:
    """What a worker reads when EventBridge has filled in the time."""
    return read_message(parse_envelope(template_of(stored.text).replace("<time>", time)))


# -- entries ------------------------------------------------------------------------------------


def test_an_entry_has_celerys_shape() -> None:
    fields = {
        "task": "shop.report",
        "schedule": crontab(minute=0),
        "args": [1],
        "kwargs": {"full": True},
        "options": {"queue": "reports"},
    }
    assert entries({"report": fields}) == [
        Entry("report", "shop.report", crontab(minute=0), (1,), {"full": True}, fields["options"])  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize("when", [60, 60.0, timedelta(minutes=1), schedule(60)])
def test_seconds_and_timedeltas_are_schedules(when: Any) -> None:
    (entry,) = entries({"clean": {"task": "shop.clean", "schedule": when}})
    assert entry.schedule == schedule(60)


def test_what_an_entry_leaves_out_or_gives_as_none_is_at_its_default() -> None:
    fields = {"task": "t", "schedule": 60, "args": None, "kwargs": None, "options": None}
    assert entries({"clean": fields}) == [Entry("clean", "t", schedule(60))]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("t", "expected {'task': ..., 'schedule': ...}, not 't'"),
        ({"schedule": 60}, "'task' is missing"),
        ({"task": "t"}, "'schedule' is missing: crontab(...), schedule(...), a timedelta"),
        ({"task": print, "schedule": 60}, "expected the task's name"),
        ({"task": "t", "schedule": "* * * * *"}, "is no schedule: expected crontab(...)"),
        ({"task": "t", "schedule": 0}, "an interval is above 0"),
        ({"task": "t", "schedule": 60, "args": "ab"}, "'args' is 'ab', expected a tuple"),
        ({"task": "t", "schedule": 60, "kwargs": [1]}, "'kwargs' is [1], expected a dict"),
        ({"task": "t", "schedule": 60, "options": "q"}, "'options' is 'q', expected a dict"),
        ({"task": "t", "schedule": 60, "enabled": "no"}, "expected True or False"),
        ({"task": "t", "schedule": 60, "relative": 1}, "expected True or False"),
        ({"task": "t", "schedule": 60, "start": "2026-01-01"}, "expected a datetime"),
        ({"task": "t", "schedule": "0 9 * * *"}, "crontab.from_string reads a line"),
        (
            {"task": "t", "schedule": 60, "start": NOW, "end": NOW - timedelta(days=1)},
            "is after 'end' (2026-02-28 00:00:00+00:00), so it is never due",
        ),
    ],
)
def test_a_wrong_entry_is_refused_by_its_name(fields: Any, problem: str) -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        entries({"clean": fields})
    assert str(raised.value).startswith("beat_schedule['clean']: ")
    assert problem in str(raised.value)


@pytest.mark.parametrize("name", ["", "x" * 201, "two\nlines", "\ud800"])
def test_a_name_that_no_message_can_carry_is_refused(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="1 to 200 printable characters: name it"):
        entries({name: {"task": "t", "schedule": 60}})


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        made(
            {
                "clean": {"task": "t", "schedule": 0.5},
                "report": {"task": "t", "schedule": 60},
                "never": {"task": "t", "schedule": crontab(day_of_month=31, month_of_year=2)},
            }
        )
    assert str(raised.value).splitlines() == [
        (
            "beat_schedule['clean']: an interval of 0.5 s cannot be kept, because SQS delays "
            "messages by whole seconds: use 1 s"
        ),
        (
            "beat_schedule['never']: crontab '* * 31 2 *': there is no such day in any year: take "
            "another day_of_month, or other months"
        ),
    ]


def test_scheduler_takes_longer_messages_than_rules() -> None:
    long: dict[str, Any] = {"clean": {"task": "t", "schedule": 60, "args": ("x" * 9_000,)}}
    assert len(made(long, store=SCHEDULER)) == 1
    longer: dict[str, Any] = {"clean": {"task": "t", "schedule": 60, "args": ("é" * 140_000,)}}
    with pytest.raises(
        ImproperlyConfigured, match="above EventBridge Scheduler's limit of 262,144"
    ):
        made(longer, store=SCHEDULER)


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownOption, match="no key named 'shedule', did you mean 'schedule'"):
        entries({"clean": {"task": "t", "shedule": 60}})


# -- what is stored -------------------------------------------------------------------------------


def test_an_entry_becomes_a_schedule_that_sends_its_message() -> None:
    stored = one(schedule=crontab(minute="*/15"), args=(1,), kwargs={"full": True})
    assert stored == Stored(
        entry="clean",
        expression="cron(0/15 * * * ? *)",
        queue="dev-default",
        text=(
            '{"caraway":1,"task":"shop.clean","args":[1],"kwargs":{"full":true},'
            '"schedule":"clean","when":{"crontab":"*/15 * * * *","tz":"UTC"}}'
        ),
        description="shop.clean <crontab: */15 * * * * (m/h/dM/MY/d)> UTC",
    )


def test_the_message_of_a_rule_that_fires_too_often_says_when_its_entry_is_due() -> None:
    rule = one(schedule=crontab(0, 9, "mon", "1-7", tz="Europe/Berlin"))
    assert rule.expression == "cron(0 7,8 ? * MON *)"
    when = {"crontab": "0 9 1-7 * 1", "tz": "Europe/Berlin", "covers_s": 60}
    assert fired(rule).when == when


def test_every_message_says_when_its_entry_is_due() -> None:
    assert fired(one()).when == {"every_s": 60}


def test_round_times_a_start_and_an_end_are_said_by_the_entry() -> None:
    assert one(schedule=600, relative=True).expression == "cron(0/10 * * * ? *)"
    start = datetime(2026, 1, 1, 0, 3)
    rule = one(schedule=600, start=start, end=datetime(2027, 1, 1, tzinfo=timezone.utc))
    assert rule.expression == "cron(3/10 * * * ? *)"
    assert fired(rule).when == {
        "every_s": 600,
        "start": "2026-01-01T00:03:00+00:00",
        "end": "2027-01-01T00:00:00+00:00",
        "covers_s": 60,
    }


def test_an_entry_that_is_over_has_no_rule() -> None:
    week = timedelta(days=7)
    past: dict[str, Any] = {"schedule": clocked(NOW - week)}
    for fields in (past, {"schedule": 60, "end": NOW - week}):
        assert made({"clean": {"task": "t", **fields}}) == []
    assert len(made({"clean": {"task": "t", "schedule": clocked(NOW + week)}})) == 1
    assert len(made({"clean": {"task": "t", "schedule": 60, "end": NOW}})) == 1


def test_a_worker_reads_the_message_with_its_time_and_an_id_of_its_own() -> None:
    message = fired(one(args=(1,)))
    assert (message.task, message.args, message.schedule) == ("shop.clean", (1,), "clean")
    assert message.scheduled_time == datetime(2026, 3, 1, 10, 20, tzinfo=timezone.utc)
    assert message.digest == digest_of("shop.clean", [1], {})
    assert str(UUID(message.id)) == message.id


def test_an_occurrence_that_is_fired_twice_is_one_task() -> None:
    rule = one()
    assert fired(rule).id == fired(rule).id
    assert fired(rule).id == fired(rule, "2026-03-01T10:20:59Z").id
    assert fired(rule).id != fired(rule, "2026-03-01T10:21:00Z").id


def test_the_task_is_routed_as_any_other() -> None:
    site = Site(Router(["default"], {"reports.*": {"queue": "reports"}}))
    (rule,) = made({"r": {"task": "reports.make", "schedule": 60}}, site)
    assert rule.queue == "reports"
    assert one(options={"queue": "reports"}).queue == "dev-reports"


def test_a_fifo_queue_gets_its_message_group() -> None:
    rule = one(options={"queue": "orders", "message_group_id": "eu"})
    assert (rule.queue, rule.group_id) == ("dev-orders.fifo", "eu")
    assert fired(rule).group_id == "eu"
    assert one(options={"queue": "orders"}).group_id == "default"


def test_options_travel_in_the_message() -> None:
    message = fired(one(options={"headers": {"a": 1}, "time_limit": 5, "ignore_result": True}))
    assert (message.headers, message.time_limit, message.ignore_result) == ({"a": 1}, 5, True)


def test_an_option_of_none_is_one_that_was_not_given() -> None:
    assert one(options={"task_id": None, "queue": None}) == one()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"options": {"countdown": 5}}, "'countdown' has no meaning in a schedule"),
        ({"options": {"expires": NOW}}, "what bounds all of them is 'end' of the entry"),
        ({"options": {"task_id": "x"}}, "'task_id' has no meaning in a schedule"),
        ({"options": {"queeu": "x"}}, "no option named 'queeu', did you mean 'queue'"),
        ({"options": {"priority": 1}}, "'priority' has no meaning here"),
        ({"options": {"queue": "reprots"}}, "no queue named 'reprots', did you mean 'reports'"),
        ({"schedule": 60.5}, "use 60 or 61 s"),
        ({"schedule": crontab(tz=timezone(timedelta(hours=9)))}, "has no name that a message"),
        ({"schedule": crontab(day_of_month=31, month_of_year=2)}, "no such day in any year"),
        ({"args": ({1: object()},)}, "args[0]"),
        ({"kwargs": {"a": "x" * 9_000}}, "above EventBridge's limit of 8,192: keep the data in"),
    ],
)
def test_an_entry_that_cannot_be_a_rule_is_refused_by_its_name(
    fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        one(**fields)
    assert str(raised.value).startswith("beat_schedule['clean']: ")
    assert problem in str(raised.value)


def test_the_app_checks_arguments_where_it_knows_the_task() -> None:
    wanted = entries({"clean": {"task": "shop.clean", "schedule": 60, "args": ("5",)}})
    (rule,) = schedules(
        SITE,
        RULES,
        wanted,
        zone=timezone.utc,
        now=NOW,
        to_wire=lambda entry: ([int(entry.args[0])], {"task": entry.task}),
    )
    assert (fired(rule).args, fired(rule).kwargs) == ((5,), {"task": "shop.clean"})


def test_crontabs_are_meant_in_the_apps_time_zone() -> None:
    wanted = entries({"open": {"task": "t", "schedule": crontab(0, 9)}})
    (rule,) = schedules(SITE, RULES, wanted, zone=ZoneInfo("Asia/Seoul"), now=NOW)
    assert rule.expression == "cron(0 0 * * ? *)"
    assert rule.description == "t <crontab: 0 9 * * * (m/h/dM/MY/d)> Asia/Seoul"


texts = st.text() | st.sampled_from(
    ["<time>", "<b>", '"', "\\", "\\n", "\n", "</script>", "\\u003c"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_any_argument_survives_the_template(value: Any) -> None:
    def to_wire(*_: Any) -> tuple[list[Any], dict[str, Any]]:
        return [value], {}

    (entry,) = entries({"<clean>": {"task": "t", "schedule": 60}})
    (rule,) = schedules(SITE, RULES, [entry], zone=timezone.utc, now=NOW, to_wire=to_wire)
    assert not {"<", ">"} & set(rule.text)
    # Nothing in it for an engine that reads backslashes in its own way.
    assert rule.text.replace("\\u", "").count("\\") == 0
    for text, blank in (
        (template_of(rule.text), "<time>"),
        (input_of(rule.text), "<aws.scheduler.scheduled-time>"),
    ):
        assert text.count("<") == text.count(blank) == 1
        json.loads(text)
    message = fired(rule)
    assert message.args == (value,)
    assert message.schedule == "<clean>"
