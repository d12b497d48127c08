"""``caraway call``: send a task by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from caraway.cli.completing import queue_names, task_names
from caraway.cli.options import app_option, follow_option, json_option, timeout_option
from caraway.cli.session import Session, pass_session
from caraway.cli.values import json_of, time, time_or_seconds
from caraway.exceptions import ImproperlyConfigured, NotRegistered, nearest

if TYPE_CHECKING:
    from caraway.app import Caraway


@click.command("call")
@click.argument("name", shell_complete=task_names)
@app_option
@click.option(
    "-a",
    "--args",
    callback=json_of(list, """'[2, "b"]'"""),
    metavar="JSON",
    help="Positional arguments, a list.",
)
@click.option(
    "-k",
    "--kwargs",
    callback=json_of(dict, """'{"to": "x"}'"""),
    metavar="JSON",
    help="Keyword arguments, an object.",
)
@click.option(
    "-Q",
    "--queue",
    shell_complete=queue_names,
    help="The queue; by default the task's own, or its route's.",
)
@click.option(
    "--countdown", type=float, metavar="SECONDS", help="Run after so many seconds: 86400 is a day."
)
@click.option("--eta", callback=time, metavar="TIME", help="Run at a time, in ISO 8601.")
@click.option(
    "--expires",
    callback=time_or_seconds,
    metavar="SECONDS|TIME",
    help="Do not start it later than that.",
)
@click.option("--task-id", help="An id of your own: the same id again runs the task once.")
@click.option("-w", "--wait", "waits", is_flag=True, help="Wait for the end, and print the result.")
@follow_option
@timeout_option
@click.option("--by-name", is_flag=True, help="Send it although this app has no task of that name.")
@json_option
@pass_session
def command(
    session: Session,
    /,
    name: str,
    waits: bool,
    follows: bool,
    timeout: float | None,
    by_name: bool,
    **given: Any,
) -> None:
    """Send a task by its name, and print its id.

    \b
    caraway call shop.add --args '[2, 3]' -A shop:app
    caraway call shop.send_email --kwargs '{"to": "x@example.com"}' --countdown 60 -A shop:app
    caraway call shop.add --args '[2, 3]' --wait --timeout 30 -A shop:app
    caraway call shop.load --args '["orders.csv"]' --follow -A shop:app

    With --wait it prints the result, and the id on standard error; --follow does so too, and shows
    the task's progress meanwhile. Ctrl-C stops the waiting, not the task. Exit code 1 says that
    the task failed or was revoked, 5 that it had not ended in time (it goes on).
    """  # noqa: D301 - \b is click's
    app = session.app()
    if not by_name:
        _check_known(app, name)
    _check_possible(app, name, waits=waits or follows)
    args, kwargs = given.pop("args"), given.pop("kwargs")
    options = {option: value for option, value in given.items() if value is not None}
    sent = app.send_task(name, args, kwargs, **options)
    if follows or waits:
        from caraway.cli.outcome import show_when_done, task_goes_on

        with task_goes_on(sent.id):  # from the first word about it on
            (_follow if follows else show_when_done)(session, app, sent.id, timeout)
    elif session.as_json:
        from caraway.cli.output import show_json

        show_json({"id": sent.id, "task": name})
    else:
        click.echo(sent.id)


def _check_known(app: Caraway, name: str) -> None:
    """Refuse a misspelt name: its message would only end in a dead-letter queue.

    An app without tasks of its own sends by name, so nothing is known of the names.
    """
    if app.tasks and name not in app.tasks:
        raise NotRegistered(
            f"this app has no task named {name!r}{nearest(name, app.tasks)} (--by-name sends it "
            "all the same, for a worker that has it)"
        )


def _check_possible(app: Caraway, name: str, *, waits: bool) -> None:
    if app.conf.task_always_eager:
        raise ImproperlyConfigured(
            "task_always_eager is set, so nothing would be sent: set CARAWAY_TASK_ALWAYS_EAGER=0"
        )
    task = app.tasks.get(name)
    ignores = task is not None and (task.ignore_result or not app.site.keeps_results)
    if waits and task is not None and task.idempotent and ignores:
        raise ImproperlyConfigured(
            f"{name} keeps no record at all (idempotent=True, and its result is ignored): call it "
            "without --wait and --follow"
        )


def _follow(session: Session, app: Caraway, id: str, timeout_s: float | None) -> None:
    from caraway.cli.following import followed
    from caraway.cli.outcome import exit_as, result_or_failure

    if session.as_json:
        exit_as(followed(app, id, timeout_s, as_lines_of_json=True))
        return
    click.echo(id, err=True)
    click.echo(result_or_failure(app, id, followed(app, id, timeout_s, as_lines_of_json=False)))
