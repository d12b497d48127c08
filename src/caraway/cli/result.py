"""``caraway result``: what is known of a task."""

from __future__ import annotations

import click

from caraway.cli.options import app_option, follow_option, json_option, timeout_option
from caraway.cli.session import Session, pass_session


@click.command("result")
@click.argument("id")
@app_option
@click.option("-w", "--wait", "waits", is_flag=True, help="Wait for the task's end.")
@follow_option
@timeout_option
@click.option(
    "-t", "--traceback", "with_traceback", is_flag=True, help="Show the traceback of a failure."
)
@json_option
@pass_session
def command(
    session: Session,
    id: str,
    waits: bool,
    follows: bool,
    timeout: float | None,
    with_traceback: bool,
) -> None:
    """Show what is known of a task: its state, attempts, times, and result or error.

    \b
    caraway result -A shop:app 4f9b2c7e-...
    caraway result -A shop:app 4f9b2c7e-... --wait --timeout 60 --traceback
    caraway result -A shop:app 4f9b2c7e-... --follow

    With --follow it shows the task's progress until it has ended: a bar where its meta has current
    and total, else its state and meta; where no person looks, a line a change on standard error;
    with --json, a JSON object a line. Ctrl-C stops the looking, not the task.

    Exit code 1 says that the task failed, was revoked or missed, 5 that it had not ended in time.
    """  # noqa: D301 - \b is click's
    app = session.app()
    from caraway.cli.outcome import exit_as, seen_at_the_end, seen_now, show

    if follows:
        from caraway.cli.following import followed

        seen = followed(app, id, timeout, as_lines_of_json=session.as_json)
        if session.as_json:
            exit_as(seen)
        else:
            show(session, id, seen, with_traceback=with_traceback)
        return
    seen = seen_at_the_end(app, id, timeout) if waits else seen_now(app, id)
    show(session, id, seen, with_traceback=with_traceback)
