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
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from caraway.local.provision import TEMPLATE
from tests.e2e.conftest import PATIENCE_S, ROOT, wait_until
from tests.ports import engine_at

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
print(result.get(timeout=120)["queue"], result.state)
print(report.get(timeout=120))
print(vip.get(timeout=120)["queue"])

async def main():
    result = await send_email.adelay("user@example.com", "Hello")
    print(await result.aget(timeout=120))

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
        own = {"TMPDIR": str(self.temporary), "NO_COLOR": "1", "CARAWAY_DEV_PORT": "0"}
        return os.environ | own

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
    engine: str | None = None
    """The name of its engine, once it is ready."""

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def exports(self) -> dict[str, str]:
        return dict(re.findall(r"^export (\w+)=(.*)$", self.text(), re.MULTILINE))

    def produce(self) -> list[str]:
        """Let a producer do what users do."""
        return self.run(PRODUCER).splitlines()

    def run(self, code: str) -> str:
        """Run code beside the app, in an environment as the printed lines make it."""
        done = subprocess.run(
            [sys.executable, "-c", f"from shop import app\n{code}"],
            env=self.project.environ | self.exports(),
            cwd=self.project.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr + self.text()
        return done.stdout.strip()

    def send(self, queue: str) -> str:
        """Send a mail by a queue, and return what the task says of it."""
        return self.run(
            f"mail = app.send_task('shop.send_email', args=['a', 'b'], queue='{queue}')\n"
            "print(mail.get(timeout=120)['queue'])"
        )

    def report(self) -> str:
        return self.run("print(app.send_task('reports.generate', args=[3]).get(timeout=120))")

    def reloads(self) -> int:
        return self.text().count(" Reloaded in ")

    def engine_there(self) -> str | None:
        """Return the name of the engine that answers where its own did."""
        return engine_at(self.exports()["AWS_ENDPOINT_URL"])

    def left_nothing(self) -> bool:
        return (
            self.project.is_let_go()
            and self.engine_there() != self.engine
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
        dev.engine = dev.engine_there()
        assert dev.engine
        yield dev
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(2 * PATIENCE_S)
        finally:
            process.kill()


def test_a_users_app_works_and_ctrl_c_leaves_nothing(project: Project) -> None:
    with dev_of(project, "-c", "3", "-P", "asyncio") as dev:
        assert dev.produce() == [
            "default SUCCESS",
            "report 3",
            "priority",
            "{'to': 'user@example.com', 'subject': 'Hello', 'queue': 'default'}",
        ]
        assert wait_until(
            lambda: re.search(r"lambda \| [\d:]{8} sending to user@example.com", dev.text())
        )
        assert "concurrency: 3 (asyncio)" in dev.text()
        assert wait_until(lambda: re.search(r"worker \| .*generating 3", dev.text()))
        assert "schedule hourly: cron(0 * * * ? *), to caraway-reports" in dev.text()
        assert not project.is_let_go()
        dev.process.send_signal(signal.SIGINT)
        assert dev.process.wait(PATIENCE_S) == 0
    assert dev.left_nothing(), dev.text()


def test_saved_files_run_on_both_doors_broken_ones_do_not_and_a_kill_leaves_nothing(
    project: Project,
) -> None:
    shop, reports = project.folder / "shop.py", project.folder / "reports.py"
    with dev_of(project, "-l", "info", "--", "-n", "first@%h") as dev:
        assert "worker | first@" in dev.text()

        reports.write_text(REPORTS + "\ndef broken(:\n")
        assert wait_until(lambda: "SyntaxError" in dev.text())
        assert re.search(r'the old code goes on: .*\n(.*\n)*.*reports\.py", line \d+', dev.text())
        assert (dev.send("default"), dev.report()) == ("default", "report 3")

        # Both at once, with another queue and another schedule.
        shop.write_text(
            shop.read_text()
            .replace('Queue("priority")', 'Queue("priority"), Queue("more")')
            .replace('["queue"]}', '["queue"] + " anew"}')
            .replace('"schedule": 3600', '"schedule": 7200')
        )
        reports.write_text(REPORTS.replace("report {", "new report {"))
        assert wait_until(lambda: dev.reloads() >= 1)
        assert wait_until(lambda: dev.report() == "new report 3")
        assert dev.send("more") == "more anew"
        kept = dev.run(
            "import boto3\n"
            "scheduler = boto3.client('scheduler')\n"
            "for each in scheduler.list_schedules(GroupName='caraway-schedules')['Schedules']:\n"
            "    at = {'Name': each['Name'], 'GroupName': each['GroupName']}\n"
            "    print(scheduler.get_schedule(**at)['ScheduleExpression'])\n"
            "print(len(boto3.client('events').list_rules(NamePrefix='caraway-shop')['Rules']))"
        )
        assert kept.split("\n") == ["cron(0 0/2 * * ? *)", "0"]

        # What Lambda alone cannot import is taken back.
        done = dev.reloads()
        shop.write_text(
            shop.read_text().replace(" anew", " never")
            + "\nimport os\nif 'LAMBDA_TASK_ROOT' in os.environ:\n    import absent\n"
        )
        assert wait_until(lambda: "cannot run your code: No module named 'absent'" in dev.text())
        assert dev.reloads() == done
        assert dev.send("default") == "default anew"

        assert not project.is_let_go()
        dev.process.kill()
        dev.process.wait()
        assert wait_until(dev.left_nothing)


def test_what_is_kept_is_there_at_the_next_start_however_the_last_one_ended(
    project: Project,
) -> None:
    kept = project.folder / "kept"
    options = ("--keep", str(kept), "--no-reload", "--no-worker")
    with dev_of(project, *options) as dev:
        waiting = dev.run("print(app.send_task('reports.generate', args=[5]).id)")
        done = dev.run(
            "r = app.send_task('shop.send_email', args=['a', 'b']); r.get(timeout=120); print(r.id)"
        )
        dev.process.kill()
        dev.process.wait()
        assert wait_until(dev.left_nothing)
    with dev_of(project, "--keep", str(kept), "--no-reload") as dev:
        assert dev.run(f"print(app.AsyncResult('{done}').get(timeout=1)['to'])") == "a"
        assert dev.run(f"print(app.AsyncResult('{waiting}').get(timeout=120))") == "report 5"
        dev.process.send_signal(signal.SIGTERM)
        assert dev.process.wait(PATIENCE_S) == 0
        assert dev.left_nothing(), dev.text()


def test_a_port_that_is_taken_is_told(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = project.run("-m", "caraway", "dev", "-A", "shop:app", "--port", str(port))
    assert done.returncode == 1
    assert f"Port {port} of 127.0.0.1 is in use: stop what listens there" in done.stdout


def test_an_app_that_cannot_be_imported_is_told_before_anything_starts(project: Project) -> None:
    (project.folder / "reports.py").write_text("import absent\n")
    done = project.run("-m", "caraway", "dev", "-A", "shop:app")
    assert done.returncode == 3
    assert "No module named 'absent'" in done.stdout
    assert 'reports.py", line 1' in done.stdout
    assert "A local AWS runs" not in done.stdout


def test_a_package_that_cannot_be_built_is_told_with_pips_words(project: Project) -> None:
    (project.folder / "requirements.txt").write_text("./no-such-folder\n")
    done = project.run("-m", "caraway", "dev", "-A", "shop:app")
    assert done.returncode == 1
    assert "pip could not install what is needed" in done.stdout
    assert "no-such-folder" in done.stdout
    assert project.is_let_go()


def test_a_stack_that_fails_is_told_with_the_resource_and_the_reason(project: Project) -> None:
    template = TEMPLATE.read_text().replace(
        "Resources:\n", "Resources:\n  Odd:\n    Type: AWS::Odd::Thing\n", 1
    )
    (project.folder / "mine.yaml").write_text(template)
    done = project.run("-m", "caraway", "dev", "-A", "shop:app", "--template", "mine.yaml")
    assert done.returncode == 1
    assert re.search(r"stack caraway-dev .*Odd", done.stdout)


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
    # Nothing is for Lambda: the worker is all that starts.
    shop = project.folder / "shop.py"
    for_the_worker = shop.read_text().replace('Queue("default"), Queue("priority"), ', "")
    shop.write_text(for_the_worker + 'app.conf.task_default_queue = "reports"\n')
    done = project.run("-m", "caraway", "dev", "-A", "shop:app", "-P", "solo", "-c", "2")
    assert done.returncode == 1
    assert "-P solo runs one task at a time" in done.stdout
    assert project.is_let_go()


# -- schedules ------------------------------------------------------------------------------------

CLOCKED = """
from caraway.schedules import crontab

# What is sent at another time than the real one is signed anew.
app.conf.update(task_signing_keys={"dev": "s" * 40}, task_signing_key_id="dev",
                task_require_signature=True)
app.conf.update(beat_schedule={
    "hourly": {"task": "shop.stamp", "schedule": crontab(minute=0), "args": ("hourly",)},
    "half": {"task": "reports.stamp", "schedule": crontab(minute=30, tz="Asia/Kolkata"),
             "args": ("half",)},
    "paused": {"task": "shop.stamp", "schedule": 3600, "args": ("paused",), "enabled": False},
})

def noted(entry, request):
    # One write is one line, whoever else writes.
    with open(%r, "a") as file:
        file.write(f"{entry} {request.scheduled_time:%%Y-%%m-%%dT%%H:%%M:%%S}\\n")

@app.task(bind=True)
def stamp(self, entry):
    noted(entry, self.request)

@app.task(bind=True, name="reports.stamp")
def stamp_report(self, entry):
    noted(entry, self.request)
"""


def notes_of(project: Project) -> list[tuple[str, datetime]]:
    """What ran, and the time for which it did."""
    file = project.folder.parent / "notes"
    lines = file.read_text().splitlines() if file.exists() else []
    parts = [line.rpartition(" ") for line in lines]
    return sorted((name, datetime.fromisoformat(time)) for name, _, time in parts)


def are_hourly(times: list[datetime]) -> bool:
    """Say whether there is one at each hour, from the first to the last."""
    return bool(times) and times == [times[0] + timedelta(hours=each) for each in range(len(times))]


def test_a_day_of_schedules_takes_seconds_on_both_doors_each_occurrence_once(
    project: Project,
) -> None:
    with (project.folder / "shop.py").open("a") as code:
        code.write(CLOCKED % str(project.folder.parent / "notes"))

    def of(entry: str) -> list[datetime]:
        return [time for name, time in notes_of(project) if name == entry]

    with dev_of(project, "--clock", "3600x", "--no-reload") as dev:
        assert "The clock of schedules runs 3600 times as fast as the real one" in dev.text()
        assert wait_until(lambda: len(of("half")) >= 24 and len(of("hourly")) >= 10, 240)
    fired = re.findall(r"dev \| [\d:]{8} +Fired (\w+) of ([\d-]+ [\d:]+) UTC", dev.text())
    for entry in ("half", "hourly"):
        assert are_hourly([datetime.fromisoformat(time) for name, time in fired if name == entry])
    assert are_hourly(of("half"))
    # Of the function's, some are still under way where the machine is slow to start it.
    assert len(set(of("hourly"))) == len(of("hourly"))
    assert of("paused") == []
