"""What the templates promise: nothing is lost, and each finds the other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone

import pytest

from caraway.core.envelope import parse_envelope
from caraway.core.message import read_message
from caraway.core.record import HORIZON_S
from caraway.core.routing import Queue
from caraway.local.template import load_template
from caraway.workers.session import PARTING_S
from tests.stacks import ACCOUNT, ECS, REGION, SAM, Stack, statements

DAY_S = 86_400


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
        "CARAWAY_SCHEDULER_ROLE_ARN": "SchedulerRole.Arn",
        "CARAWAY_SCHEDULER_GROUP_NAME": "ScheduleGroup",
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


def test_what_a_rule_sends_is_a_task_message_and_its_occurrence_has_one_id() -> None:
    (rule,) = deployed_rules(Stack(SAM))
    assert (rule.name, rule.schedule) == ("caraway-demo-tick", "cron(* * * * ? *)")
    assert rule.queue == "caraway-default"
    message = read_message(parse_envelope(rule.body))
    assert message.task == "caraway.demo.app.tick"
    assert message.schedule == "tick"
    assert read_message(parse_envelope(rule.body)).id == message.id


def test_the_template_deploys_what_the_demo_app_declares() -> None:
    from caraway.beat import schedules_of, stores_of
    from caraway.core.rule_store import template_of
    from caraway.demo.app import app

    stack = Stack(SAM)
    assert stack.parameters["App"]["Default"] == "caraway.demo.app:app"
    assert deployed_queues(stack) == app.finalize().site.router.queues
    (deployed,) = deployed_rules(stack)
    (declared,) = schedules_of(app, datetime(2026, 1, 1, tzinfo=timezone.utc))
    assert deployed.name == f"caraway-{stores_of(app).current.name_of(declared)}"
    assert deployed.schedule == declared.expression
    assert deployed.queue == f"caraway-{declared.queue}"
    assert deployed.body == template_of(declared.text).replace("<time>", TIME)


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
        "CARAWAY_SCHEDULER_GROUP_NAME": sam.of_type("AWS::Scheduler::ScheduleGroup")[
            "ScheduleGroup"
        ]["Name"],
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
