"""What the demo asks for, and what became of it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from caraway import states
from caraway.core import results
from caraway.core.envelope import VERSION
from caraway.core.message import read_message
from caraway.core.port import run_now
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from caraway.app import Caraway
    from caraway.result import AsyncResult

BY_CALL: Final = "delay()"
BY_RULE: Final = "rule"
"""An EventBridge rule."""

_LOOK_S: Final = 0.25
_WINDOW: Final = 20
"""Tasks that are looked for at a time; they end about in the order in which they were sent."""
_MINUTES_AHEAD: Final = 4
"""Occurrences that are looked for: the first may be more than a minute away."""


@dataclass(frozen=True)
class Job:
    """A task that the demo waits for.

    Attributes
    ----------
    ids
        The ids that it may have. Of a schedule, those of the next minutes: the first wins.
    sent_at
        None for a schedule's.
    """

    label: str
    sent_by: str
    ids: tuple[str, ...]
    sent_at: datetime | None = None


@dataclass(frozen=True)
class Done:
    """A task that has ended.

    Attributes
    ----------
    door
        Who ran it: ``lambda`` or ``ecs``.
    attempts
        How often it was begun.
    ended_at, run_s
        When its last attempt ended, in seconds since the epoch, and how long that took.
    value
        What it returned, or the exception.
    """

    job: Job
    state: str
    door: str
    attempts: int
    ended_at: float
    run_s: float
    value: Any

    @property
    def succeeded(self) -> bool:
        """Whether it returned something."""
        return self.state == states.SUCCESS

    @property
    def whole_s(self) -> float | None:
        """Seconds from the call to the end, queues and retries included; None for a schedule's."""
        return self.ended_at - self.job.sent_at.timestamp() if self.job.sent_at else None


def sent(label: str, at: datetime, result: AsyncResult[Any]) -> Job:
    """Return the job of a task that was sent."""
    return Job(label, BY_CALL, (result.id,), at)


def scheduled(app: Caraway, entry: str, after: datetime) -> Job:
    """Return the job of the next occurrence of a schedule's entry.

    Nobody sends it, but its id is known: the entry's name and the minute decide it.
    """
    minutes = (after + timedelta(minutes=ahead) for ahead in range(_MINUTES_AHEAD))
    task = app.conf.beat_schedule[entry]["task"]
    return Job(entry, BY_RULE, tuple(_occurrence_id(task, entry, minute) for minute in minutes))


def wait(
    app: Caraway, jobs: Sequence[Job], limit_s: float, alive: Callable[[], None]
) -> Iterator[Done]:
    """Yield each job as it ends; stop early after `limit_s`.

    `alive` is called all the while; it raises when there is nothing to wait for any more.
    """
    deadline = time.monotonic() + limit_s
    pending = list(jobs)
    while pending and time.monotonic() < deadline:
        for job in pending[:_WINDOW]:
            done = _look(app, job)
            if done is not None:
                pending.remove(job)
                yield done
        alive()
        time.sleep(_LOOK_S if pending else 0)


def _look(app: Caraway, job: Job) -> Done | None:
    for id in job.ids:
        seen = run_now(results.look(app.aws, app.site, id))
        if not seen.ready:
            continue
        result: AsyncResult[Any] = app.AsyncResult(id)
        ended_at = seen.record.done_at or 0.0
        return Done(
            job,
            seen.state,
            seen.record.door or "nobody",
            result.attempts,
            ended_at,
            ended_at - (seen.record.started_at or ended_at),
            result.get(propagate=False),
        )
    return None


def _occurrence_id(task: str, entry: str, due: datetime) -> str:
    return read_message(
        {"caraway": VERSION, "task": task, "schedule": entry, "scheduled_time": due.isoformat()}
    ).id
