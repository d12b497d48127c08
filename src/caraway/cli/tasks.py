"""``caraway tasks``: tasks by their records, listed and run again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from caraway import states
from caraway.cli.completing import queue_names
from caraway.cli.errors import NOT_WELL
from caraway.cli.options import app_option, json_option
from caraway.cli.output import count, show_json, show_table
from caraway.cli.selecting import Counter, acting, selecting
from caraway.cli.session import Session, pass_session
from caraway.cli.task_rows import as_json, cells, headings, moment, tally
from caraway.core.listing import Selection, selected
from caraway.core.port import iterate_now, run_now
from caraway.core.replay import planned, replay
from caraway.exceptions import AccessDenied, NotReplayable, OperationalError
from caraway.requests.dynamodb import DescribeTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.app import Caraway
    from caraway.core.results import Seen

_HEADINGS: Final = ("ID", "TASK", "QUEUE", "ATTEMPT", "ARGUMENTS")
_WIDTH: Final = 60
_READ_UNIT_BYTES: Final = 8_192
"""What an eventually consistent read unit reads (Amazon DynamoDB Developer Guide, "DynamoDB read
and write operations")."""

_queue_option: Final = click.option(
    "--queue", metavar="QUEUE", shell_complete=queue_names, help="That ran from this queue."
)


@click.group("tasks")
@app_option
@json_option
def command() -> None:
    """List tasks by their records, or run those that failed again.

    \b
    caraway tasks list --state FAILURE --newer-than 2h -A shop:app
    caraway tasks retry 4f9b2c7e-... -A shop:app
    caraway tasks retry --task 'shop.*' --reason ValueError --dry-run -A shop:app

    'caraway result' shows all that is known of a task, 'caraway dlq' what lies in dead-letter
    queues. The table has no index: to select tasks is to read all of it, which is said before.
    """  # noqa: D301 - \b is click's


@command.command("list")
@selecting("Ended, or running,")
@_queue_option
@click.option(
    "--state",
    "wanted",
    multiple=True,
    metavar="STATE",
    help="In this state, such as FAILURE or STARTED; repeatable.",
)
@app_option
@json_option
@pass_session
def list_command(
    session: Session, /, wanted: Sequence[str], limit: int | None, **selection: Any
) -> None:
    """List tasks that have begun, the latest first: task, queue, state, attempts, age.

    \b
    caraway tasks list --state FAILURE --task 'shop.*' --reason ValueError -A shop:app
    caraway tasks list --state STARTED --older-than 1h --json -A shop:app

    The age is since a task ended, or since it began. Where all have failed or are retried, their
    errors are shown, too. A task that has not begun has no record: 'caraway queues' counts those.
    With --limit the table is read until so many are found, whichever these are.
    """  # noqa: D301 - \b is click's
    app = session.app()
    chosen = Selection(frozenset(map(_state, wanted)), **selection)
    found, read = _found(app, chosen, limit)
    now_s = app.aws.now().timestamp()
    rows = [as_json(seen, now_s) for seen in found]
    if session.as_json:
        show_json(rows)
        return
    if rows:
        names = headings(chosen)
        show_table(names, [cells(row)[: len(names)] for row in rows], right=("ATTEMPTS", "AGE"))
    click.echo(f"{count(len(rows), 'task')} found; {count(read, 'item')} read", err=True)


def _state(word: str) -> str:
    """Return a state by its name; those of the user's own are as they are."""
    return word.upper() if word.upper() in states.ALL_STATES else word


def _found(app: Caraway, selection: Selection, limit: int | None) -> tuple[list[Seen], int]:
    """Return the tasks that are meant, the latest first, and how many items were read for them."""
    _say_what_it_costs(app)
    read = 0

    def progress(so_far: int) -> None:
        nonlocal read
        read = so_far
        counter.show(f"{so_far:,} items read")

    with Counter("Reading the table") as counter:
        asked = selected(app.aws, app.site, selection, limit=limit, progress=progress)
        found = sorted(iterate_now(asked), key=lambda seen: moment(seen.record), reverse=True)
    return found, read


def _say_what_it_costs(app: Caraway) -> None:
    table = app.site.records.table
    try:
        about = run_now(app.aws.perform(DescribeTable(table)))
    except AccessDenied:
        click.echo(f"All of table {table!r} is read, however large it is.", err=True)
        return
    items, size = about.get("ItemCount", 0), about.get("TableSizeBytes", 0)
    units = -(-size // _READ_UNIT_BYTES)
    click.echo(
        f"All of table {table!r} is read: {items:,} items by DynamoDB's last count, about "
        f"{units:,} read units.",
        err=True,
    )


@command.command("retry")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@selecting("Failed")
@_queue_option
@click.option("--all", "everything", is_flag=True, help="Of every task that has failed.")
@click.option(
    "--to",
    metavar="QUEUE",
    shell_complete=queue_names,
    help="Send them here; by default where each ran.",
)
@acting
@app_option
@json_option
@pass_session
def retry_command(
    session: Session,
    /,
    ids: Sequence[str],
    to: str | None,
    everything: bool,
    dry_run: bool,
    force: bool,
    limit: int | None,
    **selection: Any,
) -> None:
    """Run tasks that failed again: the same ids and arguments, retries counted from nothing.

    \b
    caraway tasks retry 4f9b2c7e-... --dry-run -A shop:app
    caraway tasks retry 4f9b2c7e-... 81d0a3f5-... -A shop:app
    caraway tasks retry --task 'shop.*' --reason ValueError --newer-than 2h -A shop:app

    Those that are named, or those that are selected: then the whole table is read, and it is asked
    before they run. The message comes from the task's record. A failure that is in a dead-letter
    queue, too, is run again all the same; its letter stays there, and changes nothing when it is
    redriven. Interrupted, it may be run again. Exit code 1 says that a task was refused: one that
    has not failed, or whose message was not kept.
    """  # noqa: D301 - \b is click's
    app = session.app()
    if to is not None:
        app.site.router.queue(to)  # a wrong name is no fault of any task
    is_selected = everything or any(each is not None for each in (limit, *selection.values()))
    if bool(ids) == is_selected:
        raise click.UsageError(
            "name tasks by their ids, or select them by --task, --queue, --reason, --newer-than, "
            "--older-than and --limit; --all means every task that has failed."
        )
    if is_selected:
        ids = _selected_ids(app, Selection(frozenset({states.FAILURE}), **selection), limit)
        if ids and not (force or dry_run):
            click.confirm("Send them to run again?", abort=True, err=True)
    rows = _rows(app, list(dict.fromkeys(ids)), to, dry_run=dry_run)
    _say(session, rows, dry_run=dry_run)


def _selected_ids(app: Caraway, selection: Selection, limit: int | None) -> list[str]:
    """Return the ids of the tasks that are meant, when it has been said how many of which."""
    found, read = _found(app, selection, limit)
    records = [seen.record for seen in found]
    click.echo(f"{count(len(found), 'failed task')} of {count(read, 'item')} read", err=True)
    if records:
        click.echo(tally(records), err=True)
    return [record.id for record in records]


def _rows(
    app: Caraway, ids: Sequence[str], to: str | None, *, dry_run: bool
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with Counter("Looking at the tasks") as counter:
        for id in ids:
            try:
                rows.append(_row(app, id, to, dry_run=dry_run))
            except OperationalError:
                if not dry_run and len(ids) > 1:
                    click.echo(
                        f"{len(rows)} of {len(ids)} tasks were done. The next may be left waiting "
                        f"for its attempt: 'caraway tasks retry {id}' sends it; then select the "
                        "others again.",
                        err=True,
                    )
                raise
            counter.show(f"{len(rows):,} of {len(ids):,} tasks")
    return rows


def _say(session: Session, rows: Sequence[dict[str, Any]], *, dry_run: bool) -> None:
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
