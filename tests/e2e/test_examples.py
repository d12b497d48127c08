"""Each example is started by the two commands of its README, used as by its user, and stopped."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from caraway.local.engine import LocalEngine
from tests.e2e.conftest import ROOT, receive_one
from tests.e2e.conftest import wait_until as wait_for
from tests.ports import engine_at, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.e2e

EXAMPLES = ROOT / "examples"
PATIENCE_S = 300
"""Far longer than anything takes, also on a busy machine with packages that are to be installed."""


def wait_until(condition: Callable[[], object]) -> bool:
    return wait_for(condition, PATIENCE_S)


# -- READMEs ----------------------------------------------------------------------------------


def section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def commands(text: str) -> list[str]:
    """Return what a part of a README tells to type."""
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


def says(shown: str, output: str) -> bool:
    """Say whether an output is as a README shows it, where ``...`` stands for anything."""
    pattern = ".*".join(map(re.escape, shown.strip().split("...")))
    return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


def outputs(text: str) -> list[str]:
    """Return the outputs that a part of a README shows."""
    return re.findall(r"^```text\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


# -- running ----------------------------------------------------------------------------------


@dataclass
class Terminal:
    """A terminal in which one command runs until Ctrl-C."""

    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def ctrl_c(self) -> None:
        """Tell all that the command runs to stop, as a terminal does, and wait until it has."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(PATIENCE_S)

    def is_quiet(self) -> bool:
        """Say whether no process of it is left."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False


@dataclass
class Example:
    """An example at work in a copy of its folder."""

    folder: Path
    readme: str
    temporary: Path
    port: int
    dev: Terminal = field(init=False)
    exports: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "TMPDIR": str(self.temporary), "NO_COLOR": "1"}
        return os.environ | own | {"CARAWAY_DEV_PORT": "0"} | self.exports

    @property
    def second(self) -> str:
        """The command of the second terminal."""
        return commands(section(self.readme, "Start it"))[1]

    @contextmanager
    def terminal(self, command: str, name: str) -> Iterator[Terminal]:
        """Type a command that runs until Ctrl-C."""
        log = self.folder.parent / f"{name}.log"
        before, then, last = command.replace("8000", str(self.port)).rpartition("&& ")
        with log.open("wb") as output:
            process = subprocess.Popen(
                f"{before}{then}exec {last}",  # in place of the shell, which a Ctrl-C ends first
                shell=True,
                env=self.environ,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = Terminal(process, log)
        try:
            yield running
            running.ctrl_c()
            assert wait_until(running.is_quiet), f"{command} has left something running"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def type(self, command: str, exit_code: int = 0, folder: str = "") -> str:
        """Type a command that ends by itself; return what it prints."""
        done = subprocess.run(
            command,
            shell=True,
            env=self.environ,
            cwd=self.folder / folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == exit_code, done.stdout + self.dev.text()
        return done.stdout

    @contextmanager
    def server(self) -> Iterator[httpx.Client]:
        """Run a second terminal's web server; yield a browser."""
        with (
            self.terminal(self.second, "server") as server,
            httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE_S) as client,
        ):
            assert wait_until(lambda: answers(self.port) or server.process.poll() is not None)
            assert answers(self.port), server.text() + self.dev.text()
            yield client

    def client(self, service: str) -> Any:
        """Return a client of the local AWS that the example runs on."""
        engine = LocalEngine()
        engine.endpoint_url = self.exports["AWS_ENDPOINT_URL"]
        return engine.client(service)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Example]:
    """Start the example of that name by the first command of its README."""
    folder = tmp_path / request.param
    ignored = shutil.ignore_patterns("__pycache__", "*.sqlite3", "sent_mail")
    shutil.copytree(EXAMPLES / request.param, folder, ignore=ignored)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    running = Example(folder, (folder / "README.md").read_text(), temporary, free_port())
    first, _second = commands(section(running.readme, "Start it"))
    with running.terminal(first, "dev") as dev:
        running.dev = dev
        assert wait_until(lambda: "Ready." in dev.text() or dev.process.poll() is not None)
        assert "Ready." in dev.text(), dev.text()
        running.exports = dict(re.findall(r"^export (\w+)=(.*)$", dev.text(), re.MULTILINE))
        engine = engine_at(running.exports["AWS_ENDPOINT_URL"])
        assert engine
        yield running
    assert dev.process.returncode == 0, dev.text()
    assert engine_at(running.exports["AWS_ENDPOINT_URL"]) != engine
    assert list(temporary.iterdir()) == []


