"""``caraway tasks`` against moto, in this process."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.test_cli import client, read, run, shop, work

__all__ = ["shop"]


def failed(app_name: str) -> str:
    """Let a task fail; return its id."""
    id: str = read("call", "shop.fails")["id"]
    work(app_name)
    return id


def shown(id: str) -> dict[str, Any]:
    """Return what ``caraway result`` says of a task."""
    told: dict[str, Any] = json.loads(run("result", id, "--json").stdout)
    return told


def waiting(queue: str = "default") -> str:
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    attributes = sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return str(attributes["Attributes"]["ApproximateNumberOfMessages"])


def test_a_failed_task_is_run_again(shop: str) -> None:
    id = failed(shop)
    result = run("tasks", "retry", id)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == ["ID", "TASK", "QUEUE", "ATTEMPT", "ARGUMENTS"]
    assert result.stdout.splitlines()[1].split() == [id, "shop.fails", "default", "1"]
    assert result.stderr == "1 task of 1 sent to run again\n"
    assert shown(id)["state"] == "RETRY"
    work(shop)
    now = shown(id)
    assert (now["state"], now["attempts"]) == ("FAILURE", 2)


def test_a_dry_run_shows_what_would_run_and_changes_nothing(shop: str) -> None:
    id = failed(shop)
    result = run("tasks", "retry", "--dry-run", id)
    assert result.stderr == "1 task of 1 would run again; nothing was changed\n"
    assert shown(id)["state"] == "FAILURE"
    assert waiting() == "0"


def test_a_task_that_has_not_failed_is_refused_and_the_others_run(shop: str) -> None:
    id, other = failed(shop), read("call", "shop.add", "--args", "[2, 3]")["id"]
    work(shop)
    result = run("tasks", "retry", other, id, id)
    assert result.exit_code == 1
    assert f"task {other} is SUCCESS: only one that has failed is run again" in result.stderr
    assert result.stderr.endswith("1 task of 2 sent to run again\n")
    assert waiting() == "1"


def test_it_is_said_for_machines(shop: str) -> None:
    id = failed(shop)
    rows = json.loads(run("tasks", "retry", id, "unknown", "--to", "reports", "--json").stdout)
    assert rows[0] == {
        "id": id,
        "task": "shop.fails",
        "queue": "reports",
        "attempt": 1,
        "args": [],
        "kwargs": {},
        "sent": True,
        "refused": None,
    }
    assert rows[1]["id"] == "unknown"
    assert rows[1]["refused"].startswith("nothing is known of task unknown: ")
    assert waiting("reports") == "1"


def test_a_queue_that_is_not_declared_is_a_wrong_call(shop: str) -> None:
    result = run("tasks", "retry", failed(shop), "--to", "report")
    assert result.exit_code == 3
    assert "no queue named 'report', did you mean 'reports'?" in result.stderr
