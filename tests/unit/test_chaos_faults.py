"""What a plan decides, and what is read from and said in AWS's formats."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from caraway.core.envelope import parse_envelope
from caraway.core.message import read_message
from caraway.core.record import Written
from caraway.core.transitions import Records
from tests.chaos.faults import NOTHING, Lose, Plan, Redeliver, Rule
from tests.chaos.fleet import MERCY, running
from tests.chaos.history import Write
from tests.chaos.page import BEGIN, END, with_rows
from tests.chaos.run import KILLS, Report, runs_of
from tests.chaos.scenarios import BY_NAME
from tests.chaos.subjects import GROUP_SIZE, WORKLOADS
from tests.chaos.wire import (
    STATEMENT_ERRORS,
    Asked,
    refusal,
    saying_failed,
    without,
    writer_of,
)
from tests.chaos.workload import FIFO_QUEUES, Call, workload

LOST = Lose(executed=False)


def decisions(plan: Plan, operation: str = "sqs:SendMessage", count: int = 400) -> list[object]:
    return [plan.decide(operation, number) for number in range(count)]


def test_the_same_seed_decides_the_same_and_another_one_does_not() -> None:
    rules = (Rule("sqs:*", LOST, 0.3),)
    assert decisions(Plan(1, rules)) == decisions(Plan(1, rules))
    assert decisions(Plan(1, rules)) != decisions(Plan(2, rules))


def test_a_fault_strikes_as_often_as_it_is_asked_to() -> None:
    struck = decisions(Plan(1, (Rule("*", LOST, 0.25),)), count=2_000).count(LOST)
    assert 400 < struck < 600
    assert decisions(NOTHING) == [None] * 400


def test_a_fault_strikes_only_the_operations_that_it_is_for() -> None:
    plan = Plan(1, (Rule("sqs:*Batch", LOST, 1.0), Rule("sqs:ReceiveMessage", Redeliver(), 1.0)))
    assert plan.decide("sqs:SendMessageBatch", 0) == LOST
    assert plan.decide("sqs:ReceiveMessage", 0) == Redeliver()
    assert plan.decide("sqs:SendMessage", 0) is None


def test_an_outage_meets_requests_that_follow_each_other() -> None:
    struck = decisions(Plan(1, (Rule("*", LOST, 0.2, together=10),)))
    blocks = [struck[first : first + 10] for first in range(0, 400, 10)]
    assert all(len(set(block)) == 1 for block in blocks)
    assert {block[0] for block in blocks} == {None, LOST}


def test_a_request_is_known_by_its_target_and_one_to_s3_by_its_method() -> None:
    target = {"X-Amz-Target": "AmazonSQS.SendMessage"}
    assert Asked.read("POST", target, b'{"QueueUrl": "q"}').operation == "sqs:SendMessage"
    target = {"X-Amz-Target": "DynamoDB_20120810.UpdateItem"}
    assert Asked.read("POST", target, b"{}").operation == "dynamodb:UpdateItem"
    assert Asked.read("PUT", {}, b"bytes").operation == "s3:PUT"


def test_each_service_refuses_in_its_own_words() -> None:
    throttled = refusal("dynamodb", "throttled")
    assert throttled.status == 400
    assert json.loads(throttled.body)["__type"].endswith("ProvisionedThroughputExceededException")
    assert refusal("s3", "throttled").body.startswith(b"<Error><Code>SlowDown</Code>")
    assert refusal("sqs", "unavailable").status == 503


MESSAGES = Asked(
    "sqs", "sqs:SendMessageBatch", {"QueueUrl": "q", "Entries": [{"Id": "0"}, {"Id": "1"}]}
)
STATEMENTS = Asked(
    "dynamodb", "dynamodb:BatchExecuteStatement", {"Statements": ["first", "second", "third"]}
)


def test_an_entry_that_fails_is_not_performed_and_is_said_to_have_failed() -> None:
    assert without(MESSAGES, {1}).params == {"QueueUrl": "q", "Entries": [{"Id": "0"}]}
    said = saying_failed(MESSAGES, {"Successful": [{"Id": "0"}]}, {1: 0.0})
    assert said["Successful"] == [{"Id": "0"}]
    assert [each["Id"] for each in said["Failed"]] == ["1"]


def test_an_entry_that_was_performed_can_be_said_to_have_failed() -> None:
    said = saying_failed(MESSAGES, {"Successful": [{"Id": "0"}, {"Id": "1"}]}, {0: 0.0})
    assert said["Successful"] == [{"Id": "1"}]
    assert [each["Id"] for each in said["Failed"]] == ["0"]


@pytest.mark.parametrize("executed", [False, True])
def test_a_statement_fails_in_its_place_and_in_dynamodbs_words(executed: bool) -> None:
    performed = STATEMENTS if executed else without(STATEMENTS, {1})
    answer = {"Responses": [{"Item": each} for each in performed.params["Statements"]]}
    first, failed, third = saying_failed(STATEMENTS, answer, {1: 0.99})["Responses"]
    assert (first, third) == ({"Item": "first"}, {"Item": "third"})
    assert failed["Error"]["Code"] == STATEMENT_ERRORS[-1]


def test_the_writer_of_every_write_under_a_claim_is_known() -> None:
    message = read_message(parse_envelope('{"caraway": 1, "task": "t", "id": "a"}'))
    records = Records("tasks")
    written = Written("SUCCESS")
    writes = [
        records.claim(message, "t1", 1.0, 3.0),
        records.heartbeat("a", "t1", 1.0, 3.0),
        records.finish(message, "t1", 1.0, written, None),
        records.finish(message, "t1", 1.0, written, None, claimed=False),
        records.dead_letter(message, "t1", 1.0, written),
        records.release("a", "t1", 1.0),
    ]
    assert [writer_of(write.params()) for write in writes] == ["t1"] * 6
    assert writer_of(records.forget("a", 1.0).params()) is None


def test_a_write_shows_the_owner_beside_its_writer() -> None:
    item = {"id": "a", "token": "t2", "phase": "running", "open_at": 4}
    seen = Write("a", "t1", "t2", "running", 4, "PENDING", None, 1.0, counts=False)
    assert Write.of(item, "t1", 1.0) == seen
    assert Write.of({**item, "held": 1}, "t1", 1.0) == replace(seen, counts=True)


def test_the_effects_log_says_what_ran_and_what_runs(tmp_path: Path) -> None:
    log = tmp_path / "effects.log"
    assert running(log, 0.0) == set()
    log.write_text("begin a t1 10 1.000\nbegin b - 11 2.000\nend a t1 10 3.000\n")
    runs = list(runs_of(log))
    assert [(run.id, run.token, run.ended_at) for run in runs] == [
        ("a", "t1", 3.0),
        ("b", None, None),
    ]
    assert running(log, 0.0) == {11}
    assert running(log, 5.0) == set()


def test_who_runs_a_task_that_was_struck_often_enough_is_spared(tmp_path: Path) -> None:
    log = tmp_path / "effects.log"
    attempts = [f"begin a t{n} {n} {n}.000\n" for n in range(1, MERCY)]
    log.write_text("".join(attempts))
    assert MERCY - 1 in running(log, 0.0)
    with log.open("a") as effects:
        effects.write(f"begin a t{MERCY} {MERCY} {MERCY}.000\nbegin b t 50 50.000\n")
    assert running(log, MERCY - 0.5) == {50}


def test_a_workload_is_what_its_seed_says_and_knows_every_ending() -> None:
    calls = list(workload(1, "run", 300, ("ecs", "lambda")))
    assert calls == list(workload(1, "run", 300, ("ecs", "lambda")))
    assert sum(len(call.endings) for call in calls) == 300
    assert {call.queue for call in calls} == {"short", "default"}
    assert {call.task for call in calls} >= {"usual", "idempotent", "flaky", "failing", "rejected"}
    ids = [ending.id for call in calls for ending in call.endings]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & {
        ending.id for call in workload(1, "another run", 300, ("ecs",)) for ending in call.endings
    }


@pytest.mark.parametrize("subject", WORKLOADS)
def test_a_subject_is_what_its_seed_says_and_names_each_task_once(subject: str) -> None:
    calls = list(WORKLOADS[subject](1, "run", 200, ("ecs", "lambda")))
    again = list(WORKLOADS[subject](1, "run", 200, ("ecs", "lambda")))
    assert [(each.id, each.endings) for each in calls] == [(it.id, it.endings) for it in again]
    ids = [ending.id for call in calls for ending in call.endings]
    assert 200 <= len(ids) == len(set(ids)) < 220


def test_the_subjects_have_what_they_are_about() -> None:
    def calls(subject: str) -> list[Call]:
        return list(WORKLOADS[subject](1, "run", 400, ("ecs", "lambda")))

    assert {ending.begins for call in calls("at_most_once") for ending in call.endings} == {1}
    assert {call.task for call in calls("quarantine")} >= {"killer", "usual", "failing"}
    stops = [call.stop for call in calls("revoked")]
    assert {stop and stop.terminate for stop in stops} == {None, True, False}
    groups = Counter((call.group, call.queue) for call in calls("fifo"))
    assert set(groups.values()) == {GROUP_SIZE}
    assert {queue for _, queue in groups} == set(FIFO_QUEUES.values())
    last = [call.endings[-1] for call in calls("workflows")]
    assert {(each.state, each.runs) for each in last} == {("SUCCESS", True), ("FAILURE", False)}


def test_a_row_takes_the_place_of_the_scenarios_last_one_and_the_others_stay() -> None:
    def report(name: str, seconds: float) -> Report:
        return Report(BY_NAME[name], 2_000, 3, [], {KILLS: 1, "Lose": 1_000}, [0], seconds, [])

    page = with_rows(f"# Page\n{BEGIN}\n{END}\nend\n", [report("slow", 1.0), report("kills", 2.0)])
    again = with_rows(page, [report("calm", 4.0), report("kills", 3.0)])
    lines = [line.split(" | ") for line in again.splitlines() if line.startswith("| `")]
    assert [(line[0], line[-1]) for line in lines] == [
        ("| `calm`", "4 |"),
        ("| `slow`", "1 |"),
        ("| `kills`", "3 |"),
    ]
    assert lines[0][3:7] == ["2,000", "1,001", "1", "3"]
    assert again.startswith("# Page\n")
    assert again.endswith("\nend\n")


def test_the_page_names_scenarios_that_there_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()
    promises = page.partition("## What is promised")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z-]+)`(?=,| \|)", promises))
    assert named <= set(BY_NAME)
