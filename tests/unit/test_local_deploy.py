"""Each function of a template is given its code, and mistakes in naming them are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from caraway.exceptions import LocalError
from caraway.local.deploy import bridge_engine_gaps, deploy, with_code

WORKER = {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "build/", "Timeout": 3}}
IN_S3 = {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "s3://bucket/key"}}
INLINE = {"Type": "AWS::Serverless::Function", "Properties": {"InlineCode": "def handler(): ..."}}
QUEUE = {"Type": "AWS::SQS::Queue"}


def test_a_functions_code_is_its_place_in_s3() -> None:
    template = {"Resources": {"Worker": WORKER, "Queue": QUEUE}}
    changed = with_code(template, {"Worker": ("bucket", "hash.zip")})
    assert changed["Resources"]["Worker"]["Properties"] == {
        "CodeUri": {"Bucket": "bucket", "Key": "hash.zip"},
        "Timeout": 3,
    }


def test_the_template_given_is_not_changed() -> None:
    template = {"Resources": {"Worker": WORKER}}
    with_code(template, {"Worker": ("bucket", "hash.zip")})
    assert WORKER["Properties"] == {"CodeUri": "build/", "Timeout": 3}


def test_code_for_a_function_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(LocalError, match="no function 'Wroker', did you mean 'Worker'"):
        with_code({"Resources": {"Worker": WORKER}}, {"Wroker": ("bucket", "key")})


def test_a_function_whose_code_is_a_folder_here_needs_a_package() -> None:
    with pytest.raises(LocalError, match=r"code of Worker is a folder here \(build/\)"):
        with_code({"Resources": {"Worker": WORKER}}, {})


def test_functions_whose_code_aws_can_read_are_left_alone() -> None:
    template = {"Resources": {"InS3": IN_S3, "Inline": INLINE}}
    assert with_code(template, {}) == template


class Tables:
    """CloudFormation and DynamoDB at once: one table, whose time to live is on or off."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.updates: list[dict[str, Any]] = []

    def describe_stack_resource(self, **_: str) -> dict[str, Any]:
        return {"StackResourceDetail": {"PhysicalResourceId": "the-table"}}

    def describe_time_to_live(self, **_: str) -> dict[str, Any]:
        return {"TimeToLiveDescription": {"TimeToLiveStatus": self.status}}

    def update_time_to_live(self, **update: Any) -> None:
        self.updates.append(update)


def table(enabled: object) -> dict[str, Any]:
    specification = {"AttributeName": "ttl", "Enabled": enabled}
    return {
        "Resources": {
            "Table": {
                "Type": "AWS::DynamoDB::Table",
                "Properties": {"TimeToLiveSpecification": specification},
            }
        }
    }


@pytest.mark.parametrize("enabled", [True, "true"])
def test_time_to_live_is_switched_on_where_the_template_was_ignored(enabled: object) -> None:
    tables = Tables("DISABLED")
    bridge_engine_gaps(lambda _: tables, table(enabled), "stack")
    assert tables.updates == [
        {
            "TableName": "the-table",
            "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "ttl"},
        }
    ]


@pytest.mark.parametrize(
    ("status", "enabled"), [("ENABLED", True), ("ENABLING", "true"), ("DISABLED", "false")]
)
def test_nothing_is_written_where_the_template_was_heeded(status: str, enabled: object) -> None:
    tables = Tables(status)
    bridge_engine_gaps(lambda _: tables, table(enabled), "stack")
    assert tables.updates == []


def test_a_template_without_tables_asks_nothing() -> None:
    def no_client(service: str) -> Any:
        raise AssertionError(service)

    bridge_engine_gaps(no_client, {"Resources": {"Queue": QUEUE}}, "stack")


def test_a_refusal_of_aws_names_the_stack(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text("Resources: {}")

    def refuse(service: str) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "HeadBucket")

    with pytest.raises(LocalError, match=r"stack shop could not be deployed: .*AccessDenied"):
        deploy(refuse, tmp_path / "template.yaml", "shop")
