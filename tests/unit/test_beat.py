from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.core.beat import Entry, Owner, Rule, entries, rules
from caraway.core.beat_sync import TARGET_ID, Plan, listing, plan, sync
from caraway.core.envelope import parse_envelope
from caraway.core.message import Message, digest_of, read_message
from caraway.core.port import run_now
from caraway.core.publish import Site
from caraway.core.routing import Queue, Router
from caraway.exceptions import ImproperlyConfigured, RequestFailed, ResourceMissing, UnknownOption
from caraway.requests.base import Request
from caraway.requests.eventbridge import (
    DeleteRule,
    DisableRule,
    EnableRule,
    ListRules,
    ListTagsForResource,
    ListTargetsByRule,
    PutRule,
    PutTargets,
    RemoveTargets,
    Target,
)
from caraway.requests.sqs import GetQueueAttributes, GetQueueUrl
from caraway.schedules import clocked, crontab, schedule

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
SITE = Site(
    Router([Queue("default"), Queue("reports", consumer="ecs"), Queue("orders.fifo")]),
    queue_prefix="dev-",
)
OWNER = Owner("shop", "dev-")


def made(beat_schedule: dict[str, Any], site: Site = SITE, owner: Owner = OWNER) -> list[Rule]:
    return rules(site, owner, entries(beat_schedule), zone=timezone.utc, now=NOW)


def one(**fields: Any) -> Rule:
    (rule,) = made({"clean": {"task": "shop.clean", "schedule": 60, **fields}})
    return rule


def fired(rule: Rule, time: str = "2026-03-01T10:20:00Z") -> Message:
    """What a worker reads when EventBridge has filled in the time."""
    return read_message(parse_envelope(rule.template.replace("<time>", time)))


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
    ],
)
def test_a_wrong_entry_is_refused_by_its_name(fields: Any, problem: str) -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        entries({"clean": fields})
    assert str(raised.value).startswith("beat_schedule['clean']: ")
    assert problem in str(raised.value)


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownOption, match="no key named 'shedule', did you mean 'schedule'"):
        entries({"clean": {"task": "t", "shedule": 60}})


# -- rules --------------------------------------------------------------------------------------


def test_an_entry_becomes_a_rule_that_sends_its_message() -> None:
    rule = one(schedule=crontab(minute="*/15"), args=(1,), kwargs={"full": True})
    assert rule == Rule(
        name="dev-shop-clean",
        expression="cron(0/15 * * * ? *)",
        queue="dev-default",
        template=(
            '{"caraway":1,"task":"shop.clean","args":[1],"kwargs":{"full":true},'
            '"schedule":"clean","when":{"crontab":"*/15 * * * *","tz":"UTC"},'
            '"scheduled_time":"<time>"}'
        ),
        entry="clean",
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
        ({"options": {"expires": 60}}, "'expires' has no meaning in a schedule"),
        ({"options": {"task_id": "x"}}, "'task_id' has no meaning in a schedule"),
        ({"options": {"queeu": "x"}}, "no option named 'queeu', did you mean 'queue'"),
        ({"options": {"priority": 1}}, "'priority' has no meaning here"),
        ({"options": {"queue": "reprots"}}, "no queue named 'reprots', did you mean 'reports'"),
        ({"schedule": 60.5}, "use 60 or 61 s"),
        ({"schedule": crontab(tz=timezone(timedelta(hours=9)))}, "has no name that a message"),
        ({"schedule": crontab(day_of_month=31, month_of_year=2)}, "no such day in any year"),
        ({"args": ({1: object()},)}, "args[0]"),
        ({"kwargs": {"a": "x" * 9_000}}, "above EventBridge's limit of 8,192"),
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
    (rule,) = rules(
        SITE,
        OWNER,
        wanted,
        zone=timezone.utc,
        now=NOW,
        to_wire=lambda entry: ([int(entry.args[0])], {"task": entry.task}),
    )
    assert (fired(rule).args, fired(rule).kwargs) == ((5,), {"task": "shop.clean"})


def test_crontabs_are_meant_in_the_apps_time_zone() -> None:
    wanted = entries({"open": {"task": "t", "schedule": crontab(0, 9)}})
    (rule,) = rules(SITE, OWNER, wanted, zone=ZoneInfo("Asia/Seoul"), now=NOW)
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
    (rule,) = rules(SITE, OWNER, [entry], zone=timezone.utc, now=NOW, to_wire=to_wire)
    head, tail = rule.template.split("<time>")
    assert not {"<", ">"} & set(head + tail)
    # Nothing in it for an engine that reads backslashes in its own way.
    assert head.replace("\\u", "").count("\\") == tail.count("\\") == 0
    message = fired(rule)
    assert message.args == (value,)
    assert message.schedule == "<clean>"


# -- names and owners ---------------------------------------------------------------------------


def test_a_rules_name_says_prefix_app_and_entry() -> None:
    assert OWNER.rule_name("clean.up_2") == "dev-shop-clean.up_2"


@pytest.mark.parametrize("entry", ["clean up", "clean:up", "naïve", "x" * 60, ""])
def test_a_name_that_eventbridge_does_not_take_is_changed_and_stays_unique(entry: str) -> None:
    name = OWNER.rule_name(entry)
    assert 1 <= len(name) <= 64
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
    assert name.startswith(OWNER.name_prefix)
    assert name == OWNER.rule_name(entry)
    assert name != OWNER.rule_name(entry + " ")


def test_long_app_names_keep_their_rules_apart() -> None:
    owner = Owner("a" * 80)
    assert owner.rule_name("x") != owner.rule_name("y")
    assert owner.rule_name("x").startswith(owner.name_prefix)


def test_names_that_collide_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Owner, "rule_name", lambda self, entry: "same")
    with pytest.raises(ImproperlyConfigured, match="'a' and 'b' are both named 'same'"):
        made({"a": {"task": "t", "schedule": 60}, "b": {"task": "t", "schedule": 60}})


