"""The table of task records, and the bucket of large payloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from caraway.cli.checks.findings import Finding, note, ok, problem, refused
from caraway.exceptions import AccessDenied, OperationalError, ResourceMissing
from caraway.requests.dynamodb import DescribeTable, DescribeTimeToLive
from caraway.requests.s3 import HeadBucket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.cli.checks.findings import Patient
    from caraway.settings import Settings

TTL_ATTRIBUTE: Final = "ttl"
_KEY: Final = ("id", "HASH", "S")


async def check_table(patient: Patient) -> list[Finding]:
    """Look at the table: there, active, with Caraway's key, and with expiry."""
    name = patient.app.conf.task_table
    subject = f"table {name}"
    try:
        table = await patient.aws.perform(DescribeTable(name))
        expiry = await patient.aws.perform(DescribeTimeToLive(name))
    except ResourceMissing:
        return [
            problem(
                subject,
                "there is no such table in this account and region",
                "deploy the stack, or set task_table (CARAWAY_TASK_TABLE) to its output TaskTable",
            )
        ]
    except OperationalError as error:
        return [refused(subject, error)]
    faults = [*_state(subject, table), *_key(subject, table), *_expiry(subject, name, expiry)]
    return faults or [ok(subject, "active, with key and expiry")]


def _state(subject: str, table: Mapping[str, Any]) -> list[Finding]:
    status = table.get("TableStatus", "ACTIVE")
    if status in {"ACTIVE", "UPDATING"}:
        return []
    return [problem(subject, f"it is {status}", "wait until it is ACTIVE, or deploy the stack")]


def _key(subject: str, table: Mapping[str, Any]) -> list[Finding]:
    types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
    key = [
        (each["AttributeName"], each["KeyType"], types.get(each["AttributeName"]))
        for each in table["KeySchema"]
    ]
    if key == [_KEY]:
        return []
    shown = ", ".join(f"{name} ({kind}, {type_})" for name, kind, type_ in key)
    return [
        problem(
            subject,
            f"its key is {shown}, so it is not Caraway's table: the key must be id (HASH, S)",
            "give Caraway a table of its own: set task_table (CARAWAY_TASK_TABLE)",
        )
    ]


def _expiry(subject: str, name: str, attribute: str | None) -> list[Finding]:
    if attribute == TTL_ATTRIBUTE:
        return []
    what = "items never expire" if attribute is None else f"items expire by {attribute!r}"
    return [
        problem(
            subject,
            f"{what}: records would be kept for ever",
            f"aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification "
            f"Enabled=true,AttributeName={TTL_ATTRIBUTE}",
        )
    ]


async def check_bucket(patient: Patient) -> list[Finding]:
    """Look at the bucket of messages and results that are too large for SQS and DynamoDB."""
    conf = patient.app.conf
    name = conf.payload_bucket
    if name is None:
        return [
            note(
                "bucket",
                "payload_bucket is not set: messages above "
                f"{conf.message_inline_limit_bytes // 1024} KB and results above "
                f"{conf.result_inline_limit_bytes // 1024} KB fail",
                "set payload_bucket (CARAWAY_PAYLOAD_BUCKET) to the stack's output PayloadBucket",
            )
        ]
    subject = f"bucket {name}"
    try:
        await patient.aws.perform(HeadBucket(name))
    except ResourceMissing:
        return [
            problem(
                subject,
                "there is no such bucket",
                "deploy the stack, or set payload_bucket (CARAWAY_PAYLOAD_BUCKET) to its output "
                "PayloadBucket",
            )
        ]
    except AccessDenied:
        return [
            problem(
                subject,
                "it is somebody else's, or these credentials may not list it",
                "check its name, or grant s3:ListBucket",
            )
        ]
    except OperationalError as error:
        return [refused(subject, error)]
    return [ok(subject, "there"), *_what_the_template_does_not_allow(conf)]


def _what_the_template_does_not_allow(conf: Settings) -> list[Finding]:
    """Return what settings ask of the bucket beyond the policies that the template makes."""
    found = []
    if path := conf.s3_base_path:
        found.append(
            note(
                "s3_base_path",
                f"every key begins with {path!r}, which the template's roles and lifecycle do not",
                f"let the roles put and get {path}messages/* and {path}results/*, and let the "
                "lifecycle rules begin so; then this is as it should be",
            )
        )
    if key := conf.s3_kms_key_id:
        found.append(
            note(
                "s3_kms_key_id",
                f"payloads are encrypted with {key}, which the template's roles may not use",
                "grant workers and producers kms:GenerateDataKey and kms:Decrypt on that key; "
                "then this is as it should be",
            )
        )
    return found
