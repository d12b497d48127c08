"""The command line against moto, in this process: what it sends, shows, asks and deletes."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timedelta, timezone
from functools import cache
from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest
from click.testing import CliRunner
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID

from caraway import chord
from caraway.aws import sdk_data
from caraway.aws.clients import ClientSettings
from caraway.cli import main
from caraway.core.disposition import Delivery
from caraway.core.executor import Executor
from caraway.core.port import run_now
from caraway.loader import load_app
from caraway.requests.lambda_ import EventSource, Function, GetFunction, ListEventSources
from caraway.requests.sqs import GetQueueUrl, ReceiveMessages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

APP = """
from __future__ import annotations
import datetime
from caraway import Caraway, Queue, crontab

app = Caraway("shop")
app.conf.update(
    task_queues=[Queue("default", consumer="ecs"), Queue("reports", consumer="ecs")],
    task_routes={"reports.*": {"queue": "reports"}},
    beat_schedule={"clean": {"task": "shop.add", "schedule": crontab(0, 3), "args": (1, 2)}},
    payload_bucket="payloads",
)

@app.task(name="shop.add")
def add(a: int, b: int) -> int:
    return a + b

@app.task(name="shop.greet")
def greet(name: str) -> str:
    return f"Hello, {name}"

@app.task(name="shop.next_day")
def next_day(day: datetime.date) -> datetime.date:
    return day + datetime.timedelta(days=1)

@app.task(name="shop.fails")
def fails() -> None:
    raise ValueError("no stock")

@app.task(name="shop.load", bind=True)
def load(self, rows: int) -> int:
    self.update_state(state="PROGRESS", meta={"current": 1, "total": rows})
    return rows

@app.task(name="shop.forgets", idempotent=True, ignore_result=True)
def forgets() -> None: ...

@app.task(name="shop.login", sensitive=("password",))
def login(user: str, password: str) -> None: ...

@app.task(name="shop.charge", sensitive=True)
def charge(card: str) -> None: ...
"""

_names = count(1)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Deploy a shop on moto, and name it by CARAWAY_APP; yield the app's name."""
    for name in [*os.environ]:
        if name.startswith(("AWS_", "CARAWAY_")):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = f"cli_shop_{next(_names)}"
    (tmp_path / f"{module}.py").write_text(APP)
    monkeypatch.setenv("CARAWAY_APP", f"{module}:app")
    # Each command makes its own session; that they share what the SDK has read saves a minute.
    session = _session()
    monkeypatch.setattr(sdk_data, "new_session", lambda _settings: session)
    with mock_aws():
        deploy()
        yield f"{module}:app"


@cache
def _session() -> Any:
    return sdk_data.new_session(ClientSettings())


def client(service: str) -> Any:
    return _session().create_client(service, region_name="us-east-1")


