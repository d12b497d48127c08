"""``caraway beat`` at run time, against moto, in this process."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from caraway.cli.beat.rows import seconds, summary_text
from caraway.core.run_history import Summary
from tests.integration.test_cli import bodies, client, read, run, shop, work

__all__ = ["shop"]


def row(name: str) -> list[str]:
    """Return the cells of an entry's line in the list."""
    (line,) = [each for each in run("beat", "list").stdout.splitlines() if each.startswith(name)]
    return [cell for cell in line.split("  ") if cell]


def one(*arguments: str) -> Any:
    return read("beat", *arguments)


@pytest.fixture
def synced(shop: str) -> str:
    run("beat", "sync")
    return shop


# -- list -----------------------------------------------------------------------------------------


def test_the_list_shows_when_each_entry_comes_next_and_how_it_is(shop: str) -> None:
    heading, before = run("beat", "list").stdout.splitlines()
    names = ["ENTRY", "TASK", "SCHEDULE", "QUEUE", "STATUS", "NEXT", "LAST", "RUN"]
    assert heading.split() == names
    assert before.split()[-3:] == ["missing", "-", "-"]
    run("beat", "sync")
    name, task, schedule, queue, status, coming, last = map(str.strip, row("clean"))
    assert (name, task, schedule, queue) == ("clean", "shop.add", "0 3 * * *", "default")
    assert (status, last) == ("active", "-")
    assert coming.endswith("T03:00:00Z")
    assert run("beat", "list", "--next", "3").stdout.count("T03:00:00Z") == 3


def test_the_list_is_there_for_machines(synced: str) -> None:
    (told,) = one("list")
    coming = told.pop("next")
    assert len(coming) == 5
    assert told == {
        "entry": "clean",
        "task": "shop.add",
        "schedule": "0 3 * * *",
        "timezone": "UTC",
        "args": [1, 2],
        "kwargs": {},
        "queue": "default",
        "origin": "code",
        "status": "active",
        "enabled": True,
        "is_on": True,
        "edited": False,
        "start": None,
        "end": None,
        "misfire_grace_s": None,
        "catch_up": None,
        "overlap": "allow",
        "jitter_s": 0,
        "last_run": None,
        "kind": "rule",
        "name": "shop-clean",
        "expression": "cron(0 3 * * ? *)",
    }
    assert len(one("list", "--next", "2")[0]["next"]) == 2


