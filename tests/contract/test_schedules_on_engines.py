"""EventBridge Scheduler: the same on every engine, through every port."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from caraway.exceptions import ResourceMissing
from caraway.requests.iam import GetTrustPolicy
from caraway.requests.scheduler import (
    SCHEDULED_TIME,
    CreateSchedule,
    DeleteSchedule,
    GetSchedule,
    ListSchedules,
    Schedule,
    ScheduleExists,
    ScheduleMissing,
    UpdateSchedule,
    at,
)
from caraway.requests.sqs import GetQueueArn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.conftest import Harness

ROLE = "arn:aws:iam::000000000000:role/scheduler"
FAR = at(datetime(2040, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone.utc))


def made(harness: Harness, name: str | None = None) -> Schedule:
    url = harness.queue()
    arn = harness.perform(GetQueueArn(url))
    body = f'{{"é": "한 🌱", "scheduled_time": "{SCHEDULED_TIME}"}}'
    return Schedule(name or harness.unique_name(), "default", FAR, arn, ROLE, body)


@pytest.fixture
def schedule(harness: Harness) -> Iterator[Schedule]:
    """Create a schedule, far ahead of its time."""
    schedule = made(harness)
    harness.perform(CreateSchedule(schedule))
    yield schedule
    harness.perform(DeleteSchedule(schedule.name, schedule.group))


def test_a_schedule_is_read_as_it_was_created(harness: Harness, schedule: Schedule) -> None:
    assert schedule.expression == "at(2040-01-02T03:04:05)"
    assert harness.perform(GetSchedule(schedule.name, "default")) == schedule


def test_everything_about_a_schedule_is_kept(harness: Harness) -> None:
    schedule = replace(
        made(harness),
        expression="cron(0/5 8-17 ? * MON-FRI *)",
        message_group_id="g",
        state="DISABLED",
        description="clean up",
        window_minutes=15,
        after_completion="DELETE",
        timezone="Europe/Berlin",
    )
    arn = harness.perform(CreateSchedule(schedule))
    assert arn.endswith(f":schedule/default/{schedule.name}")
    assert harness.perform(GetSchedule(schedule.name, "default")) == schedule
    harness.perform(DeleteSchedule(schedule.name, "default"))


def test_a_schedule_is_switched_off_and_on_by_giving_it_back(
    harness: Harness, schedule: Schedule
) -> None:
    for state in ("DISABLED", "ENABLED"):
        whole = harness.perform(GetSchedule(schedule.name, "default"))
        harness.perform(UpdateSchedule(replace(whole, state=state)))
        (listed,) = harness.perform(ListSchedules("default", schedule.name)).items
        assert (listed.name, listed.group, listed.state) == (schedule.name, "default", state)
        assert listed.target_arn == schedule.target_arn
    assert harness.perform(GetSchedule(schedule.name, "default")) == schedule


def test_a_name_is_taken_once(harness: Harness, schedule: Schedule) -> None:
    with pytest.raises(ScheduleExists, match=f"schedule '{schedule.name}' of group 'default'"):
        harness.perform(CreateSchedule(replace(schedule, input="{}")))
    assert harness.perform(GetSchedule(schedule.name, "default")).input == schedule.input


def test_a_schedule_that_does_not_exist_is_named(harness: Harness) -> None:
    schedule = made(harness)
    for request in (
        GetSchedule(schedule.name, "default"),
        UpdateSchedule(schedule),
        DeleteSchedule(schedule.name, "default"),
    ):
        with pytest.raises(ScheduleMissing, match=f"schedule '{schedule.name}' of group"):
            harness.perform(request)


@pytest.mark.without("memory", "its groups need not be made")
@pytest.mark.without("moto", "it breaks down")
def test_a_group_that_does_not_exist_is_named(harness: Harness) -> None:
    schedule = replace(made(harness), group="absent")
    with pytest.raises(ResourceMissing, match=r"group 'absent' does not exist.*scheduler_group"):
        harness.perform(CreateSchedule(schedule))


@pytest.mark.without("ministack", "it has one page only")
def test_a_list_of_names_comes_in_pages(harness: Harness) -> None:
    prefix = harness.unique_name()
    template = made(harness)
    names = [f"{prefix}.{number}" for number in range(5)]
    for name in names:
        harness.perform(CreateSchedule(replace(template, name=name)))
    harness.perform(CreateSchedule(replace(template, name=f"x-{prefix}")))
    found: list[str] = []
    pages, token = 0, None
    while not pages or token:
        page = harness.perform(ListSchedules("default", prefix, token, page_size=2))
        found += [each.name for each in page.items]
        pages, token = pages + 1, page.next_token
    assert (sorted(found), pages) == (names, 3)
    for name in (*names, f"x-{prefix}"):
        harness.perform(DeleteSchedule(name, "default"))


@pytest.mark.without("memory", "it performs one request after the other")
def test_many_schedules_are_made_at_once_and_each_has_its_own_answer(harness: Harness) -> None:
    first = made(harness)
    several = [replace(first, name=f"{first.name}.{number}") for number in range(30)]
    several[20] = several[7]
    requests = [CreateSchedule(each) for each in several]
    answers = harness.run(harness.aws.perform_all(requests))
    is_there = [isinstance(answer, ScheduleExists) for answer in answers]
    assert sum(is_there) == 1
    assert is_there[7] or is_there[20]
    deletes = [DeleteSchedule(name, "default") for name in {each.name for each in several}]
    assert harness.run(harness.aws.perform_all(deletes)) == [None] * 29


@pytest.mark.without("memory", "it has no IAM")
def test_who_may_assume_a_role_is_read_and_a_role_that_is_not_there_is_missing(
    harness: Harness,
) -> None:
    name = harness.unique_name()
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "scheduler.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    harness.ask("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    assert harness.perform(GetTrustPolicy(name)) == trust
    with pytest.raises(ResourceMissing, match=r"role 'absent' does not exist in this account"):
        harness.perform(GetTrustPolicy("absent"))
