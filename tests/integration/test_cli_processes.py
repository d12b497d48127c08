"""The command line as processes beside a moto server: workers, signals, terminals, pipes."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.integration.conftest import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Of Caraway nothing runs in this process, but moto's server does.
pytestmark = pytest.mark.usefixtures("unmeasured")

APP = """
from caraway import Caraway, Queue

app = Caraway("shop")
app.conf.update(task_queues=[Queue("default", consumer="ecs"), Queue("quiet", consumer="ecs")])

@app.task
def add(a: int, b: int) -> int:
    print("adding", a, b)
    return a + b

@app.task
def fails() -> None:
    raise ValueError("no stock")
"""
CARAWAY = (sys.executable, "-m", "caraway")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Yield the endpoint of a moto server in this process."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    assert server._server is not None
    server._server.server_close()


@pytest.fixture(scope="module")
def environ(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Deploy the shop; return the whole environment of its processes."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "CARAWAY_", "COVERAGE_PROCESS"))
    } | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "CARAWAY_APP": "shop:app",
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    session: Any = boto3.session.Session("test", "test", region_name="us-east-1")
    sqs = session.client("sqs", endpoint_url=endpoint)
    for queue in ("default", "quiet"):
        sqs.create_queue(QueueName=queue)
    session.client("dynamodb", endpoint_url=endpoint).create_table(
        TableName="caraway-tasks",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return own


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder that holds the app."""
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def run(
    folder: Path, environ: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [*CARAWAY, *arguments],
        cwd=folder,
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@contextmanager
def start(
    folder: Path, environ: Mapping[str, str], *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    """Start the command line; it is killed at the end unless it has ended."""
    with subprocess.Popen(
        [*CARAWAY, *arguments],
        cwd=folder,
        env=dict(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(stream: IO[str] | None, end: str) -> str:
    """Return what a process writes up to a line with some text, which must come."""
    assert stream is not None
    lines = []
    for line in stream:
        lines.append(line)
        if end in line:
            return "".join(lines)
    raise AssertionError(f"{end!r} never came:\n{''.join(lines)}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["worker", "-Q", "default", "-c", "2", "-n", "box@%%"],
        ["-A", "shop:app", "worker", "-Q", "default,quiet", "-P", "solo", "-l", "info"],
        ["worker", "-A", "shop:app", "-P", "asyncio", "--shutdown-timeout", "5"],
    ],
    ids=["threads", "solo", "asyncio"],
)
def test_a_worker_runs_what_is_called_and_stops_warmly(
    folder: Path, environ: dict[str, str], arguments: list[str]
) -> None:
    with start(folder, environ, *arguments) as worker:
        try:
            banner = read_until(worker.stderr, " ready.")
            assert "\n[queues]\n  . default " in banner
            assert "\n[tasks]\n  . shop.add\n  . shop.fails\n" in banner
            added = run(folder, environ, "call", "shop.add", "--args", "[2, 3]", "--wait")
            assert (added.returncode, added.stdout) == (0, "5\n"), added.stderr
            failed = run(folder, environ, "call", "shop.fails", "--wait")
            assert failed.returncode == 1
            assert "shop.fails ended as FAILURE: ValueError: no stock" in failed.stderr
        finally:
            worker.send_signal(signal.SIGTERM)
            said, logged = worker.communicate(timeout=PATIENCE_S)
    assert worker.returncode == 0
    assert said == ""
    assert f"shop.add[{added.stderr.strip()}]: adding 2 3\n" in logged
    assert "succeeded in" in logged
    assert "warm shutdown" in logged


def test_ctrl_c_ends_a_wait_as_shells_expect(folder: Path, environ: dict[str, str]) -> None:
    with start(
        folder, environ, "call", "shop.add", "-Q", "quiet", "--args", "[1, 1]", "-w"
    ) as call:
        line = read_until(call.stderr, "-")  # its id: it waits now
        call.send_signal(signal.SIGINT)
        _, said = call.communicate(timeout=PATIENCE_S)
    assert call.returncode == 130
    id = line.strip()
    assert said == f"Error: interrupted: the task goes on (caraway result {id} --follow)\n"


def test_an_endpoint_that_is_down_is_one_line(folder: Path, environ: dict[str, str]) -> None:
    result = run(folder, {**environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "result", "x")
    assert result.returncode == 4
    assert result.stderr.startswith("Error: AWS does not answer")
    assert result.stderr.count("\n") == 1


def test_a_warning_about_a_setting_does_not_disturb_json(
    folder: Path, environ: dict[str, str]
) -> None:
    with (folder / "shop.py").open("a") as module:
        module.write("\napp.conf.update(broker_url='sqs://')\n")
    result = run(folder, environ, "queues", "--json")
    assert [row["name"] for row in json.loads(result.stdout)] == ["default", "quiet"]
    assert "broker_url has no meaning here" in result.stderr


# -- on a terminal ----------------------------------------------------------------------------


def on_a_terminal(folder: Path, environ: Mapping[str, str], *arguments: str) -> str:
    """Run the command line on a terminal of its own; return what a person sees."""
    ours, theirs = pty.openpty()
    size = {"COLUMNS": "120", "TERM": "xterm-256color"}
    with subprocess.Popen(
        [*CARAWAY, *arguments],
        cwd=folder,
        env={**environ, **size},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        seen = b""
        while chunk := _read(ours):
            seen += chunk
    os.close(ours)
    return seen.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the other side is closed
        return b""


def test_a_person_sees_a_ruled_table_and_a_machine_plain_text(
    folder: Path, environ: dict[str, str]
) -> None:
    seen = on_a_terminal(folder, environ, "queues")
    assert "─" in seen
    assert "default" in seen
    assert "─" not in run(folder, environ, "queues").stdout


def test_without_rich_a_person_sees_the_plain_text(folder: Path, environ: dict[str, str]) -> None:
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['rich'] = None\n")
    path = os.pathsep.join([str(folder), environ.get("PYTHONPATH", "")])
    seen = on_a_terminal(folder, {**environ, "PYTHONPATH": path}, "queues")
    assert "─" not in seen
    assert "QUEUE    CONSUMER" in seen


@pytest.mark.parametrize(
    ("arguments", "more", "colored"),
    [
        (["doctor"], {}, True),
        (["--no-color", "doctor"], {}, False),
        (["doctor"], {"NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_people_who_want_them(
    folder: Path, environ: dict[str, str], arguments: list[str], more: dict[str, str], colored: bool
) -> None:
    assert ("\x1b[32mok" in on_a_terminal(folder, {**environ, **more}, *arguments)) is colored


def test_json_on_a_terminal_is_json_still(folder: Path, environ: dict[str, str]) -> None:
    assert json.loads(on_a_terminal(folder, environ, "queues", "--json"))[0]["name"] == "default"
