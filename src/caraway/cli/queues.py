"""``caraway queues``: how full the app's queues are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from caraway.cli.depths import Depth, ages_of, depth_of
from caraway.cli.errors import NOT_WELL
from caraway.cli.options import app_option, json_option
from caraway.cli.output import count, duration, show_json, show_table
from caraway.cli.session import Session, pass_session
from caraway.core.port import run_now
from caraway.exceptions import OperationalError
from caraway.lean import dataclass

if TYPE_CHECKING:
    from caraway.core.routing import Queue


@dataclass(frozen=True)
class _Row:
    queue: Queue
    sqs_name: str
    depth: Depth | None
    oldest_s: float | None

    def as_json(self) -> dict[str, Any]:
        depth = self.depth
        return {
            "name": self.queue.name,
            "sqs_name": self.sqs_name,
            "consumer": self.queue.consumer,
            "exists": depth is not None,
            "depth": depth and depth.waiting,
            "in_flight": depth and depth.in_flight,
            "delayed": depth and depth.delayed,
            "oldest_s": self.oldest_s,
            "dead_letters": depth and depth.dead_letters,
            "visibility_timeout_s": depth and depth.visibility_timeout_s,
        }

    def cells(self) -> list[str]:
        if self.depth is None:
            return [self.queue.name, self.queue.consumer, "missing", *["-"] * 5]
        dead = self.depth.dead_letters
        return [
            self.queue.name,
            self.queue.consumer,
            str(self.depth.waiting),
            str(self.depth.in_flight),
            str(self.depth.delayed),
            "-" if self.oldest_s is None else duration(self.oldest_s),
            "no queue" if dead is None else str(dead),
            duration(self.depth.visibility_timeout_s),
        ]


_HEADINGS = (
    "QUEUE",
    "CONSUMER",
    "DEPTH",
    "IN FLIGHT",
    "DELAYED",
    "OLDEST",
    "DEAD LETTERS",
    "VISIBILITY",
)


@click.command("queues")
@app_option
@json_option
@pass_session
def command(session: Session) -> None:
    """Show the app's queues: what waits, what runs, and what ended in the dead-letter queue.

    \b
    caraway queues -A shop:app
    caraway queues -A shop:app --json

    \b
    DEPTH         messages that wait
    IN FLIGHT     messages that a worker has received
    DELAYED       messages that wait for their countdown or retry
    OLDEST        age of the oldest message, as CloudWatch has it: some minutes late, and only for
                  queues in use ("-" where it is unknown)
    DEAD LETTERS  messages in its dead-letter queue
    VISIBILITY    how long a received message stays hidden

    SQS's counts are approximate. Exit code 1 says that a queue does not exist.
    """  # noqa: D301 - \b is click's
    app = session.app()
    prefix = app.conf.queue_name_prefix
    queues = app.site.router.queues.values()
    depths = [run_now(depth_of(app.aws, queue, prefix)) for queue in queues]
    names = [queue.sqs_name(prefix) for queue in queues]
    ages = run_now(ages_of(app.aws, names))
    known = {} if isinstance(ages, OperationalError) else ages
    rows = [
        _Row(queue, name, depth, known.get(name))
        for queue, name, depth in zip(queues, names, depths, strict=True)
    ]
    if session.as_json:
        show_json([row.as_json() for row in rows])
    else:
        show_table(_HEADINGS, [row.cells() for row in rows], right=_HEADINGS[2:])
    if isinstance(ages, OperationalError):
        click.echo(f"OLDEST is unknown: {ages}", err=True)
    missing = sum(row.depth is None for row in rows)
    if missing:
        click.echo(
            f"{count(missing, 'queue')} missing: 'caraway doctor' says how to mend it", err=True
        )
        click.get_current_context().exit(NOT_WELL)
