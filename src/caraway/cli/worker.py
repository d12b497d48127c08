"""``caraway worker``: the ECS door."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, Final

import click

from caraway.cli.celery_habits import WORKER_OPTIONS, refuses
from caraway.cli.completing import queue_names
from caraway.cli.options import app_option, comma_separated
from caraway.cli.session import Session, pass_session
from caraway.exceptions import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

_POOLS: Final = ("threads", "asyncio", "solo", "prefork", "gevent")
_OTHER_POOLS: Final = {
    "processes": "use -P prefork",
    "eventlet": "use -P gevent, or -P asyncio with 'async def' tasks",
    "custom": "use threads, asyncio, solo, prefork or gevent",
}
"""Celery's other pools, and what to use instead."""
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def _pool(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value in _OTHER_POOLS:
        ctx.fail(f"{value!r} is a pool of Celery's: {_OTHER_POOLS[value]}.")
    if value is not None and value not in _POOLS:
        raise click.BadParameter(f"no pool named {value!r}{nearest(value, _POOLS)}", ctx, option)
    return value


def _autoscale(
    ctx: click.Context, option: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Read ``2,10``; the order does not matter, as in Celery, and one number is the most."""
    if value is None:
        return None
    try:
        numbers = sorted(int(each) for each in value.split(","))
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 2 or numbers[0] < 0 or numbers[-1] < 1:
        raise click.BadParameter(f"{value!r} is not MIN,MAX: two numbers such as 2,10", ctx, option)
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, numbers[0])


@click.command("worker")
@app_option
@click.option(
    "-Q",
    "--queues",
    multiple=True,
    callback=comma_separated,
    shell_complete=queue_names,
    metavar="NAME,NAME",
    help='Queues to consume; by default those with consumer="ecs".',
)
@click.option(
    "-c",
    "--concurrency",
    type=click.IntRange(min=1),
    help="Tasks at a time; the setting worker_concurrency by default: 10, with gevent 100, with "
    "prefork one for each CPU.",
)
@click.option(
    "-P",
    "--pool",
    callback=_pool,
    metavar=f"[{'|'.join(_POOLS)}]",
    help="How tasks run; the setting worker_pool (threads) by default.",
)
@click.option(
    "--autoscale",
    callback=_autoscale,
    metavar="MIN,MAX",
    help="With -P prefork: so many child processes, as they are needed.",
)
@click.option(
    "--max-tasks-per-child",
    type=click.IntRange(min=1),
    help="With -P prefork or gevent: replace a child process after so many tasks.",
)
@click.option(
    "--max-memory-per-child",
    type=click.IntRange(min=1),
    metavar="KIB",
    help="With -P prefork or gevent: replace a child process that has more memory after a task.",
)
@click.option(
    "-l",
    "--loglevel",
    type=click.Choice(_LEVELS, case_sensitive=False),
    default="INFO",
    show_default=True,
    help="The least severe line to log.",
)
@click.option(
    "-n",
    "--hostname",
    callback=lambda _ctx, _option, value: value and expand_hostname(value, socket.gethostname()),
    help="The worker's name in logs, such as reports@%h; %h is the machine's name.",
)
@click.option(
    "--shutdown-timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="What running tasks get after SIGTERM; worker_soft_shutdown_timeout (25) by default.",
)
@click.option(
    "--heartbeat-interval",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How often 'caraway status' hears of it; worker_heartbeat_interval (30) by default.",
)
@click.option("--without-heartbeat", is_flag=True, help="Do not show it to 'caraway status'.")
@click.option(
    "--health-port",
    type=click.IntRange(0, 65_535),
    envvar="CARAWAY_HEALTH_PORT",
    metavar="PORT",
    help="Serve /health there, for a liveness probe; CARAWAY_HEALTH_PORT by default.",
)
@click.option(
    "--health-host",
    default="127.0.0.1",
    envvar="CARAWAY_HEALTH_HOST",
    show_default=True,
    metavar="ADDRESS",
    help="Where /health listens: 0.0.0.0 for a probe from outside the container; "
    "CARAWAY_HEALTH_HOST by default.",
)
@click.option(
    "--task-protection/--no-task-protection",
    default=None,
    help="Whether ECS leaves this container alone while it runs a task that takes long; by default "
    "wherever ECS runs it.",
)
@refuses(WORKER_OPTIONS)
@pass_session
def command(
    session: Session,
    queues: Sequence[str],
    concurrency: int | None,
    pool: str | None,
    autoscale: tuple[int, int] | None,
    max_tasks_per_child: int | None,
    max_memory_per_child: int | None,
    loglevel: str,
    hostname: str | None,
    shutdown_timeout: float | None,
    heartbeat_interval: float | None,
    without_heartbeat: bool,
    health_port: int | None,
    health_host: str,
    task_protection: bool | None,
) -> None:
    """Run tasks from queues until told to stop.

    \b
    caraway worker -A shop:app
    caraway worker -A shop:app -Q reports,default -c 8
    caraway worker -A shop:app -P asyncio -c 200 -l warning
    caraway worker -A shop:app -P prefork --autoscale 1,8 --max-tasks-per-child 1000

    SIGTERM or Ctrl-C stops it warmly: nothing more is received, running tasks get the shutdown
    timeout, and what is left is released for another worker. Again, and it stops at once (exit
    code 1); no task is lost.
    """  # noqa: D301 - \b is click's
    app = session.app().finalize()  # receivers of its modules hear of all that follows
    from caraway.workers.ecs import Worker
    from caraway.workers.logs import set_up_logging

    set_up_logging(app, loglevel.upper())
    worker = Worker(
        app,
        queues or None,
        pool=pool,
        concurrency=concurrency,
        autoscale=autoscale,
        max_tasks_per_child=max_tasks_per_child,
        max_memory_per_child=max_memory_per_child,
        app_name=session.app_name or os.environ.get("CARAWAY_APP"),
        hostname=hostname,
        shutdown_timeout_s=shutdown_timeout,
        heartbeat_interval_s=0 if without_heartbeat else heartbeat_interval,
        health_port=health_port,
        health_host=health_host,
        task_protection=task_protection,
    )
    click.echo(f"\n{worker.banner()}\n", err=True)
    click.get_current_context().exit(worker.run())


def expand_hostname(pattern: str, host: str) -> str:
    """Fill Celery's ``%h`` (the whole host name), ``%n`` (its first part) and ``%d`` (the rest)."""
    name, _, domain = host.partition(".")
    texts = {"%h": host, "%n": name, "%d": domain, "%%": "%"}
    return re.sub("%[hnd%]", lambda found: texts[found[0]], pattern)
