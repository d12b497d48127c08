"""Deploys a SAM template, as ``sam deploy`` does, wherever the given clients lead.

Nothing here asks whether that is the local engine or AWS: what an engine ignores of a template is
looked at afterwards, and set if it is not as the template says.
"""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from caraway.exceptions import LocalError, nearest
from caraway.local.cache import say_nothing
from caraway.local.template import load_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

    from caraway.local.cache import Progress
    from caraway.local.template import Template

    ClientFactory = Callable[[str], Any]

TEMPLATE_BODY_BYTES = 51_200
"""Longest TemplateBody of a request (AWS CloudFormation User Guide, "Quotas")."""

_CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
# States of a stack whose creation failed: it can be deleted, and nothing else.
_STILLBORN = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}
_EVERY_SECOND = {"Delay": 1, "MaxAttempts": 900}


def deploy(
    client: ClientFactory,
    template: Path,
    stack_name: str,
    *,
    parameters: Mapping[str, str] | None = None,
    code: Mapping[str, Path] | None = None,
    progress: Progress = say_nothing,
) -> dict[str, str]:
    """Create the stack, or make it equal to the template, and return its outputs.

    Parameters
    ----------
    client
        Makes the boto3 client of a service: ``engine.client``, or ``boto3.client``.
    template
        A SAM template in YAML or JSON.
    stack_name
        Name of the stack; a stack of that name is updated.
    parameters
        Values for the template's parameters; those left out keep their defaults.
    code
        For each function, by logical id, the zip that it runs.
    progress
        Is told what is being waited for.

    Returns
    -------
    dict[str, str]
        The stack's outputs by key.

    Raises
    ------
    LocalError
        If the template or `code` is wrong, or AWS refuses: with the first resource that failed
        and its reason.
    """
    body = load_template(template)
    try:
        bucket = _Bucket(client)
        uploaded = {
            name: bucket.upload(path.read_bytes(), ".zip") for name, path in (code or {}).items()
        }
        body = with_code(body, {name: (bucket.name, key) for name, key in uploaded.items()})
        stack = _Stack(client("cloudformation"), stack_name)
        progress(f"Deploying the stack {stack_name}")
        stack.apply(
            _template_argument(json.dumps(body, separators=(",", ":")), bucket),
            parameters or {},
        )
        bridge_engine_gaps(client, body, stack_name)
        return stack.outputs()
    except (BotoCoreError, ClientError) as error:
        raise LocalError(f"The stack {stack_name} could not be deployed: {error}") from error
    except OSError as error:
        raise LocalError(f"{error.filename} cannot be read: {error.strerror}") from error


def with_code(template: Template, code: Mapping[str, tuple[str, str]]) -> Template:
    """Return the template with each function's code at its place in S3.

    Parameters
    ----------
    template
        As :func:`load_template` returns it; it is not changed.
    code
        By logical id of the function: the bucket and the key of its zip.

    Raises
    ------
    LocalError
        If `code` names no function of the template, or a function's code is a local path and
        `code` does not say what takes its place.
    """
    template = deepcopy(template)
    functions = dict(_resources(template, "AWS::Serverless::Function"))
    for name in code:
        if name not in functions:
            raise LocalError(f"The template has no function {name!r}{nearest(name, functions)}")
    for name, function in functions.items():
        if name in code:
            bucket, key = code[name]
            function["CodeUri"] = {"Bucket": bucket, "Key": key}
        elif isinstance(function.get("CodeUri"), str) and "://" not in function["CodeUri"]:
            raise LocalError(
                f"The code of {name} is a folder here ({function['CodeUri']}): "
                f"build a package and pass it as code[{name!r}]"
            )
    return template


def bridge_engine_gaps(client: ClientFactory, template: Template, stack_name: str) -> None:
    """Make true what an engine ignores of a template: a table's time to live.

    On AWS everything is as the template says already, and nothing is written.
    """
    tables = {
        name: table["TimeToLiveSpecification"]
        for name, table in _resources(template, "AWS::DynamoDB::Table")
        if "TimeToLiveSpecification" in table
    }
    if not tables:
        return
    cloudformation: CloudFormationClient = client("cloudformation")
    dynamodb: DynamoDBClient = client("dynamodb")
    for name, wanted in tables.items():
        detail = cloudformation.describe_stack_resource(
            StackName=stack_name, LogicalResourceId=name
        )["StackResourceDetail"]
        table = detail["PhysicalResourceId"]
        now = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        enabled = now.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
        if enabled != (str(wanted["Enabled"]).lower() == "true"):
            dynamodb.update_time_to_live(
                TableName=table,
                TimeToLiveSpecification={
                    "Enabled": not enabled,
                    "AttributeName": wanted["AttributeName"],
                },
            )