def test_an_empty_schedule_is_said_to_be_empty(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARAWAY_APP", "empty:app")
    with open("empty.py", "w") as file:
        file.write("from caraway import Caraway\napp = Caraway('empty')\n")
    assert "beat_schedule is empty, and AWS has no schedule" in run("beat", "list").stdout


def test_sensitive_arguments_are_not_shown(synced: str) -> None:
    told = one("add", "x", "shop.charge", "--schedule", "every 1h", "--args", '["4111"]')
    assert told["args"] == ["[filtered]"]


# -- pause and resume -----------------------------------------------------------------------------


def test_an_entry_is_paused_and_resumed(synced: str) -> None:
    assert run("beat", "pause", "clean").stdout == "clean: paused, 0 3 * * *\n"
    assert [cell.strip() for cell in row("clean")[4:]] == ["paused", "-", "-"]
    (rule,) = client("events").list_rules()["Rules"]
    assert rule["State"] == "DISABLED"
    run("beat", "sync")
    assert one("list")[0]["status"] == "paused"
    resumed = run("beat", "resume", "clean").stdout
    assert resumed.startswith("clean: active, 0 3 * * *, next at ")
    assert one("resume", "clean")["status"] == "active"


def test_a_misspelt_entry_is_answered_with_the_nearest(synced: str) -> None:
    for command in ("pause", "resume", "run-now", "history", "delete"):
        result = run("beat", command, "claen")
        assert result.exit_code == 3
        assert "AWS has no schedule named 'claen', did you mean 'clean'?" in result.stderr


def test_an_entry_that_was_not_synced_is_named(shop: str) -> None:
    result = run("beat", "pause", "clean")
    assert result.exit_code == 3
    assert "AWS does not have 'clean' of beat_schedule yet" in result.stderr


# -- edit, add, delete ----------------------------------------------------------------------------


def test_an_edit_lasts_until_the_next_sync(synced: str) -> None:
    schedule = ("--schedule", "*/15 8-18 * * mon-fri", "--tz", "Europe/Berlin")
    edited = run("beat", "edit", "clean", *schedule, "--args", "[3, 4]")
    assert edited.stdout.startswith("clean: edited, */15 8-18 * * 1-5 Europe/Berlin, next at ")
    (told,) = one("list")
    assert (told["status"], told["args"], told["timezone"]) == ("edited", [3, 4], "Europe/Berlin")
    assert "~ clean" in run("beat", "sync").stdout
    (told,) = one("list")
    assert (told["status"], told["args"]) == ("active", [1, 2])


def test_whether_when_and_where_an_entry_fires_is_edited(synced: str) -> None:
    assert one("edit", "clean", "--disabled")["status"] == "off"
    assert one("edit", "clean", "--enabled")["status"] == "edited"
    assert one("edit", "clean", "-Q", "reports")["queue"] == "reports"
    told = one("edit", "clean", "--start", "2030-01-01T00:00", "--end", "2031-01-01T00:00+01:00")
    assert (told["start"], told["end"]) == ("2030-01-01T00:00:00Z", "2030-12-31T23:00:00Z")
    assert told["next"][0] == "2030-01-01T03:00:00Z"
    told = one("edit", "clean", "--start", "none", "--end", "none")
    assert (told["start"], told["end"]) == (None, None)


def test_policies_are_edited(synced: str) -> None:
    options = ("--misfire-grace", "10m", "--overlap", "skip", "--jitter", "90")
    told = one("edit", "clean", *options)
    assert (told["misfire_grace_s"], told["overlap"], told["jitter_s"]) == (600, "skip", 90)
    told = one("edit", "clean", "--misfire-grace", "none", "--catch-up", "latest")
    assert (told["misfire_grace_s"], told["catch_up"], told["jitter_s"]) == (None, "latest", 90)


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        ([], 2, "say what to change, such as --schedule 'every 10m'"),
        (["--schedule", "often"], 3, "expected the five fields of a crontab"),
        (["--schedule", "0 25 * * *"], 3, "hour='25'"),
        (["--schedule", "0 0 31 2 *"], 3, "there is no such day"),
        (["--schedule", "every 0s"], 3, "is no interval, such as 90s"),
        (["--tz", "Europe/Berln"], 3, "did you mean 'Europe/Berlin'?"),
        (["--args", "[1"], 2, "is not JSON"),
        (["--args", "{}"], 2, "expected a list"),
        (["--args", "[1]"], 3, "missing 1 required positional argument: 'b'"),
        (["--queue", "report"], 3, "did you mean 'reports'?"),
        (["--overlap", "no"], 2, "is not one of 'allow', 'skip'"),
        (["--jitter", "soon"], 2, "is no age: say 90 (seconds), 15m"),
        (["--misfire-grace", "5"], 3, "EventBridge itself may be late by 60 s"),
        (["--start", "soon"], 2, "expected a time such as 2030-01-31T09:00"),
    ],
)
def test_what_cannot_be_edited_so_is_refused(
    synced: str, arguments: list[str], code: int, problem: str
) -> None:
    result = run("beat", "edit", "clean", *arguments)
    assert result.exit_code == code
    assert problem in result.stderr
    assert one("list")[0]["status"] == "active"


def test_entries_are_added_and_deleted_and_no_sync_touches_them(synced: str) -> None:
    added = run("beat", "add", "tidy", "shop.add", "--schedule", "every 10m", "-a", "[1, 2]")
    assert added.stdout.startswith("tidy: active, every 10m, next at ")
    assert "nothing to do" in run("beat", "sync").stdout
    assert {each["entry"]: each["origin"] for each in one("list")} == {
        "clean": "code",
        "tidy": "data",
    }
    again = run("beat", "add", "tidy", "shop.add", "--schedule", "every 10m", "-a", "[1, 2]")
    assert again.exit_code == 3
    assert "there is one of that name already" in again.stderr
    assert run("beat", "delete", "tidy").stdout == "tidy: deleted\n"
    assert [each["entry"] for each in one("list")] == ["clean"]
    refused = run("beat", "delete", "clean")
    assert refused.exit_code == 3
    assert "take it out there and run 'caraway beat sync'" in refused.stderr


def test_a_task_that_nobody_knows_is_added_only_by_name(synced: str) -> None:
    arguments = ("beat", "add", "x", "shop.ad", "--schedule", "at 2040-01-01T00:00")
    result = run(*arguments)
    assert result.exit_code == 3
    assert "no task named 'shop.ad', did you mean 'shop.add'?" in result.stderr
    assert "x: active, at 2040-01-01T00:00:00Z" in run(*arguments, "--by-name").stdout


# -- run now --------------------------------------------------------------------------------------


