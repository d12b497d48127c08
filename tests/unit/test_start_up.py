"""Start-up: what a fresh process imports, and what it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

AN_APP = """
from caraway import Caraway
app = Caraway("shop")
app.conf.update(timezone="Asia/Seoul", task_routes={"reports.*": {"queue": "reports"}})
@app.task(bind=True, autoretry_for=(ConnectionError,), retry_backoff=True)
def send_email(self, to: str, subject: str = "Hello") -> dict:
    return {}
"""
HEAVY = {
    "aiobotocore",
    "asyncio",
    "boto3",
    "bz2",
    "caraway.core.compression",
    "gzip",
    "lzma",
    "msgpack",
    "botocore",
    "click",
    "concurrent",
    "difflib",
    "pydantic",
    "rich",
    "typing_extensions",
    "yaml",
}
EXECUTION = {
    f"caraway.core.{each}"
    for each in ("attempts", "claiming", "endings", "executor", "following", "joins", "replay")
}


def imported_by(code: str) -> set[str]:
    """Return the modules that a fresh process has imported after running some code."""
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("code", ["import caraway", AN_APP], ids=["import", "app"])
def test_an_app_and_a_task_need_nothing_heavy(code: str) -> None:
    modules = imported_by(code)
    assert not HEAVY & modules
    assert not {each for each in modules if each.startswith(("caraway.workers", "caraway.local"))}


def test_importing_caraway_alone_imports_next_to_nothing() -> None:
    modules = imported_by("import caraway")
    assert {each for each in modules if each.startswith("caraway")} == {
        "caraway",
        "caraway._version",
    }


def test_a_producer_does_not_load_what_runs_tasks() -> None:
    assert not EXECUTION & imported_by(AN_APP)


def test_a_lambda_function_is_ready_without_what_it_may_never_need() -> None:
    modules = imported_by(
        AN_APP + "from caraway.workers.aws_lambda import lambda_handler\nlambda_handler(app)"
    )
    assert not {"aiobotocore", "boto3", "click", "moto", "pydantic", "rich", "yaml"} & modules
    assert "aws_lambda_powertools.utilities.data_classes" not in modules  # every event there is
    assert not {each for each in modules if each.startswith(("caraway.cli", "caraway.local"))}


A_FIRST_SEND = """
from caraway.aws.blocking_aws import Botocore
def answer(sdk, service, operation, params):
    sdk._client(service)
    return {"QueueUrl": "http://127.0.0.1:9/1/default", "MessageId": "m"}
Botocore.__call__ = answer
app.conf.update(task_queues=["default"], aws_region="us-east-1")
send_email.delay("ada@example.com")
"""


def test_a_first_send_needs_no_more_of_the_sdk_than_its_core() -> None:
    modules = imported_by(AN_APP + A_FIRST_SEND)
    assert "botocore.session" in modules
    assert not {"aiobotocore", "asyncio", "boto3", "multiprocessing", "s3transfer"} & modules
    assert not EXECUTION & modules


A_WORKER = """
import asyncio, sys
sys.modules["httpx"] = None  # aiobotocore imports it where it is, for a backend that is not used
from caraway.aws.wires import AiobotocoreWire
from caraway.aws.clients import ClientSettings
from caraway.workers.ecs import Worker
from caraway.workers.session import Session
app.conf.task_queues = ["default"]
Worker(app, ["default"])
async def clients():
    wire = AiobotocoreWire(ClientSettings("us-east-1", "http://127.0.0.1:9"))
    for service in ("sqs", "dynamodb"):
        await wire._client(service)
    await wire.close()
asyncio.run(clients())
"""


def test_a_worker_holds_nothing_that_it_may_never_need() -> None:
    modules = imported_by(AN_APP + A_WORKER)
    unused = {"boto3", "click", "cryptography", "moto", "multiprocessing", "pydantic", "rich"}
    assert not {*unused, "s3transfer", "yaml"} & modules
    rooms = ("caraway.cli", "caraway.demo", "caraway.local", "caraway.planning", "caraway.testing")
    assert not {each for each in modules if each.startswith(rooms)}


def test_the_handler_of_the_package_loads_the_app_at_its_first_event() -> None:
    modules = imported_by("from caraway.workers.aws_lambda import handler")
    assert not {"boto3", "aiobotocore", "click", "pydantic", "rich", "yaml"} & modules
    assert "caraway.app" not in modules


def test_arguments_of_plain_types_are_checked_without_pydantic() -> None:
    modules = imported_by(
        AN_APP + "app.conf.task_always_eager = True\nsend_email.delay('ada@example.com')"
    )
    assert not {"pydantic", "boto3", "botocore", "asyncio"} & modules
