"""What ``caraway tasks list`` shows of a task."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from caraway.cli.outcome import error_text, time_text
from caraway.cli.output import duration, shortened
from caraway.core.listing import state_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.core.listing import Selection
    from caraway.core.record import Record
    from caraway.core.results import Seen

_HEADINGS: Final = ("ID", "TASK", "QUEUE", "STATE", "ATTEMPTS", "AGE", "ERROR")


def headings(selection: Selection) -> tuple[str, ...]:
    """Return the headings of a table; errors are in it where all that is meant has one."""
    return _HEADINGS if selection.shows_errors else _HEADINGS[:-1]


def moment(record: Record) -> float:
    """Return when a task ended; when it began, where it has not ended."""
    return record.done_at or record.started_at or 0.0


def as_json(seen: Seen, now_s: float) -> dict[str, Any]:
    """Return a task for machines; times are ISO 8601 in UTC."""
    record = seen.record
    return {
        "id": record.id,
        "task": record.task,
        "queue": record.queue,
        "state": state_of(record),
        "attempts": record.attempts,
        "door": record.door,
        "started": time_text(record.started_at),
        "ended": time_text(record.done_at),
        "age_s": round(max(0.0, now_s - moment(record)), 3),
        "error": error_text(seen),
    }


def cells(row: dict[str, Any]) -> list[str]:
    """Return a task's line in a table."""
    names = [row["id"], row["task"] or "-", row["queue"] or "-", row["state"]]
    return [*names, str(row["attempts"]), duration(row["age_s"]), shortened(row["error"] or "")]


def tally(records: Sequence[Record]) -> str:
    """Return how many tasks of each name and queue there are, a line each."""
    numbers = Counter((record.queue or "-", record.task or "-") for record in records)
    return "\n".join(f"  {queue}: {n} of {task}" for (queue, task), n in numbers.items())
