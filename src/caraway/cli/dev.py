"""``caraway dev``: the command line of the local AWS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from caraway.cli.options import app_option, color_option, comma_separated
from caraway.cli.session import Session, pass_session
from caraway.cli.worker import command as worker_command
from caraway.exceptions import ImproperlyConfigured
from caraway.local.clock import read_speed
from caraway.local.dev import run
from caraway.local.options import Options
from caraway.local.provision import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _speed(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float:
    try:
        return 1.0 if text is None else read_speed(text)
    except ImproperlyConfigured as error:
        raise click.BadParameter(str(error)) from error


@click.command("dev")
@app_option
@color_option
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    envvar="CARAWAY_DEV_PORT",
    help="Port of the local AWS, 0 for any; CARAWAY_DEV_PORT by default, else 4566 if it is free.",
)
@click.option("--template", type=_FILE, help="Your SAM template; by default Caraway's own.")
@click.option(
    "--requirements",
    type=_FILE,
    help="What your code needs on Lambda; by default requirements.txt beside it.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep queues, records, payloads and schedule in a folder until the next start.",
)
@click.option(
    "--clock",
    callback=_speed,
    metavar="60x",
    help="How fast the time of schedules goes: at 60x, an hour takes a minute.",
)
@click.option("--no-reload", is_flag=True, help="Go on with the old code when files change.")
@click.option("--no-worker", is_flag=True, help="Start none: you run 'caraway worker' yourself.")
@click.option(
    "-Q",
    "--queues",
    multiple=True,
    callback=comma_separated,
    metavar="NAME,NAME",
    help='Queues of the ECS-style worker; by default those with consumer="ecs".',
)
@click.option("-c", "--concurrency", help="How many tasks the worker runs at a time.")
@click.option("-P", "--pool", help="How it runs them, such as threads or asyncio.")
@click.option("-l", "--loglevel", help="The least severe line that it logs.")
@click.argument("worker_options", nargs=-1, type=click.UNPROCESSED)
@pass_session
def command(
    session: Session,
    port: int | None,
    template: Path | None,
    requirements: Path | None,
    keep: Path | None,
    clock: float,
    no_reload: bool,
    no_worker: bool,
    queues: Sequence[str],
    concurrency: str | None,
    pool: str | None,
    loglevel: str | None,
    worker_options: Sequence[str],
) -> None:
    """Run the whole app on this machine, on a local AWS, until Ctrl-C.

    \b
    caraway dev -A shop:app
    caraway dev -A shop:app --keep .caraway -c 4
    caraway dev -A shop:app --clock 60x
    caraway dev -A shop:app -P prefork -- --autoscale 1,4 --max-tasks-per-child 100

    A Lambda function with your code consumes the app's queues, an ECS-style worker those with
    consumer="ecs", and schedules fire as beat_schedule says. When a Python file of the app changes,
    both run the new code. What a producer needs is printed. No account and no Docker are needed,
    and nothing is left running. Options after -- are the worker's: see caraway worker --help.
    """  # noqa: D301 - \b is click's
    named = {"-c": concurrency, "-P": pool, "-l": loglevel}
    options = [part for name, value in named.items() if value for part in (name, value)]
    options += worker_options
    # A wrong one is told now, by the worker's own parser, not after everything has started.
    with worker_command.make_context("caraway worker", [*options], parent=None):
        pass
    run(
        Options(
            session.app_name or os.environ.get("CARAWAY_APP"),
            port,
            template or TEMPLATE,
            requirements,
            worker=not no_worker,
            queues=tuple(queues),
            worker_options=tuple(options),
            reload=not no_reload,
            keep=keep,
            speed=clock,
            color=False if click.get_current_context().color is False else None,
        )
    )
