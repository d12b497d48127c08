"""``caraway beat edit``, ``add`` and ``delete``: what an entry is, without the code."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from caraway.cli.beat.rows import show_entry
from caraway.cli.completing import entry_names, queue_names, task_names
from caraway.cli.options import age, app_option, json_option
from caraway.cli.output import show_json
from caraway.cli.session import Session, pass_session
from caraway.cli.values import json_of, time
from caraway.core.policies import CATCH_UPS, OVERLAPS
from caraway.exceptions import NotRegistered, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.app import Caraway

F = TypeVar("F", bound="Callable[..., Any]")
_NONE: Final = "none"


def _bound(ctx: click.Context, option: click.Parameter, value: str | None) -> datetime | str | None:
    """Read a time, or ``none``."""
    return value if value == _NONE else time(ctx, option, value)


def _length(ctx: click.Context, option: click.Parameter, value: str | None) -> float | str | None:
    """Read seconds, or ``none``."""
    seconds = value if value is None or value == _NONE else age(ctx, option, value)
    return int(seconds) if isinstance(seconds, float) and seconds.is_integer() else seconds


def _entry_options(command: F) -> F:
    """Add the options that say what an entry is."""
    for option in reversed(
        [
            click.option(
                "--tz",
                metavar="ZONE",
                help="The zone of a crontab or of 'at', such as Europe/Paris.",
            ),
            click.option(
                "-a",
                "--args",
                callback=json_of(list, """'[2, "b"]'""", or_none=True),
                metavar="JSON",
                help="Positional arguments, a list.",
            ),
            click.option(
                "-k",
                "--kwargs",
                callback=json_of(dict, """'{"to": "x"}'""", or_none=True),
                metavar="JSON",
                help="Keyword arguments, an object.",
            ),
            click.option("-Q", "--queue", shell_complete=queue_names, help="The queue."),
            click.option(
                "--enabled/--disabled", default=None, help="Whether it fires; a new one does."
            ),
            click.option(
                "--start", callback=_bound, metavar="TIME", help="Not before that; 'none': any."
            ),
            click.option(
                "--end", callback=_bound, metavar="TIME", help="Not after that; 'none': any."
            ),
            click.option(
                "--misfire-grace",
                "misfire_grace_s",
                callback=_length,
                metavar="SECONDS",
                help="Late is what begins so much after its time, as 600 or 10m; 'none': nothing.",
            ),
            click.option(
                "--catch-up", type=click.Choice(CATCH_UPS), help="Which late occurrences run."
            ),
            click.option(
                "--overlap",
                type=click.Choice(OVERLAPS),
                help="Whether one is skipped while another one runs.",
            ),
            click.option(
                "--jitter",
                "jitter_s",
                callback=_length,
                metavar="SECONDS",
                help="Run up to so much later, as 300 or 5m; 'none': not.",
            ),
        ]
    ):
        command = option(command)
    return command


@click.command("edit")
@click.argument("name", shell_complete=entry_names)
@app_option
@click.option("--schedule", metavar="TEXT", help="When it fires.")
@_entry_options
@json_option
@pass_session
def edit_command(session: Session, /, name: str, tz: str | None, **given: Any) -> None:
    """Change an entry; what is not named stays.

    \b
    caraway beat edit clean --schedule '*/15 8-18 * * mon-fri' --tz Europe/Paris -A shop:app
    caraway beat edit clean --schedule 'every 90s' --args '[30]' -A shop:app
    caraway beat edit clean --disabled -A shop:app
    caraway beat edit clean --end none -A shop:app

    \b
    A schedule is one of these:
      '*/15 8-18 * * mon-fri'       minute, hour, day of month, month, day of week
      'every 90s', 'every 1h30m'    an interval: d, h, m, s
      'at 2026-12-24T18:00'         once
      'solar sunset 48.86 2.35'     an event of the sun, at a latitude and a longitude

    An edit of an entry of the code lasts until the next 'caraway beat sync'.
    """  # noqa: D301 - \b is click's
    app = session.app()
    changes = _fields(app, given)
    if not changes and tz is None:
        raise click.UsageError("say what to change, such as --schedule 'every 10m'")
    show_entry(session, app.schedules.edit(name, tz=tz, **changes))


@click.command("add")
@click.argument("name")
@click.argument("task", shell_complete=task_names)
@app_option
@click.option("--schedule", required=True, metavar="TEXT", help="When it fires.")
@_entry_options
@click.option("--by-name", is_flag=True, help="Add it although this app has no task of that name.")
@json_option
@pass_session
def add_command(
    session: Session, /, name: str, task: str, tz: str | None, by_name: bool, **given: Any
) -> None:
    """Make an entry that no code says: no sync changes or deletes it.

    \b
    caraway beat add tidy shop.clean --schedule 'every 10m' --args '[30]' -A shop:app
    caraway beat add report shop.report --schedule '0 9 * * mon' --tz Europe/Paris -A shop:app
    caraway beat add party shop.invite --schedule 'at 2026-12-24T18:00' -A shop:app

    Schedules are written as for 'caraway beat edit'.
    """  # noqa: D301 - \b is click's
    app = session.app()
    if app.tasks and task not in app.tasks and not by_name:
        raise NotRegistered(
            f"this app has no task named {task!r}{nearest(task, app.tasks)} (--by-name adds it all "
            "the same, for a worker that has it)"
        )
    fields = _fields(app, given)
    made = app.schedules.create(name, task, fields.pop("schedule"), tz=tz, **fields)
    show_entry(session, made)


@click.command("delete")
@click.argument("name", shell_complete=entry_names)
@app_option
@json_option
@pass_session
def delete_command(session: Session, name: str) -> None:
    """Delete an entry that was made at run time.

    \b
    caraway beat delete tidy -A shop:app

    An entry of the code is taken out there, and 'caraway beat sync' deletes it.
    """  # noqa: D301 - \b is click's
    app = session.app()
    app.schedules.delete(name)
    if session.as_json:
        show_json({"entry": name, "deleted": True})
    else:
        click.echo(f"{name}: deleted")


def _fields(app: Caraway, given: dict[str, Any]) -> dict[str, Any]:
    """Return what options say as the fields of an entry; a naive time is in the app's zone."""
    said = {name: value for name, value in given.items() if value is not None}
    if (queue := said.pop("queue", None)) is not None:
        said["options"] = {"queue": queue}
    for name in ("start", "end"):
        at = said.get(name)
        if isinstance(at, datetime) and at.tzinfo is None:
            said[name] = at.replace(tzinfo=app.timezone)
    for name in ("start", "end", "misfire_grace_s", "jitter_s"):
        if said.get(name) == _NONE:
            said[name] = None
    return said
