"""``caraway revoke`` by stamps, against moto, in this process."""

from __future__ import annotations

import pytest

from caraway import AsyncResult
from caraway.loader import load_app
from tests.integration.test_cli import read, run, shop, work

__all__ = ["shop"]


def sent(app_name: str, **stamps: object) -> AsyncResult[int]:
    """Send a task with stamps."""
    result: AsyncResult[int] = load_app(app_name).send_task("shop.add", (1, 2), stamps=stamps)
    return result


def test_tasks_are_revoked_by_a_stamp_until_that_is_undone(shop: str) -> None:
    number, text, other = (sent(shop, customer=each) for each in (17, "17", 18))
    told = read("revoke", "--stamp", "customer=17", "--stamp", "region=eu")
    assert [(each["header"], each["value"], each["mode"]) for each in told] == [
        ("customer", "17", "revoke"),
        ("customer", 17, "revoke"),
        ("region", "eu", "revoke"),
    ]
    work(shop)
    assert [each.state for each in (number, text, other)] == ["REVOKED", "REVOKED", "SUCCESS"]
    assert run("revoke", "--stamp", "customer=17", "--undo").exit_code == 0
    (line,) = run("revoke", "--list").stdout.splitlines()
    assert line.startswith('region="eu": revoke, since 20')
    assert read("revoke", "--stamp", "region=eu", "--undo") == []
    again = sent(shop, customer=17)
    work(shop)
    assert again.state == "SUCCESS"


def test_a_revoke_by_a_stamp_may_end_what_runs(shop: str) -> None:
    told = read("revoke", "--terminate", "-s", "SIGINT", "--stamp", "customer=ann")
    assert [each["mode"] for each in told] == ["terminate:SIGINT"]


def test_a_list_without_stamps_says_so(shop: str) -> None:
    result = run("revoke", "--list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no stamps are revoked" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name ids, or stamps"),
        (["some-id", "--stamp", "a=1"], "name ids, or stamps"),
        (["--stamp", "customer"], "expected NAME=VALUE"),
        (["--stamp", "=1"], "expected NAME=VALUE"),
        (["--undo", "some-id"], "takes back a revoke by stamps"),
    ],
    ids=str,
)
def test_a_revoke_of_nothing_that_is_meant_is_refused(
    shop: str, arguments: list[str], said: str
) -> None:
    result = run("revoke", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