# -- plan ---------------------------------------------------------------------------------------


def rule(name: str, expression: str = "cron(* * * * ? *)", **fields: Any) -> Rule:
    return Rule(name, expression, **{"queue": "default", "template": "{}", "entry": name, **fields})


def test_a_plan_creates_updates_and_deletes() -> None:
    wanted = [rule("same"), rule("new"), rule("changed", "cron(0/2 * * * ? *)", enabled=False)]
    decided = plan(wanted, [rule("changed", template="{1}"), rule("same"), rule("old")])
    assert [each.name for each in decided.create] == ["new"]
    assert [each.name for each in decided.delete] == ["old"]
    assert [each.name for each in decided.unchanged] == ["same"]
    assert decided.lines() == [
        "+ new  cron(* * * * ? *) -> default",
        (
            "~ changed  expression: cron(* * * * ? *) -> cron(0/2 * * * ? *); "
            "enabled: True -> False; template changes"
        ),
        "- old  cron(* * * * ? *) -> default",
    ]
    assert decided


rule_lists = st.lists(
    st.builds(
        rule, st.sampled_from("abcd"), st.sampled_from(["cron(* * * * ? *)", "cron(0/2 * * * ? *)"])
    ),
    unique_by=lambda each: each.name,
)


@given(rule_lists, rule_lists)
def test_after_a_plan_there_is_nothing_to_do(wanted: list[Rule], existing: list[Rule]) -> None:
    decided = plan(wanted, existing)
    after = {each.name: each for each in existing}
    after.update({each.name: each for each in decided.create})
    after.update({each.after.name: each.after for each in decided.update})
    for each in decided.delete:
        del after[each.name]
    assert not plan(wanted, list(after.values()))
    assert not plan(wanted, wanted)
    assert plan(wanted, wanted).lines() == []


# -- sync ---------------------------------------------------------------------------------------


