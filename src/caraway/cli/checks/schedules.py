"""Whether EventBridge has the schedule of the code, and may send to its queues."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from caraway.beat import schedules_of, stores_of
from caraway.cli.checks.findings import Finding, note, ok, problem, refused
from caraway.cli.checks.policies import allows_service, statements
from caraway.cli.output import count
from caraway.core.beat_sync import compare
from caraway.exceptions import AccessDenied, ImproperlyConfigured, OperationalError
from caraway.requests.sqs import GetQueueAttributes, GetQueueUrl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.cli.checks.findings import Patient
    from caraway.core.stored import Stored

_SUBJECT = "beat"
_SERVICE = "events.amazonaws.com"


async def check_schedules(patient: Patient) -> list[Finding]:
    """Compare beat_schedule with what is stored; without a schedule, look for rules left over."""
    if not patient.app.main and not patient.app.conf.beat_schedule:
        return []
    try:
        wanted, stores = schedules_of(patient.app, patient.aws.now()), stores_of(patient.app)
        plan = await compare(patient.aws, stores, wanted)
    except AccessDenied as error:
        return [refused(_SUBJECT, error, level="problem" if wanted else "note")]
    except OperationalError as error:
        return [refused(_SUBJECT, error)]
    except ImproperlyConfigured as error:
        return [problem(_SUBJECT, str(error))]
    if plan:
        return [
            problem(
                _SUBJECT,
                f"EventBridge has not what the code says: {len(plan.create)} missing, "
                f"{len(plan.update)} different, {len(plan.delete)} left over",
                "caraway beat sync",
            )
        ]
    if not wanted:
        return []
    kind = stores.current.kind
    told = ok(_SUBJECT, f"EventBridge has {count(len(wanted), kind)} as the code says")
    return [told, *(await _check_queues(patient, wanted) if kind == "rule" else ())]


async def _check_queues(patient: Patient, wanted: Sequence[Stored]) -> list[Finding]:
    """Look whether EventBridge may send to each queue: if not, a firing is lost without a word."""
    findings = []
    for name in sorted({stored.queue for stored in wanted}):
        try:
            url = await patient.aws.perform(GetQueueUrl(name))
            attributes = await patient.aws.perform(GetQueueAttributes(url))
        except OperationalError:
            continue  # the check of the queues says so
        if not allows_events(attributes.get("Policy", "")):
            findings.append(
                problem(
                    f"{_SUBJECT} {name}",
                    "the queue's policy does not let EventBridge send, so no rule reaches it",
                    "allow events.amazonaws.com sqs:SendMessage in its policy, as template.yaml "
                    "does for its queues",
                )
            )
        findings += key_of_queue(f"{_SUBJECT} {name}", attributes.get("KmsMasterKeyId", ""))
    return findings


def key_of_queue(subject: str, key: str) -> list[Finding]:
    """Say what a queue's KMS key has to do with rules; ``""`` is a queue without one."""
    if not key:
        return []
    if key.endswith("alias/aws/sqs"):  # its policy is AWS's, and cannot be changed
        return [
            problem(
                subject,
                f"the queue is encrypted with {key}, which no rule may use, so none reaches it",
                "encrypt it with SSE-SQS, or with a key of yours (KmsKeyArn in template.yaml)",
            )
        ]
    return [
        note(
            subject,
            f"the queue is encrypted with {key}: rules reach it only if that key's policy lets "
            "EventBridge use it",
            "see that it has the statement for events.amazonaws.com (docs/security.md)",
        )
    ]


def allows_events(policy: str) -> bool:
    """Tell whether a queue's policy, as JSON text, lets EventBridge in."""
    return any(
        allows_service(each, _SERVICE)
        or (each.get("Effect") == "Allow" and each.get("Principal") == "*")
        for each in statements(json.loads(policy) if policy else {})
    )
