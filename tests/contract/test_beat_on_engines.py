from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from caraway.core.beat import Owner, Rule, entries, rules
from caraway.core.beat_sync import TARGET_ID, listing, sync
from caraway.core.envelope import parse_envelope
from caraway.core.message import read_message
from caraway.core.publish import Site
from caraway.core.routing import Queue, Router
from caraway.exceptions import ImproperlyConfigured, ResourceMissing
from caraway.requests.eventbridge import (
    DisableRule,
    EnableRule,
    ListRules,
    ListTargetsByRule,
    PutTargets,
)
from caraway.requests.sqs import GetQueueUrl
from caraway.schedules import clocked, crontab, solar

if TYPE_CHECKING:
    from tests.contract.conftest import Harness

pytestmark = pytest.mark.without("memory", "it has no EventBridge")

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
AWKWARD = [
    "<b>",
    "<time>",
    'a "quoted" word',
    "\\n \n \t \\",
    "é 한 🌱",
    {"<k>": None, "n": 1.5e-7},
]


def made(owner: Owner, queue: str, beat_schedule: dict[str, Any]) -> list[Rule]:
    site = Site(Router([Queue(queue)], default=queue))
    return rules(site, owner, entries(beat_schedule), zone=timezone.utc, now=NOW)


def test_rules_are_created_changed_and_deleted(harness: Harness) -> None:
    owner, queue = Owner(harness.unique_name()), harness.queue_name()
    wanted = made(
        owner,
        queue,
        {
            "clean": {"task": "t", "schedule": 60, "args": AWKWARD},
            "report": {"task": "t", "schedule": crontab("*/15", "8-17", "fri-mon")},
            "last of month": {"task": "t", "schedule": crontab(0, 0, day_of_month="1,15")},
            "off": {"task": "t", "schedule": 3_600, "enabled": False},
            "in Berlin": {"task": "t", "schedule": crontab(0, 9, "mon", tz="Europe/Berlin")},
            "sunset": {"task": "t", "schedule": solar("sunset", 48.86, 2.35)},
            "once": {"task": "t", "schedule": clocked(datetime(2040, 1, 1, 0, 0, 7))},
        },
    )
    assert len(harness.run(sync(harness.aws, owner, wanted)).create) == 7
    assert not harness.run(sync(harness.aws, owner, wanted))
    changed = made(
        owner,
        queue,
        {
            "clean": {"task": "t", "schedule": 120},
            "off": {"task": "t", "schedule": 3_600, "enabled": True},
        },
    )
    rows = harness.run(listing(harness.aws, owner, changed))
    assert {row.rule.entry: row.status for row in rows} == {
        "clean": "differs",
        "report": "left over",
        "last of month": "left over",
        "off": "differs",
        "in Berlin": "left over",
        "sunset": "left over",
        "once": "left over",
    }
    decided = harness.run(sync(harness.aws, owner, changed))
    assert (len(decided.create), len(decided.update), len(decided.delete)) == (0, 2, 5)
    assert not harness.run(sync(harness.aws, owner, changed))
    harness.run(sync(harness.aws, owner, []))
    assert harness.perform(ListRules(owner.name_prefix)).rules == ()


def test_a_zone_ahead_of_utc_may_need_the_last_day_of_the_month(harness: Harness) -> None:
    owner, queue = Owner(harness.unique_name()), harness.queue_name()
    (rule,) = made(owner, queue, {"m": {"task": "t", "schedule": 60}})
    rule = Rule(**{**vars(rule), "expression": "cron(0 18 L 3/3 ? *)"})
    harness.run(sync(harness.aws, owner, [rule]))
    assert not harness.run(sync(harness.aws, owner, [rule]))
    harness.run(sync(harness.aws, owner, []))


def test_a_rule_can_be_switched_off_and_on(harness: Harness) -> None:
    owner, queue = Owner(harness.unique_name()), harness.queue_name()
    wanted = made(owner, queue, {"clean": {"task": "t", "schedule": crontab(0, 0)}})
    harness.run(sync(harness.aws, owner, wanted))
    for request, state in ((DisableRule, "DISABLED"), (EnableRule, "ENABLED")):
        harness.perform(request(wanted[0].name))
        (seen,) = harness.perform(ListRules(owner.name_prefix)).rules
        assert seen.state == state
    harness.run(sync(harness.aws, owner, []))


