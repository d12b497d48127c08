"""``caraway tasks``: what can be done with tasks by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from caraway.cli.completing import queue_names
from caraway.cli.errors import NOT_WELL
from caraway.cli.options import app_option, json_option
from caraway.cli.output import count, show_json, show_table
from caraway.cli.session import Session, pass_session
from caraway.core.port import run_now
from caraway.core.replay import planned, replay
from caraway.exceptions import NotReplayable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.app import Caraway

_HEADINGS: Final = ("ID", "TASK", "QUEUE", "ATTEMPT", "ARGUMENTS")
_WIDTH: Final = 60


@click.group("tasks")
@app_option
@json_option
def command() -> None:
    """Run tasks that failed again.

    \b
    caraway tasks retry 4f9b2c7e-... -A shop:app

    'caraway result' shows what is known of a task, 'caraway dlq' what lies in dead-letter queues.
    """  # noqa: D301 - \b is click's


@command.command("retry")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option(
    "--to",
    metavar="QUEUE",
    shell_complete=queue_names,
    help="Send them here; by default where each ran.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would run, change nothing.")
@app_option
@json_option
@pass_session
def retry_command(session: Session, /, ids: Sequence[str], to: str | None, dry_run: bool) -> None:
    """Run tasks that failed again: the same ids and arguments, retries counted from nothing.

    \b
    caraway tasks retry 4f9b2c7e-... --dry-run -A shop:app
    caraway tasks retry 4f9b2c7e-... 81d0a3f5-... -A shop:app

    The message comes from the task's record. A failure that is in a dead-letter queue, too, is run
    again all the same; its letter stays there, and changes nothing when it is redriven.
    Interrupted, it may be run again. Exit code 1 says that a task was refused: one that has not
    failed, or whose message was not kept.
    """  # noqa: D301 - \b is click's
    app = session.app()
    if to is not None:
        app.site.router.queue(to)  # a wrong name is no fault of any task
    rows = [_row(app, id, to, dry_run=dry_run) for id in dict.fromkeys(ids)]
    taken = [row for row in rows if row["refused"] is None]
    if session.as_json:
        show_json(rows)
    else:
        if taken:
            show_table(_HEADINGS, [_cells(row) for row in taken], right=("ATTEMPT",))
        for row in rows:
            if row["refused"] is not None:
                click.echo(row["refused"], err=True)
        done = "would run again; nothing was changed" if dry_run else "sent to run again"
        click.echo(f"{count(len(taken), 'task')} of {len(rows)} {done}", err=True)
    if len(taken) < len(rows):
        click.get_current_context().exit(NOT_WELL)


def _row(app: Caraway, id: str, to: str | None, *, dry_run: bool) -> dict[str, Any]:
    """Run a task again, or look at what that would be; return it for machines."""
    decision = planned if dry_run else replay
    try:
        plan = run_now(decision(app.aws, app.site, app.tasks, id, to))
    except NotReplayable as refused:
        return {"id": id, "refused": str(refused)}
    message = plan.message
    return {
        "id": id,
        "task": message.task,
        "queue": plan.queue.name,
        "attempt": message.attempt,
        "args": list(message.args),
        "kwargs": dict(message.kwargs),
        "sent": not dry_run,
        "refused": None,
    }


def _cells(row: dict[str, Any]) -> list[str]:
    arguments = [repr(each) for each in row["args"]]
    arguments += [f"{name}={value!r}" for name, value in row["kwargs"].items()]
    shown = ", ".join(arguments)
    if len(shown) > _WIDTH:
        shown = shown[: _WIDTH - 3] + "..."
    return [row["id"], row["task"], row["queue"], str(row["attempt"]), shown]
