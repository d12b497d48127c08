"""``caraway revoke``: tasks are not to run, or not to run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from caraway.cli.options import app_option, json_option
from caraway.cli.output import show_json
from caraway.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command("revoke")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@app_option
@click.option("--terminate", is_flag=True, help="End those that run, too.")
@click.option(
    "-s",
    "--signal",
    default="SIGTERM",
    show_default=True,
    metavar="NAME",
    help="With --terminate: ends a child process of -P prefork.",
)
@json_option
@pass_session
def command(session: Session, ids: Sequence[str], terminate: bool, signal: str) -> None:
    """Revoke tasks by their ids, and say of each what that has come to.

    \b
    caraway revoke -A shop:app 4f9b2c7e-...
    caraway revoke -A shop:app --terminate --signal SIGKILL 4f9b2c7e-... 9a1d3c52-...

    What waits does not run. What runs goes on to its end without --terminate, and is not retried.
    With it, an ECS worker ends the run with its next heartbeat; on Lambda, and in a thread, the
    function goes on, but records nothing any more.

    Exit code 4 says that AWS did not do it for one of them; the others are revoked.
    """  # noqa: D301 - \b is click's
    app = session.app()
    from caraway.core.port import run_now
    from caraway.core.revoke import chosen_signal, revoke_all

    chosen = chosen_signal(terminate, signal)
    outcomes = run_now(revoke_all(app.aws, app.site, ids, chosen))
    done = [each for each in outcomes if not isinstance(each, Exception)]
    if session.as_json:
        show_json([{"id": e.id, "happened": e.happened, "state": e.state} for e in done])
    else:
        for each in done:
            click.echo(f"{each.id}: {each}")
    for failed in outcomes:
        if isinstance(failed, Exception):
            raise failed
