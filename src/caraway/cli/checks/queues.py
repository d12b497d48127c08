"""Queues, their dead-letter queues, and their time-outs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from caraway.cli.checks.consumers import check_consumers
from caraway.cli.checks.findings import Finding, note, ok, problem, refused
from caraway.cli.output import count, duration
from caraway.exceptions import OperationalError, ResourceMissing
from caraway.requests.sqs import GetQueueAttributes, GetQueueUrl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.cli.checks.findings import Patient
    from caraway.core.routing import Queue


async def check_queues(patient: Patient) -> list[Finding]:
    """Look at each queue that the app declares; stops where AWS does not answer."""
    findings: list[Finding] = []
    for queue in patient.app.site.router.queues.values():
        findings += await _check_queue(patient, queue)
    return findings


async def _check_queue(patient: Patient, queue: Queue) -> list[Finding]:
    subject, name = f"queue {queue.name}", queue.sqs_name(patient.prefix)
    attributes = await _attributes(patient, subject, name)
    if isinstance(attributes, Finding):
        return [attributes]
    faults = [
        *_visibility(queue, subject, attributes),
        *_redrive(patient, queue, subject, attributes),
        *await _dead_letters(patient, queue),
        *await check_consumers(patient, queue, subject, attributes),
    ]
    hidden = duration(int(attributes["VisibilityTimeout"]))
    is_there = ok(subject, f"{name} is there, for {queue.consumer} (visibility {hidden})")
    return [is_there, *faults]


async def _attributes(patient: Patient, subject: str, name: str) -> Mapping[str, str] | Finding:
    """Return a queue's attributes, or what is wrong."""
    try:
        url = await patient.aws.perform(GetQueueUrl(name))
        return await patient.aws.perform(GetQueueAttributes(url))
    except ResourceMissing:
        return problem(
            subject,
            f"there is no queue {name!r} in this account and region",
            "add it to the template and deploy (docs/deploy.md), or mend queue_name_prefix "
            f"(now {patient.prefix!r})",
        )
    except OperationalError as error:
        return refused(subject, error)


def _visibility(queue: Queue, subject: str, attributes: Mapping[str, str]) -> list[Finding]:
    declared, real = queue.visibility_timeout_s, int(attributes["VisibilityTimeout"])
    if real == declared:
        return []
    return [
        problem(
            subject,
            f"its visibility timeout is {real} s, and the app declares {declared} s",
            f"set VisibilityTimeout: {declared} in the template, or visibility_timeout_s={real} "
            f"in Queue({queue.name!r})",
        )
    ]


def _redrive(
    patient: Patient, queue: Queue, subject: str, attributes: Mapping[str, str]
) -> list[Finding]:
    expected = queue.dead_letter_sqs_name(patient.prefix)
    if "RedrivePolicy" not in attributes:
        return [
            problem(
                subject,
                "it has no redrive policy, so a message that kills its worker comes back for ever",
                f"set a RedrivePolicy to {expected} with maxReceiveCount {queue.max_receive_count}",
            )
        ]
    policy = json.loads(attributes["RedrivePolicy"])
    target = str(policy.get("deadLetterTargetArn", "")).rpartition(":")[2]
    receives = int(policy.get("maxReceiveCount", 0))
    faults = []
    if target != expected:
        faults.append(
            problem(
                subject,
                f"its redrive policy goes to {target}, and Caraway uses {expected}",
                f"let the policy go to {expected}, or declare "
                f"Queue({queue.name!r}, dead_letter_queue=...)",
            )
        )
    if receives < queue.max_receive_count:
        faults.append(
            problem(
                subject,
                f"SQS gives a message up after {receives} receives, and a receive is no failure: "
                f"the app declares {queue.max_receive_count}",
                f"set maxReceiveCount: {queue.max_receive_count} in the template, or "
                f"max_receive_count={receives} in Queue({queue.name!r})",
            )
        )
    return faults


async def _dead_letters(patient: Patient, queue: Queue) -> list[Finding]:
    subject, name = f"queue {queue.name}-dlq", queue.dead_letter_sqs_name(patient.prefix)
    attributes = await _attributes(patient, subject, name)
    if isinstance(attributes, Finding):
        return [attributes]
    letters = int(attributes["ApproximateNumberOfMessages"])
    if not letters:
        return []
    return [
        note(
            subject,
            f"about {count(letters, 'message')} in {name}",
            "the attribute 'reason' of each says why; redrive them once that is mended",
        )
    ]
