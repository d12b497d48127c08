"""What the templates promise: nothing is lost, nothing is open, nobody may do more than he must."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from caraway.core.envelope import parse_envelope
from caraway.core.message import read_message
from caraway.core.record import HORIZON_S
from caraway.core.routing import Queue
from caraway.local.template import load_template
from caraway.workers.session import PARTING_S

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SAM, ECS = ROOT / "template.yaml", ROOT / "infra" / "ecs.yaml"

DAY_S = 86_400
ACCOUNT, REGION = "123456789012", "eu-west-1"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::StackName": "stack",
    "AWS::NoValue": None,
}


class Stack:
    """A template with its parameters filled in: what CloudFormation would make of it."""

    def __init__(self, path: Path, **parameters: Any) -> None:
        template = load_template(path)
        self.parameters: dict[str, Any] = template["Parameters"]
        self._mappings = template.get("Mappings", {})
        self._conditions = template.get("Conditions", {})
        self._values = {
            **PSEUDO,
            **{name: parameter.get("Default", name) for name, parameter in self.parameters.items()},
            **parameters,
        }
        self.resources: dict[str, Any] = {
            name: self.resolve(resource)
            for name, resource in template["Resources"].items()
            if "Condition" not in resource or self._holds(resource["Condition"])
        }
        self.outputs = self.resolve(template["Outputs"])

    def of_type(self, kind: str) -> dict[str, Any]:
        """Properties of the resources of one type, by logical id."""
        return {
            name: resource["Properties"]
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def resolve(self, value: Any) -> Any:
        """Fill in a value; references to resources become the words ``Name`` and ``Name.Arn``."""
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (function, argument), *_ = value.items()
            if function == "Ref":
                return self._values.get(argument, argument)
            if function.startswith("Fn::"):
                return self._call(function.removeprefix("Fn::"), argument)
        return {key: filled for key in value if (filled := self.resolve(value[key])) is not None}

    def _call(self, function: str, argument: Any) -> Any:
        if function == "If":
            return self.resolve(argument[1 if self._holds(argument[0]) else 2])
        argument = self.resolve(argument)
        match function:
            case "GetAtt":
                return ".".join(argument)
            case "Sub":
                return re.sub(r"\$\{(.+?)\}", lambda m: str(self.resolve({"Ref": m[1]})), argument)
            case "FindInMap":
                return self._mappings[argument[0]][str(argument[1])][argument[2]]
            case "Equals":
                return str(argument[0]) == str(argument[1])
            case "Not":
                return not argument[0]
            case "Join":
                parts = argument[1]
                return argument[0].join(parts if isinstance(parts, list) else [parts])
        raise AssertionError(f"The test does not know Fn::{function}")

    def _holds(self, condition: str) -> bool:
        return bool(self.resolve(self._conditions[condition]))


@dataclass(frozen=True)
class DeployedRule:
    """A rule: its name, when it fires, to which queue, and the text of the message at `TIME`."""

    name: str
    schedule: str
    queue: str
    body: str


TIME = "2026-11-21T02:46:53Z"


def deployed_queues(stack: Stack) -> dict[str, Queue]:
    """Queues of a stack, in the app's own terms and without the prefix; dead-letter queues not."""
    prefix = stack.parameters["Prefix"]["Default"]
    properties = stack.of_type("AWS::SQS::Queue")
    by_lambda = {
        event["Properties"]["Queue"].removesuffix(".Arn")
        for function in stack.of_type("AWS::Serverless::Function").values()
        for event in function["Events"].values()
        if event["Type"] == "SQS"
    }
    queues = {}
    for logical_id, queue in properties.items():
        if "RedrivePolicy" not in queue:
            continue
        dead = queue["RedrivePolicy"]["deadLetterTargetArn"].removesuffix(".Arn")
        declared = Queue(
            queue["QueueName"].removeprefix(prefix),
            consumer="lambda" if logical_id in by_lambda else "ecs",
            visibility_timeout_s=int(queue["VisibilityTimeout"]),
            max_receive_count=queue["RedrivePolicy"]["maxReceiveCount"],
            retention_s=queue["MessageRetentionPeriod"],
        )
        # The name follows from the rule "-dlq", so a declaration need not say it.
        assert declared.dead_letter_sqs_name(prefix) == properties[dead]["QueueName"]
        queues[declared.name] = declared
    return queues


