"""``caraway dlq`` against moto, in this process: what it shows, asks, sends and deletes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from caraway.core import dead_letters
from tests.integration.test_cli import client, read, run, shop, work

if TYPE_CHECKING:
    from typing import Any

__all__ = ["shop"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no further letters: moto has one server only."""
    monkeypatch.setattr(dead_letters, "WAIT_S", 0)


def bury(body: str, queue: str = "default", **attributes: str) -> None:
    """Put a dead letter where a worker would."""
    sqs = client("sqs")
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName=f"{queue}-dlq")["QueueUrl"],
        MessageBody=body,
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        },
    )


def dead(task: str = "shop.add", args: Any = (2, 3), reason: str = "no stock") -> str:
    """Bury a task; return its id."""
    id = f"id-of-{task}-{reason}".replace(" ", "-")
    body = {"caraway": 1, "id": id, "task": task, "args": args, "attempt": 1}
    bury(json.dumps(body), reason=reason, queue="default", task=task, id=id)
    return id


def test_dead_letters_are_listed_with_their_reason(shop: str) -> None:
    id = dead()
    result = run("dlq", "list")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == ["ID", "TASK", "QUEUE", "AGE", "REASON"]
    assert id in result.stdout
    assert result.stdout.rstrip().endswith("no stock")
    assert result.stderr == "1 dead letter of 1 seen\n"


def test_a_list_for_machines_has_all_that_is_known(shop: str) -> None:
    id = dead()
    dead(task="shop.greet", args=["Ada"], reason="rude")
    (row,) = read("dlq", "list", "default", "--task", "shop.a*")
    known = {name: row[name] for name in ("id", "task", "queue", "reason", "attempt", "receives")}
    assert known == {
        "id": id,
        "task": "shop.add",
        "queue": "default",
        "reason": "no stock",
        "attempt": 1,
        "receives": 1,
    }
    assert len(read("dlq", "list")) == 2, "a list hides nothing afterwards"


def test_a_letter_is_shown_with_its_arguments_and_what_the_record_says(shop: str) -> None:
    id = dead()
    (letter,) = read("dlq", "show", id)
    assert (letter["args"], letter["state_now"]) == ([2, 3], "PENDING")
    assert "shop.add" in run("dlq", "show", id).stdout


def test_showing_a_letter_that_is_not_there_has_an_exit_code(shop: str) -> None:
    result = run("dlq", "show", "nobody")
    assert result.exit_code == 1
    assert "No dead letter of task nobody" in result.stderr


def test_a_body_that_cannot_be_read_is_shown_as_it_is(shop: str) -> None:
    bury("no JSON", id="x", queue="default", reason="the body is not JSON")
    (letter,) = read("dlq", "show", "x")
    assert letter["body"] == "no JSON"
    assert "not JSON" in letter["unreadable"]


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("task", "args", "seen"),
    [
        ("shop.login", ["ann", SECRET], ["ann", "[filtered]"]),
        ("shop.charge", [SECRET], ["[filtered]"]),
    ],
)
def test_a_letter_of_a_sensitive_task_is_shown_without_its_arguments(
    shop: str, task: str, args: list[str], seen: list[str]
) -> None:
    id = dead(task, args)
    (letter,) = read("dlq", "show", id)
    assert letter["args"] == seen
    looks = (["show", id], ["list"], ["redrive", "-n"], ["purge", "-n"])
    for look in [*looks, *([*look, "--json"] for look in looks)]:
        result = run("dlq", *look)
        assert result.exit_code == 0
        assert SECRET not in result.output


def test_a_letter_of_a_sensitive_task_that_cannot_be_read_is_not_shown_either(shop: str) -> None:
    body = {"caraway": 1, "id": "x", "task": "shop.login", "args": SECRET}
    bury(json.dumps(body), id="x", task="shop.login", queue="default", reason="args: no list")
    (letter,) = read("dlq", "show", "x")
    assert "args" in letter["unreadable"]
    assert letter["body"] == "[filtered]"
    for look in (["show", "x"], ["show", "x", "--json"], ["list"], ["list", "--json"]):
        assert SECRET not in run("dlq", *look).output


def test_a_dry_run_says_what_would_go_and_sends_nothing(shop: str) -> None:
    dead()
    result = run("dlq", "redrive", "-n")
    assert "default: 1 of shop.add" in result.stdout
    assert "Nothing was changed; 1 dead letter of 1 would be sent again." in result.stdout
    assert read("queues")[0]["depth"] == 0


def test_a_redrive_asks_sends_and_the_task_ends(shop: str) -> None:
    id = dead()
    refused = run("dlq", "redrive", input="n\n")
    assert refused.exit_code == 1
    assert "Send them to run again?" in refused.stderr
    agreed = run("dlq", "redrive", "default", input="y\n")
    assert agreed.stdout.endswith("1 dead letter of 1 seen: sent again.\n")
    work(shop)
    assert read("result", id)["state"] == "SUCCESS"
    assert read("dlq", "list") == []


def test_a_forced_redrive_takes_only_what_is_meant(shop: str) -> None:
    dead()
    dead(reason="no customer")
    assert read("dlq", "redrive", "-f", "--reason", "customer") == {
        "dry_run": False,
        "deed": "redrive",
        "seen": 2,
        "matched": 1,
        "done": 1,
        "homeless": 0,
    }
    assert [row["reason"] for row in read("dlq", "list")] == ["no stock"]


def test_a_purge_asks_and_deletes_for_ever(shop: str) -> None:
    dead()
    refused = run("dlq", "purge", input="n\n")
    assert (refused.exit_code, len(read("dlq", "list"))) == (1, 1)
    assert "Delete them for ever?" in refused.stderr
    assert run("dlq", "purge", input="y\n").exit_code == 0
    assert read("dlq", "list") == []
    assert read("queues")[0]["depth"] == 0


def test_young_letters_are_spared(shop: str) -> None:
    dead()
    assert read("dlq", "purge", "-f", "--older-than", "2h")["done"] == 0
    assert read("dlq", "purge", "-f", "--newer-than", "2h")["done"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["list", "defualt"], 3, "did you mean 'default'?"),
        (["list", "--older-than", "soon"], 2, "'soon' is no age: say 90 (seconds), 15m, 2h or 3d"),
        (["redrive", "-f", "--to", "nowhere"], 3, "nowhere"),
        (["purge", "--limit", "0"], 2, "--limit"),
    ],
)
def test_what_is_wrong_changes_nothing(
    shop: str, arguments: list[str], code: int, said: str
) -> None:
    dead()
    result = run("dlq", *arguments)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert len(read("dlq", "list")) == 1


def test_a_pile_that_would_move_its_letters_on_is_pointed_out(shop: str) -> None:
    sqs = client("sqs")
    further = sqs.get_queue_url(QueueName="reports-dlq")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=further, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 3}
    sqs.set_queue_attributes(
        QueueUrl=sqs.get_queue_url(QueueName="default-dlq")["QueueUrl"],
        Attributes={"RedrivePolicy": json.dumps(policy)},
    )
    assert "default-dlq has a redrive policy of its own" in run("dlq", "list", "default").stderr
