"""The local engine runs what is deployed on it, and nothing of it outlives whoever started it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from caraway.exceptions import LocalError
from caraway.local.deploy import deploy
from caraway.local.engine import LocalEngine
from caraway.local.environment import environment
from caraway.local.package import build_package
from tests.e2e.conftest import receive_one, wait_until
from tests.ports import engine_at

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

# The function needs no package: it talks to the engine with the standard library alone. It holds a
# lock for as long as its process lives, so that a test can see the process end.
HANDLER = """
import fcntl, importlib.util, json, os, urllib.request

held = open(os.environ["HELD"], "w")
fcntl.flock(held, fcntl.LOCK_EX)

def handler(event, context):
    for record in event["Records"]:
        reply = {
            "got": record["body"],
            "sees_engine": importlib.util.find_spec("ministack") is not None,
            "environ": dict(os.environ),
        }
        body = {"QueueUrl": os.environ["REPLIES"], "MessageBody": json.dumps(reply)}
        urllib.request.urlopen(urllib.request.Request(
            os.environ["AWS_ENDPOINT_URL"],
            data=json.dumps(body).encode(),
            headers={"X-Amz-Target": "AmazonSQS.SendMessage",
                     "Content-Type": "application/x-amz-json-1.0"},
        )).read()
    return {"batchItemFailures": []}
"""

TEMPLATE = """
AWSTemplateFormatVersion: 2010-09-09
Transform: AWS::Serverless-2016-10-31
Parameters:
  Prefix:
    Type: String
  Held:
    Type: String
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub "${Prefix}-requests"
  Replies:
    Type: AWS::SQS::Queue
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: !Sub "${Prefix}-table"
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      TimeToLiveSpecification: {AttributeName: ttl, Enabled: true}
  Function:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: build/
      Handler: echo.handler
      Runtime: python3.12
      Timeout: 10
      Environment:
        Variables: {REPLIES: !Ref Replies, HELD: !Ref Held}
      Events:
        Messages:
          Type: SQS
          Properties:
            Queue: !GetAtt Queue.Arn
            BatchSize: 10
            FunctionResponseTypes: [ReportBatchItemFailures]
Outputs:
  Queue: {Value: !Ref Queue}
  Replies: {Value: !Ref Replies}
  Table: {Value: !Ref Table}
"""


@dataclass
class Project:
    """A template and its function's package, to be deployed."""

    folder: Path
    template: Path
    package: Path

    @property
    def held(self) -> Path:
        """File that the function's process keeps locked."""
        return self.folder / "held"

    def deploy(self, engine: Any, stack: str) -> dict[str, str]:
        return deploy(
            engine.client,
            self.template,
            stack,
            parameters={"Prefix": stack, "Held": str(self.held)},
            code={"Function": self.package},
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "echo.py").write_text(HANDLER)
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    package = build_package(tmp_path / "build", None, [tmp_path / "echo.py"], caraway=False)
    return Project(tmp_path, tmp_path / "template.yaml", package)


def ask(engine: LocalEngine, outputs: dict[str, str], text: str) -> dict[str, Any]:
    """Send a message to the function and return its reply."""
    sqs = engine.client("sqs")
    sqs.send_message(QueueUrl=outputs["Queue"], MessageBody=text)
    reply: dict[str, Any] = json.loads(receive_one(sqs, outputs["Replies"])["Body"])
    return reply