def deployed_rules(stack: Stack) -> list[DeployedRule]:
    """Rules of a stack, with the message that each would put on its queue at `TIME`."""
    queues = {f"{name}.Arn": q["QueueName"] for name, q in stack.of_type("AWS::SQS::Queue").items()}
    rules = []
    for rule in stack.of_type("AWS::Events::Rule").values():
        for target in rule["Targets"]:
            transformer = target["InputTransformer"]
            assert transformer["InputPathsMap"] == {"time": "$.time"}
            body = transformer["InputTemplate"].replace("<time>", TIME)
            rules.append(
                DeployedRule(rule["Name"], rule["ScheduleExpression"], queues[target["Arn"]], body)
            )
    return rules


def statements(stack: Stack) -> Iterator[dict[str, Any]]:
    """Statements of what roles and managed policies allow."""
    for role in stack.of_type("AWS::IAM::Role").values():
        for policy in role.get("Policies", []):
            yield from policy["PolicyDocument"]["Statement"]
    for policy in stack.of_type("AWS::IAM::ManagedPolicy").values():
        yield from policy["PolicyDocument"]["Statement"]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def queue_policies(stack: Stack) -> dict[str, list[dict[str, Any]]]:
    """Statements of the queue policies, by the logical id of the queue."""
    return {
        queue: policy["PolicyDocument"]["Statement"]
        for policy in stack.of_type("AWS::SQS::QueuePolicy").values()
        for queue in policy["Queues"]
    }


@pytest.mark.parametrize(
    "timeout_s", load_template(SAM)["Parameters"]["LambdaTimeout"]["AllowedValues"]
)
def test_visibility_is_six_times_the_functions_timeout(timeout_s: int) -> None:
    stack = Stack(SAM, LambdaTimeout=timeout_s)
    assert stack.of_type("AWS::Serverless::Function")["Worker"]["Timeout"] == timeout_s
    assert deployed_queues(stack)["default"].visibility_timeout_s == 6 * timeout_s


def test_every_queue_has_a_dead_letter_queue_that_keeps_for_as_long() -> None:
    queues = Stack(SAM).of_type("AWS::SQS::Queue")
    sources = {name: queue for name, queue in queues.items() if "RedrivePolicy" in queue}
    dead = {
        name: queues[queue["RedrivePolicy"]["deadLetterTargetArn"].removesuffix(".Arn")]
        for name, queue in sources.items()
    }
    assert len(sources) == len(dead) == len(queues) / 2
    for name, queue in sources.items():
        assert dead[name]["MessageRetentionPeriod"] == 14 * DAY_S >= queue["MessageRetentionPeriod"]
        assert dead[name]["RedriveAllowPolicy"] == {
            "redrivePermission": "byQueue",
            "sourceQueueArns": [f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue['QueueName']}"],
        }


def test_a_queue_named_in_an_app_with_defaults_is_what_is_deployed() -> None:
    assert deployed_queues(Stack(SAM)) == {
        "default": Queue("default"),
        "large": Queue("large", consumer="ecs"),
    }


def test_the_tag_of_a_queue_names_its_consumer() -> None:
    stack = Stack(SAM)
    tagged = {
        queue["QueueName"].removeprefix("caraway-"): tag["Value"]
        for queue in stack.of_type("AWS::SQS::Queue").values()
        for tag in queue["Tags"]
        if tag["Key"] == "caraway:consumer"
    }
    assert tagged == {name: queue.consumer for name, queue in deployed_queues(stack).items()}