@dataclass
class FakeEvents:
    """EventBridge and the queues' addresses, as far as a sync asks for them."""

    queues: dict[str, dict[str, str]] = field(
        default_factory=lambda: {name: {} for name in ("dev-default", "dev-reports")}
    )
    rules: dict[str, PutRule] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    targets: dict[str, dict[str, Target]] = field(default_factory=dict)
    writes: list[Request[Any]] = field(default_factory=list)
    page_size: int = 100
    refuses: type | None = None

    async def perform_all(self, requests: Sequence[Request[Any]]) -> list[Any]:
        answers: list[Any] = []
        for request in requests:
            try:
                answers.append(await self.perform(request))
            except Exception as error:  # noqa: PERF203 - each request's own answer
                answers.append(error)
        return answers

    async def perform(self, request: Request[Any]) -> Any:
        if self.refuses and isinstance(request, self.refuses):
            failed = [{"ErrorCode": "InternalException", "ErrorMessage": "try again"}]
            return request.answer({"FailedEntryCount": 1, "FailedEntries": failed})
        match request:
            case GetQueueUrl(name):
                if name not in self.queues:
                    raise ResourceMissing(f"queue {name!r} does not exist")
                return f"https://sqs/1/{name}"
            case GetQueueAttributes(url):
                name = url.rpartition("/")[2]
                return {"QueueArn": f"arn:aws:sqs:eu-central-1:1:{name}", **self.queues[name]}
            case ListRules(prefix, token):
                names = sorted(name for name in self.rules if name.startswith(prefix))
                start = int(token or 0)
                end = start + self.page_size
                page = {
                    "Rules": [
                        {"Arn": f"arn:rule/{name}", **self.rules[name].params()}
                        for name in names[start:end]
                    ]
                }
                return request.answer(page | ({"NextToken": str(end)} if names[end:] else {}))
            case ListTagsForResource(arn):
                return self.tags.get(arn.rpartition("/")[2], {})
            case ListTargetsByRule(name):
                wire = [target.to_wire() for target in self.targets.get(name, {}).values()]
                return request.answer({"Targets": wire})
        self.writes.append(request)
        self._write(request)
        return None

    def _write(self, request: Request[Any]) -> None:
        match request:
            case PutRule(name):
                if name not in self.rules:
                    self.tags[name] = dict(request.tags)
                self.rules[name] = request
            case PutTargets(name, targets):
                self.targets.setdefault(name, {}).update({each.id: each for each in targets})
            case RemoveTargets(name, ids):
                for each in ids:
                    del self.targets[name][each]
            case DeleteRule(name):
                assert not self.targets.pop(name, None), "a rule with targets cannot be deleted"
                del self.rules[name], self.tags[name]
            case _:
                raise AssertionError(request)

    def sync(self, wanted: Sequence[Rule], owner: Owner = OWNER, **options: Any) -> Plan:
        return run_now(sync(self, owner, wanted, **options))  # type: ignore[arg-type]


THREE = made(
    {
        "clean": {"task": "shop.clean", "schedule": 60},
        "report": {"task": "shop.report", "schedule": 300, "options": {"queue": "reports"}},
        "off": {"task": "shop.off", "schedule": crontab(0, 0), "enabled": False},
    }
)


def test_sync_creates_rules_with_their_targets_and_tags() -> None:
    aws = FakeEvents()
    assert len(aws.sync(THREE).create) == 3
    put = aws.rules["dev-shop-off"]
    assert (put.expression, put.state) == ("cron(0 0 * * ? *)", "DISABLED")
    assert aws.tags["dev-shop-off"] == {
        "caraway:app": "shop",
        "caraway:prefix": "dev-",
        "caraway:entry": "off",
    }
    target = aws.targets["dev-shop-report"][TARGET_ID]
    assert target.arn == "arn:aws:sqs:eu-central-1:1:dev-reports"
    assert json.loads(target.template)["task"] == "shop.report"
    assert target.paths == {"time": "$.time"}


def test_a_second_sync_writes_nothing() -> None:
    aws = FakeEvents(page_size=2)
    aws.sync(THREE)
    aws.writes.clear()
    assert not aws.sync(THREE)
    assert aws.writes == []


def test_a_dry_run_writes_nothing() -> None:
    aws = FakeEvents(queues={})
    assert len(aws.sync(THREE, dry_run=True).create) == 3
    assert aws.writes == []


def test_sync_updates_what_differs_and_deletes_what_is_gone() -> None:
    aws = FakeEvents()
    aws.sync(THREE)
    aws.writes.clear()
    changed = made({"clean": {"task": "shop.clean", "schedule": 120}})
    decided = aws.sync(changed)
    assert (len(decided.update), len(decided.delete)) == (1, 2)
    assert list(aws.rules) == list(aws.targets) == ["dev-shop-clean"]
    assert aws.rules["dev-shop-clean"].expression == "cron(0/2 * * * ? *)"
    assert not aws.sync(changed)


def test_a_target_that_was_lost_or_changed_by_hand_is_mended() -> None:
    aws = FakeEvents()
    aws.sync(THREE)
    target = aws.targets["dev-shop-clean"].pop(TARGET_ID)
    assert [each.after.entry for each in aws.sync(THREE).update] == ["clean"]
    by_hand = Target(TARGET_ID, target.arn, target.template, {"time": "$.id"})
    aws.targets["dev-shop-clean"][TARGET_ID] = by_hand
    assert [each.lines() for each in aws.sync(THREE).update] == [["template changes"]]
    assert aws.targets["dev-shop-clean"][TARGET_ID] == target


