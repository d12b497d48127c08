"""What the templates allow, written out: whoever widens a role has to widen it here, too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.stacks import ACCOUNT, ECS, REGION, SAM, Stack, policies

if TYPE_CHECKING:
    from pathlib import Path

BOTH = pytest.mark.parametrize("path", [SAM, ECS], ids=["lambda", "ecs"])

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"

RIGHTS = ("Sid", "Action", "Resource", "Condition")
"""What a statement has beside its effect, which is to allow."""

RECORDS = [
    "dynamodb:GetItem",
    "dynamodb:BatchGetItem",
    "dynamodb:UpdateItem",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
]
CONSUME = [
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage*",
    "sqs:ChangeMessageVisibility*",
    "sqs:GetQueueAttributes",
]
SEND = ["sqs:SendMessage*", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
FOR_THE_DEMO = "DemoInputs"
WITH_A_KEY = "UseKey"
WITH_A_SECRET = "ReadSigningKeys"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:shop/signing-AbCdEf"


def through(*services: str) -> dict[str, Any]:
    regions = {"dynamodb": "*"}
    names = [f"{name}.{regions.get(name, REGION)}.amazonaws.com*" for name in services]
    return {"StringLike": {"kms:ViaService": names}}


SCHEDULER_ROLE = f"arn:aws:iam::{ACCOUNT}:role/scheduler"


def far_etas(group: str, role: str) -> list[Any]:
    """Schedules of single messages, and of nothing else in the group."""
    return [
        (FAR_ETAS[0], "scheduler:CreateSchedule", f"{_SCHEDULES}/{group}/eta-*"),
        (
            FAR_ETAS[1],
            "iam:PassRole",
            role,
            {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
        ),
    ]


LISTS_ALL = "ListSchedules"
"""AWS has no resource for this right ("Actions, resources, and condition keys for Amazon
EventBridge Scheduler", Service Authorization Reference)."""
FAR_ETAS = ("ScheduleFarEtas", "HandRoleToScheduler")
_SCHEDULES = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule"

USE_KEY = (
    WITH_A_KEY,
    ["kms:GenerateDataKey", "kms:Decrypt"],
    KEY,
    through("sqs", "s3", "dynamodb"),
)
READ_SECRET = (WITH_A_SECRET, "secretsmanager:GetSecretValue", SECRET)

WORKER_ROLE = [
    ("Consume", CONSUME, "DefaultQueue.Arn"),
    (
        "Send",
        SEND,
        [
            "DefaultQueue.Arn",
            "DefaultDeadLetterQueue.Arn",
            "LargeQueue.Arn",
            "LargeDeadLetterQueue.Arn",
        ],
    ),
    *far_etas("ScheduleGroup", "SchedulerRole.Arn"),
    ("Records", RECORDS, "TaskTable.Arn"),
    (
        "Payloads",
        ["s3:GetObject", "s3:PutObject"],
        ["PayloadBucket.Arn/messages/*", "PayloadBucket.Arn/results/*"],
    ),
    ("TellMissingFromForbidden", "s3:ListBucket", "PayloadBucket.Arn"),
    USE_KEY,
    READ_SECRET,
    ("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], "WorkerLogs.Arn"),
    (FOR_THE_DEMO, "s3:GetObject", "PayloadBucket.Arn/demo/*"),
]

PRODUCER_POLICY = [
    ("Send", SEND, ["DefaultQueue.Arn", "LargeQueue.Arn"]),
    *far_etas("ScheduleGroup", "SchedulerRole.Arn"),
    ("ReadRecords", ["dynamodb:GetItem", "dynamodb:BatchGetItem"], "TaskTable.Arn"),
    ("WriteLargeMessages", "s3:PutObject", "PayloadBucket.Arn/messages/*"),
    ("ReadLargeResults", "s3:GetObject", "PayloadBucket.Arn/results/*"),
    ("TellMissingFromForbidden", "s3:ListBucket", "PayloadBucket.Arn"),
    USE_KEY,
]

REVOKER_POLICY = [
    (
        "WriteRecords",
        [
            "dynamodb:BatchGetItem",
            "dynamodb:UpdateItem",
            "dynamodb:PartiQLInsert",
            "dynamodb:PartiQLUpdate",
        ],
        "TaskTable.Arn",
    ),
    (
        "CallBackFarEtas",
        ["scheduler:GetSchedule", "scheduler:DeleteSchedule"],
        f"{_SCHEDULES}/ScheduleGroup/eta-*",
    ),
    (WITH_A_KEY, ["kms:Decrypt"], KEY, through("dynamodb")),
]

# Those of entries, from the code (c...) and made at run time (d...): none that holds an ETA.
SCHEDULES_POLICY = [
    (LISTS_ALL, "scheduler:ListSchedules", "*"),
    (
        "ChangeSchedules",
        [f"scheduler:{verb}Schedule" for verb in ("Get", "Create", "Update", "Delete")],
        [f"{_SCHEDULES}/ScheduleGroup/c*", f"{_SCHEDULES}/ScheduleGroup/d*"],
    ),
]

_SQS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:caraway-"
_BUCKET = f"arn:aws:s3:::caraway-payloads-{ACCOUNT}-{REGION}"
SCHEDULERS_ROLE = [
    # All queues of the app, also those that are not of this stack.
    ("Send", "sqs:SendMessage", f"{_SQS}*"),
    (WITH_A_KEY, ["kms:GenerateDataKey", "kms:Decrypt"], KEY, through("sqs")),
]
TASK_ROLE = [
    ("Consume", CONSUME, f"{_SQS}large"),
    # All queues of the app, which this stack does not know by name.
    ("Send", SEND, f"{_SQS}*"),
    *far_etas("caraway-schedules", SCHEDULER_ROLE),
    ("Records", RECORDS, f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/caraway-tasks"),
    (
        "ProtectItself",
        ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"],
        f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/Cluster/*",
    ),
    (
        "Payloads",
        ["s3:GetObject", "s3:PutObject"],
        [f"{_BUCKET}/messages/*", f"{_BUCKET}/results/*"],
    ),
    ("TellMissingFromForbidden", "s3:ListBucket", _BUCKET),
    USE_KEY,
    (FOR_THE_DEMO, "s3:GetObject", f"{_BUCKET}/demo/*"),
]

ALLOWED: dict[Path, dict[str, list[Any]]] = {
    SAM: {
        "SchedulerRole": SCHEDULERS_ROLE,
        "WorkerRole": WORKER_ROLE,
        "ProducerPolicy": PRODUCER_POLICY,
        "RevokerPolicy": REVOKER_POLICY,
        "SchedulesPolicy": SCHEDULES_POLICY,
    },
    # The tasks do not have the role with which ECS reads the secret.
    ECS: {"TaskRole": TASK_ROLE, "ExecutionRole": [READ_SECRET]},
}
"""By template and resource, of a stack with a key and a secret whose app is the demo."""

ECS_TASKS: dict[str, Any] = {
    "Service": "ecs-tasks.amazonaws.com",
    "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
}
ASSUMED_BY: dict[Path, dict[str, dict[str, Any]]] = {
    SAM: {
        "SchedulerRole": {
            "Service": "scheduler.amazonaws.com",
            "Condition": {
                "StringEquals": {
                    "aws:SourceAccount": ACCOUNT,
                    "aws:SourceArn": (
                        f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/caraway-schedules"
                    ),
                }
            },
        },
        "WorkerRole": {"Service": "lambda.amazonaws.com"},
    },
    ECS: {"ExecutionRole": ECS_TASKS, "TaskRole": ECS_TASKS},
}
BY_AWS = {
    "ExecutionRole": ["arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"]
}
"""Managed policies of AWS's."""


def allowed_by(path: Path, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the statements that are expected of a template."""
    expected = {
        name: [
            {"Effect": "Allow", **dict(zip(RIGHTS, right, strict=False))}
            for right in rights
            if right[0] not in without
        ]
        for name, rights in ALLOWED[path].items()
    }
    return {name: found for name, found in expected.items() if found}


def statements_of(path: Path, **parameters: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, document in policies(Stack(path, **parameters)):
        assert document.keys() == {"Version", "Statement"}
        found[name] = found.get(name, []) + document["Statement"]
    return found


def queue_policies(stack: Stack) -> dict[str, list[dict[str, Any]]]:
    """Statements of the queue policies, by the logical id of the queue."""
    return {
        queue: policy["PolicyDocument"]["Statement"]
        for policy in stack.of_type("AWS::SQS::QueuePolicy").values()
        for queue in policy["Queues"]
    }


def tls_only(actions: str, *resources: str) -> dict[str, Any]:
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": actions,
        "Resource": list(resources) if len(resources) > 1 else resources[0],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


# -- roles ---------------------------------------------------------------------------------------


@BOTH
def test_roles_and_policies_allow_what_is_written_here_and_no_more(path: Path) -> None:
    parameters = {"KmsKeyArn": KEY, "SigningKeysSecretArn": SECRET}
    if path == ECS:
        parameters["SchedulerRoleArn"] = SCHEDULER_ROLE
    assert statements_of(path, **parameters) == allowed_by(path)


@BOTH
def test_what_is_not_there_needs_no_right(path: Path) -> None:
    without = (WITH_A_KEY, WITH_A_SECRET, FOR_THE_DEMO, *(FAR_ETAS if path == ECS else ()))
    expected = allowed_by(path, without)
    assert statements_of(path, App="shop.tasks:app") == expected


@BOTH
def test_a_wildcard_is_the_end_of_a_name(path: Path) -> None:
    # An action's for the sake of batches; a resource's within one bucket, cluster, or the app.
    for rights in ALLOWED[path].values():
        for sid, actions, resources, *_ in rights:
            if sid == LISTS_ALL:
                continue
            listed = [actions] if isinstance(actions, str) else actions
            starred = {action for action in listed if "*" in action}
            assert starred <= {
                f"sqs:{verb}*"
                for verb in ("SendMessage", "DeleteMessage", "ChangeMessageVisibility")
            }
            for resource in [resources] if isinstance(resources, str) else resources:
                assert re.fullmatch(r"[^*]+(/\*|/(eta-|c|d)\*|:caraway-\*)?", resource)


@BOTH
def test_roles_are_assumed_by_their_service_alone(path: Path) -> None:
    roles = Stack(path).of_type("AWS::IAM::Role")
    assert {
        name: [
            {
                "Effect": "Allow",
                "Principal": {"Service": who["Service"]},
                "Action": "sts:AssumeRole",
                **({"Condition": who["Condition"]} if "Condition" in who else {}),
            }
        ]
        for name, who in ASSUMED_BY[path].items()
    } == {name: role["AssumeRolePolicyDocument"]["Statement"] for name, role in roles.items()}


@BOTH
def test_no_other_resource_grants_anything(path: Path) -> None:
    known = {
        "AWS::IAM::Role",
        "AWS::IAM::ManagedPolicy",
        "AWS::SQS::QueuePolicy",
        "AWS::S3::BucketPolicy",
    }
    stack = Stack(path)
    granting = {
        resource["Type"]
        for resource in stack.resources.values()
        if "Policy" in resource["Type"].rpartition("::")[2]
        or "Permission" in resource["Type"]
        or resource["Type"].startswith("AWS::IAM::")
    }
    assert granting - {"AWS::ApplicationAutoScaling::ScalingPolicy"} <= known
    # SAM makes a role of its own for a function that names none.
    for function in stack.of_type("AWS::Serverless::Function").values():
        assert function["Role"] == "WorkerRole.Arn"
        assert "Policies" not in function


@BOTH
def test_policies_of_others_are_aws_own_and_the_users(path: Path) -> None:
    roles = Stack(path).of_type("AWS::IAM::Role")
    attached = {
        name: role["ManagedPolicyArns"]
        for name, role in roles.items()
        if "ManagedPolicyArns" in role
    }
    assert attached == {name: BY_AWS[name] for name in roles if name in BY_AWS}
    own = ["arn:aws:iam::123456789012:policy/reports"]
    worker = "WorkerRole" if path == SAM else "TaskRole"
    with_own = Stack(path, WorkerPolicyArns=own).of_type("AWS::IAM::Role")
    assert with_own[worker]["ManagedPolicyArns"] == own


def test_both_workers_may_do_the_same() -> None:
    own = ("Logs", WITH_A_SECRET, "ProtectItself")

    def actions(rights: list[Any]) -> dict[str, Any]:
        return {sid: actions for sid, actions, *_ in rights if sid not in own}

    assert actions(WORKER_ROLE) == actions(TASK_ROLE)


# -- queues and bucket ---------------------------------------------------------------------------


def test_queues_refuse_plain_http_and_take_events_of_this_accounts_rules() -> None:
    stack = Stack(SAM)
    expected = {}
    for name, queue in stack.of_type("AWS::SQS::Queue").items():
        expected[name] = [tls_only("sqs:*", f"{name}.Arn")]
        if "RedrivePolicy" in queue:  # nobody sends to a dead-letter queue but workers
            expected[name].append(
                {
                    "Sid": "RulesOfThisAccount",
                    "Effect": "Allow",
                    "Principal": {"Service": "events.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": f"{name}.Arn",
                    "Condition": {
                        "ArnLike": {"aws:SourceArn": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/*"}
                    },
                }
            )
    assert queue_policies(stack) == expected


def test_the_table_refuses_plain_http() -> None:
    (table,) = Stack(SAM).of_type("AWS::DynamoDB::Table").values()
    assert table["ResourcePolicy"]["PolicyDocument"]["Statement"] == [
        tls_only("dynamodb:*", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/caraway-tasks")
    ]


def test_the_bucket_is_private_and_refuses_plain_http() -> None:
    stack = Stack(SAM)
    bucket = stack.of_type("AWS::S3::Bucket")["PayloadBucket"]
    assert bucket["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    (policy,) = stack.of_type("AWS::S3::BucketPolicy").values()
    assert policy["Bucket"] == "PayloadBucket"
    assert policy["PolicyDocument"]["Statement"] == [
        tls_only("s3:*", "PayloadBucket.Arn", "PayloadBucket.Arn/*")
    ]


# -- encryption at rest --------------------------------------------------------------------------


def encryption(stack: Stack) -> tuple[list[dict[str, Any]], Any, Any]:
    """Return what is said of it at queues, table and bucket."""
    queues = [
        {name: value for name, value in queue.items() if "Sse" in name or "Kms" in name}
        for queue in stack.of_type("AWS::SQS::Queue").values()
    ]
    (table,) = stack.of_type("AWS::DynamoDB::Table").values()
    (bucket,) = stack.of_type("AWS::S3::Bucket").values()
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    return queues, table.get("SSESpecification"), rule


def test_everything_is_encrypted_with_keys_of_aws() -> None:
    queues, table, bucket = encryption(Stack(SAM))
    assert queues == [{"SqsManagedSseEnabled": True}] * 4
    assert table is None  # DynamoDB's own key
    assert bucket == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


def test_everything_is_encrypted_with_a_key_of_the_users_own() -> None:
    queues, table, bucket = encryption(Stack(SAM, KmsKeyArn=KEY))
    assert queues == [{"KmsMasterKeyId": KEY, "KmsDataKeyReusePeriodSeconds": 3600}] * 4
    assert table == {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}
    assert bucket == {
        "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY},
        "BucketKeyEnabled": True,
    }


@BOTH
@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("", True),
        (KEY, True),
        (
            f"arn:aws-us-gov:kms:us-gov-west-1:{ACCOUNT}:key/mrk-1234abcd12ab34cd56ef1234567890ab",
            True,
        ),
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/shop", False),
        ("1234abcd-12ab-34cd-56ef-1234567890ab", False),
    ],
)
def test_the_key_is_given_by_its_arn_as_roles_can_name_no_other(
    path: Path, value: str, taken: bool
) -> None:
    pattern = Stack(path).parameters["KmsKeyArn"]["AllowedPattern"]
    assert bool(re.search(pattern, value)) is taken


# -- keys of messages ----------------------------------------------------------------------------

SIGNING = {"SigningKeysSecretArn": SECRET, "SigningKeyId": "2026-11", "RequireSignature": "true"}


def test_a_function_is_told_where_the_signing_keys_are_and_not_which() -> None:
    def variables(**parameters: str) -> dict[str, str]:
        worker = Stack(SAM, **parameters).of_type("AWS::Serverless::Function")["Worker"]
        return {
            name: value
            for name, value in worker["Environment"]["Variables"].items()
            if "SIGN" in name
        }

    assert variables() == {}
    assert variables(**SIGNING) == {
        "SIGNING_KEYS_SECRET_ARN": SECRET,
        "CARAWAY_TASK_SIGNING_KEY_ID": "2026-11",
        "CARAWAY_TASK_REQUIRE_SIGNATURE": "true",
    }


def test_ecs_hands_the_signing_keys_to_its_workers() -> None:
    def container(**parameters: str) -> dict[str, Any]:
        tasks = Stack(ECS, **parameters).of_type("AWS::ECS::TaskDefinition")
        found: dict[str, Any] = tasks["TaskDefinition"]["ContainerDefinitions"][0]
        return found

    assert "Secrets" not in container()
    signing = container(**SIGNING)
    assert signing["Secrets"] == [{"Name": "CARAWAY_TASK_SIGNING_KEYS", "ValueFrom": SECRET}]
    added = [each for each in signing["Environment"] if each not in container()["Environment"]]
    assert added == [
        {"Name": "CARAWAY_TASK_SIGNING_KEY_ID", "Value": "2026-11"},
        {"Name": "CARAWAY_TASK_REQUIRE_SIGNATURE", "Value": "true"},
    ]
