"""Where an app's schedules are, when it keeps them in EventBridge Scheduler."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scheduling:
    """Where schedules go.

    Attributes
    ----------
    role_arn
        The role that Scheduler assumes to send to the app's queues.
    group
        The schedule group that holds them.
    """

    role_arn: str
    group: str = "default"
