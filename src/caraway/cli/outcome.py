"""What is known of a task, as the command line shows it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

import click

from caraway import states
from caraway.cli.errors import INTERRUPTED, NOT_WELL, Failure
from caraway.cli.output import count, duration, show_fields, show_json, waiting_for
from caraway.core.codec import decode
from caraway.core.errors import in_short
from caraway.core.port import run_now
from caraway.core.results import look
from caraway.core.waiting import wait
from caraway.exceptions import ContentDisallowed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.app import Caraway
    from caraway.cli.session import Session
    from caraway.core.results import Seen

_UNKNOWN: Final = (
    "nothing is known of this id; it waits in a queue, was never sent, keeps no result, or its "
    "result has expired"
)


def seen_now(app: Caraway, id: str) -> Seen:
    """Look at a task once."""
    return run_now(look(app.aws, app.site, id))


def seen_at_the_end(app: Caraway, id: str, timeout_s: float | None) -> Seen:
    """Wait for a task's end.

    Raises
    ------
    TimeoutError
        If it does not come in time.
    Failure
        If the user interrupts.
    """
    with waiting_for(f"waiting for {id}"), task_goes_on(id):
        return run_now(wait(app.aws, app.site, id, timeout_s, None))


@contextmanager
def task_goes_on(id: str) -> Iterator[None]:
    """Say of an interrupted wait that it has not stopped the task."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Failure(
            f"interrupted: the task goes on (caraway result {id} --follow)", INTERRUPTED
        ) from stop


def show_when_done(session: Session, app: Caraway, id: str, timeout_s: float | None) -> None:
    """Wait for a task's end, and print its result, and its id on standard error."""
    if session.as_json:
        show(session, id, seen_at_the_end(app, id, timeout_s), with_traceback=True)
        return
    click.echo(id, err=True)
    click.echo(result_or_failure(app, id, seen_at_the_end(app, id, timeout_s)))


def show(session: Session, id: str, seen: Seen, *, with_traceback: bool) -> None:
    """Print everything that is known of a task; end with exit code 1 if it failed."""
    if session.as_json:
        show_json({"id": id, **as_json(seen)})
    else:
        show_fields([("id", id), *_fields(session.app(), seen)])
        if with_traceback and seen.record.traceback:
            click.echo(f"\n{seen.record.traceback.rstrip()}")
    exit_as(seen)


def exit_as(seen: Seen) -> None:
    """End with exit code 1 if the task failed."""
    if seen.state in states.PROPAGATE_STATES:
        click.get_current_context().exit(NOT_WELL)


def result_or_failure(app: Caraway, id: str, seen: Seen) -> str:
    """Return the result of a task that has ended, as a person reads it.

    Raises
    ------
    Failure
        If it failed.
    """
    if seen.state in states.PROPAGATE_STATES:
        error = error_text(seen) or "its error was not kept"
        raise Failure(
            f"{seen.record.task} ended as {seen.state}: {error} (caraway result {id} --traceback)"
        )
    return value_text(app, seen)


def as_json(seen: Seen) -> dict[str, Any]:
    """Return what is known of a task as JSON; times are ISO 8601 in UTC."""
    record, failed = seen.record, seen.state in states.EXCEPTION_STATES
    return {
        "state": seen.state,
        "task": record.task,
        "queue": record.queue,
        "door": record.door,
        "attempts": record.attempts,
        "started": time_text(record.started_at),
        "ended": time_text(record.done_at),
        "result": None if failed else seen.result,
        "error": error_text(seen) if failed else None,
        "traceback": record.traceback,
    }


def _fields(app: Caraway, seen: Seen) -> list[tuple[str, str]]:
    """Return what is known of a task, as names and texts."""
    record = seen.record
    if record.phase is None:
        return [("state", f"{seen.state}: {_UNKNOWN}")]
    told: list[tuple[str, str | None]] = [
        ("state", click.style(seen.state, fg=_color(seen.state))),
        ("task", record.task),
        ("queue", record.queue),
        ("door", record.door),
        ("attempts", str(record.attempts)),
        ("lost", count(record.lost, "worker") if record.lost else None),
        ("started", time_text(record.started_at)),
        ("ended", _ended(seen)),
        _outcome(app, seen),
    ]
    return [(name, text) for name, text in told if text is not None]


def _outcome(app: Caraway, seen: Seen) -> tuple[str, str | None]:
    if seen.state in states.EXCEPTION_STATES:
        return "error", error_text(seen)
    if seen.state == states.SUCCESS:
        return "result", value_text(app, seen)
    return "meta", None if seen.record.meta is None else value_text(app, seen)


def value_text(app: Caraway, seen: Seen) -> str:
    """Return a result as a person reads it: text as it is, data as JSON, the rest as Python."""
    try:
        value = decode(seen.result, app.site.contents.results_accepted.read)
    except ContentDisallowed as error:
        return f"<{error}>"
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return repr(value)


def error_text(seen: Seen) -> str | None:
    """Return the error of a task that failed, such as ``ValueError: no``."""
    error = seen.result
    return in_short(error) if isinstance(error, BaseException) else None


def _ended(seen: Seen) -> str | None:
    record = seen.record
    if record.done_at is None:
        return None
    if record.started_at is None:
        return time_text(record.done_at)
    return f"{time_text(record.done_at)} (after {_took(record.done_at - record.started_at)})"


def _took(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds < 10 else duration(seconds)


def time_text(moment: float | None) -> str | None:
    """Return a time as ISO 8601 in UTC."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")


def _color(state: str) -> str:
    if state == states.SUCCESS:
        return "green"
    return "red" if state in states.PROPAGATE_STATES else "yellow"
