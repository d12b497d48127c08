"""The demo: which texts it counts, and that its checks can fail."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from caraway import Caraway, states
from caraway.aws.memory import MemoryAws
from caraway.core.envelope import parse_envelope
from caraway.core.message import read_message
from caraway.core.routing import Router
from caraway.demo import app as demo_app
from caraway.demo import jobs, run
from caraway.demo.documents import Document, documents, split
from caraway.demo.jobs import BY_RULE, Done, Job
from caraway.demo.progress import shown
from caraway.demo.summary import check_tasks, show
from caraway.exceptions import LocalError
from caraway.local.provision import TEMPLATE
from caraway.local.template import load_template

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOON = datetime(2026, 5, 4, 12, 0, 30, tzinfo=timezone.utc)
SMALL = [Document("a.txt", b"one two two"), Document("b.txt", b"Two")]
LARGE = [Document("c.txt", "It\u2019s one, it's TWO".encode())]


def done(label: str, value: Any, door: str = "lambda", attempts: int = 1) -> Done:
    job = Job(label, "delay()", (label,), NOON)
    return Done(job, states.SUCCESS, door, attempts, NOON.timestamp() + 2, 0.5, value)


def a_good_run() -> list[Done]:
    counted = [
        *(done(each.name, demo_app.words_of(each.text)) for each in SMALL),
        *(done(each.name, demo_app.words_of(each.text), "ecs") for each in LARGE),
    ]
    tick = done("tick", NOON)
    rule = replace(tick, job=Job("tick", BY_RULE, ("x",)))
    return [*counted, done("flaky", "at attempt 2", attempts=2), rule]


def failed_checks(ended: Sequence[Done]) -> list[str]:
    return [check.what for check in check_tasks(ended, SMALL, LARGE) if not check.happened]


# -- the texts ------------------------------------------------------------------------------------


def test_a_folder_is_read_with_its_folders_and_without_what_is_hidden_or_empty_or_no_text(
    tmp_path: Path,
) -> None:
    for name, content in {
        "notes.txt": "a",
        "deep/er/page.md": "b",
        ".git/message.txt": "c",
        "empty.txt": " \n",
        "picture.png": "d",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert [each.name for each in documents(tmp_path)] == ["deep/er/page.md", "notes.txt"]


def test_the_documents_of_the_checkout_are_the_default() -> None:
    names = [each.name for each in documents(None)]
    assert "docs/deploy.md" in names
    assert "README.md" in names


def test_an_installation_without_documents_asks_for_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("caraway.demo.documents.CHECKOUT", tmp_path)
    with pytest.raises(LocalError, match="caraway demo ~/notes"):
        documents(None)


def test_one_text_is_not_enough_for_two_doors(tmp_path: Path) -> None:
    (tmp_path / "only.txt").write_text("one")
    with pytest.raises(LocalError, match="fewer than two texts"):
        documents(tmp_path)


def test_the_largest_quarter_goes_to_the_ecs_worker_and_at_least_one_text() -> None:
    sized = [Document(str(size), b"x" * size) for size in (5, 1, 8, 2, 7, 3, 6, 4)]
    small, large = split(sized)
    assert [len(each.content) for each in large] == [7, 8]
    assert [len(each.content) for each in small] == [1, 2, 3, 4, 5, 6]
    assert [len(part) for part in split(sized[:2])] == [1, 1]


def test_a_file_that_is_not_utf_8_is_counted_all_the_same() -> None:
    assert demo_app.words_of(Document("latin.txt", b"caf\xe9 cafe").text).total == 2


def test_words_are_letters_with_apostrophes_in_lower_case() -> None:
    assert demo_app.words_of("It's 9 o'clock; IT'S_late").counts == {
        "it's": 2,
        "o'clock": 1,
        "late": 1,
    }


# -- the app --------------------------------------------------------------------------------------


def test_the_demo_declares_what_the_template_deploys() -> None:
    resources = load_template(TEMPLATE)["Resources"]
    deployed = {
        (name["Fn::Sub"].removeprefix("${Prefix}"), tags["caraway:consumer"])
        for queue in resources.values()
        if queue["Type"] == "AWS::SQS::Queue"
        and "caraway:consumer"
        in (tags := {tag["Key"]: tag["Value"] for tag in queue["Properties"]["Tags"]})
        for name in [queue["Properties"]["QueueName"]]
    }
    conf = demo_app.app.conf
    router = Router(conf.task_queues, conf.task_routes, conf.task_default_queue)
    assert {(each.name, each.consumer) for each in router.queues.values()} == deployed


def test_the_rule_of_the_template_sends_what_the_demo_schedules() -> None:
    rule = load_template(TEMPLATE)["Resources"]["TickRule"]["Properties"]
    (target,) = rule["Targets"]
    body = target["InputTransformer"]["InputTemplate"].replace("<time>", "2026-05-04T12:01:07Z")
    message = read_message(parse_envelope(body))
    entry = demo_app.app.conf.beat_schedule[demo_app.SCHEDULE]
    assert (message.task, message.schedule) == (entry["task"], demo_app.SCHEDULE)
    assert message.task in demo_app.app.tasks
    assert rule["ScheduleExpression"] == "cron(* * * * ? *)"
    assert entry["schedule"] == 60


def test_whoever_knows_the_minute_knows_the_occurrence() -> None:
    job = jobs.scheduled(demo_app.app, demo_app.SCHEDULE, NOON)
    fired = read_message(
        {
            "caraway": 1,
            "task": "caraway.demo.app.tick",
            "schedule": "tick",
            "scheduled_time": (NOON + timedelta(seconds=70)).isoformat(),
        }
    )
    assert fired.id in job.ids


def test_the_flaky_task_fails_once() -> None:
    result = demo_app.flaky.apply()
    assert result.get() == "at attempt 2"


# -- waiting --------------------------------------------------------------------------------------


def test_jobs_are_told_as_they_end_and_what_never_ends_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = MemoryAws()
    monkeypatch.setattr(Caraway, "aws", memory)
    app = Caraway("words", set_as_current=False)
    waiting = [jobs.sent(name, NOON, app.AsyncResult(name)) for name in ("first", "second")]
    at = NOON.timestamp()
    ending = {"phase": "done", "state": states.SUCCESS, "result": "7", "door": "ecs", "attempt": 1}
    memory.items[app.conf.task_table, "second"] = {
        "id": "second",
        "started_at": at + 1,
        "done_at": at + 3,
        **ending,
    }
    asked: list[None] = []
    (told,) = jobs.wait(app, waiting, 0.01, lambda: asked.append(None))
    assert (told.job, told.value, told.door, told.attempts) == (waiting[1], 7, "ecs", 2)
    assert (told.whole_s, told.run_s) == (3, 2)
    assert asked


def test_waiting_ends_when_there_is_nothing_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Caraway, "aws", MemoryAws())
    app = Caraway("words", set_as_current=False)

    def gone() -> None:
        raise LocalError("the worker ended")

    with pytest.raises(LocalError, match="the worker ended"):
        list(jobs.wait(app, [jobs.sent("first", NOON, app.AsyncResult("first"))], 60, gone))


# -- the summary ----------------------------------------------------------------------------------


def test_a_good_run_passes_every_check() -> None:
    assert failed_checks(a_good_run()) == []


@pytest.mark.parametrize(
    ("label", "changes", "failing"),
    [
        ("a.txt", {"door": "ecs"}, "Lambda counted 1 of 2 texts: b.txt"),
        ("c.txt", {"door": "lambda"}, "the ECS worker counted 0 of 1 texts"),
        ("tick", {"door": "ecs"}, "and Lambda ran it"),
        ("flaky", {"attempts": 1}, "succeeded at attempt 1"),
        ("flaky", {"state": states.FAILURE}, "never succeeded"),
        ("b.txt", {"value": demo_app.Words(2, {"two": 2})}, "counted 9 words; there are 8"),
    ],
)
def test_a_run_in_which_one_thing_is_wrong_fails_that_check(
    label: str, changes: dict[str, Any], failing: str
) -> None:
    ended = [replace(each, **changes) if each.job.label == label else each for each in a_good_run()]
    assert any(failing in each for each in failed_checks(ended))


def test_a_task_that_never_ended_fails_its_check() -> None:
    without_rule = [each for each in a_good_run() if each.job.sent_by != BY_RULE]
    assert any("rule sent nothing" in each for each in failed_checks(without_rule))


def printed(ended: Sequence[Done]) -> str:
    console = Console(file=io.StringIO(), width=120)
    show(console, ended, check_tasks(ended, SMALL, LARGE))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_the_summary_names_door_attempts_times_and_results() -> None:
    text = printed(a_good_run())
    assert "8 words in all. The most frequent: two 4, one 2" in text
    assert "12:00:30 UTC" in text
    assert re.search(r"c\.txt +ECS worker +delay\(\) +1 +2\.00 s +0\.50 s +4 words", text)
    assert re.search(r"tick +Lambda +rule +1 +0\.50 s", text)
    assert text.count("yes") == 5


def test_a_failure_is_shown_with_its_error_and_a_name_is_never_read_as_markup() -> None:
    wrong = replace(done("[bold]x.txt", ValueError("[red]no")), state=states.FAILURE)
    text = printed([*a_good_run()[1:], wrong])
    assert "[bold]x.txt" in text
    assert "FAILURE: ValueError('[red]no')" in text
    assert "NO " in text


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_passes_on_what_ended(terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    assert list(shown(console, iter(a_good_run()), 5)) == a_good_run()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("5/5" if terminal else "   5 of 5  tick: SUCCESS on lambda") in text


# -- the command ----------------------------------------------------------------------------------


def test_a_machine_without_the_extra_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "find_spec", lambda _name: None)
    outcome = CliRunner().invoke(run.command)
    assert outcome.exit_code == 1
    assert outcome.output == "Error: the demo needs rich and yaml: pip install 'caraway[dev]'\n"


@pytest.mark.parametrize(("went_well", "exit_code"), [(True, 0), (False, 1)])
def test_the_exit_code_says_whether_all_of_it_happened(
    monkeypatch: pytest.MonkeyPatch, went_well: bool, exit_code: int
) -> None:
    monkeypatch.setattr("caraway.demo.flow.run", lambda _console, _found: went_well)
    assert CliRunner().invoke(run.command).exit_code == exit_code


def test_what_fails_is_said_in_one_line(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(run.command, [str(tmp_path)])
    assert outcome.exit_code == 1
    assert outcome.output.startswith(f"Error: {tmp_path} has fewer than two texts")
