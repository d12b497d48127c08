"""Whether EventBridge Scheduler can keep schedules and far ETAs, and send what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from caraway.cli.checks.findings import Finding, note, ok, problem, refused
from caraway.cli.checks.policies import allows_service, several, statements
from caraway.exceptions import AccessDenied, OperationalError, ResourceMissing
from caraway.requests.iam import GetTrustPolicy
from caraway.requests.scheduler import ListSchedules
from caraway.requests.sts import GetCallerIdentity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.cli.checks.findings import Patient
    from caraway.core.scheduling import Scheduling

_SERVICE: Final = "scheduler.amazonaws.com"
_SAYS_WHICH: Final = (
    "set scheduler_role_arn (CARAWAY_SCHEDULER_ROLE_ARN) to the stack's output SchedulerRoleArn"
)
_MAY_ASSUME: Final = f"let {_SERVICE} assume it (sts:AssumeRole), as template.yaml does"


async def check_scheduler(patient: Patient) -> list[Finding]:
    """Look at the schedule group and the role, where ``scheduler_role_arn`` is set."""
    to = patient.app.site.scheduling
    if to is None:
        return []
    return [await _check_group(patient, to), await _check_role(patient, to)]


async def _check_group(patient: Patient, to: Scheduling) -> Finding:
    subject = f"schedule group {to.group}"
    try:
        await patient.aws.perform(ListSchedules(to.group, page_size=1))
    except AccessDenied as error:  # who only sends need not list
        return refused(subject, error, level="note")
    except OperationalError as error:
        return refused(subject, error)
    return ok(subject, "there")


async def _check_role(patient: Patient, to: Scheduling) -> Finding:
    name = to.role_arn.rpartition("/")[2]
    subject = f"role {name}"
    try:
        identity = await patient.aws.perform(GetCallerIdentity())
        account = to.role_arn.split(":")[4]
        if account != identity.account:
            return problem(
                subject,
                f"it is of account {account}, and these credentials are of {identity.account}: "
                "Scheduler takes only roles of its own account",
                _SAYS_WHICH,
            )
        trust = await patient.aws.perform(GetTrustPolicy(name))
    except AccessDenied as error:
        return note(subject, f"who may assume it was not looked at: {error}")
    except ResourceMissing as error:
        return problem(subject, str(error), _SAYS_WHICH)
    except OperationalError as error:
        return refused(subject, error)
    trusting = [each for each in statements(trust) if allows_service(each, _SERVICE)]
    if not trusting:
        return problem(
            subject, "Scheduler may not assume it, so no schedule sends anything", _MAY_ASSUME
        )
    groups = [group for each in trusting for group in _groups_of(each)]
    if groups and not any(_is_group(group, to.group) for group in groups):
        return problem(
            subject,
            f"Scheduler may assume it for {', '.join(groups)}, and schedules are kept in the group "
            f"{to.group}, so none sends anything",
            "set scheduler_group_name (CARAWAY_SCHEDULER_GROUP_NAME) to the output ScheduleGroup "
            "of the stack that made the role",
        )
    return ok(subject, "Scheduler may assume it")


def _groups_of(statement: Mapping[str, Any]) -> list[str]:
    """Return the ARNs of the groups to which a statement is bound; none if it is to no group.

    ("Confused deputy prevention in EventBridge Scheduler", EventBridge Scheduler User Guide)
    """
    found: list[str] = []
    for values in statement.get("Condition", {}).values():
        for key, arns in values.items():
            if key.lower() == "aws:sourcearn":
                found += several(arns)
    return found


def _is_group(arn: str, group: str) -> bool:
    """Say whether an ARN, perhaps with wildcards, may be that of a group."""
    return any(character in arn for character in "*?") or arn.endswith(f":schedule-group/{group}")
