"""``caraway beat pause``, ``resume`` and ``run-now``."""

from __future__ import annotations

import click

from caraway.cli.beat.rows import show_entry
from caraway.cli.completing import entry_names
from caraway.cli.options import app_option, json_option, timeout_option
from caraway.cli.output import show_json
from caraway.cli.session import Session, pass_session


@click.command("pause")
@click.argument("name", shell_complete=entry_names)
@app_option
@json_option
@pass_session
def pause_command(session: Session, name: str) -> None:
    """Let an entry fire no more, until it is resumed.

    \b
    caraway beat pause clean -A shop:app

    A sync leaves it paused. What is on its queue already still runs.
    """  # noqa: D301 - \b is click's
    app = session.app()
    show_entry(session, app.schedules.pause(name))


@click.command("resume")
@click.argument("name", shell_complete=entry_names)
@app_option
@json_option
@pass_session
def resume_command(session: Session, name: str) -> None:
    """Let an entry that was paused fire again.

    \b
    caraway beat resume clean -A shop:app

    What was due meanwhile is not made up for: 'caraway beat run-now' runs one now.
    """  # noqa: D301 - \b is click's
    app = session.app()
    show_entry(session, app.schedules.resume(name))


@click.command("run-now")
@click.argument("name", shell_complete=entry_names)
@app_option
@click.option("-w", "--wait", "waits", is_flag=True, help="Wait for the end, and print the result.")
@timeout_option
@json_option
@pass_session
def run_now_command(session: Session, name: str, waits: bool, timeout: float | None) -> None:
    """Send an entry's message at once, and print the task's id.

    \b
    caraway beat run-now clean -A shop:app
    caraway beat run-now clean --wait --timeout 60 -A shop:app

    It is a task of its own and none of the entry's occurrences: its id is new, its scheduled_time
    is now, and it runs also where the entry is paused. Occurrences do not wait for it: with overlap
    'skip', pause the entry where the two must not meet. With --wait, exit code 1 says that the task
    failed, 5 that it had not ended in time (it goes on).
    """  # noqa: D301 - \b is click's
    app = session.app()
    sent = app.schedules.run_now(name)
    if waits:
        from caraway.cli.outcome import show_when_done

        show_when_done(session, app, sent.id, timeout)
    elif session.as_json:
        show_json({"id": sent.id, "entry": name, "task": sent.name})
    else:
        click.echo(sent.id)
