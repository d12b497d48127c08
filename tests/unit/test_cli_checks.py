"""What the doctor finds, on an AWS whose answers are made up."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Caraway, Queue, crontab
from caraway.beat import schedules_of, stores_of
from caraway.cli.checks.declarations import check_declarations
from caraway.cli.checks.findings import Finding, Patient
from caraway.cli.checks.place import check_place
from caraway.cli.checks.queues import check_queues
from caraway.cli.checks.scheduler import check_scheduler
from caraway.cli.checks.schedules import allows_events, check_schedules, key_of_queue
from caraway.cli.checks.store import check_bucket, check_table
from caraway.cli.depths import ages_of
from caraway.core.port import run_now
from caraway.exceptions import (
    AccessDenied,
    CredentialsMissing,
    EndpointUnreachable,
    ImproperlyConfigured,
    RequestFailed,
    ResourceMissing,
)
from caraway.requests.base import Listed
from caraway.requests.dynamodb import DescribeTable, DescribeTimeToLive
from caraway.requests.eventbridge import ListRules
from caraway.requests.iam import GetTrustPolicy
from caraway.requests.lambda_ import EventSource, Function, GetFunction, ListEventSources
from caraway.requests.s3 import HeadBucket
from caraway.requests.scheduler import ListSchedules
from caraway.requests.sqs import GetQueueAttributes, GetQueueUrl
from caraway.requests.sts import GetCallerIdentity, Identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.core.port import Outcome

FUNCTION = "arn:aws:lambda:eu-west-1:1:function:worker"
TABLE = {
    "TableStatus": "ACTIVE",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
}
SOURCE = EventSource(FUNCTION, "Enabled", reports_failures=True, filters=False)
POLICY = json.dumps(
    {"Statement": [{"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}}]}
)


def attributes(**changes: str) -> dict[str, str]:
    """Return the attributes of a queue named default as it should be."""
    redrive = {"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:1:default-dlq"}
    return {
        "QueueArn": "arn:aws:sqs:eu-west-1:1:default",
        "VisibilityTimeout": "360",
        "ApproximateNumberOfMessages": "0",
        "RedrivePolicy": json.dumps({**redrive, "maxReceiveCount": 1000}),
        "Policy": POLICY,
        **changes,
    }


def trust(service: str = "scheduler.amazonaws.com", group: str = "shop") -> dict[str, Any]:
    """Return the trust policy of a role as template.yaml makes it."""
    arn = f"arn:aws:scheduler:eu-west-1:1:schedule-group/{group}"
    return {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": "1", "aws:SourceArn": arn}},
            }
        ]
    }


class MadeUpAws:
    """Answers each kind of request with what it is given: a value, or an exception to raise."""

    def __init__(self, *, skew_s: float = 0, **changes: Any) -> None:
        self._answers: dict[str, Any] = {
            GetQueueUrl.operation: "https://sqs/default",
            GetQueueAttributes.operation: attributes(),
            ListEventSources.operation: [SOURCE],
            GetFunction.operation: Function(60, {}),
            DescribeTable.operation: TABLE,
            DescribeTimeToLive.operation: "ttl",
            HeadBucket.operation: None,
            GetCallerIdentity.operation: Identity("1", "arn:aws:iam::1:user/me"),
            ListRules.operation: Listed((), None),
            GetTrustPolicy.operation: trust(),
            ListSchedules.operation: Listed((), None),
            **changes,
        }
        self._skew = timedelta(seconds=skew_s)

    async def perform(self, request: Any) -> Any:
        answer = self._answers[request.operation]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def perform_all(self, requests: Sequence[Any]) -> list[Any]:
        return [await self.perform(request) for request in requests]

    async def call(self, function: Any, *args: Any) -> Outcome[Any]:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + self._skew


def app_with(*queues: Queue, **conf: Any) -> Caraway:
    app = Caraway("shop", set_as_current=False)
    app.conf.update(task_queues=queues or [Queue("default")], aws_region="eu-west-1", **conf)
    return app


def found(check: Any, app: Caraway | None = None, **aws: Any) -> list[Finding]:
    """Return the findings of a check that are not ok."""
    patient = Patient(app or app_with(), MadeUpAws(**aws))
    return [finding for finding in run_now(check(patient)) if finding.level != "ok"]


def the_problem(check: Any, app: Caraway | None = None, **aws: Any) -> Finding:
    """Return the one finding that is not ok, which is a problem."""
    (finding,) = found(check, app, **aws)
    assert finding.level == "problem"
    return finding


# -- EventBridge Scheduler --------------------------------------------------------------------


def with_scheduler(account: str = "1") -> Caraway:
    role = f"arn:aws:iam::{account:0>12}:role/of/shop/scheduler"
    return app_with(scheduler_role_arn=role, scheduler_group_name="shop")


ME = {GetCallerIdentity.operation: Identity("000000000001", "arn:aws:iam::000000000001:user/me")}


def test_a_group_that_is_there_and_a_role_that_scheduler_may_assume_are_no_problem() -> None:
    assert found(check_scheduler, with_scheduler(), **ME) == []
    unbound = trust()
    del unbound["Statement"][0]["Condition"]
    assert found(check_scheduler, with_scheduler(), **ME, get_role=unbound) == []
    any_group = trust(group="*")
    assert found(check_scheduler, with_scheduler(), **ME, get_role=any_group) == []


def test_without_a_role_nothing_is_asked_of_scheduler() -> None:
    assert run_now(check_scheduler(Patient(app_with(), MadeUpAws()))) == []


def test_a_schedule_group_that_is_not_there_is_told() -> None:
    missing = ListSchedules("shop").refusal("ResourceNotFoundException", {})
    problem = the_problem(check_scheduler, with_scheduler(), **ME, list_schedules=missing)
    assert problem.subject == "schedule group shop"
    assert "check scheduler_group_name" in problem.text


@pytest.mark.parametrize(
    ("answer", "text", "remedy"),
    [
        (GetTrustPolicy("scheduler").refusal("NoSuchEntity", {}), "not exist", "SchedulerRoleArn"),
        (trust("events.amazonaws.com"), "may not assume it", "let scheduler.amazonaws.com"),
        (trust(group="others"), "schedule-group/others, and schedules are", "scheduler_group_name"),
    ],
)
def test_a_role_that_scheduler_cannot_use_is_told(answer: Any, text: str, remedy: str) -> None:
    problem = the_problem(check_scheduler, with_scheduler(), **ME, get_role=answer)
    assert problem.subject == "role scheduler"
    assert text in problem.text
    assert remedy in problem.remedy


def test_a_role_of_another_account_is_told() -> None:
    problem = the_problem(check_scheduler, with_scheduler(account="2"), **ME)
    assert "it is of account 000000000002, and these credentials are of 000000000001" in (
        problem.text
    )


def test_who_may_not_look_at_the_group_or_the_role_is_told_so_and_no_more() -> None:
    denied = AccessDenied("not allowed: iam:GetRole")
    findings = found(
        check_scheduler, with_scheduler(), **ME, get_role=denied, list_schedules=denied
    )
    assert [finding.level for finding in findings] == ["note", "note"]
    assert "who may assume it was not looked at: not allowed" in findings[1].text


# -- queues -----------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [check_queues, check_table, check_declarations, check_schedules])
def test_what_is_as_it_should_be_is_no_problem(check: Any) -> None:
    app = app_with()
    app.task(name="t")(lambda: None)
    assert found(check, app) == []


def test_a_missing_queue_is_named_as_in_sqs_with_its_dead_letter_queue_left_out() -> None:
    problem = the_problem(
        check_queues, app_with(queue_name_prefix="x-"), get_queue_url=ResourceMissing("no")
    )
    assert problem.subject == "queue default"
    assert "'x-default'" in problem.text
    assert "queue_name_prefix (now 'x-')" in problem.remedy


@pytest.mark.parametrize(("declared", "real"), [(360, "400"), (360, "30")])
def test_a_visibility_timeout_must_be_as_it_is_declared(declared: int, real: str) -> None:
    app = app_with(Queue("default", consumer="ecs", visibility_timeout_s=declared))
    problem = the_problem(
        check_queues,
        app,
        get_queue_attributes=attributes(VisibilityTimeout=real),
        list_event_source_mappings=[],
    )
    assert f"is {real} s, and the app declares 360 s" in problem.text
    assert f"visibility_timeout_s={real} in Queue('default')" in problem.remedy


def test_a_queue_needs_a_redrive_policy() -> None:
    without = attributes()
    del without["RedrivePolicy"]
    problem = the_problem(check_queues, get_queue_attributes=without)
    assert "has no redrive policy" in problem.text


def test_a_redrive_policy_must_go_to_the_queue_that_caraway_uses() -> None:
    app = app_with(Queue("default", dead_letter_queue="graveyard"))
    problem = the_problem(check_queues, app)
    assert "goes to default-dlq, and Caraway uses graveyard" in problem.text


def test_few_receives_before_the_dead_letter_queue_are_a_problem() -> None:
    app = app_with(Queue("default", max_receive_count=1000))
    policy = {
        "deadLetterTargetArn": "arn:aws:sqs:eu-west-1:1:default-dlq",
        "maxReceiveCount": "5",
    }
    problem = the_problem(
        check_queues, app, get_queue_attributes=attributes(RedrivePolicy=json.dumps(policy))
    )
    assert "after 5 receives" in problem.text


def test_dead_letters_are_worth_a_note() -> None:
    (note,) = found(check_queues, get_queue_attributes=attributes(ApproximateNumberOfMessages="3"))
    assert (note.level, note.subject) == ("note", "queue default-dlq")
    assert "about 3 messages" in note.text


def test_a_queue_that_may_not_be_read_is_a_problem() -> None:
    denied = AccessDenied("not allowed: sqs:get_queue_attributes: grant the action")
    problems = found(check_queues, get_queue_attributes=denied)
    assert [problem.text for problem in problems] == [str(denied)]


# -- consumers --------------------------------------------------------------------------------


def test_a_lambda_queue_that_no_function_consumes_is_a_problem() -> None:
    problem = the_problem(check_queues, list_event_source_mappings=[])
    assert "no Lambda function consumes it" in problem.text


def test_a_visibility_timeout_must_be_six_times_that_of_the_function() -> None:
    problem = the_problem(check_queues, get_function_configuration=Function(61, {}))
    assert "(360 s) is below 6 times worker's timeout (61 s)" in problem.text
    assert "366" in problem.remedy


@pytest.mark.parametrize(("timeout_s", "is_a_problem"), [(3, True), (5, True), (6, False)])
def test_a_function_that_has_no_time_for_any_task_is_a_problem(
    timeout_s: int, is_a_problem: bool
) -> None:
    problems = [
        each
        for each in found(check_queues, get_function_configuration=Function(timeout_s, {}))
        if each.level == "problem"
    ]
    assert [f"it has {timeout_s} s" in each.text for each in problems] == [True] * is_a_problem
    assert all("Timeout to 30 s" in each.remedy for each in problems)


def test_a_task_that_may_run_longer_than_its_function_is_a_problem() -> None:
    app = app_with(Queue("default"), Queue("long", consumer="ecs"))
    app.task(name="short", time_limit=59)(lambda: None)
    app.task(name="slow", soft_time_limit=60)(lambda: None)
    app.task(name="elsewhere", time_limit=600, queue="long")(lambda: None)
    by_subject = [
        finding
        for finding in found(check_queues, app)
        if finding.subject == "queue default" and finding.level == "problem"
    ]
    assert [problem.text for problem in by_subject] == [
        "slow may run for 60 s, and worker ends after 60 s"
    ]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (EventSource(FUNCTION, "Disabled", reports_failures=True, filters=False), "is disabled"),
        (
            EventSource(FUNCTION, "Enabled", reports_failures=False, filters=False),
            "does not report batch item failures",
        ),
        (EventSource(FUNCTION, "Enabled", reports_failures=True, filters=True), "has a filter"),
    ],
)
def test_an_event_source_that_delays_repeats_or_loses_messages_is_a_problem(
    source: EventSource, said: str
) -> None:
    assert said in the_problem(check_queues, list_event_source_mappings=[source]).text


def test_a_function_with_other_settings_than_here_is_a_problem() -> None:
    elsewhere = Function(60, {"CARAWAY_TASK_TABLE": "other", "CARAWAY_QUEUE_NAME_PREFIX": ""})
    problem = the_problem(check_queues, get_function_configuration=elsewhere)
    assert "CARAWAY_TASK_TABLE=other" in problem.text
    assert "export CARAWAY_TASK_TABLE=other" in problem.remedy


def test_a_function_that_consumes_an_ecs_queue_is_worth_a_note() -> None:
    (note,) = found(check_queues, app_with(Queue("default", consumer="ecs")))
    assert note.level == "note"
    assert "a Lambda function consumes it too (worker)" in note.text


@pytest.mark.parametrize(("consumer", "notes"), [("lambda", 1), ("ecs", 0)])
def test_who_may_not_look_at_functions_is_told_so_where_it_matters(
    consumer: Any, notes: int
) -> None:
    app = app_with(Queue("default", consumer=consumer))
    denied = AccessDenied("not allowed")
    findings = found(check_queues, app, list_event_source_mappings=denied)
    assert [finding.level for finding in findings] == ["note"] * notes


# -- tasks ------------------------------------------------------------------------------------


def test_a_task_whose_route_leads_nowhere_is_a_problem() -> None:
    app = app_with()
    app.task(name="lost", queue="defualt")(lambda: None)
    problem = the_problem(check_declarations, app)
    assert problem.subject == "task lost"
    assert "did you mean 'default'?" in problem.text


def test_a_router_function_that_needs_arguments_is_left_alone() -> None:
    app = app_with(task_routes=lambda name, args, kwargs, options, task=None: args[0])
    app.task(name="routed", time_limit=600)(lambda queue: None)
    assert found(check_declarations, app) == []
    assert found(check_queues, app) == []


def test_an_app_without_tasks_is_worth_a_note() -> None:
    (note,) = found(check_declarations)
    assert note.level == "note"


# -- table and bucket -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said", "remedy"),
    [
        ({"describe_table": ResourceMissing("no")}, "no such table", "CARAWAY_TASK_TABLE"),
        ({"describe_time_to_live": None}, "items never expire", "update-time-to-live"),
        ({"describe_time_to_live": "other"}, "expire by 'other'", "AttributeName=ttl"),
        ({"describe_table": {**TABLE, "TableStatus": "CREATING"}}, "it is CREATING", "wait"),
        (
            {
                "describe_table": {
                    **TABLE,
                    "KeySchema": [
                        {"AttributeName": "id", "KeyType": "HASH"},
                        {"AttributeName": "at", "KeyType": "RANGE"},
                    ],
                }
            },
            "its key is id (HASH, S), at (RANGE, None)",
            "a table of its own",
        ),
        ({"describe_table": AccessDenied("not allowed: grant it")}, "not allowed", ""),
    ],
)
def test_a_table_that_is_not_caraways_is_a_problem(
    changes: dict[str, Any], said: str, remedy: str
) -> None:
    problem = the_problem(check_table, **changes)
    assert said in problem.text
    assert remedy in problem.remedy


def test_without_a_bucket_a_note_says_what_fails() -> None:
    (note,) = found(check_bucket)
    assert note.level == "note"
    assert "messages above 256 KB and results above 4 KB fail" in note.text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ResourceMissing("no"), "there is no such bucket"),
        (AccessDenied("no"), "somebody else's"),
        (RequestFailed("head_bucket failed: 301", "301"), "301"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_a_problem(error: Exception, said: str) -> None:
    app = app_with(payload_bucket="payloads")
    assert said in the_problem(check_bucket, app, head_bucket=error).text


def test_a_bucket_that_is_there_is_no_problem() -> None:
    assert found(check_bucket, app_with(payload_bucket="payloads")) == []


def test_what_the_templates_roles_do_not_allow_in_the_bucket_is_a_note() -> None:
    app = app_with(payload_bucket="data", s3_base_path="shop/", s3_kms_key_id="alias/shop")
    path, key = found(check_bucket, app)
    assert (path.level, path.subject, key.level, key.subject) == (
        *("note", "s3_base_path"),
        *("note", "s3_kms_key_id"),
    )
    assert "shop/messages/*" in path.remedy
    assert "kms:Decrypt" in key.remedy


# -- schedule ---------------------------------------------------------------------------------


def scheduled_app() -> Caraway:
    app = app_with()
    app.conf.beat_schedule = {"clean": {"task": "t", "schedule": crontab(0, 3)}}
    return app


def test_a_schedule_that_eventbridge_has_not_is_a_problem_with_one_remedy() -> None:
    problem = the_problem(check_schedules, scheduled_app())
    assert "1 missing, 0 different, 0 left over" in problem.text
    assert problem.remedy == "caraway beat sync"


def test_a_schedule_that_cannot_be_a_rule_is_a_problem() -> None:
    app = app_with()
    app.conf.beat_schedule = {"odd": {"task": "t", "schedule": 61.5}}
    assert "beat_schedule['odd']" in the_problem(check_schedules, app).text


def test_who_may_not_list_rules_is_told_so_loudly_only_with_a_schedule() -> None:
    denied = AccessDenied("not allowed")
    assert [each.level for each in found(check_schedules, list_rules=denied)] == ["note"]
    assert the_problem(check_schedules, scheduled_app(), list_rules=denied).text == "not allowed"


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ({"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}}, True),
        ({"Effect": "Allow", "Principal": {"Service": ["x", "events.amazonaws.com"]}}, True),
        ({"Effect": "Allow", "Principal": "*"}, True),
        ({"Effect": "Deny", "Principal": {"Service": "events.amazonaws.com"}}, False),
        ({"Effect": "Allow", "Principal": {"AWS": "1"}}, False),
    ],
)
def test_a_policy_lets_eventbridge_in_or_not(statement: dict[str, Any], allowed: bool) -> None:
    assert allows_events(json.dumps({"Statement": [statement]})) is allowed
    assert allows_events(json.dumps({"Statement": statement})) is allowed


def test_without_a_policy_eventbridge_is_kept_out() -> None:
    assert not allows_events("")


def test_no_rule_may_use_awss_own_key_of_sqs_and_one_of_the_users_needs_a_statement() -> None:
    assert key_of_queue("beat default", "") == []
    (unusable,) = key_of_queue("beat default", "alias/aws/sqs")
    assert (unusable.level, "no rule may use" in unusable.text) == ("problem", True)
    (own,) = key_of_queue("beat default", "arn:aws:kms:eu-west-1:123456789012:key/1234abcd")
    assert (own.level, "events.amazonaws.com" in own.remedy) == ("note", True)


def test_a_tasks_own_queue_and_checks_hold_for_its_schedule() -> None:
    app = app_with(Queue("default"), Queue("reports"))
    app.task(name="add", queue="reports")(_add)
    app.conf.beat_schedule = {"sum": {"task": "add", "schedule": 60, "args": (1, 2)}}
    (rule,) = schedules_of(app, datetime.now(timezone.utc))
    assert rule.queue == "reports"
    app.conf.beat_schedule = {"sum": {"task": "add", "schedule": 60, "args": (1,)}}
    with pytest.raises(ImproperlyConfigured, match=r"beat_schedule\['sum'\].*add"):
        schedules_of(app, datetime.now(timezone.utc))


def test_an_app_without_a_name_owns_no_rules() -> None:
    with pytest.raises(ImproperlyConfigured, match="the app has no name"):
        stores_of(Caraway(set_as_current=False))


def _add(a: int, b: int) -> int:
    return a + b


# -- ages ----------------------------------------------------------------------------------------


def test_ages_that_cloudwatch_does_not_tell_are_no_failure() -> None:
    denied = AccessDenied("not allowed")
    assert run_now(ages_of(MadeUpAws(get_metric_data=denied), ["a"])) is denied


def test_ages_are_asked_for_in_as_few_requests_as_cloudwatch_allows() -> None:
    asked: list[tuple[str, ...]] = []

    class Counting(MadeUpAws):
        async def perform(self, request: Any) -> Any:
            asked.append(request.queues)
            return dict.fromkeys(request.queues, 1.0)

    names = [f"q{number}" for number in range(501)]
    assert run_now(ages_of(Counting(), names)) == dict.fromkeys(names, 1.0)
    assert [len(queues) for queues in asked] == [500, 1]


# -- place ------------------------------------------------------------------------------------


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("credentials")
def test_where_and_as_whom_is_said() -> None:
    findings = run_now(check_place(Patient(app_with(), MadeUpAws())))
    told = {finding.subject: finding.text for finding in findings}
    assert told["region"] == "eu-west-1"
    assert told["endpoint"] == "http://127.0.0.1:4566"
    assert told["credentials"] == "arn:aws:iam::1:user/me (account 1, from the environment)"
    assert {finding.level for finding in findings} == {"ok"}


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("error", "subject"),
    [(CredentialsMissing("no"), "credentials"), (EndpointUnreachable("no"), "endpoint")],
)
def test_what_keeps_everything_from_working_is_named(error: Exception, subject: str) -> None:
    assert the_problem(check_place, get_caller_identity=error).subject == subject


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(("skew_s", "direction"), [(400, "behind"), (-400, "ahead of")])
def test_a_clock_that_is_far_off_is_a_problem(skew_s: float, direction: str) -> None:
    problem = the_problem(check_place, skew_s=skew_s)
    assert problem.subject == "clock"
    assert f"6 min 40 s {direction} AWS" in problem.text


def test_a_region_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    app = Caraway("shop", set_as_current=False)
    problem = the_problem(check_place, app)
    assert problem.subject == "region"
    assert "set AWS_REGION" in problem.text
