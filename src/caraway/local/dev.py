"""``caraway dev``: the whole app on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from caraway.exceptions import CarawayError, ImproperlyConfigured, LocalError
from caraway.local.console import Console
from caraway.local.describe import describe
from caraway.local.engine import LocalEngine
from caraway.local.environ import enter, exports, foreseen, surroundings
from caraway.local.keep import kept
from caraway.local.logs import Record
from caraway.local.provision import prefix_of
from caraway.local.reload import Watched, Watcher
from caraway.local.stage import Stage
from caraway.local.template import load_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.local.options import Options
    from caraway.local.project import Project

_REGION: Final = "us-east-1"
_LOOK_S: Final = 0.5
_NEEDED: Final = ("yaml", "watchfiles")


def run(options: Options) -> None:
    """Start everything, show the logs, and stop everything at Ctrl-C, SIGTERM or SIGHUP.

    Raises
    ------
    LocalError
        If something does not start, or ends by itself.
    ImproperlyConfigured
        If there is no such app, or what it declares cannot be had here.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise LocalError(
            f"caraway dev needs {' and '.join(missing)}, of the extra 'dev': "
            "pip install 'caraway[dev]'"
        )
    console = Console(options.color)
    with suppress(KeyboardInterrupt), ExitStack() as cleaning:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            cleaning.callback(signal.signal, number, signal.signal(number, _interrupt))
        try:
            dev = Dev(options, console, cleaning)
            dev.start()
            dev.watch()
        except KeyboardInterrupt:
            console.say("Stopping; running tasks are waited for (again: at once)")
    console.say("Everything that was started has been stopped.")
    if options.keep:
        console.say(f"The local AWS is kept in {options.keep}.")


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


class Dev:
    """An app at work, and kept up with its code.

    Parameters
    ----------
    options
        What the command line says.
    console
        Shows it all.
    cleaning
        Stops what was started.
    """

    def __init__(self, options: Options, console: Console, cleaning: ExitStack) -> None:
        self._options = options
        self._console = console
        self._cleaning = cleaning
        self._region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        # From here on nothing reaches AWS itself.
        enter(surroundings(foreseen(load_template(options.template))))
        self._prefix = prefix_of(options.template)
        self._watching = cleaning.enter_context(ExitStack())
        self._watcher: Watcher | None = None

    def start(self) -> None:
        """Start it all, and say what a producer needs."""
        console, options = self._console, self._options
        read_at = time.time()
        console.say("Importing the app")
        with console.phase("app"):
            project = self._first_look()
        region = project.region or self._region or _REGION
        folder = (
            self._cleaning.enter_context(kept(options.keep, project.name, region))
            if options.keep
            else None
        )
        engine = LocalEngine(
            options.port, region=region, state=folder, fires=False, progress=console.say
        )
        with console.phase("engine"):
            self._cleaning.enter_context(engine)
        console.say(f"A local AWS runs at {engine.endpoint_url}")
        self._stage = Stage(engine, options, console)
        self._cleaning.callback(self._stage.stop)
        self._stage.start(project)
        exported = exports(engine, self._stage.outputs)
        about = _about(project, options)
        console.say("\n".join(["", *about, "", *_export_lines(exported), ""]))
        if options.reload:
            self._follow(project, read_at)
        console.say(f"Ready. Ctrl-C stops everything. Started in {console.phases()}")

    def watch(self) -> NoReturn:
        """Bring changed code to where it runs, for as long as everything runs.

        Raises
        ------
        LocalError
            If the engine or the worker ends by itself.
        """
        while True:
            self._stage.check()
            if self._watcher is None:
                time.sleep(_LOOK_S)
            elif changed := self._watcher.take(_LOOK_S):
                self._reload(changed)
            elif self._watcher.error:
                raise LocalError(
                    f"Changes of the code cannot be seen: {self._watcher.error}. Raise the limit, "
                    "or say --no-reload"
                )

    def _reload(self, changed: set[Path]) -> None:
        """Run the changed code; the old code goes on if the new one cannot run."""
        console = self._console
        names = ", ".join(sorted(_short(path) for path in changed)[:3])
        console.tell(f"{names}{' and more' if len(changed) > 3 else ''} changed: reloading")
        began = time.monotonic()
        read_at = time.time()
        try:
            project = self._look()
            self._stage.change(project)
        except (CarawayError, BotoCoreError, ClientError) as error:
            goes_on = (
                "no worker runs until the next change"
                if self._stage.has_lost_worker
                else "the old code goes on"
            )
            console.tell(f"Not reloaded, {goes_on}: {error}", "ERROR")
            return
        self._follow(project, read_at)
        console.tell(f"Reloaded in {time.monotonic() - began:.1f} s")

    def _first_look(self) -> Project:
        """Import the app in another process, and meanwhile in this one what takes long."""
        with ThreadPoolExecutor(1) as aside:
            looking = aside.submit(self._look)
            import boto3.session  # noqa: F401
            import yaml  # noqa: F401

            return looking.result()

    def _look(self) -> Project:
        project = describe(
            self._options.app_name,
            os.environ,
            self._prefix,
            lambda lines: self._console.show("app", [Record(line) for line in lines]),
        )
        if project.endpoint_url:
            raise ImproperlyConfigured(
                f"the app sets aws_endpoint_url to {project.endpoint_url}, so it would not find "
                "the local AWS: leave it out, AWS_ENDPOINT_URL says where AWS is"
            )
        return project

    def _follow(self, project: Project, since: float) -> None:
        """Watch what the app consists of now; what has changed since it was read counts as well."""
        named = {self._options.template, self._options.requirements, project.requirements}
        files = frozenset(path.absolute() for path in named if path is not None)
        watched = Watched(project.folders, project.flat_folders, files)
        former, pending = self._watcher, set[Path]()
        if former is not None:
            if former.watched == watched:
                return
            self._watching.close()
            pending = former.take(0)
        self._watcher = self._watching.enter_context(Watcher(watched, since, pending))


def _about(project: Project, options: Options) -> list[str]:
    """Say what consumes each queue, and what is sent when."""
    nobody = "nobody yet; export the lines below, and run caraway worker"
    worker = "the ECS-style worker"
    lines = []
    for queue in project.queues:
        by_worker = options.worker and queue.name in options.queues
        if queue.consumer == "lambda":
            consumer = f"a Lambda function and {worker}" if by_worker else "a Lambda function"
        else:
            consumer = worker if by_worker or (options.worker and not options.queues) else nobody
        lines.append(f"queue {queue.name}: {consumer}")
    lines += [
        f"schedule {each.entry}: {each.expression}, to {each.queue}" for each in project.schedules
    ]
    if options.speed != 1:
        lines.append(
            f"The clock of schedules runs {options.speed:g} times as fast as the real one; "
            "tasks, and delays of up to 15 minutes, take the time that they take."
        )
    return lines


def _export_lines(exported: Mapping[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in exported.items()]


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
