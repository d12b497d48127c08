"""Both doors and a producer under the templates' own roles, on an engine that enforces IAM."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from caraway import Caraway, Queue, chord
from caraway.beat import schedules_of, stores_of
from caraway.core.beat_sync import sync
from caraway.core.envelope import parse_envelope
from caraway.core.message import read_message
from caraway.core.port import run_now
from caraway.core.scheduling import eta_name
from caraway.exceptions import AccessDenied
from caraway.local.deploy import deploy
from caraway.local.engine import LocalEngine
from caraway.local.environ import exports
from caraway.local.template import load_template
from caraway.requests.scheduler import at
from tests.e2e.conftest import APP, PATIENCE_S, Deployed, receive_one, wait_until
from tests.stacks import ECS, SAM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from caraway.result import AsyncResult

pytestmark = pytest.mark.e2e

PREFIX = "roles-"
KEYS = {"2026-11": "a secret of thirty-two characters"}
BATCHES = {
    "Sid": "OfThisEngine",
    "Effect": "Allow",
    "Action": "dynamodb:BatchExecuteStatement",
    "Resource": "*",
}
"""What this engine asks for a batch of PartiQL; AWS looks at each statement instead."""
ROLES = {
    "producer": "ProducerRole",
    "revoker": "RevokerRole",
    "keeper": "KeeperRole",
    "lambda": "WorkerRole",
    "ecs": "TaskRole",
}


def template_with_all_roles() -> dict[str, Any]:
    """Return template.yaml with the role of infra/ecs.yaml and those of three who send tasks."""
    template, ecs = load_template(SAM), load_template(ECS)
    template["Parameters"]["Queue"] = ecs["Parameters"]["Queue"]
    # Its parameter is an output of the other stack: here the two are one.
    template["Conditions"]["HasSchedulerRole"] = {"Fn::Equals": ["one", "one"]}
    of_ecs = {name: ecs["Resources"][name] for name in ("Cluster", "TaskRole")}
    output, parameter = {"Fn::GetAtt": ["SchedulerRole", "Arn"]}, {"Ref": "SchedulerRoleArn"}
    text = json.dumps(of_ecs).replace(json.dumps(parameter), json.dumps(output))
    resources = template["Resources"] | json.loads(text)
    for name, policies in (
        ("ProducerRole", ["ProducerPolicy"]),
        ("RevokerRole", ["ProducerPolicy", "RevokerPolicy"]),
        ("KeeperRole", ["ProducerPolicy", "SchedulesPolicy"]),
    ):
        trust: dict[str, Any] = {"Version": "2012-10-17", "Statement": []}
        attached = [{"Ref": policy} for policy in policies]
        resources[name] = {
            "Type": "AWS::IAM::Role",
            "Properties": {"AssumeRolePolicyDocument": trust, "ManagedPolicyArns": attached},
        }
    text = json.dumps(for_this_engine(resources))
    for group in ("${ScheduleGroup}", "${Prefix}schedules"):  # in rights it knows one group only
        text = text.replace(f":schedule/{group}/", ":schedule/default/")
    return template | {"Resources": json.loads(text)}


def for_this_engine(resources: dict[str, Any]) -> dict[str, Any]:
    """Return resources as they are, but for what the engine cannot do.

    It speaks plain HTTP only, so that nobody is refused for it; a role may be assumed by the test
    too; and see ``BATCHES``.
    """
    found = {}
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        if trust := properties.get("AssumeRolePolicyDocument"):
            trust["Statement"].append(
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"}},
                    "Action": "sts:AssumeRole",
                }
            )
        documents = [each["PolicyDocument"] for each in properties.get("Policies", [])]
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            documents.append(properties["PolicyDocument"])
        for document in documents:
            if "dynamodb:PartiQL" in json.dumps(document):
                document["Statement"].append(BATCHES)
        properties.pop("ResourcePolicy", None)
        if resource["Type"] in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"):
            document = properties["PolicyDocument"]
            document["Statement"] = [
                one for one in document["Statement"] if one["Sid"] != "TlsOnly"
            ]
            if not document["Statement"]:
                continue
        found[name] = resource
    return found


@pytest.fixture(scope="module")
def stack(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Deploy it on an engine of its own, with the corridor app."""
    folder = tmp_path_factory.mktemp("roles")
    template = folder / "template.json"
    template.write_text(json.dumps(template_with_all_roles()))
    with LocalEngine(port=0, settings={"AUTH": "true"}) as engine:
        key = engine.client("kms").create_key()["KeyMetadata"]["Arn"]
        secret = engine.client("secretsmanager").create_secret(
            Name="roles/signing", SecretString=json.dumps(KEYS)
        )
        outputs = deploy(
            engine.client,
            template,
            "roles",
            parameters={
                "App": APP,
                "Prefix": PREFIX,
                "KmsKeyArn": key,
                "SigningKeysSecretArn": secret["ARN"],
                "SigningKeyId": "2026-11",
                "RequireSignature": "true",
            },
            code={"Worker": package},
        )
        yield Deployed(engine, outputs, exports(engine, outputs), package, folder)


