"""``caraway dev``: the whole app on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from caraway.beat import owner_of, rules_of
from caraway.core.beat_sync import sync
from caraway.core.port import run_now
from caraway.exceptions import ImproperlyConfigured, LocalError
from caraway.local.engine import LocalEngine
from caraway.local.environ import enter, exports, surroundings
from caraway.local.logs import FunctionLog
from caraway.local.project import Project
from caraway.local.provision import TEMPLATE, deploy_project, warm_up
from caraway.local.worker import LocalWorker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.core.beat import Rule

STACK: Final = "caraway-dev"
_REGION: Final = "us-east-1"
_LOOK_S: Final = 0.5


@dataclass(frozen=True)
class Options:
    """What the command line says.

    Attributes
    ----------
    app_name
        ``module:attribute``; None reads ``CARAWAY_APP``.
    port
        For the engine; None: 4566 if it is free, else any.
    template
        A SAM template.
    requirements
        What the app's code needs on Lambda; by default ``requirements.txt`` beside the code.
    worker
        Whether a worker is started for the ``consumer="ecs"`` queues.
    worker_options
        Further options of ``caraway worker``.
    """

    app_name: str | None = None
    port: int | None = None
    template: Path = TEMPLATE
    requirements: Path | None = None
    worker: bool = True
    worker_options: tuple[str, ...] = ()


@click.command("dev")
@click.option("-A", "--app", "app_name", metavar="MODULE:ATTRIBUTE", help="Such as shop:app.")
@click.option("--port", type=int, help="Port of the local AWS; by default 4566 if it is free.")
@click.option(
    "--template",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=TEMPLATE,
    help="Your SAM template; by default Caraway's own.",
)
@click.option(
    "--requirements",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What your code needs on Lambda; by default requirements.txt beside it.",
)
@click.option("-c", "--concurrency", type=int, help="Tasks that the ECS-style worker runs at once.")
@click.option("-P", "--pool", help="How it runs them: threads, asyncio or solo.")
@click.option("--no-worker", is_flag=True, help="Start none: you run 'caraway worker' yourself.")
@click.pass_context
def command(
    ctx: click.Context,
    app_name: str | None,
    port: int | None,
    template: Path,
    requirements: Path | None,
    concurrency: int | None,
    pool: str | None,
    no_worker: bool,
) -> None:
    """Run the whole app on this machine, on a local AWS, until Ctrl-C.

    \b
    caraway dev -A shop:app

    A Lambda function with your code consumes the app's queues, an ECS-style worker those with
    consumer="ecs", and rules fire as beat_schedule says. What a producer needs is printed. No
    account and no Docker are needed, and nothing is left running.
    """  # noqa: D301 - \b is click's
    worker_options: tuple[str, ...] = ()
    if concurrency is not None:
        worker_options += ("-c", str(concurrency))
    if pool is not None:
        worker_options += ("-P", pool)
    named = app_name or getattr(ctx.obj, "app_name", None)  # also: caraway -A shop:app dev
    run(Options(named, port, template, requirements, not no_worker, worker_options))


def run(options: Options) -> None:
    """Start everything, show the logs, and stop everything at Ctrl-C, SIGTERM or SIGHUP.

    Raises
    ------
    LocalError
        If something does not start, or ends by itself.
    ImproperlyConfigured
        If there is no such app, or what it declares cannot be had here.
    """
    if find_spec("yaml") is None:
        raise LocalError("caraway dev needs PyYAML: pip install 'caraway[dev]'")
    with suppress(KeyboardInterrupt), ExitStack() as cleaning:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            cleaning.callback(signal.signal, number, signal.signal(number, _interrupt))
        try:
            dev = Dev(options, cleaning)
            dev.start()
            dev.watch()
        except KeyboardInterrupt:
            _say("Stopping; running tasks are waited for (again: at once)")
    _say("Everything that was started has been stopped.")


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


class Dev:
    """An app at work: the engine, the stack on it, the rules, the worker.

    Parameters
    ----------
    options
        What the command line says.
    cleaning
        Stops what was started.
    """

    def __init__(self, options: Options, cleaning: ExitStack) -> None:
        self._options = options
        self._cleaning = cleaning
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        enter(surroundings({}))  # from here on nothing reaches AWS itself
        self._project = Project.load(options.app_name)
        conf = self._project.app.conf
        if conf.aws_endpoint_url:
            raise ImproperlyConfigured(
                f"the app sets aws_endpoint_url to {conf.aws_endpoint_url}, so it would not find "
                "the local AWS: leave it out, AWS_ENDPOINT_URL says where AWS is"
            )
        self._engine = LocalEngine(
            options.port, region=conf.aws_region or region or _REGION, progress=_say
        )
        self._worker: LocalWorker | None = None

    def start(self) -> None:
        """Start it all, and say what a producer needs."""
        self._cleaning.enter_context(self._engine)
        _say(f"A local AWS runs at {self._engine.endpoint_url}")
        deployed = deploy_project(
            self._engine.client,
            self._project,
            STACK,
            template=self._options.template,
            requirements=self._options.requirements,
            progress=_say,
        )
        self._log = FunctionLog(self._engine.client, deployed.function)
        if deployed.holds_code:
            try:
                warm_up(self._engine.client, deployed.function)
            finally:
                self._show_log()
        exported = exports(self._engine, deployed.outputs)
        enter(surroundings(exported))  # the app in this process is a producer as well
        rules = self._sync_rules(exported)
        self._start_worker()
        _say("\n".join(["", *self._about(rules), "", *_export_lines(exported), ""]))
        _say("Ready. Ctrl-C stops everything.")

    def watch(self) -> NoReturn:
        """Show what the function logs, for as long as everything runs.

        Raises
        ------
        LocalError
            If the engine or the worker ends by itself.
        """
        from botocore.exceptions import BotoCoreError

        while True:
            try:
                self._show_log()
            except BotoCoreError as error:
                raise LocalError(f"The local engine does not answer any more: {error}") from error
            if self._worker is not None:
                self._worker.check()
            time.sleep(_LOOK_S)

    def _show_log(self) -> None:
        for line in self._log.new_lines():
            _show_line("lambda", line)

    def _sync_rules(self, exported: Mapping[str, str]) -> list[Rule]:
        """Make the rules of the app's schedule."""
        app = self._project.app
        if not app.conf.beat_schedule:
            return []
        app.conf.update(queue_name_prefix=exported["CARAWAY_QUEUE_NAME_PREFIX"])
        rules = rules_of(app, datetime.now(timezone.utc))
        run_now(sync(app.aws, owner_of(app), rules))
        return rules

    def _start_worker(self) -> None:
        """Start a worker for the queues that Lambda does not consume, if there are any."""
        names = [queue.name for queue in self._project.queues if queue.consumer == "ecs"]
        if not (names and self._options.worker):
            return
        worker = LocalWorker(
            ["-A", self._project.name, "-Q", ",".join(names), *self._options.worker_options],
            os.environ,
            on_line=lambda line: _show_line("worker", line),
            patience_s=self._project.app.conf.worker_soft_shutdown_timeout,
        )
        self._worker = self._cleaning.enter_context(worker)

    def _about(self, rules: list[Rule]) -> list[str]:
        """Say what consumes each queue, and what is sent when."""
        nobody = "nobody yet; export the lines below, and run caraway worker"
        consumers = {
            "lambda": "a Lambda function",
            "ecs": "the ECS-style worker" if self._options.worker else nobody,
        }
        return [
            *(f"queue {each.name}: {consumers[each.consumer]}" for each in self._project.queues),
            *(f"schedule {each.entry}: {each.expression}, to {each.queue}" for each in rules),
        ]


def _export_lines(exported: Mapping[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in exported.items()]


def _say(line: str) -> None:
    click.echo(line)


def _show_line(source: str, line: str) -> None:
    click.echo(f"{click.style(f'{source:>6} |', fg='cyan')} {line}")
