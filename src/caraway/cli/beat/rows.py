"""What ``caraway beat`` shows of entries and of their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from caraway import states
from caraway.cli.output import count, duration, shortened, show_json
from caraway.core.policies import fields_of
from caraway.schedules import crontab
from caraway.schedules.written import to_text

if TYPE_CHECKING:
    from datetime import datetime

    from caraway.app import Caraway
    from caraway.cli.session import Session
    from caraway.core.run_history import Run, Summary
    from caraway.core.schedule_entries import ScheduleEntry

HEADINGS: Final = ("ENTRY", "TASK", "SCHEDULE", "QUEUE", "STATUS", "NEXT", "LAST RUN")
RUN_HEADINGS: Final = ("SCHEDULED", "STATE", "STARTED", "TOOK", "RETRIES", "RAN BY", "REASON")
NEXT_AS_JSON: Final = 5
"""Next occurrences of an entry, where nothing else is said."""
NONE: Final = "-"


def as_json(app: Caraway, entry: ScheduleEntry, next_count: int) -> dict[str, Any]:
    """Return an entry for machines; times are ISO 8601 in UTC."""
    args, kwargs = list(entry.args), dict(entry.kwargs)
    if (task := app.tasks.get(entry.task)) is not None:
        args, kwargs = task.shown(args, kwargs)
    timing, run = entry.timing, entry.last_run
    return {
        "entry": entry.name,
        "task": entry.task,
        "schedule": None if timing is None else to_text(timing.when),
        "timezone": _zone(entry),
        "args": args,
        "kwargs": kwargs,
        "queue": entry.queue,
        "origin": entry.origin,
        "status": entry.status,
        "enabled": entry.enabled,
        "is_on": entry.is_on,
        "edited": entry.is_edited,
        "start": None if timing is None else moment(timing.start),
        "end": None if timing is None else moment(timing.end),
        **fields_of(entry.policy),
        "next": [moment(each) for each in entry.next(next_count)],
        "last_run": None if run is None else run_as_json(run),
        "kind": entry.kind,
        "name": entry.stored_as,
        "expression": entry.expression,
    }


def cells(entry: ScheduleEntry, next_count: int) -> list[str]:
    """Return an entry's line in a table."""
    run = entry.last_run
    return [
        entry.name,
        entry.task,
        said(entry),
        entry.queue,
        entry.status,
        ", ".join(str(moment(each)) for each in entry.next(next_count)) or NONE,
        NONE if run is None else _last(run, entry.seen_at),
    ]


def said(entry: ScheduleEntry) -> str:
    """Return when an entry occurs, as ``--schedule`` takes it, with its zone."""
    if entry.timing is None:
        return NONE
    zone = _zone(entry)
    return to_text(entry.timing.when) + ("" if zone in (None, "UTC") else f" {zone}")


def line(entry: ScheduleEntry) -> str:
    """Return an entry in a line."""
    coming = entry.next()
    then = f", next at {moment(coming[0])}" if coming else ""
    return f"{entry.name}: {entry.status}, {said(entry)}{then}"


def show_entry(session: Session, entry: ScheduleEntry) -> None:
    """Print an entry that was changed."""
    if session.as_json:
        show_json(as_json(session.app(), entry, NEXT_AS_JSON))
    else:
        click.echo(line(entry))


def _zone(entry: ScheduleEntry) -> str | None:
    return str(entry.schedule.tz) if isinstance(entry.schedule, crontab) else None


def _last(run: Run, now: datetime) -> str:
    begun = run.started_at or run.scheduled_time
    ago = duration(max(0.0, (now - begun).total_seconds()))
    took = "" if run.duration_s is None else f", took {seconds(run.duration_s)}"
    return f"{run.state} {ago} ago{took}"


# -- runs ------------------------------------------------------------------------------------------


def run_as_json(run: Run) -> dict[str, Any]:
    """Return a run for machines; times are ISO 8601 in UTC."""
    return {
        "id": run.id,
        "scheduled": moment(run.scheduled_time),
        "state": run.state,
        "started": moment(run.started_at),
        "ended": moment(run.ended_at),
        "duration_s": None if run.duration_s is None else round(run.duration_s, 3),
        "retries": run.retries,
        "reason": run.reason,
        "door": run.door,
        "worker": run.worker,
    }


def run_cells(run: Run) -> list[str]:
    """Return a run's line in a table."""
    return [
        moment(run.scheduled_time) or NONE,
        run.state if run.has_begun else NONE,
        moment(run.started_at) or NONE,
        NONE if run.duration_s is None else seconds(run.duration_s),
        str(run.retries) if run.has_begun else NONE,
        run.worker or run.door or NONE,
        shortened(run.reason or "", 60),
    ]


def summary_text(told: Summary, looked_at: int) -> str:
    """Return runs in numbers, such as ``20 runs: 19 SUCCESS, 1 FAILURE; the median took 3 s``."""
    if not told.runs:
        return f"Nothing is known of the last {count(looked_at, 'occurrence')}."
    ordered = sorted(told.by_state.items(), key=_successes_first)
    parts = ", ".join(f"{number} {state}" for state, number in ordered)
    took = "" if told.median_s is None else f"; the median took {seconds(told.median_s)}"
    return f"{count(told.runs, 'run')}: {parts}{took}"


def _successes_first(of_state: tuple[str, int]) -> tuple[bool, int, str]:
    state, number = of_state
    return state != states.SUCCESS, -number, state


def moment(at: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC, in whole seconds."""
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(length_s: float) -> str:
    """Return a duration as a person says it: exact while it is short."""
    return f"{length_s:.2f} s" if length_s < 10 else duration(length_s)
