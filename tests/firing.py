"""What EventBridge Scheduler does with the one-time schedules of an account in memory."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from caraway.core.port import run_now
from caraway.requests.sqs import SendMessage

if TYPE_CHECKING:
    from caraway.aws.memory import MemoryAws
    from caraway.requests.scheduler import Schedule


def due_at(schedule: Schedule) -> datetime:
    """Return when a one-time schedule is due."""
    text = schedule.expression.removeprefix("at(").removesuffix(")")
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def next_firing_at(aws: MemoryAws) -> datetime | None:
    """Return when the next schedule is due, None where there is none."""
    return min(map(due_at, aws.schedules.values()), default=None)


def fire_next(aws: MemoryAws, *, times: int = 1) -> None:
    """Fire the schedule that is due first, with the clock moved there; then it is gone."""
    key = min(aws.schedules, key=lambda each: due_at(aws.schedules[each]))
    schedule = aws.schedules.pop(key)
    aws.time = max(aws.time, due_at(schedule))
    queue = schedule.target_arn.rpartition(":")[2]
    for _ in range(times):
        run_now(aws.perform(SendMessage(f"memory://{queue}", schedule.input)))