def test_every_queue_is_encrypted_and_refuses_plain_http() -> None:
    stack = Stack(SAM)
    policies = queue_policies(stack)
    for name, queue in stack.of_type("AWS::SQS::Queue").items():
        assert queue["SqsManagedSseEnabled"] is True
        assert policies[name][0] == {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": f"{name}.Arn",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }


def test_every_queue_takes_events_from_this_accounts_rules_and_nobody_elses() -> None:
    stack = Stack(SAM)
    allowed = {
        name: [one for one in policy if one["Effect"] == "Allow"]
        for name, policy in queue_policies(stack).items()
    }
    for name, queue in stack.of_type("AWS::SQS::Queue").items():
        if "RedrivePolicy" not in queue:
            assert allowed[name] == []
            continue
        (statement,) = allowed[name]
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Resource"] == f"{name}.Arn"
        assert statement["Condition"] == {
            "ArnLike": {"aws:SourceArn": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/*"}
        }


def test_payloads_outlive_every_message_that_can_name_them() -> None:
    stack = Stack(SAM)
    shortest_days = stack.parameters["PayloadRetentionDays"]["MinValue"]
    longest_s = max(
        queue["MessageRetentionPeriod"] for queue in stack.of_type("AWS::SQS::Queue").values()
    )
    assert shortest_days * DAY_S > HORIZON_S + longest_s
    rules = stack.of_type("AWS::S3::Bucket")["PayloadBucket"]["LifecycleConfiguration"]["Rules"]
    days = {rule.get("Prefix"): rule.get("ExpirationInDays") for rule in rules}
    assert days["messages/"] == days["results/"] >= shortest_days


def test_the_bucket_is_private_and_encrypted_and_refuses_plain_http() -> None:
    stack = Stack(SAM)
    bucket = stack.of_type("AWS::S3::Bucket")["PayloadBucket"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]
    (statement,) = stack.of_type("AWS::S3::BucketPolicy")["PayloadBucketPolicy"]["PolicyDocument"][
        "Statement"
    ]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == ["PayloadBucket.Arn", "PayloadBucket.Arn/*"]


def test_the_longest_prefix_makes_names_that_aws_takes() -> None:
    pattern = Stack(SAM).parameters["Prefix"]["AllowedPattern"]
    longest = "x" * 25 + "-"
    assert re.fullmatch(pattern, longest)
    assert not re.fullmatch(pattern, "x" + longest)
    stack = Stack(SAM, Prefix=longest, **{"AWS::Region": "ap-southeast-1"})
    assert len(stack.of_type("AWS::S3::Bucket")["PayloadBucket"]["BucketName"]) <= 63
    assert len(stack.of_type("AWS::Serverless::Function")["Worker"]["FunctionName"]) <= 64


def test_records_are_found_by_id_and_expire_by_ttl() -> None:
    table = Stack(SAM).of_type("AWS::DynamoDB::Table")["TaskTable"]
    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["DeletionProtectionEnabled"] is False
    protected = Stack(SAM, DeletionProtection="true").of_type("AWS::DynamoDB::Table")["TaskTable"]
    assert protected["DeletionProtectionEnabled"] is True


def test_the_worker_is_told_where_everything_is() -> None:
    worker = Stack(SAM, App="shop.tasks:app").of_type("AWS::Serverless::Function")["Worker"]
    assert worker["Handler"] == "caraway.workers.aws_lambda.handler"
    variables = worker["Environment"]["Variables"]
    assert {name: value for name, value in variables.items() if name.startswith("CARAWAY_")} == {
        "CARAWAY_APP": "shop.tasks:app",
        "CARAWAY_QUEUE_NAME_PREFIX": "caraway-",
        "CARAWAY_TASK_TABLE": "TaskTable",
        "CARAWAY_PAYLOAD_BUCKET": "PayloadBucket",
    }


def test_a_batch_may_fail_in_part() -> None:
    (event,) = Stack(SAM).of_type("AWS::Serverless::Function")["Worker"]["Events"].values()
    assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # An event filter that does not match deletes the message.
    assert "FilterCriteria" not in event["Properties"]


@pytest.mark.parametrize("limit", [2, 10, 500])
def test_the_functions_concurrency_is_the_parameters(limit: int) -> None:
    stack = Stack(SAM, MaximumConcurrency=limit)
    (event,) = stack.of_type("AWS::Serverless::Function")["Worker"]["Events"].values()
    assert event["Properties"]["ScalingConfig"] == {"MaximumConcurrency": limit}


@pytest.mark.parametrize("path", [SAM, ECS], ids=["lambda", "ecs"])
def test_roles_name_their_actions_and_their_resources(path: Path) -> None:
    # Of one table, one bucket's folder or this app's queues, and nothing else, "all" is allowed.
    folders = (
        r"(PayloadBucket\.Arn|arn:aws:s3:::caraway-payloads-[0-9a-z-]+)/(messages|results|demo)/\*"
    )
    own_queues = rf"arn:aws:sqs:{REGION}:{ACCOUNT}:caraway-\*"
    own_tasks = rf"arn:aws:ecs:{REGION}:{ACCOUNT}:task/Cluster/\*"
    several = f"{folders}|{own_queues}|{own_tasks}"
    found = list(statements(Stack(path)))
    assert found
    for statement in found:
        assert statement["Effect"] == "Allow"
        assert not [action for action in listed(statement["Action"]) if "*" in action]
        for resource in listed(statement["Resource"]):
            assert "*" not in resource or re.fullmatch(several, resource)


@pytest.mark.parametrize("path", [SAM, ECS], ids=["lambda", "ecs"])
def test_no_worker_may_delete_records_or_payloads(path: Path) -> None:
    actions = {action for one in statements(Stack(path)) for action in listed(one["Action"])}
    assert {action for action in actions if "Delete" in action} == {"sqs:DeleteMessage"}


def test_both_workers_may_do_the_same() -> None:
    def worker(path: Path) -> dict[str, set[str]]:
        return {
            one["Sid"]: set(listed(one["Action"]))
            for role in Stack(path).of_type("AWS::IAM::Role").values()
            for policy in role.get("Policies", [])
            for one in policy["PolicyDocument"]["Statement"]
            if one["Sid"] not in ("Logs", "ProtectItself")
        }

    assert worker(SAM) == worker(ECS)


def test_an_ecs_worker_may_show_itself() -> None:
    allowed = {action for each in statements(Stack(ECS)) for action in listed(each["Action"])}
    assert {"dynamodb:GetItem", "dynamodb:UpdateItem"} <= allowed


def test_a_producer_may_enqueue_and_read_and_no_more() -> None:
    policy = Stack(SAM).of_type("AWS::IAM::ManagedPolicy")["ProducerPolicy"]
    assert {
        action for one in policy["PolicyDocument"]["Statement"] for action in listed(one["Action"])
    } == {
        "sqs:SendMessage",
        "sqs:GetQueueUrl",
        "dynamodb:GetItem",
        "dynamodb:BatchGetItem",
        "s3:PutObject",
        "s3:GetObject",
        "s3:ListBucket",
    }


def test_who_revokes_may_look_at_records_and_write_them_and_no_more() -> None:
    policy = Stack(SAM).of_type("AWS::IAM::ManagedPolicy")["RevokerPolicy"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == [
        "dynamodb:BatchGetItem",
        "dynamodb:UpdateItem",
        "dynamodb:PartiQLInsert",
        "dynamodb:PartiQLUpdate",
    ]


def test_only_the_demo_may_read_the_demos_inputs() -> None:
    for path in (SAM, ECS):
        sids = {one["Sid"] for one in statements(Stack(path, App="shop:app"))}
        assert "DemoInputs" not in sids
        assert "Payloads" in sids


def test_policies_of_the_users_own_are_attached_when_given() -> None:
    own = ["arn:aws:iam::123456789012:policy/reports"]
    for path, role in ((SAM, "WorkerRole"), (ECS, "TaskRole")):
        with_own = Stack(path, WorkerPolicyArns=own).of_type("AWS::IAM::Role")[role]
        assert with_own["ManagedPolicyArns"] == own
        assert "ManagedPolicyArns" not in Stack(path).of_type("AWS::IAM::Role")[role]


def test_what_a_rule_sends_is_a_task_message_and_its_occurrence_has_one_id() -> None:
    (rule,) = deployed_rules(Stack(SAM))
    assert (rule.name, rule.schedule) == ("caraway-demo-tick", "rate(1 minute)")
    assert rule.queue == "caraway-default"
    message = read_message(parse_envelope(rule.body))
    assert message.task == "caraway.demo.app.tick"
    assert message.schedule == "tick"
    assert read_message(parse_envelope(rule.body)).id == message.id


def test_the_template_deploys_what_the_demo_app_declares() -> None:
    from caraway.beat import rules_of
    from caraway.demo.app import app

    stack = Stack(SAM)
    assert stack.parameters["App"]["Default"] == "caraway.demo.app:app"
    assert deployed_queues(stack) == app.finalize().site.router.queues
    (deployed,) = deployed_rules(stack)
    (declared,) = rules_of(app, datetime(2026, 1, 1, tzinfo=timezone.utc))
    assert deployed.name == f"caraway-{declared.name}"
    assert deployed.schedule == declared.expression
    assert deployed.queue == f"caraway-{declared.queue}"
    assert deployed.body == declared.template.replace("<time>", TIME)


def test_the_demos_schedule_is_off_until_asked_for_and_absent_for_other_apps() -> None:
    rules = Stack(SAM).of_type("AWS::Events::Rule")
    assert rules["TickRule"]["State"] == "DISABLED"
    assert Stack(SAM, App="shop:app").of_type("AWS::Events::Rule") == {}


def test_the_outputs_are_what_a_producer_needs() -> None:
    outputs = {name: output["Value"] for name, output in Stack(SAM).outputs.items()}
    assert outputs["Prefix"] == "caraway-"
    assert outputs["TaskTable"] == "TaskTable"
    assert outputs["PayloadBucket"] == "PayloadBucket"
    assert outputs["ProducerPolicyArn"] == "ProducerPolicy"
    assert {outputs["DefaultQueueUrl"], outputs["LargeQueueUrl"]} == {"DefaultQueue", "LargeQueue"}


def test_the_ecs_stack_finds_the_other_by_its_prefix() -> None:
    sam, ecs = Stack(SAM, Prefix="shop-"), Stack(ECS, Prefix="shop-")
    (container,) = ecs.of_type("AWS::ECS::TaskDefinition")["TaskDefinition"]["ContainerDefinitions"]
    environment = {pair["Name"]: pair["Value"] for pair in container["Environment"]}
    assert environment == {
        "CARAWAY_APP": "caraway.demo.app:app",
        "CARAWAY_QUEUE_NAME_PREFIX": "shop-",
        "CARAWAY_TASK_TABLE": sam.of_type("AWS::DynamoDB::Table")["TaskTable"]["TableName"],
        "CARAWAY_PAYLOAD_BUCKET": sam.of_type("AWS::S3::Bucket")["PayloadBucket"]["BucketName"],
        "CARAWAY_HEALTH_PORT": "8080",
    }
    assert container["HealthCheck"]["Command"] == ["CMD", "caraway", "health"]
    queue = sam.of_type("AWS::SQS::Queue")["LargeQueue"]["QueueName"]
    (consume,) = (one for one in statements(ecs) if one["Sid"] == "Consume")
    assert consume["Resource"] == f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"


def test_the_ecs_service_scales_on_the_backlog_per_running_worker() -> None:
    stack = Stack(ECS)
    policy = stack.of_type("AWS::ApplicationAutoScaling::ScalingPolicy")["ScalingPolicy"]
    target = policy["TargetTrackingScalingPolicyConfiguration"]
    metrics = target["CustomizedMetricSpecification"]["Metrics"]
    assert [metric["Id"] for metric in metrics if metric["ReturnData"]] == ["backlog"]
    sources = {
        metric["Id"]: metric["MetricStat"]["Metric"] for metric in metrics if "MetricStat" in metric
    }
    assert {metric["MetricName"] for metric in sources.values()} == {
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
        "RunningTaskCount",
    }
    assert set(re.findall(r"[a-z]+", metrics[-1]["Expression"])) == set(sources)
    assert sources["waiting"]["Dimensions"] == [{"Name": "QueueName", "Value": "caraway-large"}]
    # What the scaling chose survives a deployment.
    assert "DesiredCount" not in stack.of_type("AWS::ECS::Service")["Service"]


def test_an_ecs_worker_may_protect_itself_and_no_task_of_another_cluster() -> None:
    (protect,) = (one for one in statements(Stack(ECS)) if one["Sid"] == "ProtectItself")
    assert protect["Action"] == ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"]
    assert protect["Resource"].endswith(":task/Cluster/*")


def test_an_ecs_worker_ends_before_ecs_kills_it() -> None:
    (container,) = Stack(ECS).of_type("AWS::ECS::TaskDefinition")["TaskDefinition"][
        "ContainerDefinitions"
    ]
    command = container["Command"]
    granted_s = int(command[command.index("--shutdown-timeout") + 1])
    # Four steps of the shutdown ask AWS for something, each for PARTING_S at the most.
    assert granted_s + 4 * PARTING_S < container["StopTimeout"]


def test_an_ecs_worker_has_all_the_time_that_fargate_grants_to_finish() -> None:
    stack = Stack(ECS)
    (container,) = stack.of_type("AWS::ECS::TaskDefinition")["TaskDefinition"][
        "ContainerDefinitions"
    ]
    assert container["StopTimeout"] == 120
