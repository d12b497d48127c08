"""``caraway revoke``: tasks are not to run, or not to run on."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from caraway.cli.options import app_option, json_option
from caraway.cli.output import show_json
from caraway.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from caraway.control import Control


@click.command("revoke")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@app_option
@click.option(
    "--stamp",
    "stamps",
    multiple=True,
    metavar="NAME=VALUE",
    help="Instead of ids: all tasks with this stamp; may be repeated.",
)
@click.option("--undo", is_flag=True, help="With --stamp: take the revoke back.")
@click.option("--list", "lists", is_flag=True, help="Show which stamps are revoked.")
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
def command(
    session: Session,
    ids: Sequence[str],
    stamps: Sequence[str],
    undo: bool,
    lists: bool,
    terminate: bool,
    signal: str,
) -> None:
    """Revoke tasks by their ids or by their stamps, and say what that has come to.

    \b
    caraway revoke -A shop:app 4f9b2c7e-...
    caraway revoke -A shop:app --terminate --signal SIGKILL 4f9b2c7e-... 9a1d3c52-...
    caraway revoke -A shop:app --stamp customer=17

    What waits does not run. What runs goes on to its end without --terminate, and is not retried.
    With it, an ECS worker ends the run with its next heartbeat; on Lambda, and in a thread, the
    function goes on, but records nothing any more.

    What waits for an ETA beyond 15 minutes is called back, so that a chord or a workflow learns of
    it now. That needs the rights of RevokerPolicy; without them the error says so, and the task is
    revoked all the same.

    By a stamp it is all tasks that have it, for 15 days or until --undo. Workers know of it within
    ten seconds. A value is text, and the number or other JSON that the text is.

    Exit code 4 says that AWS did not do it for one of them; the others are revoked.
    """  # noqa: D301 - \b is click's
    if bool(ids) + bool(stamps) + lists != 1:
        raise click.UsageError("name ids, or stamps (--stamp NAME=VALUE), or ask for --list")
    if undo and not stamps:
        raise click.UsageError("--undo takes back a revoke by stamps: name them with --stamp")
    app = session.app()
    if lists or stamps:
        _by_stamps(session, app.control, _stamps(stamps), terminate, signal, undo=undo)
        return
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


def _by_stamps(
    session: Session,
    control: Control,
    stamps: Mapping[str, Any],
    terminate: bool,
    signal: str,
    *,
    undo: bool,
) -> None:
    """Revoke by stamps, or take that back; without any, only show which are revoked."""
    if undo:
        control.allow_stamped_headers(stamps)
    elif stamps:
        control.revoke_by_stamped_headers(stamps, terminate=terminate, signal=signal)
    revoked = control.revoked_stamped_headers()
    if session.as_json:
        show_json([vars(each) for each in revoked])
        return
    for each in revoked:
        at = datetime.fromtimestamp(each.at, timezone.utc)
        click.echo(f"{each.header}={json.dumps(each.value)}: {each.mode}, since {at:%F %T} UTC")
    if not revoked:
        click.echo("no stamps are revoked", err=True)


def _stamps(given: Sequence[str]) -> dict[str, list[Any]]:
    """Return stamps by name; a value that is JSON may be meant as that, or as the text."""
    stamps: dict[str, list[Any]] = {}
    for each in given:
        name, is_there, text = each.partition("=")
        if not is_there or not name:
            raise click.UsageError(f"--stamp {each}: expected NAME=VALUE")
        values = stamps.setdefault(name, [])
        values.append(text)
        with suppress(ValueError):
            values.append(json.loads(text))
    return stamps