def upload(client: ClientFactory, package: Path) -> tuple[str, str]:
    """Put a package where Lambda fetches code, and return its bucket and key."""
    bucket = _Bucket(client)
    return bucket.name, bucket.upload(package.read_bytes(), ".zip")


def empty_uploads(client: ClientFactory) -> None:
    """Delete what deployments have uploaded: a stack that is deployed needs none of it any more."""
    bucket = _Bucket(client)
    s3: S3Client = client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket.name):
        for each in page.get("Contents", []):
            s3.delete_object(Bucket=bucket.name, Key=each["Key"])


def _resources(template: Template, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Logical id and properties of each resource of one type."""
    for name, resource in template["Resources"].items():
        if resource.get("Type") == kind:
            yield name, resource.setdefault("Properties", {})


def _template_argument(body: str, bucket: _Bucket) -> dict[str, str]:
    content = body.encode()
    if len(content) <= TEMPLATE_BODY_BYTES:
        return {"TemplateBody": body}
    return {"TemplateURL": bucket.url(bucket.upload(content, ".json"))}


class _Bucket:
    """The bucket from which CloudFormation fetches code and large templates; made when missing."""

    def __init__(self, client: ClientFactory) -> None:
        self._s3: S3Client = client("s3")
        account = client("sts").get_caller_identity()["Account"]
        region = self._s3.meta.region_name
        self.name = f"caraway-deploy-{account}-{region}"
        try:
            self._s3.head_bucket(Bucket=self.name)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            # us-east-1 is the one region that must not be named.
            place: Any = (
                {}
                if region == "us-east-1"
                else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            )
            self._s3.create_bucket(Bucket=self.name, **place)

    def upload(self, content: bytes, suffix: str) -> str:
        """Put `content` there, unless it is there, and return its key: a hash of it."""
        key = hashlib.sha256(content).hexdigest() + suffix
        if not self._s3.list_objects_v2(Bucket=self.name, Prefix=key)["KeyCount"]:
            self._s3.put_object(Bucket=self.name, Key=key, Body=content)
        return key

    def url(self, key: str) -> str:
        return f"{self._s3.meta.endpoint_url}/{self.name}/{key}"


class _Stack:
    """One stack by name."""

    def __init__(self, cloudformation: CloudFormationClient, name: str) -> None:
        self._cloudformation = cloudformation
        self.name = name

    def apply(self, template: Mapping[str, str], parameters: Mapping[str, str]) -> None:
        """Create or update it, and wait."""
        status = self._describe().get("StackStatus")
        if status in _STILLBORN:
            self._cloudformation.delete_stack(StackName=self.name)
            self._wait("stack_delete_complete")
            status = None
        arguments: Any = {
            "StackName": self.name,
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            "Capabilities": _CAPABILITIES,
            **template,
        }
        if status is None:
            self._cloudformation.create_stack(**arguments)
            self._wait("stack_create_complete")
            return
        try:
            self._cloudformation.update_stack(**arguments)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
        else:
            self._wait("stack_update_complete")

    def outputs(self) -> dict[str, str]:
        return {
            output["OutputKey"]: output["OutputValue"]
            for output in self._describe().get("Outputs", [])
        }

    def _describe(self) -> Any:
        try:
            return self._cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            return {}

    def _wait(self, waiter: Any) -> None:
        try:
            self._cloudformation.get_waiter(waiter).wait(
                StackName=self.name, WaiterConfig=_EVERY_SECOND
            )
        except WaiterError as error:
            raise LocalError(
                f"The stack {self.name} failed: {self._first_failure() or error}"
            ) from error

    def _first_failure(self) -> str | None:
        """Name the resource that failed first, and why; the later failures follow from it."""
        failure = None
        pages = self._cloudformation.get_paginator("describe_stack_events")
        for page in pages.paginate(StackName=self.name):
            for event in page["StackEvents"]:  # the newest first
                if event.get("PhysicalResourceId") == event["StackId"] and event.get(
                    "ResourceStatus"
                ) in {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"}:
                    return failure
                if event.get("ResourceStatus", "").endswith("_FAILED"):
                    reason = event.get("ResourceStatusReason", "no reason was given")
                    failure = f"{event.get('LogicalResourceId')}: {reason}"
        return failure
