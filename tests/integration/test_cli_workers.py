"""``caraway status`` and ``caraway inspect`` against moto: the workers that show themselves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from caraway.core.port import run_now
from caraway.core.presence import About, Presence, Presences, RunningTask
from caraway.loader import load_app
from tests.integration.test_cli import client, read, run, shop

__all__ = ["shop"]  # the fixture
COMMON = About(("shop.add", "shop.greet"), {"timezone": '"Asia/Seoul"'})


def attend(app_name: str, name: str, token: str = "1", age_s: float = 12, **more: Any) -> None:
    """Do what a worker does at a beat."""
    app = load_app(app_name).finalize()
    now = app.aws.now().timestamp()
    presences = Presences(app.site.records.table)
    presence = Presence(
        hostname=name,
        session=f"{name}\t{token}",
        pid=4321,
        pool="threads",
        concurrency=10,
        queues=("default", "reports"),
        version="0.1.0",
        about=COMMON.digest,
        interval_s=30.0,
        started_at=now - 3_600 - age_s,
        beat_at=now - age_s,
        **more,
    )
    for write in (
        presences.describe(COMMON, now),
        presences.beat(presence),
        presences.enlist(presence.session),
    ):
        run_now(app.aws.perform(write))
    app.close()


# -- status -----------------------------------------------------------------------------------


def test_workers_that_are_there_are_listed(shop: str) -> None:
    attend(shop, "b@box", running=2, processed=1_204)
    attend(shop, "a@box")
    attend(shop, "gone@box", age_s=76)
    result = run("status")
    assert result.exit_code == 0, result.output
    heading, first, second, total = result.stdout.splitlines()
    assert heading.split() == [
        *("WORKER", "POOL", "CONCURRENCY", "RUNNING", "PROCESSED", "QUEUES", "HEARTBEAT")
    ]
    assert first.split()[:6] == ["a@box", "threads", "10", "0", "0", "default,reports"]
    assert second.split()[:5] == ["b@box", "threads", "10", "2", "1204"]
    assert second.endswith("s ago")
    assert total == "2 workers online."
    told = read("status")
    assert [each["hostname"] for each in told["workers"]] == ["a@box", "b@box"]
    assert told["workers"][0]["heartbeat_age_s"] >= 12
    assert told["lambda"] == []


def test_without_a_worker_the_exit_code_says_so(shop: str) -> None:
    result = run("status")
    assert result.exit_code == 1
    assert "no worker is there: start 'caraway worker'" in result.stderr
    assert json.loads(run("status", "--json").stdout) == {"workers": [], "lambda": []}
    attend(shop, "gone@box", age_s=76)
    assert run("status").exit_code == 1


def test_workers_of_one_name_are_warned_of(shop: str) -> None:
    attend(shop, "a@box", "1")
    attend(shop, "a@box", "2")
    result = run("status")
    assert result.exit_code == 0
    assert "several workers are named a@box: give each a name of its own with -n" in result.stderr
    assert list(json.loads(run("inspect", "ping", "--json").stdout)) == ["a@box/1", "a@box/2"]


def test_a_table_that_is_not_there_is_an_error(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARAWAY_TASK_TABLE", "nowhere")
    for arguments in (["status"], ["inspect", "active"]):
        result = run(*arguments)
        assert result.exit_code == 4
        assert "nowhere" in result.stderr


@pytest.mark.parametrize(("enabled", "code"), [(True, 0), (False, 1)])
def test_a_lambda_function_that_consumes_a_queue_is_a_worker(
    shop: str, monkeypatch: pytest.MonkeyPatch, enabled: bool, code: int
) -> None:
    monkeypatch.setenv("CARAWAY_TASK_QUEUES", '[{"name": "default", "consumer": "lambda"}]')
    role = client("iam").create_role(RoleName="worker", AssumeRolePolicyDocument="{}")["Role"]
    client("lambda").create_function(
        FunctionName="shop-worker",
        Role=role["Arn"],
        Runtime="python3.12",
        Handler="worker.handler",
        Code={"ZipFile": b"PK\x05\x06" + bytes(18)},
    )
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName="default")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    client("lambda").create_event_source_mapping(
        EventSourceArn=arn["QueueArn"], FunctionName="shop-worker", Enabled=enabled
    )
    result = run("status")
    assert result.exit_code == code, result.output
    heading, row, total = result.stdout.splitlines()
    assert heading.split() == ["QUEUE", "LAMBDA", "FUNCTION", "EVENT", "SOURCE"]
    assert row.split() == ["default", "shop-worker", "Enabled" if enabled else "Disabled"]
    assert total == "0 workers online."


def test_who_may_not_ask_lambda_sees_the_other_workers(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAWAY_TASK_QUEUES", '[{"name": "missing", "consumer": "lambda"}]')
    monkeypatch.setenv("CARAWAY_TASK_DEFAULT_QUEUE", "missing")
    attend(shop, "a@box")
    result = run("status")
    assert result.exit_code == 0
    assert "Which Lambda functions there are is unknown: " in result.stderr
    assert json.loads(run("status", "--json").stdout)["lambda"] is None


# -- inspect ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "told", "shown"),
    [
        ("ping", {"ok": "pong"}, "ok: pong"),
        ("active_queues", ["default", "reports"], "default"),
        ("registered", ["shop.add", "shop.greet"], "shop.add"),
        ("conf", {"timezone": '"Asia/Seoul"'}, 'timezone: "Asia/Seoul"'),
    ],
)
def test_workers_are_inspected(shop: str, verb: str, told: Any, shown: str) -> None:
    attend(shop, "a@box")
    assert read("inspect", verb) == {"a@box": told}
    first, second = run("inspect", verb).stdout.splitlines()[:2]
    assert (first, second) == ("-> a@box", f"   {shown}")


def test_running_tasks_are_shown_with_their_start(shop: str) -> None:
    attend(shop, "a@box", running=1, tasks=(RunningTask("one", "shop.add", 1_767_225_600.5),))
    attend(shop, "b@box")
    assert read("inspect", "active") == {
        "a@box": [{"id": "one", "name": "shop.add", "started": "2026-01-01T00:00:00.500+00:00"}],
        "b@box": [],
    }
    assert run("inspect", "active").stdout.splitlines() == [
        "-> a@box",
        "   one  shop.add  2026-01-01T00:00:00.500+00:00",
        "-> b@box",
        "   - empty -",
    ]


def test_the_numbers_of_a_worker_are_shown(shop: str) -> None:
    attend(shop, "a@box", processed=7)
    told = read("inspect", "stats")["a@box"]
    assert (told["pid"], told["processed"], told["uptime_s"]) == (4321, 7, 3_600)


def test_some_workers_are_inspected_when_they_are_named(shop: str) -> None:
    for name in ("a@box", "b@box", "c@box"):
        attend(shop, name)
    assert list(read("inspect", "ping", "-d", "a@box,c@box")) == ["a@box", "c@box"]
    result = run("inspect", "ping", "-d", "x@box")
    assert result.exit_code == 1
    assert "no worker named 'x@box' is there (there are: a@box, b@box, c@box)" in result.stderr


def test_inspecting_nobody_has_an_exit_code(shop: str) -> None:
    result = run("inspect", "active")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no worker is there" in result.stderr
