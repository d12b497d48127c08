"""The environment variables by which producers and workers find a deployment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from caraway.exceptions import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.local.engine import LocalEngine

_OF_OUTPUTS: Final = {
    "CARAWAY_QUEUE_NAME_PREFIX": "Prefix",
    "CARAWAY_TASK_TABLE": "TaskTable",
    "CARAWAY_PAYLOAD_BUCKET": "PayloadBucket",
}
"""Which output of the template each variable holds."""
_LEAD_ELSEWHERE: Final = {*_OF_OUTPUTS, "CARAWAY_AWS_ENDPOINT_URL", "CARAWAY_AWS_REGION"}


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
    return engine.environ() | {name: outputs[output] for name, output in _OF_OUTPUTS.items()}


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