def is_free(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_deployed_function_answers_and_nothing_runs_after_the_engine_was_stopped(
    project: Project,
) -> None:
    engine = LocalEngine(port=0)
    engine.start()
    try:
        outputs = project.deploy(engine, "stopped")
        name = engine_at(engine.endpoint_url)
        assert name
        assert ask(engine, outputs, "hello")["got"] == "hello"
        assert not is_free(project.held)
    finally:
        engine.stop()
    assert wait_until(lambda: is_free(project.held))
    assert engine_at(engine.endpoint_url) != name
    assert not engine.log.parent.exists()
    engine.stop()


def test_the_engine_and_its_functions_die_with_a_process_that_is_killed(project: Project) -> None:
    script = (
        "import sys; from caraway.local.engine import LocalEngine; engine = LocalEngine(port=0); "
        "engine.start(); print(engine.endpoint_url, engine.log.parent, flush=True); "
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as asker:
        assert asker.stdout is not None
        endpoint_url, folder = asker.stdout.readline().split()
        name = engine_at(endpoint_url)
        assert name
        engine = LocalEngine()
        engine.endpoint_url = endpoint_url
        outputs = project.deploy(engine, "killed")
        ask(engine, outputs, "hello")
        assert not is_free(project.held)
        os.kill(asker.pid, signal.SIGKILL)
    assert wait_until(lambda: is_free(project.held))
    assert wait_until(lambda: not Path(folder).exists())
    assert engine_at(endpoint_url) != name


def test_a_function_sees_its_package_and_nothing_of_the_engine_or_of_its_caller(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAWAY_APP", "of_the_caller:app")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    monkeypatch.setenv("PYTHONPATH", "/of/the/caller")
    with LocalEngine(port=0, region="eu-west-1") as engine:
        reply = ask(engine, project.deploy(engine, "alone"), "hello")
    assert not reply["sees_engine"]
    assert reply["environ"].keys().isdisjoint({"CARAWAY_APP", "AWS_MAX_ATTEMPTS", "PYTHONPATH"})
    assert reply["environ"]["AWS_REGION"] == "eu-west-1"
    assert reply["environ"]["AWS_ENDPOINT_URL"] == engine.endpoint_url


def test_time_to_live_is_on_although_the_engine_ignores_it_in_a_template(
    engine: LocalEngine, project: Project
) -> None:
    outputs = project.deploy(engine, "lives")
    found = engine.client("dynamodb").describe_time_to_live(TableName=outputs["Table"])
    assert found["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "ENABLED",
        "AttributeName": "ttl",
    }


def test_deploying_the_same_again_changes_nothing_and_new_code_replaces_the_old(
    engine: LocalEngine, project: Project
) -> None:
    outputs = project.deploy(engine, "again")
    assert project.deploy(engine, "again") == outputs

    source = project.folder / "echo.py"
    source.write_text(HANDLER.replace('record["body"]', '"new: " + record["body"]'))
    project.package = build_package(project.folder / "build", None, [source], caraway=False)
    project.deploy(engine, "again")
    assert ask(engine, outputs, "hello")["got"] == "new: hello"


def test_a_template_too_long_for_a_request_travels_through_the_bucket(
    engine: LocalEngine, project: Project
) -> None:
    parameters = "".join(
        f"\n  Unused{number}: {{Type: String, Default: '{'x' * 3000}'}}" for number in range(20)
    )
    project.template.write_text(TEMPLATE.replace("Parameters:", "Parameters:" + parameters))
    assert project.deploy(engine, "long")["Table"] == "long-table"


def test_a_failed_deployment_names_the_resource_and_can_be_mended(
    engine: LocalEngine, project: Project
) -> None:
    project.template.write_text(TEMPLATE.replace("Type: AWS::SQS::Queue\n  Table", BROKEN))
    with pytest.raises(LocalError, match="Replies"):
        project.deploy(engine, "mended")
    project.template.write_text(TEMPLATE)
    assert project.deploy(engine, "mended")["Table"] == "mended-table"


BROKEN = "Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 99999999}\n  Table"


@contextlib.contextmanager
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_taken_is_named() -> None:
    with listener() as port, pytest.raises(LocalError, match=f"Port {port} .* is in use"):
        LocalEngine(port=port).start()


def test_an_engine_that_does_not_start_says_why() -> None:
    with pytest.raises(LocalError, match="invalid literal for int"):
        LocalEngine(port=0, settings={"GATEWAY_PORT": "many"}).start()


def test_two_engines_run_side_by_side(engine: LocalEngine) -> None:
    with LocalEngine() as other:
        other.client("sqs").create_queue(QueueName="here")
        name = engine_at(other.endpoint_url)
        assert name
        assert name != engine_at(engine.endpoint_url)
        assert "here" not in str(engine.client("sqs").list_queues().get("QueueUrls"))
    assert engine_at(other.endpoint_url) != name


def test_the_environment_leads_boto3_to_the_engine(engine: LocalEngine) -> None:
    script = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | engine.environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "000000000000"


def test_a_package_runs_with_nothing_but_itself_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("caraway\n")
    package = build_package(tmp_path / "out", tmp_path / "requirements.txt", [])
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path / "unpacked")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from importlib.metadata import version; "
        "import aws_lambda_powertools, boto3, caraway, pydantic; "
        "print(caraway.__file__); print(version('caraway'))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(tmp_path / "unpacked")],
        capture_output=True,
        text=True,
        check=True,
    )
    imported, packaged_version = done.stdout.split()
    assert imported == str(tmp_path / "unpacked" / "caraway" / "__init__.py")
    assert packaged_version == version("caraway")


def test_an_environment_is_built_from_a_lock_file_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAWAY_CACHE", str(tmp_path / "cache"))
    lock = tmp_path / "nothing.lock"
    lock.write_text("# nothing is needed\n")
    said: list[str] = []
    python = environment(lock, said.append)
    assert subprocess.run([python, "-c", "import pip"], check=True).returncode == 0
    assert environment(lock, said.append) == python
    assert len(said) == 1

    lock.write_text("./missing.whl\n")
    with pytest.raises(LocalError, match=r"missing\.whl[^$]*pip config list"):
        environment(lock)


def test_state_that_cannot_be_read_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    with LocalEngine(port=0, state=tmp_path) as engine:
        engine.client("sqs").create_queue(QueueName="kept")
    file = tmp_path / "state" / "sqs.json"
    assert "kept" in file.read_text()
    file.write_text("{broken")
    with pytest.raises(LocalError, match=r"cannot be read: .*sqs"):
        LocalEngine(port=0, state=tmp_path).start()
    assert file.read_text() == "{broken"