def test_two_apps_and_two_environments_share_an_account(harness: Harness) -> None:
    app, queue = harness.unique_name(), harness.queue_name()
    owners = [Owner(app), Owner(f"{app}-x"), Owner(app, f"{app}-")]
    for owner in owners:
        wanted = made(owner, queue, {"clean": {"task": "t", "schedule": 3_600}})
        harness.run(sync(harness.aws, owner, wanted))
    harness.run(sync(harness.aws, owners[0], []))
    assert len(harness.perform(ListRules(app)).rules) == 2
    for owner in owners:
        harness.run(sync(harness.aws, owner, []))


def test_a_rule_of_another_maker_is_left_alone(harness: Harness) -> None:
    owner, queue = Owner(harness.unique_name()), harness.queue_name()
    wanted = made(owner, queue, {"clean": {"task": "t", "schedule": 3_600}})
    name = wanted[0].name
    harness.ask("events", "put_rule", Name=name, ScheduleExpression="rate(1 day)")
    with pytest.raises(ImproperlyConfigured, match="exists and is not of app"):
        harness.run(sync(harness.aws, owner, wanted))
    harness.run(sync(harness.aws, owner, []))
    (seen,) = harness.perform(ListRules(owner.name_prefix)).rules
    assert seen.expression == "rate(1 day)"
    harness.ask("events", "delete_rule", Name=name)


def test_a_queue_that_does_not_exist_is_named(harness: Harness) -> None:
    owner, queue = Owner(harness.unique_name()), harness.unique_name()
    wanted = made(owner, queue, {"clean": {"task": "t", "schedule": 3_600}})
    with pytest.raises(ResourceMissing, match=queue):
        harness.run(sync(harness.aws, owner, wanted))
    assert harness.perform(ListRules(owner.name_prefix)).rules == ()


def test_a_fifo_queue_is_a_target_with_its_group(harness: Harness) -> None:
    owner = Owner(harness.unique_name())
    queue = harness.queue_name(fifo=True, ContentBasedDeduplication="true")
    wanted = made(owner, queue, {"clean": {"task": "t", "schedule": 3_600}})
    harness.run(sync(harness.aws, owner, wanted))
    (target,) = harness.perform(ListTargetsByRule(wanted[0].name))
    assert (target.id, target.group_id) == (TARGET_ID, "default")
    assert not harness.run(sync(harness.aws, owner, wanted))
    harness.run(sync(harness.aws, owner, []))


@pytest.mark.without("moto", "it fills in the time as a number")
def test_what_the_engine_makes_of_a_template_is_a_task_message(harness: Harness) -> None:
    """By a rule on events instead of a schedule: the same template, and no waiting."""
    owner, queue = Owner(harness.unique_name()), harness.queue_name()
    url = harness.perform(GetQueueUrl(queue))
    wanted = made(owner, queue, {"<clean>": {"task": "t", "schedule": 3_600, "args": AWKWARD}})
    harness.run(sync(harness.aws, owner, wanted))
    (target,) = harness.perform(ListTargetsByRule(wanted[0].name))
    harness.run(sync(harness.aws, owner, []))
    source = harness.unique_name()
    pattern = f'{{"source": ["{source}"]}}'
    harness.ask("events", "put_rule", Name=source, EventPattern=pattern)
    harness.perform(PutTargets(source, (target,)))
    event = {"Source": source, "DetailType": "test", "Detail": "{}"}
    harness.ask("events", "put_events", Entries=[event])
    (received,) = harness.next_visible(url)
    message = read_message(parse_envelope(received.body))
    assert message.args == tuple(AWKWARD)
    assert message.schedule == "<clean>"
    assert message.scheduled_time is not None
    harness.ask("events", "remove_targets", Rule=source, Ids=[TARGET_ID])
    harness.ask("events", "delete_rule", Name=source)