def deploy() -> None:
    """Create what the shop needs, as the template does."""
    sqs = client("sqs")
    for name in ("default", "reports"):
        url = sqs.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        redrive = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 1000}
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": "*",
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        sqs.create_queue(
            QueueName=name,
            Attributes={
                "VisibilityTimeout": "360",
                "RedrivePolicy": json.dumps(redrive),
                "Policy": json.dumps(policy),
            },
        )
    dynamodb = client("dynamodb")
    dynamodb.create_table(
        TableName="caraway-tasks",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.update_time_to_live(
        TableName="caraway-tasks",
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"},
    )
    client("s3").create_bucket(Bucket="payloads")


def run(*arguments: str, input: str | None = None) -> Result:  # noqa: A002 - click's name
    """Run the command line in this process; what nobody expected is raised here."""
    result = CliRunner().invoke(main, arguments, prog_name="caraway", input=input)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def read(*arguments: str) -> Any:
    """Run a command that succeeds, and return its JSON."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def work(app_name: str, queue: str = "default") -> None:
    """Do what a worker does with the messages of a queue."""
    app = load_app(app_name).finalize()
    url = run_now(app.aws.perform(GetQueueUrl(queue)))
    executor = Executor(app.aws, app.site, app.tasks, door="test")
    for message in run_now(app.aws.perform(ReceiveMessages(url, wait_s=0))):
        delivery = Delivery(
            body=message.body,
            queue=app.site.router.queue(queue),
            lease_s=60,
            receive_count=1,
            sent_at_s=message.sent_at_s,
        )
        run_now(executor.execute(delivery))
    app.close()


def bodies(queue: str) -> list[dict[str, Any]]:
    """Return the messages of a queue."""
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in received]


# -- call and result --------------------------------------------------------------------------


def test_a_call_sends_the_task_and_prints_its_id(shop: str) -> None:
    result = run("call", "shop.add", "--args", "[2, 3]")
    (body,) = bodies("default")
    assert result.stdout == f"{body['id']}\n"
    assert (body["task"], body["args"]) == ("shop.add", [2, 3])


def test_the_app_may_be_named_before_or_after_the_command(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CARAWAY_APP")
    assert run("-A", shop, "call", "shop.add", "--args", "[2, 3]").exit_code == 0
    assert run("call", "-A", shop, "shop.add", "--args", "[2, 3]").exit_code == 0
    assert len(bodies("default")) == 2


def test_a_call_takes_the_options_of_apply_async(shop: str) -> None:
    told = read(
        *("call", "shop.greet", "--kwargs", '{"name": "Ann"}', "--queue", "reports"),
        *("--task-id", "mine", "--expires", "60", "--eta", "2000-01-01T00:00:00Z"),
    )
    (body,) = bodies("reports")
    assert told == {"id": "mine", "task": "shop.greet"}
    assert (body["id"], body["kwargs"]) == ("mine", {"name": "Ann"})
    assert body["eta"].startswith("2000-01-01T00:00:00")
    assert body["expires"] > body["sent_at"]


def test_a_countdown_delays_the_message(shop: str) -> None:
    run("call", "shop.add", "--args", "[2, 3]", "--countdown", "600")
    assert bodies("default") == []
    (row, _) = read("queues")
    assert row["delayed"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shop.add", "--args", '["x", 1]'], "shop.add: a"),
        (["shop.add", "--args", "[1]"], "missing 1 required positional argument: 'b'"),
        (["shop.ad"], "no task named 'shop.ad', did you mean 'shop.add'?"),
        (["shop.add", "--args", "[1, 2]", "-Q", "report"], "did you mean 'reports'?"),
        (["shop.add", "--args", "[1, 2]", "--countdown", "1e30"], "not within a calendar"),
        (["shop.forgets", "--wait"], "keeps no record at all"),
    ],
)
def test_a_call_that_cannot_work_sends_nothing(shop: str, arguments: list[str], said: str) -> None:
    result = run("call", *arguments)
    assert result.exit_code == 3
    assert said in result.stderr
    assert bodies("default") == []


def test_a_task_of_another_app_is_sent_by_name_when_asked_to(shop: str) -> None:
    assert run("call", "reports.build", "--by-name").exit_code == 0
    (body,) = bodies("reports")
    assert body["task"] == "reports.build"


def test_an_eager_app_would_send_nothing_so_a_call_says_so(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAWAY_TASK_ALWAYS_EAGER", "1")
    result = run("call", "shop.add", "--args", "[2, 3]")
    assert result.exit_code == 3
    assert "task_always_eager" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["shop.add", "--args", "[2, 3]"], "5"),
        (["shop.greet", "--args", '["Ann"]'], "Hello, Ann"),
        (["shop.next_day", "--args", '["2024-02-29"]'], "datetime.date(2024, 3, 1)"),
    ],
)
def test_waiting_for_a_call_prints_the_result_and_nothing_else(
    shop: str, arguments: list[str], printed: str
) -> None:
    run("call", *arguments, "--task-id", "one")
    work(shop)
    result = run("call", *arguments, "--task-id", "one", "--wait")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{printed}\n", "one\n")


def test_waiting_for_a_call_that_fails_ends_with_its_error(shop: str) -> None:
    run("call", "shop.fails", "--task-id", "one")
    work(shop)
    result = run("call", "shop.fails", "--task-id", "one", "--wait")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "shop.fails ended as FAILURE: ValueError: no stock" in result.stderr
    told = run("call", "shop.fails", "--task-id", "one", "--wait", "--json")
    assert told.exit_code == 1
    assert json.loads(told.stdout)["error"] == "ValueError: no stock"


def test_waiting_too_long_has_an_exit_code_of_its_own(shop: str) -> None:
    result = run("call", "shop.add", "--args", "[2, 3]", "--wait", "--timeout", "0")
    assert result.exit_code == 5
    assert "is a worker consuming its queue?" in result.stderr


def test_a_result_says_all_that_is_known(shop: str) -> None:
    run("call", "shop.add", "--args", "[2, 3]", "--task-id", "one")
    work(shop)
    told = read("result", "one")
    assert told["started"] <= told["ended"]
    assert {name: told[name] for name in ("state", "task", "queue", "door", "attempts")} == {
        "state": "SUCCESS",
        "task": "shop.add",
        "queue": "default",
        "door": "test",
        "attempts": 1,
    }
    assert (told["result"], told["error"]) == (5, None)
    lines = run("result", "one", "--wait").stdout.splitlines()
    assert "state     SUCCESS" in lines
    assert "result    5" in lines


def test_a_failed_result_shows_its_traceback_when_asked_to(shop: str) -> None:
    run("call", "shop.fails", "--task-id", "one")
    work(shop)
    brief, whole = run("result", "one"), run("result", "one", "--traceback")
    assert (brief.exit_code, whole.exit_code) == (1, 1)
    assert "error     ValueError: no stock" in brief.stdout
    assert "Traceback" not in brief.stdout
    assert 'raise ValueError("no stock")' in whole.stdout


def test_an_id_of_which_nothing_is_known_is_pending(shop: str) -> None:
    result = run("result", "nobody")
    assert result.exit_code == 0
    assert "PENDING: nothing is known of this id" in result.stdout
    assert read("result", "nobody")["state"] == "PENDING"
    assert run("result", "nobody", "--wait", "--timeout", "0").exit_code == 5


def test_following_a_task_that_has_ended_shows_its_end(shop: str) -> None:
    run("call", "shop.load", "--args", "[3]", "--task-id", "one")
    work(shop)
    result = run("result", "one", "--follow")
    assert (result.exit_code, result.stderr) == (0, "SUCCESS\n")
    assert "result    3" in result.stdout.splitlines()
    called = run("call", "shop.load", "--args", "[3]", "--task-id", "one", "--follow")
    assert (called.exit_code, called.stdout, called.stderr) == (0, "3\n", "one\nSUCCESS\n")


def test_following_as_json_is_an_object_a_line_and_ends_with_the_ending(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work_meanwhile(*_: object) -> None:
        work(shop)

    monkeypatch.setattr("caraway.aws.blocking_aws.BlockingAws.sleep", work_meanwhile)
    result = run("call", "shop.load", "--args", "[3]", "--task-id", "one", "--follow", "--json")
    assert result.exit_code == 0, result.output
    first, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert (first["id"], first["state"]) == ("one", "PENDING")
    assert (last["state"], last["result"]) == ("SUCCESS", 3)


def test_following_a_failure_ends_with_its_exit_code(shop: str) -> None:
    run("call", "shop.fails", "--task-id", "one")
    work(shop)
    for arguments in (["--follow"], ["--follow", "--json"]):
        assert run("result", "one", *arguments).exit_code == 1
        assert run("call", "shop.fails", "--task-id", "one", *arguments).exit_code == 1
    assert run("result", "nobody", "--follow", "--timeout", "0").exit_code == 5


def test_a_workflow_is_drawn_with_what_has_begun_and_what_waits(shop: str) -> None:
    app = load_app(shop).finalize()
    greet, add = app.tasks["shop.greet"], app.tasks["shop.add"]
    result = chord([add.si(1, 2), add.si(3, 4)], greet.si("Ada") | greet.si("Eve")).delay()
    app.close()
    work(shop)
    shown = run("workflow", "show", result.id)
    assert shown.exit_code == 0, shown.output
    lines = [line.split("  ") for line in shown.stdout.splitlines()]
    assert [line[:2] for line in lines] == [
        ["chain of 3", "STARTED"],
        ["├─ group of 2", "2 SUCCESS"],
        ["│", "├─ [0] shop.add"],
        ["│", "└─ [1] shop.add"],
        ["├─ shop.greet", "sent, not begun"],
        ["└─ shop.greet", "waiting"],
    ]
    assert lines[-1][-1] == "<- this one"
    work(shop)
    work(shop)
    told = json.loads(run("workflow", "show", result.id, "--json").stdout)
    assert [step["state"] for step in told["steps"]] == ["SUCCESS"] * 3


@pytest.mark.parametrize("how", ["--wait", "--follow"])
def test_ctrl_c_stops_the_looking_and_not_the_task(
    shop: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("caraway.aws.blocking_aws.BlockingAws.sleep", interrupt)
    result = run("call", "shop.load", "--args", "[3]", "--task-id", "one", how)
    assert result.exit_code == 130
    assert "the task goes on (caraway result one --follow)" in result.stderr
    assert [body["id"] for body in bodies("default")] == ["one"]


# -- queues and purge -------------------------------------------------------------------------


def test_queues_are_shown_with_what_is_in_them(shop: str) -> None:
    for _ in range(3):
        run("call", "shop.add", "--args", "[2, 3]")
    bodies("default")
    run("call", "shop.add", "--args", "[2, 3]")
    assert read("queues")[0] == {
        "name": "default",
        "sqs_name": "default",
        "consumer": "ecs",
        "exists": True,
        "depth": 1,
        "in_flight": 3,
        "delayed": 0,
        "oldest_s": None,
        "dead_letters": 0,
        "visibility_timeout_s": 360,
    }
    heading, default, reports = run("queues").stdout.splitlines()
    assert heading.split() == [
        *("QUEUE", "CONSUMER", "DEPTH", "IN", "FLIGHT", "DELAYED", "OLDEST", "DEAD", "LETTERS"),
        "VISIBILITY",
    ]
    assert default.split() == ["default", "ecs", "1", "3", "0", "-", "0", "6", "min"]
    assert reports.split()[2:4] == ["0", "0"]


def test_the_oldest_message_is_as_old_as_cloudwatch_says(shop: str) -> None:
    client("cloudwatch").put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": "reports"}],
                "Value": 200.0,
                "Timestamp": datetime.now(timezone.utc) - timedelta(minutes=3),
            }
        ],
    )
    default, reports = read("queues")
    assert (default["oldest_s"], reports["oldest_s"]) == (None, 200.0)
    assert "3 min 20 s" in run("queues").stdout


def test_a_missing_queue_is_shown_as_such(shop: str) -> None:
    sqs = client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="reports")["QueueUrl"])
    result = run("queues")
    assert result.exit_code == 1
    assert "missing" in result.stdout.splitlines()[2]
    assert "1 queue missing: 'caraway doctor' says how to mend it" in result.stderr


def test_a_purge_asks_first_and_says_how_many(shop: str) -> None:
    run("call", "shop.add", "--args", "[2, 3]")
    refused = run("purge", "default", input="n\n")
    assert refused.exit_code == 1
    assert "Delete about 1 message for ever?" in refused.stderr
    assert read("queues")[0]["depth"] == 1
    agreed = run("purge", "default", input="y\n")
    assert agreed.stdout.endswith("default: about 1 message deleted\n")
    assert read("queues")[0]["depth"] == 0


def test_a_forced_purge_empties_every_queue_of_the_app(shop: str) -> None:
    run("call", "shop.add", "--args", "[2, 3]")
    run("call", "shop.add", "--args", "[2, 3]", "-Q", "reports", "--countdown", "60")
    assert read("purge", "-f") == [
        {"queue": "default", "messages": 1},
        {"queue": "reports", "messages": 1},
    ]
    assert [row["depth"] + row["delayed"] for row in read("queues")] == [0, 0]


@pytest.mark.parametrize("arguments", [["defualt"], ["-Q", "defualt"]])
def test_a_purge_of_a_misspelt_queue_deletes_nothing(shop: str, arguments: list[str]) -> None:
    run("call", "shop.add", "--args", "[2, 3]")
    result = run("purge", "-f", *arguments)
    assert result.exit_code == 3
    assert "did you mean 'default'?" in result.stderr
    assert read("queues")[0]["depth"] == 1


# -- beat -------------------------------------------------------------------------------------


def test_beat_sync_brings_the_schedule_to_eventbridge_once(shop: str) -> None:
    events = client("events")
    dry = run("beat", "sync", "--dry-run")
    assert dry.stdout.startswith("+ clean  cron(0 3 * * ? *) -> default\nNothing was changed")
    assert events.list_rules()["Rules"] == []
    assert "1 created, 0 changed, 0 deleted, 0 unchanged." in run("beat", "sync").stdout
    (rule,) = events.list_rules()["Rules"]
    assert rule["ScheduleExpression"] == "cron(0 3 * * ? *)"
    assert run("beat", "sync").stdout == (
        "EventBridge has 1 rule as the code says: nothing to do.\n"
    )
    assert read("beat", "sync")["unchanged"][0]["entry"] == "clean"


# -- doctor -----------------------------------------------------------------------------------


def test_the_doctor_finds_nothing_where_all_is_well(shop: str) -> None:
    run("beat", "sync")
    result = run("doctor")
    assert result.exit_code == 0, result.stdout
    assert result.stdout.endswith("\nNo problem, no note.\n")


def test_the_doctor_names_each_problem_and_its_remedy(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAWAY_TASK_TABLE", "nowhere")
    monkeypatch.setenv("CARAWAY_PAYLOAD_BUCKET", "no-such-bucket")
    sqs = client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="reports-dlq")["QueueUrl"])
    result = run("doctor")
    assert result.exit_code == 1
    problems = [line for line in result.stdout.splitlines() if line.startswith("problem")]
    assert [line.split()[1:3] for line in problems] == [
        ["queue", "reports-dlq:"],
        ["table", "nowhere:"],
        ["bucket", "no-such-bucket:"],
        ["beat:", "EventBridge"],
    ]
    assert result.stdout.count("  -> ") == 4
    told = json.loads(run("doctor", "--json").stdout)
    assert told["ok"] is False
    assert sum(finding["level"] == "problem" for finding in told["findings"]) == 4


def test_the_doctor_sees_which_function_consumes_a_queue(shop: str) -> None:
    role = client("iam").create_role(RoleName="worker", AssumeRolePolicyDocument="{}")["Role"][
        "Arn"
    ]
    package = BytesIO()
    with ZipFile(package, "w") as file:
        file.writestr("worker.py", "")
    function = client("lambda").create_function(
        FunctionName="worker",
        Role=role,
        Runtime="python3.12",
        Handler="worker.handler",
        Code={"ZipFile": package.getvalue()},
        Timeout=30,
        Environment={"Variables": {"CARAWAY_TASK_TABLE": "caraway-tasks"}},
    )["FunctionArn"]
    queue = f"arn:aws:sqs:us-east-1:{DEFAULT_ACCOUNT_ID}:reports"
    client("lambda").create_event_source_mapping(EventSourceArn=queue, FunctionName=function)
    app = load_app(shop)
    (source,) = run_now(app.aws.perform(ListEventSources(queue)))
    assert source == EventSource(function, "Enabled", reports_failures=False, filters=False)
    assert run_now(app.aws.perform(GetFunction(function))) == Function(
        30, {"CARAWAY_TASK_TABLE": "caraway-tasks"}
    )
    app.close()
    assert "note     queue reports: a Lambda function consumes it too (worker)" in (
        run("doctor").stdout
    )


def test_the_doctor_sees_that_eventbridge_may_not_send_to_a_queue(shop: str) -> None:
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName="default")["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    run("beat", "sync")
    result = run("doctor")
    assert result.exit_code == 1
    assert "problem  beat default: the queue's policy does not let EventBridge" in result.stdout


def test_without_a_region_every_command_says_how_to_set_one(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    for arguments in (["queues"], ["result", "x"], ["call", "shop.add", "--args", "[1, 2]"]):
        result = run(*arguments)
        assert result.exit_code == 4
        assert result.stderr.startswith("Error: no usable AWS region is configured")
        assert result.stderr.count("\n") == 1
    examined = run("doctor")
    assert examined.exit_code == 1
    assert "problem  region: no usable AWS region" in examined.stdout
