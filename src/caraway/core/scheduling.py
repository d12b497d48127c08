"""Schedules of EventBridge Scheduler: where an app's are, and those that hold far ETAs.

A message whose ETA is further away than SQS can delay it waits as the input of a one-time schedule.
That has a name which the task's id and the attempt decide, so whoever sends the message again, or
revokes the task, knows it. Where the name is taken, by the same message most likely, a second one
says also what the call asks for: then a third sending can only be of the same.

Only what is sent anew is scheduled. A message that comes early from a queue goes on in steps that
SQS can hold, so it never meets the schedule that it came from.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from caraway.lean import dataclass
from caraway.requests.scheduler import DESCRIPTION_LIMIT, Schedule, at, verbatim

if TYPE_CHECKING:
    from caraway.core.message import Message

AHEAD: Final = timedelta(minutes=1)
"""How long before its ETA a message is let go: Scheduler has a precision of 60 seconds ("Schedule
types on EventBridge Scheduler", EventBridge Scheduler User Guide), and SQS holds the rest."""
_DIGITS: Final = 12


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


def eta_name(id: str, attempt: int) -> str:
    """Return the name of the schedule that holds an attempt of a task until its ETA."""
    return f"eta-{hashlib.sha256(f'{id} {attempt}'.encode()).hexdigest()[:32]}"


def eta_schedule(
    to: Scheduling, message: Message, eta: datetime, queue_arn: str, body: str
) -> Schedule:
    """Return the schedule that sends a message shortly before its ETA, and is gone then.

    The message group is in the body only: Scheduler names one for FIFO queues alone
    ("SqsParameters", EventBridge Scheduler API Reference), and the message joins its group when it
    is sent on for the rest of the time.
    """
    said = f"{message.digest[:_DIGITS]} {message.task} {message.id}, attempt {message.attempt}"
    return Schedule(
        eta_name(message.id, message.attempt),
        to.group,
        at(eta - AHEAD),
        queue_arn,
        to.role_arn,
        verbatim(body),
        description=said[:DESCRIPTION_LIMIT],
        after_completion="DELETE",
    )


def second_name(schedule: Schedule) -> str:
    """Return the name for a message when the first one, of its id and attempt, is taken."""
    return f"{schedule.name}-{schedule.description[:_DIGITS]}"


def by_second_name(schedule: Schedule) -> Schedule:
    """Return the same schedule by its second name."""
    return replace(schedule, name=second_name(schedule))
