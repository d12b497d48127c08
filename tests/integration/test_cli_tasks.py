"""``caraway tasks`` against moto, in this process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from caraway.cli import tasks
from caraway.core.replay import replay
from caraway.exceptions import AccessDenied, EndpointUnreachable
from caraway.requests.dynamodb import DescribeTable
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


# -- those that are selected ----------------------------------------------------------------------


def succeeded(app_name: str) -> str:
    id: str = read("call", "shop.add", "--args", "[2, 3]")["id"]
    work(app_name)
    return id


def test_tasks_are_listed_with_what_it_costs_before(shop: str) -> None:
    id, other = failed(shop), succeeded(shop)
    result = run("tasks", "list")
    assert result.exit_code == 0
    heading, *lines = result.stdout.splitlines()
    assert heading.split() == ["ID", "TASK", "QUEUE", "STATE", "ATTEMPTS", "AGE"]
    assert [line.split()[:5] for line in lines] == [
        [other, "shop.add", "default", "SUCCESS", "1"],
        [id, "shop.fails", "default", "FAILURE", "1"],
    ]
    first, last = result.stderr.splitlines()
    assert first.startswith(
        "All of table 'caraway-tasks' is read: 2 items by DynamoDB's last count"
    )
    assert last == "2 tasks found; 2 items read"


def test_failures_are_listed_with_their_errors(shop: str) -> None:
    id = failed(shop)
    succeeded(shop)
    result = run("tasks", "list", "--state", "failure", "--task", "shop.*")
    heading, line = result.stdout.splitlines()
    assert heading.split()[-1] == "ERROR"
    assert line.endswith("ValueError: no stock")
    (row,) = read("tasks", "list", "--state", "FAILURE", "--reason", "STOCK")
    assert (row["id"], row["state"], row["attempts"], row["error"]) == (
        id,
        "FAILURE",
        1,
        "ValueError: no stock",
    )
    assert read("tasks", "list", "--state", "FAILURE", "--older-than", "1h") == []


def test_who_may_not_describe_the_table_is_told_that_all_of_it_is_read(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_request: object) -> Any:
        raise AccessDenied("dynamodb:DescribeTable is not allowed")

    failed(shop)
    monkeypatch.setattr(DescribeTable, "params", refused)
    result = run("tasks", "list")
    assert result.stderr.startswith("All of table 'caraway-tasks' is read, however large it is.\n")


def test_failures_that_are_selected_are_run_again_when_it_was_said_which(shop: str) -> None:
    ids = {failed(shop), failed(shop)}
    succeeded(shop)
    result = run("tasks", "retry", "--task", "shop.f*", "--reason", "stock", input="y\n")
    assert result.exit_code == 0
    assert "2 failed tasks of 3 items read\n  default: 2 of shop.fails\n" in result.stderr
    assert "Send them to run again? [y/N]" in result.output
    assert {line.split()[0] for line in result.stdout.splitlines()[1:3]} == ids
    assert waiting() == "2"


def test_nothing_is_run_again_without_a_yes(shop: str) -> None:
    id = failed(shop)
    result = run("tasks", "retry", "--all", input="n\n")
    assert result.exit_code == 1
    assert (waiting(), shown(id)["state"]) == ("0", "FAILURE")
    result = run("tasks", "retry", "--all", "--dry-run")
    assert result.stderr.endswith("1 task of 1 would run again; nothing was changed\n")
    assert waiting() == "0"


def test_who_says_that_it_is_so_is_not_asked(shop: str) -> None:
    failed(shop)
    rows = read("tasks", "retry", "--queue", "default", "--newer-than", "1h", "--limit", "5", "-f")
    assert [row["sent"] for row in rows] == [True]
    result = run("tasks", "retry", "--queue", "reports", "-f")
    assert "0 failed tasks of 1 item read" in result.stderr
    assert result.stderr.endswith("0 tasks of 0 sent to run again\n")


@pytest.mark.parametrize("arguments", [(), ("some-id", "--task", "shop.add"), ("some-id", "--all")])
def test_tasks_are_named_or_selected(shop: str, arguments: tuple[str, ...]) -> None:
    result = run("tasks", "retry", *arguments)
    assert result.exit_code == 2
    assert "--all means every task that has failed" in result.stderr


def test_a_retry_of_many_that_aws_ends_says_where_it_stopped(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(shop)
    failed(shop)
    sent: list[str] = []

    async def replayed(aws: Any, site: Any, known: Any, id: str, queue: str | None) -> Any:
        if sent:
            raise EndpointUnreachable("AWS does not answer")
        sent.append(id)
        return await replay(aws, site, known, id, queue)

    monkeypatch.setattr(tasks, "replay", replayed)
    result = run("tasks", "retry", "--all", "-f")
    assert result.exit_code == 4
    assert "1 of 2 tasks were done. The next may be left waiting" in result.stderr