def credentials(stack: Deployed, who: str) -> dict[str, str]:
    """Return the variables with which one has that role and nothing else."""
    found = stack.engine.client("cloudformation").describe_stack_resource(
        StackName="roles", LogicalResourceId=ROLES[who]
    )
    name = found["StackResourceDetail"]["PhysicalResourceId"]
    arn = stack.engine.client("iam").get_role(RoleName=name)["Role"]["Arn"]
    session = stack.engine.client("sts").assume_role(RoleArn=arn, RoleSessionName=who)
    return {
        "AWS_ACCESS_KEY_ID": session["Credentials"]["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["Credentials"]["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["Credentials"]["SessionToken"],
    }


def client_of(stack: Deployed, who: str, service: str) -> Any:
    session = credentials(stack, who)
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=stack.engine.endpoint_url,
        region_name=stack.engine.region,
        aws_access_key_id=session["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=session["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=session["AWS_SESSION_TOKEN"],
    )


@pytest.fixture(scope="module")
def worker(stack: Deployed) -> Iterator[None]:
    """Run an ECS worker of the large queue under its role, with the variables that ECS gives it."""
    stack.environ.update(
        credentials(stack, "ecs"),
        CARAWAY_TASK_SIGNING_KEYS=json.dumps(KEYS),
        CARAWAY_TASK_SIGNING_KEY_ID="2026-11",
        CARAWAY_TASK_REQUIRE_SIGNATURE="true",
        CARAWAY_SCHEDULER_ROLE_ARN=stack.outputs["SchedulerRoleArn"],
        CARAWAY_SCHEDULER_GROUP_NAME=stack.outputs["ScheduleGroup"],
    )
    with stack.worker("-Q", "large", "-c", "4"):
        yield


def app_of(stack: Deployed, who: str, patch: pytest.MonkeyPatch) -> Caraway:
    """Return an app without tasks, as one that only sends; its requests are made under a role."""
    for name, value in {**stack.engine.environ(), **credentials(stack, who)}.items():
        patch.setenv(name, value)
    app = Caraway(who, set_as_current=False)
    app.conf.update(
        task_queues=[Queue("default"), Queue("large", consumer="ecs")],
        queue_name_prefix=PREFIX,
        task_table=stack.outputs["TaskTable"],
        payload_bucket=stack.outputs["PayloadBucket"],
        task_signing_keys=KEYS,
        task_signing_key_id="2026-11",
        scheduler_role_arn=stack.outputs["SchedulerRoleArn"],
        scheduler_group_name=stack.outputs["ScheduleGroup"],
    )
    return app


@pytest.fixture(scope="module")
def producer(stack: Deployed, worker: None) -> Iterator[Caraway]:
    """Let this process be a producer, and nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        app = app_of(stack, "producer", patch)
        yield app
        app.close()


def test_sam_adds_nobody_who_may_do_anything(stack: Deployed) -> None:
    resources = stack.engine.client("cloudformation").list_stack_resources(StackName="roles")
    found = {
        each["LogicalResourceId"]
        for each in resources["StackResourceSummaries"]
        if each["ResourceType"].startswith("AWS::IAM::") or "Permission" in each["ResourceType"]
    }
    policies = {"ProducerPolicy", "RevokerPolicy", "SchedulesPolicy"}
    assert found == {*ROLES.values(), "SchedulerRole", *policies}
    roles = stack.engine.client("iam").list_roles()["Roles"]
    assert len(roles) == len(ROLES) + 1


@pytest.fixture(params=["default", "large"])
def queue(request: pytest.FixtureRequest) -> str:
    """The queue of the Lambda door, and that of the ECS door."""
    return str(request.param)


def send(app: Caraway, task: str, *args: Any, queue: str) -> AsyncResult[Any]:
    return app.send_task(f"tests.e2e.corridor.{task}", args, queue=queue)


def dead_letter(stack: Deployed, queue: str, id: str) -> str:
    """Return why a task is in the dead-letter queue, from where it is taken."""
    sqs = stack.engine.client("sqs")
    url = sqs.get_queue_url(QueueName=f"{PREFIX}{queue}-dlq")["QueueUrl"]
    letter = receive_one(sqs, url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=letter["ReceiptHandle"])
    assert json.loads(letter["Body"])["id"] == id
    return str(letter["MessageAttributes"]["reason"]["StringValue"])


@pytest.mark.parametrize("task", ["add", "add_again", "add_once"])
def test_a_task_of_each_mode_runs(producer: Caraway, queue: str, task: str) -> None:
    assert send(producer, task, 2, 3, queue=queue).get(timeout=PATIENCE_S) == 5


def test_what_is_too_large_for_a_message_and_for_a_record_travels_by_s3(
    producer: Caraway, queue: str
) -> None:
    text = "x" * 300_000
    assert send(producer, "echo", text, queue=queue).get(timeout=PATIENCE_S) == text


def test_a_task_is_retried(producer: Caraway, queue: str) -> None:
    sent = send(producer, "at_the_third_attempt", queue=queue)
    assert sent.get(timeout=PATIENCE_S) == 2


def test_a_task_that_is_refused_becomes_a_dead_letter(
    producer: Caraway, stack: Deployed, queue: str
) -> None:
    sent = send(producer, "advance", "group", "refuse", queue=queue)
    assert wait_until(sent.ready)
    assert "no such step" in dead_letter(stack, queue, sent.id)


def test_a_message_that_nobody_signed_becomes_a_dead_letter(
    producer: Caraway, stack: Deployed, queue: str
) -> None:
    sqs = stack.engine.client("sqs")
    url = sqs.get_queue_url(QueueName=PREFIX + queue)["QueueUrl"]
    body = {"caraway": 1, "id": f"unsigned-{queue}", "task": "tests.e2e.corridor.add"}
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))
    assert "not signed" in dead_letter(stack, queue, f"unsigned-{queue}")


def test_a_chord_goes_through_both_doors(producer: Caraway) -> None:
    def signature(task: str, *args: Any, queue: str) -> Any:
        return producer.signature(f"tests.e2e.corridor.{task}", args, queue=queue)

    members = [signature("same", n, queue=("default", "large")[n % 2]) for n in range(12)]
    result = chord(members, signature("total", queue="large")).delay()
    assert result.get(timeout=PATIENCE_S) == 66


def test_a_worker_deletes_in_batches_what_has_run(producer: Caraway, stack: Deployed) -> None:
    results = [send(producer, "add", n, 1, queue="large") for n in range(20)]
    assert [result.get(timeout=PATIENCE_S) for result in results] == [n + 1 for n in range(20)]
    assert wait_until(lambda: stack.is_empty("large"))


def test_a_task_may_do_no_more_than_its_worker(producer: Caraway, queue: str) -> None:
    sent = send(producer, "mark", "folder", queue=queue)  # puts an object where no payload lies
    with pytest.raises(Exception, match="AccessDenied"):
        sent.get(timeout=PATIENCE_S)


def test_revoking_needs_its_own_policy(
    producer: Caraway, stack: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = ["one", "two", "three"]
    with pytest.raises(AccessDenied):
        producer.control.revoke(ids)
    revoker = app_of(stack, "revoker", monkeypatch)
    revoker.control.revoke(ids)
    assert {revoker.AsyncResult(id).state for id in ids} == {"REVOKED"}
    revoker.close()


# -- far ETAs ------------------------------------------------------------------------------------


def scheduled(stack: Deployed, id: str, attempt: int = 0) -> Any:
    """Return the schedule that holds an attempt of a task, None where there is none."""
    scheduler = stack.engine.client("scheduler")
    try:
        return scheduler.get_schedule(Name=eta_name(id, attempt), GroupName=f"{PREFIX}schedules")
    except scheduler.exceptions.ResourceNotFoundException:
        return None


def test_a_far_eta_waits_in_a_schedule_until_it_is_revoked(
    producer: Caraway, stack: Deployed, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = datetime.now(timezone.utc) + timedelta(days=30)
    sent = producer.send_task("tests.e2e.corridor.add", (2, 3), queue=queue, eta=due)
    schedule = scheduled(stack, sent.id)
    assert schedule["ScheduleExpression"] == at(due - timedelta(minutes=1))
    assert schedule["ActionAfterCompletion"] == "DELETE"
    assert schedule["Target"]["Arn"].endswith(f":{PREFIX}{queue}")
    assert schedule["Target"]["RoleArn"] == stack.outputs["SchedulerRoleArn"]
    message = read_message(parse_envelope(schedule["Target"]["Input"]))
    assert (message.id, message.args, message.eta) == (sent.id, (2, 3), due)
    with pytest.raises(AccessDenied):
        producer.control.revoke(sent.id)
    revoker = app_of(stack, "revoker", monkeypatch)
    revoker.control.revoke(sent.id)
    revoker.close()
    assert scheduled(stack, sent.id) is None
    assert wait_until(lambda: stack.is_empty(queue))


def test_both_doors_may_ask_for_a_far_retry(producer: Caraway, stack: Deployed, queue: str) -> None:
    sent = send(producer, "in_an_hour", queue=queue)
    assert wait_until(lambda: scheduled(stack, sent.id, 1) is not None)
    assert sent.state == "RETRY"


def look_at(scheduler: Any, name: str) -> None:
    scheduler.get_schedule(Name=name, GroupName=f"{PREFIX}schedules")


def take_away(scheduler: Any, name: str) -> None:
    scheduler.delete_schedule(Name=name, GroupName=f"{PREFIX}schedules")


def make(scheduler: Any, name: str) -> None:
    scheduler.create_schedule(
        Name=name,
        GroupName=f"{PREFIX}schedules",
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:sqs:us-east-1:1:x", "RoleArn": "arn:aws:iam::1:role/x"},
    )


@pytest.mark.parametrize(
    ("who", "call", "name"),
    [
        *((who, make, "c0ffee-nightly-1") for who in ROLES if who != "keeper"),
        *((who, take_away, "c0ffee-nightly-1") for who in ROLES if who != "keeper"),
        *((who, look_at, "eta-1") for who in ROLES if who != "revoker"),
        *((who, take_away, "eta-1") for who in ROLES if who != "revoker"),
    ],
)
def test_schedules_of_entries_are_for_who_keeps_them_and_those_of_etas_for_who_revokes(
    stack: Deployed, who: str, call: Callable[[Any, str], None], name: str
) -> None:
    denied(call, client_of(stack, who, "scheduler"), name)


def test_looking_after_schedules_needs_its_own_policy(
    producer: Caraway, stack: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AccessDenied):
        producer.schedules.list()
    keeper = app_of(stack, "keeper", monkeypatch)
    keeper.conf.beat_schedule = {"hourly": {"task": "tests.e2e.corridor.add", "schedule": 3600}}
    run_now(sync(keeper.aws, stores_of(keeper), schedules_of(keeper, keeper.aws.now())))
    schedules = keeper.schedules
    schedules.create("nightly", "tests.e2e.corridor.add", "0 2 * * *", args=(2, 3))
    assert [each.name for each in schedules.list()] == ["hourly", "nightly"]
    assert [schedules.pause(name).status for name in ("hourly", "nightly")] == ["paused"] * 2
    assert schedules.resume("hourly").status == "active"
    assert schedules.edit("nightly", args=(3, 4)).args == [3, 4]
    assert schedules.run_now("nightly").get(timeout=PATIENCE_S) == 7
    assert schedules.history("nightly", 2)
    schedules.delete("nightly")
    keeper.conf.beat_schedule = {}
    run_now(sync(keeper.aws, stores_of(keeper), []))
    assert schedules.list() == []
    keeper.close()


# -- what nobody may -----------------------------------------------------------------------------


def receive(sqs: Any, url: str) -> None:
    sqs.receive_message(QueueUrl=url)


def send_to(sqs: Any, url: str) -> None:
    sqs.send_message(QueueUrl=url, MessageBody="{}")


def purge(sqs: Any, url: str) -> None:
    sqs.purge_queue(QueueUrl=url)


def delete(sqs: Any, url: str) -> None:
    sqs.delete_queue(QueueUrl=url)


def open_up(sqs: Any, url: str) -> None:
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "1"})


@pytest.mark.parametrize(
    ("who", "call", "queue"),
    [
        ("producer", receive, "default"),
        ("producer", receive, "default-dlq"),
        ("producer", send_to, "default-dlq"),
        ("producer", purge, "default"),
        ("producer", delete, "default"),
        ("revoker", receive, "default"),
        ("lambda", receive, "large"),
        ("lambda", receive, "default-dlq"),
        ("lambda", purge, "default"),
        ("lambda", delete, "default"),
        ("lambda", open_up, "default"),
        ("ecs", receive, "default"),
        ("ecs", receive, "large-dlq"),
        ("ecs", purge, "large"),
        ("ecs", delete, "large"),
        ("ecs", open_up, "large"),
    ],
)
def test_a_queue_is_not_for_everybody(
    stack: Deployed, who: str, call: Callable[[Any, str], None], queue: str
) -> None:
    url = stack.engine.client("sqs").get_queue_url(QueueName=PREFIX + queue)["QueueUrl"]
    denied(call, client_of(stack, who, "sqs"), url)


def read(table: Any, name: str) -> None:
    table.get_item(TableName=name, Key={"id": {"S": "x"}})


def write(table: Any, name: str) -> None:
    table.update_item(TableName=name, Key={"id": {"S": "x"}})


def overwrite(table: Any, name: str) -> None:
    table.put_item(TableName=name, Item={"id": {"S": "x"}})


def remove(table: Any, name: str) -> None:
    table.delete_item(TableName=name, Key={"id": {"S": "x"}})


def scan(table: Any, name: str) -> None:
    table.scan(TableName=name)


def drop(table: Any, name: str) -> None:
    table.delete_table(TableName=name)


@pytest.mark.parametrize("who", ROLES)
def test_records_are_neither_listed_nor_deleted_and_other_tables_are_not_read(
    stack: Deployed, who: str
) -> None:
    dynamodb, table = client_of(stack, who, "dynamodb"), stack.outputs["TaskTable"]
    for call in (overwrite, remove, scan, drop):
        denied(call, dynamodb, table)
    denied(read, dynamodb, "others")
    read(dynamodb, table)


def test_a_producer_writes_no_record(stack: Deployed) -> None:
    denied(write, client_of(stack, "producer", "dynamodb"), stack.outputs["TaskTable"])


def get(s3: Any, bucket: str, key: str) -> None:
    s3.get_object(Bucket=bucket, Key=key)


def put(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=b"")


def erase(s3: Any, bucket: str, key: str) -> None:
    s3.delete_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize(
    ("who", "call", "key"),
    [
        ("producer", get, "messages/x"),
        ("producer", put, "results/x"),
        ("producer", erase, "messages/x"),
        ("lambda", put, "others/x"),
        ("lambda", erase, "results/x"),
        ("ecs", put, "others/x"),
        ("ecs", erase, "results/x"),
    ],
)
def test_objects_are_for_those_who_need_them_and_are_deleted_by_nobody(
    stack: Deployed, who: str, call: Callable[[Any, str, str], None], key: str
) -> None:
    denied(call, client_of(stack, who, "s3"), stack.outputs["PayloadBucket"], key)


@pytest.mark.parametrize("who", ["producer", "revoker", "ecs"])
def test_the_signing_keys_are_read_by_the_function_and_no_other_secret(
    stack: Deployed, who: str
) -> None:
    name = "roles/signing"
    denied(read_secret, client_of(stack, who, "secretsmanager"), name)
    function = client_of(stack, "lambda", "secretsmanager")
    read_secret(function, name)
    denied(read_secret, function, "others")


def read_secret(secrets: Any, name: str) -> None:
    secrets.get_secret_value(SecretId=name)


def test_a_key_of_ones_own_encrypts_all_queues(stack: Deployed) -> None:
    sqs = stack.engine.client("sqs")
    for name in ("default", "default-dlq", "large", "large-dlq"):
        found = sqs.get_queue_attributes(
            QueueUrl=sqs.get_queue_url(QueueName=PREFIX + name)["QueueUrl"], AttributeNames=["All"]
        )["Attributes"]
        assert ":key/" in found["KmsMasterKeyId"]
        assert found.get("SqsManagedSseEnabled", "false") == "false"


def denied(call: Callable[..., None], *args: Any) -> None:
    with pytest.raises(ClientError) as refused:
        call(*args)
    assert "AccessDenied" in refused.value.response["Error"]["Code"]
