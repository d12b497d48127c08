"""``caraway purge``: delete all messages of queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from caraway.cli.completing import queue_names
from caraway.cli.depths import depth_of
from caraway.cli.options import app_option, comma_separated, json_option
from caraway.cli.output import count, show_json
from caraway.cli.session import Session, pass_session
from caraway.core.port import run_now
from caraway.exceptions import ResourceMissing
from caraway.requests.sqs import GetQueueUrl, PurgeQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.app import Caraway
    from caraway.core.routing import Queue


@click.command("purge")
@click.argument("names", nargs=-1, metavar="[QUEUE]...", shell_complete=queue_names)
@app_option
@click.option(
    "-Q", "--queues", multiple=True, callback=comma_separated, metavar="NAME,NAME", hidden=True
)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@json_option
@pass_session
def command(session: Session, names: Sequence[str], queues: list[str], force: bool) -> None:
    """Delete all messages of queues: those named, or all that the app declares.

    \b
    caraway purge reports -A shop:app
    caraway purge -f -A shop:app

    What is deleted cannot be brought back. Tasks that run now go on. SQS takes up to a minute, and
    purges a queue once a minute.
    """  # noqa: D301 - \b is click's
    app = session.app()
    router = app.site.router
    wanted = dict.fromkeys([*names, *queues])
    chosen = [router.queue(name) for name in wanted] or list(router.queues.values())
    depths = {queue.name: _messages(app, queue) for queue in chosen}
    if not force:
        lines = "\n".join(f"  {name}: about {depths[name]}" for name in depths)
        click.echo(f"Messages to delete:\n{lines}", err=True)
        total = count(sum(depths.values()), "message")
        click.confirm(f"Delete about {total} for ever?", abort=True, err=True)
    for queue in chosen:
        url = run_now(app.aws.perform(GetQueueUrl(queue.sqs_name(app.conf.queue_name_prefix))))
        run_now(app.aws.perform(PurgeQueue(url)))
        if not session.as_json:
            click.echo(f"{queue.name}: about {count(depths[queue.name], 'message')} deleted")
    if session.as_json:
        show_json([{"queue": name, "messages": number} for name, number in depths.items()])


def _messages(app: Caraway, queue: Queue) -> int:
    """Return about how many messages a queue has."""
    depth = run_now(depth_of(app.aws, queue, app.conf.queue_name_prefix))
    if depth is None:
        raise ResourceMissing(
            f"queue {queue.sqs_name(app.conf.queue_name_prefix)!r} does not exist: 'caraway "
            "doctor' says how to mend it"
        )
    return depth.total
