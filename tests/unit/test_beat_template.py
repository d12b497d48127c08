"""Schedules as a CloudFormation template: what a sync would make, and nothing else."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
import yaml
from cfnlint.api import lint_all  # type: ignore[import-untyped]  # it has no stubs
from hypothesis import given
from hypothesis import strategies as st

from caraway.core.beat import entries, schedules
from caraway.core.beat_template import template, to_yaml
from caraway.core.publish import Site
from caraway.core.routing import Queue, Router
from caraway.core.stored import Stored
from caraway.core.stores import Stores
from caraway.exceptions import ImproperlyConfigured
from caraway.requests.eventbridge import PutRule, Target
from caraway.requests.scheduler import Schedule
from caraway.schedules import crontab
from tests.timekeepers import ROLE, RULES, SCHEDULES, Timekeepers

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
SITE = Site(Router([Queue("default"), Queue("orders.fifo")]), queue_prefix="dev-")
SCHEDULE = {
    "clean up": {"task": "shop.clean", "schedule": 60, "args": ("<b> & \"é\" 'x': #\n", None)},
    "clean_up": {"task": "shop.clean", "schedule": 3_600, "enabled": False},
    "nightly": {"task": "shop.order", "schedule": crontab(0, 3), "options": {"queue": "orders"}},
}
both_stores = pytest.mark.parametrize("stores", [RULES, SCHEDULES], ids=["rules", "schedules"])


def made(stores: Stores, beat_schedule: dict[str, Any] = SCHEDULE) -> list[Stored]:
    return schedules(SITE, stores.current, entries(beat_schedule), zone=timezone.utc, now=NOW)


def deploy(aws: Timekeepers, resources: dict[str, Any]) -> None:
    """Make what resources describe, as CloudFormation would."""

    def arn(value: dict[str, str]) -> str:
        return f"arn:aws:sqs:eu-central-1:1:{value['Fn::Sub'].rpartition(':')[2]}"

    for resource in resources.values():
        what = resource["Properties"]
        if resource["Type"] == "AWS::Events::Rule":
            name, (target,) = what["Name"], what["Targets"]
            transformer = target["InputTransformer"]
            aws.rules[name] = PutRule(
                name, what["ScheduleExpression"], what["State"], what["Description"]
            )
            aws.tags[name] = {tag["Key"]: tag["Value"] for tag in what["Tags"]}
            aws.targets[name] = {
                target["Id"]: Target(
                    target["Id"],
                    arn(target["Arn"]),
                    transformer["InputTemplate"],
                    transformer["InputPathsMap"],
                    target.get("SqsParameters", {}).get("MessageGroupId"),
                )
            }
            continue
        kept = Schedule(
            what["Name"],
            what["GroupName"],
            what["ScheduleExpression"],
            arn(what["Target"]["Arn"]),
            what["Target"]["RoleArn"],
            what["Target"]["Input"],
            what["Target"].get("SqsParameters", {}).get("MessageGroupId"),
            what["State"],
            what["Description"],
        )
        assert what["FlexibleTimeWindow"] == {"Mode": "OFF"}
        aws.schedules[kept.group, kept.name] = kept


@both_stores
def test_what_a_stack_deploys_is_what_a_sync_would_make(stores: Stores) -> None:
    by_stack, by_sync = Timekeepers(), Timekeepers()
    by_sync.queues["dev-orders.fifo"] = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    wanted = made(stores)
    deploy(by_stack, template(stores.current, wanted)["Resources"])
    by_sync.sync(wanted, stores)
    assert by_stack.schedules == by_sync.schedules
    assert by_stack.targets == by_sync.targets
    assert by_stack.tags == by_sync.tags
    assert not by_stack.compare(wanted, stores)


@both_stores
def test_the_yaml_is_the_json(stores: Stores) -> None:
    whole = template(stores.current, made(stores))
    assert yaml.safe_load(to_yaml(whole)) == json.loads(json.dumps(whole))
    assert len(whole["Resources"]) == 3


@given(st.recursive(st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_any_text_survives_the_yaml(value: Any) -> None:
    assert yaml.safe_load(to_yaml({"Resources": {"a": [value, 1, None, True, {}, []]}})) == {
        "Resources": {"a": [value, 1, None, True, {}, []]}
    }


@both_stores
def test_cloudformation_takes_it(stores: Stores) -> None:
    found = lint_all(to_yaml(template(stores.current, made(stores))))
    assert [each for each in found if each.rule.severity != "informational"] == []


def test_a_resource_keeps_its_name_whatever_its_entry_becomes() -> None:
    before, after = (
        set(template(SCHEDULES.current, made(SCHEDULES, {"a": each}))["Resources"])
        for each in ({"task": "t", "schedule": 60}, {"task": "t", "schedule": 120})
    )
    assert before == after


def test_the_role_is_that_of_the_settings() -> None:
    whole = template(SCHEDULES.current, made(SCHEDULES, {"a": SCHEDULE["nightly"]}))
    (resource,) = whole["Resources"].values()
    assert resource["Properties"]["Target"]["RoleArn"] == ROLE


def test_more_resources_than_a_stack_takes_are_refused() -> None:
    many = {f"e{number}": {"task": "t", "schedule": 60} for number in range(501)}
    with pytest.raises(ImproperlyConfigured, match="'caraway beat sync' instead"):
        template(RULES.current, made(RULES, many))
