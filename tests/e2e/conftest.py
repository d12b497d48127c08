"""The deployed template with the corridor app on it, and real workers beside it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from caraway.beat import schedules_of, stores_of
from caraway.core.beat_sync import sync
from caraway.core.ids import occurrence_id
from caraway.core.port import run_now
from caraway.local.deploy import deploy
from caraway.local.environ import exports, surroundings
from caraway.local.package import build_package
from caraway.local.provision import template_for
from caraway.local.template import load_template
from tests.e2e import corridor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caraway.local.engine import LocalEngine
    from caraway.result import AsyncResult

ROOT = Path(__file__).parents[2]
APP = "tests.e2e.corridor:app"
PREFIX = "doors-"
PATIENCE_S = 120
"""Far longer than anything takes that is waited for, also cold starts on a busy machine."""


def wait_until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> bool:
    """Look again and again whether something has come true."""
    deadline = time.monotonic() + patience_s
    while not (come_true := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.02)
    return come_true


def receive_one(sqs: Any, url: str) -> Any:
    """Return the one message that comes to a queue."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        received = sqs.receive_message(
            QueueUrl=url, WaitTimeSeconds=20, MessageAttributeNames=["All"]
        )
        for message in received.get("Messages", ()):
            return message
    raise AssertionError(f"nothing has come to {url}")


@dataclass
class RunningWorker:
    """A ``caraway worker``, to be sent signals."""

    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def is_ready(self) -> bool:
        return " ready." in self.text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE_S)


@dataclass
class Deployed:
    """The stack, and the environment that leads to it."""

    engine: LocalEngine
    outputs: dict[str, str]
    environ: dict[str, str]
    package: Path
    folder: Path
    _workers: int = field(default=0)

    @contextmanager
    def worker(self, *arguments: str) -> Iterator[RunningWorker]:
        """Run a worker; it is killed at the end unless it has ended."""
        self._workers += 1
        log = self.folder / f"worker-{self._workers}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "caraway", "worker", "-A", APP, *arguments],
                env=surroundings(self.environ),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running = RunningWorker(process, log)
        try:
            assert wait_until(lambda: running.is_ready() or process.poll() is not None)
            assert running.is_ready(), running.text()
            yield running
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def is_empty(self, queue: str) -> bool:
        """Say whether nothing waits in a queue and nobody holds a message of it."""
        sqs = self.engine.client("sqs")
        found = sqs.get_queue_attributes(
            QueueUrl=sqs.get_queue_url(QueueName=self.outputs["Prefix"] + queue)["QueueUrl"],
            AttributeNames=["All"],
        )["Attributes"]
        return all(
            int(found[f"ApproximateNumberOfMessages{which}"]) == 0
            for which in ("", "NotVisible", "Delayed")
        )


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the real package of the corridor app."""
    folder = tmp_path_factory.mktemp("package")
    place = folder / "project" / "tests" / "e2e" / "corridor.py"
    place.parent.mkdir(parents=True)
    shutil.copyfile(corridor.__file__, place)
    return build_package(
        folder / "build", ROOT / "requirements" / "lambda.txt", [folder / "project" / "tests"]
    )


@pytest.fixture(scope="session")
def deployed(
    engine: LocalEngine, package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """Deploy template.yaml with the corridor app."""
    folder = tmp_path_factory.mktemp("doors")
    # Beside the template's own queues, two that docs/deploy.md says how to add.
    groups = [queue for queue in corridor.app.site.router.queues.values() if queue.fifo]
    body = template_for(load_template(ROOT / "template.yaml"), groups, PREFIX)
    events = body["Resources"]["Worker"]["Properties"]["Events"]
    # The fewest that AWS knows: ten that start at once take this machine's time from all else.
    events["Default"]["Properties"]["ScalingConfig"] = {"MaximumConcurrency": 2}
    template = folder / "template.json"
    template.write_text(json.dumps(body))
    outputs = deploy(
        engine.client,
        template,
        "doors",
        parameters={"App": APP, "Prefix": PREFIX},
        code={"Worker": package},
    )
    sqs = engine.client("sqs")
    for name in ("signals", "signals-dlq", "mortal", "mortal-dlq"):
        sqs.create_queue(QueueName=PREFIX + name)
    corridor.app.conf.update(
        queue_name_prefix=outputs["Prefix"],
        task_table=outputs["TaskTable"],
        payload_bucket=outputs["PayloadBucket"],
    )
    yield Deployed(engine, outputs, exports(engine, outputs), package, folder)
    corridor.app.close()


@pytest.fixture
def producer(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """Let this process be a producer for the deployed app."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in deployed.engine.environ().items():
        monkeypatch.setenv(name, value)
    return deployed


@pytest.fixture(scope="session")
def ecs_worker(deployed: Deployed) -> Iterator[RunningWorker]:
    """Run a worker of the large queue beside the function of the default queue."""
    with deployed.worker("-Q", "large", "-c", "4") as running:
        yield running


@pytest.fixture(scope="session")
def occurrences(deployed: Deployed) -> dict[str, list[AsyncResult[str]]]:
    """Bring the app's schedule to EventBridge; returns each entry's results of the next minutes.

    A rule first fires after about a minute, so whoever has to wait anyway asks for this as well.
    """
    app = corridor.app
    with pytest.MonkeyPatch.context() as patch:
        for name, value in deployed.engine.environ().items():
            patch.setenv(name, value)
        now = app.aws.now().replace(second=0, microsecond=0)
        run_now(sync(app.aws, stores_of(app), schedules_of(app, now)))
    ahead = {"minutely": range(0, 600, 60), "thrice": range(0, 600, 20)}
    return {
        entry: [
            app.AsyncResult(occurrence_id(entry, now + timedelta(seconds=second)))
            for second in seconds
        ]
        for entry, seconds in ahead.items()
    }
