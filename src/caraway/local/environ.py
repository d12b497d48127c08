"""The environment variables by which producers and workers find a deployment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from caraway.core.scheduling import Scheduling
from caraway.exceptions import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.local.engine import LocalEngine
    from caraway.local.template import Template

_OF_OUTPUTS: Final = {
    "CARAWAY_QUEUE_NAME_PREFIX": "Prefix",
    "CARAWAY_TASK_TABLE": "TaskTable",
    "CARAWAY_PAYLOAD_BUCKET": "PayloadBucket",
}
"""Which output of the template each variable holds."""
_OF_SCHEDULER: Final = {
    "CARAWAY_SCHEDULER_ROLE_ARN": "SchedulerRoleArn",
    "CARAWAY_SCHEDULER_GROUP_NAME": "ScheduleGroup",
}
"""Those that a template may have none of: then schedules are rules."""
_LEAD_ELSEWHERE: Final = {
    *_OF_OUTPUTS,
    *_OF_SCHEDULER,
    "CARAWAY_AWS_ENDPOINT_URL",
    "CARAWAY_AWS_REGION",
}
_ROLE_TO_BE_MADE: Final = "arn:aws:iam::000000000000:role/to-be-made"


def exports(engine: LocalEngine, outputs: Mapping[str, str]) -> dict[str, str]:
    """Return what a producer's shell needs.

    Parameters
    ----------
    outputs
        The deployed stack's.

    Raises
    ------
    LocalError
        If the template has not the outputs of ours.
    """
    missing = sorted(set(_OF_OUTPUTS.values()) - set(outputs))
    if missing:
        raise LocalError(
            f"The template has no output {', '.join(missing)}: copy the Outputs of Caraway's "
            "template.yaml, which tell producers where everything is"
        )
    told = _OF_OUTPUTS | (_OF_SCHEDULER if _has_scheduler(outputs) else {})
    return engine.environ() | {name: outputs[output] for name, output in told.items()}


def foreseen(template: Template) -> dict[str, str]:
    """Return what an app sees of a stack that is not there yet: whether it keeps schedules."""
    if not _has_scheduler(template.get("Outputs", {})):
        return {}
    return {"CARAWAY_SCHEDULER_ROLE_ARN": _ROLE_TO_BE_MADE}


def scheduling_of(outputs: Mapping[str, str]) -> Scheduling | None:
    """Return where a stack keeps schedules; None if it has no place of its own for them."""
    if not _has_scheduler(outputs):
        return None
    return Scheduling(outputs["SchedulerRoleArn"], outputs["ScheduleGroup"])


def _has_scheduler(outputs: Mapping[str, object]) -> bool:
    return all(output in outputs for output in _OF_SCHEDULER.values())


def surroundings(exported: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment, led to the deployment and away from AWS itself.

    What else leads to AWS (a profile, the endpoint of one service, what an earlier deployment
    exported) does not hold there.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and name not in _LEAD_ELSEWHERE
    }
    return inherited | dict(exported)


def enter(environ: Mapping[str, str]) -> None:
    """Make these the variables of this process, for good."""
    os.environ.clear()
    os.environ.update(environ)