def test_an_entry_is_run_now(synced: str) -> None:
    run("beat", "pause", "clean")
    id = run("beat", "run-now", "clean").stdout.strip()
    assert run("result", id).stdout.split()[:4] == ["id", id, "state", "PENDING:"]
    work(synced)
    told = json.loads(run("result", id, "--json").stdout)
    assert (told["state"], told["result"]) == ("SUCCESS", 3)
    sent = one("run-now", "clean")
    (body,) = bodies("default")
    assert sent == {"id": body["id"], "entry": "clean", "task": "shop.add"}
    assert body["schedule"] == "clean"


def test_a_run_that_does_not_end_in_time_goes_on(synced: str) -> None:
    result = run("beat", "run-now", "clean", "--wait", "--timeout", "0")
    assert result.exit_code == 5
    assert len(bodies("default")) == 1


# -- history --------------------------------------------------------------------------------------


def occur(app_name: str, entry: str, task: str, *args: Any, ago: int = 0) -> datetime:
    """Do what AWS and a worker do when an entry of every minute is due; return when that was."""
    due = datetime.now(timezone.utc).replace(second=0, microsecond=0) - timedelta(minutes=ago)
    sqs = client("sqs")
    body = {"caraway": 1, "task": task, "args": list(args), "schedule": entry}
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName="default")["QueueUrl"],
        MessageBody=json.dumps({**body, "scheduled_time": due.isoformat()}),
    )
    work(app_name)
    return due


def test_the_history_shows_how_the_last_occurrences_went(synced: str) -> None:
    run("beat", "add", "tick", "shop.add", "--schedule", "every 1m", "-a", "[1, 2]")
    failed_at = occur(synced, "tick", "shop.fails", ago=2)
    due = occur(synced, "tick", "shop.add", 1, 2)
    told = one("history", "tick", "-n", "30")
    runs = {each["scheduled"]: each for each in told["runs"]}
    ran = runs[due.strftime("%Y-%m-%dT%H:%M:%SZ")]
    assert (ran["state"], ran["retries"], ran["reason"]) == ("SUCCESS", 0, None)
    assert ran["duration_s"] >= 0
    failed = runs[failed_at.strftime("%Y-%m-%dT%H:%M:%SZ")]
    assert (failed["state"], failed["reason"]) == ("FAILURE", "ValueError: no stock")
    assert told["summary"]["states"] == {"SUCCESS": 1, "FAILURE": 1}
    shown = run("beat", "history", "tick", "-n", "30").stdout
    assert "ValueError: no stock" in shown
    assert "2 runs: 1 SUCCESS, 1 FAILURE; the median took " in shown
    (tick,) = [each for each in one("list") if each["entry"] == "tick"]
    assert tick["last_run"] == ran
    assert "SUCCESS" in row("tick")[-1]


def test_a_history_may_end_earlier(synced: str) -> None:
    assert len(one("history", "clean", "-n", "3")["runs"]) == 3
    before = (datetime.now(timezone.utc) - timedelta(days=30)).strftime("%Y-%m-%dT%H:%MZ")
    assert one("history", "clean", "--before", before)["runs"] != []
    run("beat", "add", "x", "shop.add", "--schedule", "at 2040-01-01T00:00", "-a", "[1, 2]")
    assert run("beat", "history", "x").stdout == "Nothing was due in the last 15 days.\n"


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (Summary({}, None), "Nothing is known of the last 7 occurrences."),
        (Summary({"FAILURE": 1, "SUCCESS": 2}, 3.5), "3 runs: 2 SUCCESS, 1 FAILURE; the median"),
        (Summary({"STARTED": 1}, None), "1 run: 1 STARTED"),
    ],
)
def test_runs_are_said_in_numbers(told: Summary, text: str) -> None:
    assert summary_text(told, 7).startswith(text)
    assert (seconds(0.123), seconds(61)) == ("0.12 s", "1 min 1 s")


# -- template -------------------------------------------------------------------------------------


def test_the_template_has_what_a_sync_makes(synced: str) -> None:
    import yaml

    printed = run("beat", "template").stdout
    (resource,) = yaml.safe_load(printed)["Resources"].values()
    made = resource["Properties"]
    (rule,) = client("events").list_rules()["Rules"]
    assert (made["Name"], made["Description"]) == (rule["Name"], rule["Description"])
    assert yaml.safe_load(printed) == read("beat", "template")


# -- sync ------------------------------------------------------------------------------------------


def test_more_rules_than_the_bus_takes_are_refused_and_the_limit_can_be_said(shop: str) -> None:
    client("events").put_rule(Name="theirs", ScheduleExpression="rate(1 day)")
    refused = run("beat", "sync", "--rule-limit", "1")
    assert refused.exit_code == 3
    assert "new rules: 1, beside 1 that the event bus has; it takes 1" in refused.stderr
    assert "1 created" in run("beat", "sync", "--rule-limit", "2").stdout
