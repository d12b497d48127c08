"""``caraway dev`` runs a user's whole app, and nothing of it is left afterwards."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import PATIENCE_S, ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

# Whoever imports it holds a lock, so that a test can see whether any of them still runs.
SHOP = """
import fcntl

from caraway import Caraway, Queue

held = open({held!r}, "a")
fcntl.flock(held, fcntl.LOCK_SH)

app = Caraway("shop")
app.conf.update(
    task_queues=[Queue("default"), Queue("priority"), Queue("reports", consumer="ecs")],
    task_routes={{"reports.*": {{"queue": "reports"}}}}, timezone="Asia/Seoul",
    beat_schedule={{"hourly": {{"task": "reports.generate", "schedule": 3600, "args": (1,)}}}})

@app.task(bind=True, autoretry_for=(ConnectionError,), retry_backoff=True, max_retries=5)
def send_email(self, to: str, subject: str) -> dict:
    print("sending to", to)
    return {{"to": to, "subject": subject, "queue": self.request.delivery_info["queue"]}}
"""

REPORTS = """
from shop import app

@app.task(name="reports.generate")
def generate(number: int) -> str:
    print("generating", number)
    return f"report {number}"
"""

# What a producer does, by turns; it does not have the code of the reports.
PRODUCER = """
import asyncio
from shop import app, send_email

result = send_email.delay("user@example.com", "Hello")
vip = send_email.apply_async(("vip@example.com", "Hi"), queue="priority", countdown=1)
report = app.send_task("reports.generate", args=[3])
print(result.get(timeout=20)["queue"], result.state)
print(report.get(timeout=20))
print(vip.get(timeout=20)["queue"])

async def main():
    result = await send_email.adelay("user@example.com", "Hello")
    print(await result.aget(timeout=20))

asyncio.run(main())
"""


@dataclass
class Project:
    """A user's project, and a place for all temporary files."""

    folder: Path
    held: Path
    temporary: Path

    @property
    def environ(self) -> dict[str, str]:
        return os.environ | {"TMPDIR": str(self.temporary), "NO_COLOR": "1"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.environ,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def is_let_go(self) -> bool:
        """Say whether no process that imported the app is left."""
        with self.held.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True


@dataclass
class Dev:
    """A running ``caraway dev``."""

    project: Project
    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def exports(self) -> dict[str, str]:
        return dict(re.findall(r"^export (\w+)=(.*)$", self.text(), re.MULTILINE))

    def produce(self) -> list[str]:
        """Run the producer in an environment as the printed lines make it."""
        done = subprocess.run(
            [sys.executable, "-c", PRODUCER],
            env=self.project.environ | self.exports(),
            cwd=self.project.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr + self.text()
        return done.stdout.splitlines()

    def answers(self) -> bool:
        place = urlsplit(self.exports()["AWS_ENDPOINT_URL"])
        with socket.socket() as probe:
            return probe.connect_ex((place.hostname, place.port)) == 0

    def left_nothing(self) -> bool:
        return (
            self.project.is_let_go()
            and not self.answers()
            and not list(self.project.temporary.iterdir())
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "project", tmp_path / "held", tmp_path / "tmp")
    made.folder.mkdir()
    made.temporary.mkdir()
    (made.folder / "shop.py").write_text(
        SHOP.format(held=str(made.held)) + '\napp.conf.update(imports=["reports"])\n'
    )
    (made.folder / "reports.py").write_text(REPORTS)
    shutil.copyfile(ROOT / "requirements" / "lambda.txt", made.folder / "requirements.txt")
    return made


@contextmanager
def dev_of(project: Project, *arguments: str) -> Iterator[Dev]:
    log = project.folder.parent / "dev.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "caraway", "dev", "-A", "shop:app", *arguments],
            env=project.environ,
            cwd=project.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    dev = Dev(project, process, log)
    try:
        assert wait_until(lambda: "Ready." in dev.text() or process.poll() is not None, 300)
        assert "Ready." in dev.text(), dev.text()
        yield dev
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)


def test_a_users_app_works_and_ctrl_c_leaves_nothing(project: Project) -> None:
    with dev_of(project, "-c", "3", "-P", "asyncio") as dev:
        assert dev.produce() == [
            "default SUCCESS",
            "report 3",
            "priority",
            "{'to': 'user@example.com', 'subject': 'Hello', 'queue': 'default'}",
        ]
        assert wait_until(lambda: "lambda | sending to user@example.com" in dev.text())
        assert "concurrency: 3 (asyncio)" in dev.text()
        assert re.search(r"worker \| .*generating 3", dev.text())
        assert "schedule hourly: rate(60 minutes), to caraway-reports" in dev.text()
        assert not project.is_let_go()
        dev.process.send_signal(signal.SIGINT)
        assert dev.process.wait(PATIENCE_S) == 0
    assert dev.left_nothing(), dev.text()


def test_nothing_is_left_when_it_is_killed(project: Project) -> None:
    with dev_of(project) as dev:
        assert not project.is_let_go()
        dev.process.kill()
        dev.process.wait()
        assert wait_until(dev.left_nothing)


def test_code_that_cannot_run_on_lambda_is_told_at_once(project: Project) -> None:
    with (project.folder / "reports.py").open("a") as code:
        code.write("import os\nif 'LAMBDA_TASK_ROOT' in os.environ:\n    import absent\n")
    done = project.run("-m", "caraway", "dev", "-A", "shop:app")
    assert done.returncode == 1
    assert "cannot run your code: No module named 'absent'" in done.stdout
    assert 'reports.py", line' in done.stdout
    assert project.is_let_go()
    assert not list(project.temporary.iterdir())


def test_a_worker_that_cannot_start_is_told_at_once(project: Project) -> None:
    done = project.run("-m", "caraway", "dev", "-A", "shop:app", "-P", "solo", "-c", "2")
    assert done.returncode == 1
    assert "-P solo runs one task at a time" in done.stdout
    assert project.is_let_go()
