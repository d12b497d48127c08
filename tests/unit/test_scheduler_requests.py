from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from caraway.aws.failures import error_of_code
from caraway.base import site_of
from caraway.core.scheduling import Scheduling
from caraway.exceptions import (
    AccessDenied,
    CarawayError,
    ImproperlyConfigured,
    RequestFailed,
    ResourceMissing,
    Throttled,
)
from caraway.requests.base import Request
from caraway.requests.scheduler import (
    CreateSchedule,
    DeleteSchedule,
    GetSchedule,
    ListSchedules,
    Schedule,
    ScheduleExists,
    ScheduleMissing,
    UpdateSchedule,
    at,
    verbatim,
)
from caraway.settings import Settings

ROLE = "arn:aws:iam::123456789012:role/scheduler"
SCHEDULE = Schedule("s", "g", "rate(1 hour)", "arn:aws:sqs:eu-west-1:1:q", ROLE, "{}")
CREATE, UPDATE = CreateSchedule(SCHEDULE), UpdateSchedule(SCHEDULE)
GET, DELETE, LIST = GetSchedule("s", "g"), DeleteSchedule("s", "g"), ListSchedules("g", "s")


def refused(request: Request[Any], code: str, message: str) -> Exception:
    response = {"Error": {"Code": code, "Message": message}}
    return error_of_code(request, code, message, response)


@pytest.mark.parametrize(
    ("request_", "code", "message", "expected", "part"),
    [
        (CREATE, "ConflictException", "Schedule s already exists.", ScheduleExists, "exists"),
        (UPDATE, "ConflictException", "s is being updated", Throttled, "try again"),
        (DELETE, "ConflictException", "s is being updated", Throttled, "try again"),
        (CREATE, "ThrottlingException", "Rate exceeded", Throttled, "fewer requests"),
        (
            CREATE,
            "ResourceNotFoundException",
            "Schedule group g does not exist.",
            ResourceMissing,
            "scheduler_group_name",
        ),
        (GET, "ResourceNotFoundException", "Schedule s does not exist.", ScheduleMissing, "'s'"),
        (
            GET,
            "ResourceNotFoundException",
            "Schedule group g does not exist.",
            ResourceMissing,
            "scheduler_group_name",
        ),
        (DELETE, "ResourceNotFoundException", "Schedule s does not exist", ScheduleMissing, "'g'"),
        (
            LIST,
            "ResourceNotFoundException",
            "Schedule group g does not exist.",
            ResourceMissing,
            "scheduler_group_name",
        ),
        (
            CREATE,
            "ServiceQuotaExceededException",
            "too many schedules",
            RequestFailed,
            "Service Quotas",
        ),
        (
            CREATE,
            "ValidationException",
            "The execution role you provide must allow Scheduler to assume the role.",
            RequestFailed,
            "scheduler_role_arn",
        ),
        (CREATE, "ValidationException", "Invalid expression", RequestFailed, "Invalid expression"),
        (
            CREATE,
            "AccessDeniedException",
            "User: u is not authorized to perform: iam:PassRole on resource: r",
            AccessDenied,
            "iam:PassedToService = scheduler.amazonaws.com",
        ),
        (
            DELETE,
            "AccessDeniedException",
            "User: u is not authorized",
            AccessDenied,
            "not allowed: scheduler:DeleteSchedule on schedule 's' of group 'g'",
        ),
        (
            ListSchedules("g"),
            "AccessDeniedException",
            "User: u is not authorized",
            AccessDenied,
            "the policies ProducerPolicyArn and SchedulesPolicyArn of the stack",
        ),
    ],
)
def test_a_refusal_says_how_to_mend_it(
    request_: Request[Any], code: str, message: str, expected: type[CarawayError], part: str
) -> None:
    error = refused(request_, code, message)
    assert type(error) is expected
    assert part in str(error)
    assert "\n" not in str(error)


def test_a_schedule_whose_name_says_group_is_no_group() -> None:
    message = "Schedule group-report does not exist in group g."
    assert isinstance(
        refused(GetSchedule("group-report", "g"), "ResourceNotFoundException", message),
        ScheduleMissing,
    )


def test_a_time_is_said_in_utc_and_whole_seconds() -> None:
    zone = timezone(timedelta(hours=9))
    assert at(datetime(2026, 3, 1, 8, 30, 59, 999_999, zone)) == "at(2026-02-28T23:30:59)"


def test_nothing_is_filled_into_what_the_user_wrote() -> None:
    text = json.dumps({"args": ["<aws.scheduler.scheduled-time>", "\\<aws.x>", "<b>"]})
    assert "<aws." not in verbatim(text)
    assert json.loads(verbatim(text)) == json.loads(text)


def test_the_settings_say_where_schedules_go() -> None:
    assert site_of(Settings({})).scheduling is None
    environ = {"CARAWAY_SCHEDULER_ROLE_ARN": ROLE, "CARAWAY_SCHEDULER_GROUP_NAME": "shop.x"}
    assert site_of(Settings(environ)).scheduling == Scheduling(ROLE, "shop.x")
    assert site_of(Settings({"CARAWAY_SCHEDULER_ROLE_ARN": ROLE})).scheduling == Scheduling(ROLE)


@pytest.mark.parametrize("role", ["scheduler", "arn:aws:iam::1:role/x", "arn:aws:sqs:r:1:q", 7])
def test_a_role_is_given_by_its_arn(role: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"scheduler_role_arn.*a role's ARN"):
        Settings({}).update(scheduler_role_arn=role)
