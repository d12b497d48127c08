from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from caraway.core.beat import entries, schedules
from caraway.core.beat_sync import compare, sync
from caraway.core.beat_template import template, to_yaml
from caraway.core.envelope import parse_envelope
from caraway.core.message import read_message
from caraway.core.publish import Site
from caraway.core.routing import Queue, Router
from caraway.core.rule_store import TARGET_ID
from caraway.core.scheduling import Scheduling
from caraway.core.stored import Owner, Stored
from caraway.core.stores import Stores, find
from caraway.exceptions import ImproperlyConfigured, ResourceMissing
from caraway.requests.eventbridge import ListRules, ListTargetsByRule, PutTargets
from caraway.requests.scheduler import ListSchedules
from caraway.requests.sqs import GetQueueUrl
from caraway.schedules import clocked, crontab, solar
from tests.integration.conftest import wait_until

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


def made(stores: Stores, queue: str, beat_schedule: dict[str, Any]) -> list[Stored]:
    site = Site(Router([Queue(queue)], default=queue))
    wanted = entries(beat_schedule)
    return schedules(site, stores.current, wanted, zone=timezone.utc, now=NOW)


ROLE = "arn:aws:iam::000000000000:role/scheduler"


@pytest.fixture(params=["rules", "schedules"])
def stores(request: pytest.FixtureRequest, harness: Harness) -> Stores:
    scheduling = Scheduling(ROLE) if request.param == "schedules" else None
    return Stores.of(Owner(harness.unique_name()), scheduling)


def there(harness: Harness, stores: Stores) -> int:
    """Count what is stored of an owner, in both services."""
    owner = stores.current.owner
    rules = harness.perform(ListRules(owner.rule_prefix)).items
    kept = harness.perform(ListSchedules("default", owner.schedule_prefix("code"))).items
    return len(rules) + len(kept)


