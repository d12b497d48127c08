"""``caraway beat list`` and ``caraway beat history``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from caraway.beat import schedules_of, stores_of
from caraway.cli.beat.rows import (
    HEADINGS,
    NEXT_AS_JSON,
    RUN_HEADINGS,
    as_json,
    cells,
    run_as_json,
    run_cells,
    summary_text,
)
from caraway.cli.completing import entry_names
from caraway.cli.options import app_option, json_option
from caraway.cli.output import show_json, show_table
from caraway.cli.session import Session, pass_session
from caraway.cli.values import time
from caraway.core.port import run_now
from caraway.core.run_history import summary
from caraway.core.schedule_entries import overview

if TYPE_CHECKING:
    from datetime import datetime


@click.command("list")
@app_option
@click.option(
    "--next",
    "next_count",
    type=click.IntRange(0, 1_000),
    metavar="N",
    help="Show so many next occurrences of each; 1 by default, 5 with --json.",
)
@json_option
@pass_session
def list_command(session: Session, next_count: int | None) -> None:
    """Show each entry: when it fires, how it is, and its last run.

    \b
    active      it fires, and AWS has it as the code says, or as it was made at run time
    paused      it was paused: 'caraway beat resume' lets it fire again
    off         it does not fire, as its enabled is False
    edited      it was edited since the last sync, which the next one takes back
    differs     AWS has it otherwise        } 'caraway beat sync'
    missing     AWS does not have it        } mends
    left over   the code does not have it   } these
    unreadable  it was stored by other code than this

    \b
    caraway beat list -A shop:app
    caraway beat list -A shop:app --next 3
    caraway beat list -A shop:app --json

    Times are in UTC, and a crontab's zone is shown unless it is UTC. The last run is the last
    occurrence that has begun, of the last 32 and within 15 days.
    """  # noqa: D301 - \b is click's
    app = session.app()
    wanted = schedules_of(app, app.aws.now())
    entries = run_now(overview(app.aws, app.site, stores_of(app), wanted))
    if session.as_json:
        ahead = NEXT_AS_JSON if next_count is None else next_count
        show_json([as_json(app, entry, ahead) for entry in entries])
    elif not entries:
        click.echo("beat_schedule is empty, and AWS has no schedule of this app.")
    else:
        ahead = 1 if next_count is None else next_count
        show_table(HEADINGS, [cells(entry, ahead) for entry in entries])


@click.command("history")
@click.argument("name", shell_complete=entry_names)
@app_option
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Occurrences to look at.",
)
@click.option("--before", callback=time, metavar="TIME", help="Those up to a time, in ISO 8601.")
@json_option
@pass_session
def history_command(session: Session, name: str, count: int, before: datetime | None) -> None:
    """Show how the last occurrences of an entry went, the latest first.

    \b
    caraway beat history clean -A shop:app
    caraway beat history clean -n 100 --json -A shop:app
    caraway beat history clean --before 2026-11-20T00:00Z -A shop:app

    They are found by their times, in the records of the last 15 days, a hundred with a request. An
    occurrence of which nothing is known waits in its queue, was never sent (the entry was paused,
    or another one), or its task keeps no record. What 'run-now' sent is not among them.
    """  # noqa: D301 - \b is click's
    app = session.app()
    if before is not None and before.tzinfo is None:
        before = before.replace(tzinfo=app.timezone)
    runs = app.schedules.history(name, count, before)
    told = summary(runs)
    if session.as_json:
        numbers = {"runs": told.runs, "states": told.by_state, "median_s": told.median_s}
        show_json({"entry": name, "runs": [run_as_json(run) for run in runs], "summary": numbers})
        return
    if runs:
        show_table(RUN_HEADINGS, [run_cells(run) for run in runs], right=("TOOK", "RETRIES"))
    click.echo(summary_text(told, len(runs)) if runs else "Nothing was due in the last 15 days.")