def test_a_rule_that_others_gave_a_target_too_can_be_deleted() -> None:
    aws = FakeEvents()
    aws.sync(THREE)
    aws.targets["dev-shop-clean"]["theirs"] = Target("theirs", "arn:aws:lambda:::f")
    aws.sync([])
    assert aws.rules == {}


def test_nothing_is_touched_that_is_not_the_owners() -> None:
    aws = FakeEvents()
    others = {
        "dev-shop-by-hand": {},
        "dev-shop-front-clean": Owner("shop-front", "dev-").tags,
        "dev-shop-shop-clean": Owner("shop", "dev-shop-").tags,
    }
    for name, tags in others.items():
        aws.rules[name] = PutRule(name, "cron(* * * * ? *)")
        aws.tags[name] = dict(tags)
    aws.sync(THREE)
    aws.sync([])
    assert set(aws.rules) == set(others)


def test_a_name_that_is_somebody_elses_is_refused_before_anything_is_changed() -> None:
    aws = FakeEvents()
    aws.rules["dev-shop-clean"] = PutRule("dev-shop-clean", "cron(0/9 * * * ? *)")
    with pytest.raises(ImproperlyConfigured, match="'dev-shop-clean' exists and is not of app"):
        aws.sync(THREE)
    assert aws.writes == []


def test_a_missing_queue_is_refused_before_anything_is_changed() -> None:
    aws = FakeEvents(queues={"dev-default": {}})
    with pytest.raises(ResourceMissing, match="dev-reports"):
        aws.sync(THREE)
    assert aws.writes == []


def test_a_fifo_queue_must_deduplicate_by_content() -> None:
    fifo = made({"o": {"task": "t", "schedule": 60, "options": {"queue": "orders"}}})
    aws = FakeEvents(queues={"dev-orders.fifo": {"FifoQueue": "true"}})
    with pytest.raises(ImproperlyConfigured, match="ContentBasedDeduplication is on"):
        aws.sync(fifo)
    assert aws.writes == []
    aws.queues["dev-orders.fifo"]["ContentBasedDeduplication"] = "true"
    aws.sync(fifo)
    assert aws.targets["dev-shop-o"][TARGET_ID].group_id == "default"
    assert not aws.sync(fifo)


def test_a_target_that_eventbridge_did_not_take_raises_and_the_next_sync_mends_it() -> None:
    aws = FakeEvents(refuses=PutTargets)
    with pytest.raises(RequestFailed, match="PutTargets on rule 'dev-shop-clean' failed"):
        aws.sync(THREE)
    aws.refuses = None
    assert len(aws.sync(THREE).update) == 3
    assert not aws.sync(THREE)


def test_a_target_that_eventbridge_kept_raises() -> None:
    aws = FakeEvents()
    aws.sync(THREE)
    aws.refuses = RemoveTargets
    with pytest.raises(RequestFailed, match=r"RemoveTargets .*: InternalException: try again"):
        aws.sync([])


def test_the_list_shows_what_is_wanted_and_what_is_there() -> None:
    aws = FakeEvents()
    aws.sync(THREE)
    wanted = made(
        {
            "clean": {"task": "shop.clean", "schedule": 120},
            "new": {"task": "shop.new", "schedule": 60},
            "off": {"task": "shop.off", "schedule": crontab(0, 0), "enabled": False},
        }
    )
    aws.writes.clear()
    rows = run_now(listing(aws, OWNER, wanted))  # type: ignore[arg-type]
    assert [(row.rule.entry, row.status, row.rule.expression) for row in rows] == [
        ("clean", "differs", "cron(0/2 * * * ? *)"),
        ("new", "missing", "cron(* * * * ? *)"),
        ("off", "active", "cron(0 0 * * ? *)"),
        ("report", "left over", "cron(0/5 * * * ? *)"),
    ]
    assert aws.writes == []


def test_requests_say_what_they_are_about() -> None:
    assert {EnableRule("r").subject(), DisableRule("r").subject()} == {"rule 'r'"}
    assert ListRules("dev-").subject() == "rules dev-*"
    assert ListRules("dev-", "t").params() == {"NamePrefix": "dev-", "NextToken": "t"}
    assert ListTagsForResource("arn:aws:events:eu:1:rule/r").subject() == "rule 'r'"