def test_schedules_are_created_changed_and_deleted(harness: Harness, stores: Stores) -> None:
    queue = harness.queue_name()
    wanted = made(
        stores,
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
    assert len(harness.run(sync(harness.aws, stores, wanted)).create) == 7
    assert not harness.run(sync(harness.aws, stores, wanted))
    (held,) = harness.run(find(harness.aws, stores.current, "clean"))
    assert held.stored == wanted[0]
    changed = made(
        stores,
        queue,
        {
            "clean": {"task": "t", "schedule": 120},
            "off": {"task": "t", "schedule": 3_600, "enabled": True},
        },
    )
    decided = harness.run(sync(harness.aws, stores, changed))
    assert [each.stored.entry for each in decided.update] == ["clean", "off"]
    assert (len(decided.create), len(decided.delete)) == (0, 5)
    assert not harness.run(sync(harness.aws, stores, changed))
    harness.run(sync(harness.aws, stores, []))
    assert there(harness, stores) == 0


def test_schedules_move_from_one_store_to_the_other(harness: Harness) -> None:
    owner, queue = Owner(harness.unique_name()), harness.queue_name()
    rules, scheduler = Stores.of(owner), Stores.of(owner, Scheduling(ROLE))
    for stores in (rules, scheduler, rules):
        wanted = made(stores, queue, {"clean": {"task": "t", "schedule": 60}})
        assert len(harness.run(sync(harness.aws, stores, wanted)).changes) == 1
        assert not harness.run(sync(harness.aws, stores, wanted))
        assert there(harness, stores) == 1
    harness.run(sync(harness.aws, rules, []))


def test_a_zone_ahead_of_utc_may_need_the_last_day_of_the_month(
    harness: Harness, stores: Stores
) -> None:
    (stored,) = made(stores, harness.queue_name(), {"m": {"task": "t", "schedule": 60}})
    stored = replace(stored, expression="cron(0 18 L 3/3 ? *)")
    harness.run(sync(harness.aws, stores, [stored]))
    assert not harness.run(sync(harness.aws, stores, [stored]))
    harness.run(sync(harness.aws, stores, []))


def test_a_schedule_can_be_paused_and_resumed(harness: Harness, stores: Stores) -> None:
    wanted = made(stores, harness.queue_name(), {"clean": {"task": "t", "schedule": 3_600}})
    harness.run(sync(harness.aws, stores, wanted))
    for on in (False, True):
        (held,) = harness.run(find(harness.aws, stores.current, "clean"))
        switched = stores.current.switch(harness.aws, [held], on=on)
        assert harness.run(switched) == [None]
        plan = harness.run(sync(harness.aws, stores, wanted))
        assert not plan
        assert [each.is_on for each in plan.unchanged] == [on]
    harness.run(sync(harness.aws, stores, []))


def test_two_apps_and_two_environments_share_an_account(harness: Harness) -> None:
    app, queue = harness.unique_name(), harness.queue_name()
    all_stores = [Stores.of(owner) for owner in (Owner(app), Owner(f"{app}-x"), Owner(app, app))]
    for stores in all_stores:
        wanted = made(stores, queue, {"clean": {"task": "t", "schedule": 3_600}})
        harness.run(sync(harness.aws, stores, wanted))
    harness.run(sync(harness.aws, all_stores[0], []))
    assert len(harness.perform(ListRules(app)).items) == 2
    for stores in all_stores:
        harness.run(sync(harness.aws, stores, []))
    assert harness.perform(ListRules(app)).items == ()


def test_a_rule_of_another_maker_is_left_alone(harness: Harness) -> None:
    stores = Stores.of(Owner(harness.unique_name()))
    wanted = made(stores, harness.queue_name(), {"clean": {"task": "t", "schedule": 3_600}})
    name = stores.current.name_of(wanted[0])
    harness.ask("events", "put_rule", Name=name, ScheduleExpression="rate(1 day)")
    with pytest.raises(ImproperlyConfigured, match="exists and is not of app"):
        harness.run(sync(harness.aws, stores, wanted))
    harness.run(sync(harness.aws, stores, []))
    (seen,) = harness.perform(ListRules(name)).items
    assert seen.expression == "rate(1 day)"
    harness.ask("events", "delete_rule", Name=name)


def test_a_queue_that_does_not_exist_is_named(harness: Harness, stores: Stores) -> None:
    queue = harness.unique_name()
    wanted = made(stores, queue, {"clean": {"task": "t", "schedule": 3_600}})
    with pytest.raises(ResourceMissing, match=queue):
        harness.run(sync(harness.aws, stores, wanted))
    assert there(harness, stores) == 0


def test_a_fifo_queue_is_a_target_with_its_group(harness: Harness, stores: Stores) -> None:
    queue = harness.queue_name(fifo=True, ContentBasedDeduplication="true")
    wanted = made(stores, queue, {"clean": {"task": "t", "schedule": 3_600}})
    harness.run(sync(harness.aws, stores, wanted))
    (held,) = harness.run(find(harness.aws, stores.current, "clean"))
    assert held.stored.group_id == "default"
    assert not harness.run(sync(harness.aws, stores, wanted))
    harness.run(sync(harness.aws, stores, []))


@pytest.mark.without("moto", "its stacks know no schedules")
def test_a_stack_deploys_what_a_sync_finds_unchanged(harness: Harness, stores: Stores) -> None:
    name, queue = harness.unique_name(), harness.queue_name()
    wanted = made(
        stores,
        queue,
        {
            "clean": {"task": "t", "schedule": 60, "args": AWKWARD},
            "off": {"task": "t", "schedule": crontab(0, 9, "mon"), "enabled": False},
        },
    )
    text = to_yaml(template(stores.current, wanted))
    harness.ask("cloudformation", "create_stack", StackName=name, TemplateBody=text)
    wait_until(lambda: there(harness, stores) == 2)
    plan = harness.run(compare(harness.aws, stores, wanted))
    assert not plan
    assert {each.stored.entry: each.is_on for each in plan.unchanged} == {
        "clean": True,
        "off": False,
    }
    harness.ask("cloudformation", "delete_stack", StackName=name)
    wait_until(lambda: there(harness, stores) == 0)


@pytest.mark.without("moto", "it fills in the time as a number")
def test_what_the_engine_makes_of_a_template_is_a_task_message(harness: Harness) -> None:
    """By a rule on events instead of a schedule: the same template, and no waiting."""
    stores, queue = Stores.of(Owner(harness.unique_name())), harness.queue_name()
    url = harness.perform(GetQueueUrl(queue))
    wanted = made(stores, queue, {"<clean>": {"task": "t", "schedule": 3_600, "args": AWKWARD}})
    harness.run(sync(harness.aws, stores, wanted))
    (target,) = harness.perform(ListTargetsByRule(stores.current.name_of(wanted[0])))
    harness.run(sync(harness.aws, stores, []))
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