def of(name: str) -> pytest.MarkDecorator:
    """Run a test on an example."""
    return pytest.mark.parametrize("example", [name], indirect=True)


# -- the examples -----------------------------------------------------------------------------


@of("django_mail")
def test_a_django_form_sends_mail_in_the_background(example: Example) -> None:
    with example.server() as browser:
        form = browser.get("/")
        (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
        filled = {"name": "Ada", "email": "ada@example.com", "text": "Do you sell engines?"}
        sent = browser.post("/", data={**filled, "csrfmiddlewaretoken": token})
        assert sent.status_code == 302, sent.text
        page = sent.headers["Location"]
        assert "Thank you, Ada" in browser.get(page).text
        assert wait_until(lambda: "the mails are out" in browser.get(page).text), example.dev.text()
        assert wait_until(lambda: "<b>SUCCESS</b>" in browser.get(page).text)
        mails = "".join(each.read_text() for each in (example.folder / "sent_mail").iterdir())
        assert "Do you sell engines?" in mails
        receivers = re.findall(r"^To: (.*)$", mails, re.MULTILINE)
        assert sorted(receivers) == ["ada@example.com", "team@example.com"]
        assert browser.post("/", data={"csrfmiddlewaretoken": token}).status_code == 200
    assert "queue default: the ECS-style worker" in example.dev.text()


@of("fastapi_endpoint")
def test_an_endpoint_answers_at_once_and_another_shows_the_progress(example: Example) -> None:
    with example.server() as browser:
        started = browser.post("/primes", json={"limit": 3_000_000})
        assert started.status_code == 202
        where = started.headers["Location"]
        assert where == started.json()["status_url"]
        seen: list[dict[str, Any]] = []

        def is_done() -> bool:
            seen.append(browser.get(where).json())
            return seen[-1]["state"] not in ("PENDING", "STARTED", "PROGRESS")

        assert wait_until(is_done), example.dev.text()
        assert seen[-1] == {"state": "SUCCESS", "progress": None, "result": 216816, "error": None}
        shown = [each["progress"]["percent"] for each in seen if each["progress"]]
        assert shown == sorted(shown)
        assert set(shown) <= set(range(10, 101, 10))
        assert browser.post("/primes", json={"limit": 0}).status_code == 422
        assert browser.get("/primes/unknown").json()["state"] == "PENDING"
    assert "216816" in section(example.readme, "Use it")


@of("sign_up")
def test_a_sign_up_starts_four_tasks_and_none_of_them_twice(example: Example) -> None:
    (shown,) = outputs(section(example.readme, "Start it"))
    assert says(shown, first := example.type(example.second))
    lines = ("mail to ada", "avatar of ada", "contact ada", "audit: ada")
    assert wait_until(lambda: all(line in example.dev.text() for line in lines))
    assert example.type(example.second) == first
    assert example.type("python join.py Grace@example.com").endswith("1 attempts\n")
    # Whatever the first sign-up sent before the second is through: each step has run once.
    assert wait_until(lambda: "audit: Grace" in example.dev.text())
    assert [example.dev.text().count(line) for line in lines] == [1, 1, 1, 1]


@of("by_name")
def test_a_service_knows_only_names(example: Example) -> None:
    assert "import billing" not in (example.folder / "service" / "shop.py").read_text()
    typed = [example.second, *commands(section(example.readme, "Then try"))]
    shown = [
        *outputs(section(example.readme, "Start it")),
        *outputs(section(example.readme, "Then try")),
    ]
    printed = [
        example.type(typed[0]),
        *(example.type(each, exit_code=1, folder="service") for each in typed[1:]),
    ]
    for expected, actual in zip(shown, printed, strict=True):
        assert says(expected, actual), actual
    sqs = example.client("sqs")
    dead = f"{example.exports['CARAWAY_QUEUE_NAME_PREFIX']}default-dlq"
    letter = receive_one(sqs, sqs.get_queue_url(QueueName=dead)["QueueUrl"])
    assert "billing.make_invoce" in letter["MessageAttributes"]["reason"]["StringValue"]


@of("nightly_report")
def test_a_schedule_makes_a_report_of_its_own_day(example: Example) -> None:
    (shown,) = outputs(section(example.readme, "Start it"))
    assert says(shown, example.type(example.second))
    scheduler, sqs, s3 = (example.client(each) for each in ("scheduler", "sqs", "s3"))
    prefix, bucket = (
        example.exports[f"CARAWAY_{each}"] for each in ("QUEUE_NAME_PREFIX", "PAYLOAD_BUCKET")
    )
    (listed,) = scheduler.list_schedules()["Schedules"]
    schedule = scheduler.get_schedule(Name=listed["Name"], GroupName=listed["GroupName"])
    assert schedule["ScheduleExpression"] == "cron(30 17 * * ? *)"
    assert schedule["ScheduleExpression"] in example.readme
    assert "nightly" in example.type("caraway beat list -A reports:app")
    assert schedule["Target"]["Arn"].endswith(f":{prefix}default")

    # What the schedule will send at 02:30 in Seoul, and once more, as EventBridge may.
    due = datetime(2026, 11, 22, 17, 30, tzinfo=timezone.utc)
    message = schedule["Target"]["Input"].replace(
        "<aws.scheduler.scheduled-time>", due.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
    url = sqs.get_queue_url(QueueName=f"{prefix}default")["QueueUrl"]
    for _ in range(2):
        sqs.send_message(QueueUrl=url, MessageBody=message)

    def report() -> str:
        found = s3.list_objects_v2(Bucket=bucket, Prefix="reports/2026-11-22")
        keys = [each["Key"] for each in found.get("Contents", [])]
        return "".join(s3.get_object(Bucket=bucket, Key=k)["Body"].read().decode() for k in keys)

    assert wait_until(report), example.dev.text()
    assert report() == "product,total\npen,1.20\n"
    assert json.loads(message)["task"] == "reports.nightly"
    assert due + timedelta(hours=9) == datetime(2026, 11, 23, 2, 30, tzinfo=timezone.utc)


@of("lambda_producer")
def test_a_function_behind_api_gateway_leaves_the_work_to_a_task(example: Example) -> None:
    (shown,) = outputs(section(example.readme, "Start it"))
    printed = example.type(example.second)
    assert says(shown, printed)
    api = printed.split()[-1]
    order = {"email": "ada@example.com", "sku": "pen", "quantity": 2}
    with httpx.Client(timeout=PATIENCE_S) as client:
        taken = client.post(f"{api}/orders", json=order)
        assert taken.status_code == 202, taken.text
        where = api + taken.json()["status"]
        assert wait_until(lambda: client.get(where).json()["state"] == "SUCCESS")
        assert client.get(where).json() == {"state": "SUCCESS", "total": "19.80"}
        assert client.post(f"{api}/orders", content=json.dumps(order)).status_code == 202
        assert client.post(f"{api}/orders", json={"sku": "pen"}).status_code == 422
    assert wait_until(lambda: "mail to ada@example.com" in example.dev.text())


def test_every_example_is_in_the_index_and_has_a_test() -> None:
    folders = {each.name for each in EXAMPLES.iterdir() if (each / "README.md").is_file()}
    index = (EXAMPLES / "README.md").read_text()
    assert {name for name in folders if f"]({name}/README.md)" in index} == folders
    assert folders == set(re.findall(r'^@of\("(\w+)"\)$', Path(__file__).read_text(), re.MULTILINE))
