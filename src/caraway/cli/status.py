"""``caraway status``: which workers are there."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from caraway.cli.consumers import lambda_consumers
from caraway.cli.errors import NOT_WELL
from caraway.cli.options import app_option, json_option
from caraway.cli.output import count, duration, show_json, show_table
from caraway.cli.session import Session, pass_session
from caraway.cli.workers import present_workers
from caraway.core.port import run_now
from caraway.exceptions import OperationalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.cli.consumers import LambdaConsumer
    from caraway.core.presence import Presence

_HEADINGS: Final = (
    "WORKER",
    "POOL",
    "CONCURRENCY",
    "RUNNING",
    "PROCESSED",
    "QUEUES",
    "HEARTBEAT",
)
_LAMBDA_HEADINGS: Final = ("QUEUE", "LAMBDA FUNCTION", "EVENT SOURCE")


@click.command("status")
@app_option
@json_option
@pass_session
def command(session: Session) -> None:
    """Show the workers that are there.

    \b
    caraway status -A shop:app
    caraway status -A shop:app --json

    Workers in containers show themselves by a heartbeat, every 30 seconds; one that has been silent
    for two and a half is taken for gone. For queues with consumer="lambda" the functions are shown,
    and whether their event sources are enabled.

    Exit code 1 says that there is no worker of either kind.
    """  # noqa: D301 - \b is click's
    app = session.app()
    workers = present_workers(app)
    functions = run_now(lambda_consumers(app.aws, app.site.router, app.conf.queue_name_prefix))
    known = [] if isinstance(functions, OperationalError) else functions
    now = app.aws.now().timestamp()
    if session.as_json:
        show_json(
            {
                "workers": [_as_json(each, now) for each in workers],
                "lambda": None if functions is not known else [asdict(each) for each in known],
            }
        )
    else:
        _show(workers, known, now)
    if isinstance(functions, OperationalError):
        click.echo(f"Which Lambda functions there are is unknown: {functions}", err=True)
    if not workers and not any(each.is_on for each in known):
        click.echo(
            "no worker is there: start 'caraway worker', or enable an event source", err=True
        )
        click.get_current_context().exit(NOT_WELL)


def _show(workers: Sequence[Presence], functions: Sequence[LambdaConsumer], now: float) -> None:
    if workers:
        show_table(
            _HEADINGS,
            [
                [
                    each.hostname,
                    each.pool,
                    str(each.concurrency),
                    str(each.running),
                    str(each.processed),
                    ",".join(each.queues),
                    f"{duration(max(0.0, now - each.beat_at))} ago",
                ]
                for each in workers
            ],
            right=_HEADINGS[2:5],
        )
    if functions:
        rows = [[each.queue, each.function, each.state] for each in functions]
        show_table(_LAMBDA_HEADINGS, rows)
    click.echo(f"{count(len(workers), 'worker')} online.")


def _as_json(worker: Presence, now: float) -> dict[str, Any]:
    return {
        "hostname": worker.hostname,
        "pid": worker.pid,
        "pool": worker.pool,
        "concurrency": worker.concurrency,
        "running": worker.running,
        "processed": worker.processed,
        "queues": list(worker.queues),
        "heartbeat_age_s": round(max(0.0, now - worker.beat_at), 3),
    }
