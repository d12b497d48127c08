"""Where an app runs on this machine: the stack on the engine, the rules, the worker, their logs."""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError

from caraway.aws.blocking_aws import BlockingAws, Botocore
from caraway.aws.clients import ClientSettings
from caraway.core.beat_sync import sync
from caraway.core.port import run_now
from caraway.exceptions import LocalError
from caraway.local.clock import RunningClock
from caraway.local.deploy import empty_uploads
from caraway.local.environ import enter, exports, surroundings
from caraway.local.function import replace_code, warm_up
from caraway.local.logs import FunctionLog, records_of
from caraway.local.package import build_package
from caraway.local.provision import deploy_project
from caraway.local.ticking import Ticking
from caraway.local.worker import LocalWorker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from caraway.local.console import Console
    from caraway.local.engine import LocalEngine
    from caraway.local.firing import Fired
    from caraway.local.options import Options
    from caraway.local.project import Project
    from caraway.local.provision import Deployed

STACK: Final = "caraway-dev"
_LOOK_S: Final = 0.5


class Stage:
    """All that runs of an app; it takes one version of the app's code after another.

    Parameters
    ----------
    engine
        It runs.
    options
        What the command line says.
    console
        Shows what runs.

    Attributes
    ----------
    outputs
        The stack's, once it is deployed.
    has_lost_worker
        Whether none runs since a change, because it could not be started.
    """

    outputs: Mapping[str, str]

    def __init__(self, engine: LocalEngine, options: Options, console: Console) -> None:
        self._engine = engine
        self._options = options
        self._console = console
        self._build_dir = engine.folder / "packages"
        self._builds = 0
        self._worker: LocalWorker | None = None
        self._over = threading.Event()
        self.has_lost_worker = False
        self._reader: threading.Thread | None = None
        self._ticking: Ticking | None = None
        self._reading = threading.Lock()
        self._failure: str | None = None
        self._may_have_schedules = engine.state is not None

    def start(self, project: Project) -> None:
        """Deploy the app, and run it.

        Raises
        ------
        LocalError
            If something does not start; :meth:`stop` is to be called all the same.
        """
        with self._console.phase("stack"):
            deployed = self._deploy(project)
        self.outputs = deployed.outputs
        enter(surroundings(exports(self._engine, deployed.outputs)))
        self._log = FunctionLog(self._engine.client, deployed.function)
        self._reader = threading.Thread(target=self._show_log, name="function-log", daemon=True)
        self._reader.start()
        self._sync_schedules(project)
        # Both are slow to start, and independent.
        with self._console.phase("workers"), ThreadPoolExecutor(1) as aside:
            warming = aside.submit(self._warm_up, deployed)
            self._start_worker(project)
            warming.result()
        self._deployed, self._project = deployed, project
        self._start_schedules()

    def change(self, project: Project) -> None:
        """Run another version of the app's code, with the queues and the schedule that it declares.

        The function first: if it cannot run the new code, everything goes on with the old one.

        Raises
        ------
        LocalError
            If the new code cannot run.
        """
        self._change_function(project)
        self._sync_schedules(project)
        self._stop_worker()
        self._project = project
        self.has_lost_worker = True
        self._start_worker(project)
        self.has_lost_worker = False

    def check(self) -> None:
        """Raise if something has ended by itself.

        Raises
        ------
        LocalError
            Saying what, with its last lines.
        """
        if self._failure:
            raise LocalError(self._failure)
        if self._worker is not None:
            self._worker.check()

    def stop(self) -> None:
        """Stop what this has started: the worker warmly."""
        if self._ticking is not None:
            self._ticking.stop()
        self._stop_worker()
        self._over.set()
        if self._reader is not None:
            self._reader.join()

    def _deploy(self, project: Project) -> Deployed:
        client = self._engine.client
        deployed = deploy_project(
            client,
            project,
            STACK,
            build_dir=self._next_build(),
            template=self._options.template,
            requirements=self._options.requirements,
            progress=self._console.tell if self._reader else self._console.say,
        )
        # The stack may be as it was while the function has been given other code since.
        replace_code(client, deployed.function, deployed.package)
        empty_uploads(client)  # the function has its copy; on disk each would stay
        return deployed

    def _change_function(self, project: Project) -> None:
        """Give the function the new code; and the stack the queues, if they are others now."""
        client, former = self._engine.client, self._deployed
        if (project.name, project.queues) != (self._project.name, self._project.queues):
            self._deployed = self._deploy(project)
            self._project = project
            try:
                self._warm_up(self._deployed)
            except LocalError:
                replace_code(client, former.function, former.package)
                self._deployed = replace(self._deployed, package=former.package)
                raise
        elif former.holds_code:
            package = build_package(
                self._next_build(),
                self._options.requirements or project.requirements,
                project.sources,
                progress=self._console.tell,
            )
            try:
                replace_code(client, former.function, package, former.package)
            finally:
                self._show_new_records()  # of the failure, the traceback is there
            self._deployed = replace(former, package=package)
        empty_uploads(client)
        for folder in self._build_dir.iterdir():
            if folder != self._deployed.package.parent:
                shutil.rmtree(folder)

    def _next_build(self) -> Path:
        self._builds += 1
        return self._build_dir / str(self._builds)

    def _warm_up(self, deployed: Deployed) -> None:
        if not deployed.holds_code:
            return
        try:
            warm_up(self._engine.client, deployed.function)
        finally:
            self._show_new_records()

    def _sync_schedules(self, project: Project) -> None:
        """Make what is stored the app's schedule."""
        stores = project.stores_in(self.outputs)
        if stores is None or not (project.schedules or self._may_have_schedules):
            return
        self._may_have_schedules = True
        aws = BlockingAws(ClientSettings(self._engine.region, self._engine.endpoint_url))
        run_now(sync(aws, stores, project.schedules))

    def _start_schedules(self) -> None:
        """Fire rules and schedules, from now on."""
        settings = ClientSettings(self._engine.region, self._engine.endpoint_url)
        self._ticking = Ticking(
            Botocore(settings),
            RunningClock(self._options.speed),
            self._show_fired,
            lambda text: self._console.tell(text, "ERROR"),
            lambda: self._project.signing,
        )
        self._ticking.start()

    def _show_fired(self, fired: list[Fired]) -> None:
        for each in fired:
            due = each.scheduled_time.strftime("%Y-%m-%d %H:%M:%S")
            self._console.tell(f"Fired {each.name} of {due} UTC, to {each.target}")

    def _start_worker(self, project: Project) -> None:
        """Start a worker for the queues that Lambda does not consume, if there are any."""
        names = self._options.queues or [
            queue.name for queue in project.queues if queue.consumer == "ecs"
        ]
        if not (names and self._options.worker):
            return
        worker = LocalWorker(
            ["-A", project.name, "-Q", ",".join(names), *self._options.worker_options],
            os.environ,
            on_lines=lambda lines: self._console.show("worker", records_of(lines)),
            patience_s=project.patience_s,
        )
        self._worker = worker
        worker.start()

    def _stop_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()

    def _show_log(self) -> None:
        while not self._over.wait(_LOOK_S):
            try:
                self._show_new_records()
            except BotoCoreError as error:  # noqa: PERF203 - it ends the loop
                if not self._over.is_set():
                    self._failure = f"The local engine does not answer any more: {error}"
                return

    def _show_new_records(self) -> None:
        with self._reading:
            self._console.show("lambda", self._log.new_records())
