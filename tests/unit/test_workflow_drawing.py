"""A workflow as text, as a graph and as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from textwrap import dedent
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from caraway import chain, chord
from caraway.cli import main
from caraway.cli.drawing import ASCII, drawn
from caraway.cli.workflow_graph import as_dot, as_json, as_mermaid, graph_of
from caraway.cli.workflow_text import is_settled
from caraway.core.codec import dumps
from caraway.core.errors import error_to_json
from caraway.core.record import Record
from caraway.core.workflow_tree import Left, Many, Task, Tree
from tests.stage import Stage

if TYPE_CHECKING:
    from caraway.core.workflow_tree import Line


def _record(state: str, **told: Any) -> Record:
    phase = {"STARTED": "running", "RETRY": "retry"}.get(state, "done")
    times: dict[str, Any] = {"due_at": 100.0, "started_at": 100.25}
    if phase == "done":
        times["done_at"] = 101.75
    return Record(phase=phase, state=state, **{**times, **told})  # type: ignore[arg-type]


def _error(error: Exception) -> str:
    return dumps(error_to_json(error))


GOOD = _record("SUCCESS")
BAD = _record("FAILURE", attempt=2, result=_error(ValueError("no stock\nof this")))


def _text(*line: Any, asked: str = "", **options: Any) -> str:
    tree = line[0] if isinstance(line[0], Tree) else Tree(asked, line)
    return click.unstyle(drawn(tree, **options))


def _golden(text: str) -> str:
    return dedent(text).strip("\n")


def test_a_chain_shows_times_and_what_each_step_waits_for() -> None:
    text = _text(
        Task("1", "fetch", GOOD),
        Task("2", "price", _record("STARTED")),
        Task("3", "report"),
        Task("4", "mail"),
        asked="3",
    )
    assert text == _golden(
        """
        chain of 4  STARTED
        ├─ fetch  SUCCESS  queued 0.250 s, ran 1.500 s  1
        ├─ price  STARTED  queued 0.250 s  2
        ├─ report  waiting for price  3  <- this one
        └─ mail  waiting  4
        """
    )


def test_a_failure_shows_attempts_error_and_what_is_not_run() -> None:
    text = _text(Task("1", "fetch", replace(BAD, phase="done")), Task("2", "report"))
    assert text == _golden(
        """
        chain of 2  FAILURE
        ├─ fetch  FAILURE  queued 0.250 s, ran 1.500 s  3 attempts  ValueError: no stock of this  1
        └─ report  not run: FAILURE before it  2
        """
    )


def test_a_chord_says_how_many_its_body_waits_for() -> None:
    members = tuple((Task(f"m{n}", "price", GOOD if n else None),) for n in range(3))
    assert _text(Many("g", 3, members), Task("b", "total")) == _golden(
        """
        chord  STARTED
        ├─ group of 3  2 SUCCESS, 1 waiting  g
        │  ├─ [0] price  sent, not begun  m0
        │  ├─ [1] price  SUCCESS  queued 0.250 s, ran 1.500 s  m1
        │  └─ [2] price  SUCCESS  queued 0.250 s, ran 1.500 s  m2
        └─ total  waiting for 1 of 3  b
        """
    )


def _large() -> Many:
    kinds = {17: BAD, 40: None}
    members = tuple((Task(f"m{n}", "price", kinds.get(n, GOOD)),) for n in range(60))
    return Many("g", 100, members, unread=40)


def test_a_large_group_is_summed_up_and_what_failed_is_listed() -> None:
    assert _text(_large(), Task("b", "total"), asked="m41") == _golden(
        """
        chord  FAILURE
        ├─ group of 100  58 SUCCESS, 1 FAILURE, 1 waiting, 40 not looked at  g
        │  ├─ [17] price  FAILURE  queued 0.250 s, ran 1.500 s  3 attempts  ValueError: no stock of this  m17
        │  └─ [41] price  SUCCESS  queued 0.250 s, ran 1.500 s  m41  <- this one
        └─ total  waiting for 42 of 100  b
        """  # noqa: E501 - a line as it is printed
    )


def test_all_shows_every_member() -> None:
    assert _text(_large(), every=True).count("\n") == 60


def test_of_many_failures_ten_are_listed() -> None:
    text = _text(Many("g", 30, tuple((Task(f"m{n}", "price", BAD),) for n in range(30))))
    assert text.count("ValueError") == 10
    assert text.endswith("... 20 of these did not go well, too: --all shows them")


def test_what_a_task_has_sent_and_members_of_several_steps_are_nested() -> None:
    inner: Line = (Task("c1", "add", GOOD), Left(3), Task("c2", "add"))
    sender = Task("p", "parent", GOOD, sent=(inner, (Task("s", "mail", GOOD),)), unlisted=7)
    members = ((Task("m0", "a", GOOD), Task("m1", "b", GOOD)),)
    assert _text(Many("g", 1, members), Left(1), sender, strokes=ASCII) == _golden(
        """
        chain of 3  STARTED
        +- group of 1  1 SUCCESS  g
        |  `- [0] chain of 2  SUCCESS
        |     +- a  SUCCESS  queued 0.250 s, ran 1.500 s  m0
        |     `- b  SUCCESS  queued 0.250 s, ran 1.500 s  m1
        +- ...  waiting
        `- parent  SUCCESS  queued 0.250 s, ran 1.500 s  sent 7 more tasks  p
           +- chain of 5  STARTED
           |  +- add  SUCCESS  queued 0.250 s, ran 1.500 s  c1
           |  +- ... 3 steps  waiting
           |  `- add  waiting  c2
           `- mail  SUCCESS  queued 0.250 s, ran 1.500 s  s
        """
    )


def test_what_is_not_known_of_a_workflow_is_said() -> None:
    tree = Tree("s", (Task("a", "a", GOOD),), (Task("s", "s", GOOD),), lost_root="r")
    text = _text(tree)
    assert text.splitlines()[0] == "(it begins with r, of which there is no record)"
    assert "(sent by a task of it that has not ended, or does not list it)" in text


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (Task("1", "a", replace(_record("STARTED"), state="PENDING")), "STARTED"),
        (Task("1", "a", _record("FAILURE", result="s3://payloads/x")), "caraway result shows it"),
        (Task("1", "a", _record("FAILURE", result=_error(ValueError("x" * 200)))), "xxx..."),
        (Task("1", "a", _record("FAILURE", result=_error(KeyError()))), "KeyError"),
        (Task("1", None, _record("SUCCESS")), "task  SUCCESS"),
        (Many("g", None), "none has begun"),
        (Many("g", 2, ((Task("1", "a"),), (Task("2", "a"),))), "group of 2  sent, not begun"),
    ],
)
def test_a_node_in_words(node: Any, expected: str) -> None:
    assert expected in _text(node)


SETTLED: list[tuple[Line, bool]] = [
    ((Task("1", "a", GOOD), Task("2", "b", GOOD)), True),
    ((Task("1", "a", GOOD), Task("2", "b")), False),
    ((Task("1", "a", BAD), Task("2", "b")), True),
    ((Task("1", "a", _record("RETRY")), Task("2", "b")), False),
    ((Task("1", "a", GOOD, sent=((Task("2", "b"),),)),), False),
    ((Many("g", 2, ((Task("1", "a", GOOD),), (Task("2", "a"),))),), False),
    ((Many("g", 1, ((Task("1", "a", BAD),),)), Task("2", "b", BAD)), True),
    ((), True),
]


@pytest.mark.parametrize(("line", "expected"), SETTLED)
def test_a_workflow_is_settled_when_nothing_in_it_goes_on(line: Line, expected: bool) -> None:
    assert is_settled(line) is expected


def _order() -> Tree:
    sender = Task("p", 'say "hi"', GOOD, sent=((Task("s", "mail", BAD),),))
    members = tuple((Task(f"m{n}", "price", GOOD),) for n in range(2))
    return Tree("b", (sender, Many("g", 2, members), Task("b", "total")))


def test_mermaid_has_a_vertex_a_task_and_dotted_edges_to_what_was_sent() -> None:
    text = as_mermaid(graph_of(_order()))
    assert text.startswith("flowchart TD\n")
    assert 'n0["say #34;hi#34;<br/>SUCCESS<br/>queued 0.250 s, ran 1.500 s"]:::good' in text
    for edge in ("n0 -.-> n1", "n0 --> n2", "n0 --> n3", "n2 --> n4", "n3 --> n4"):
        assert f"    {edge}\n" in text


def test_dot_has_dashed_edges_to_what_was_sent() -> None:
    text = as_dot(graph_of(_order()))
    assert text.startswith("digraph workflow {\n")
    assert text.endswith("\n}")
    assert 'label="say \\"hi\\"\\nSUCCESS' in text
    assert "  n0 -> n1 [style=dashed];\n" in text
    assert "  n0 -> n2;\n" in text


def test_a_large_group_is_one_vertex() -> None:
    graph = graph_of(Tree("", (_large(), Task("b", "total"))))
    assert [vertex.lines[0] for vertex in graph.vertices] == ["group of 100", "price", "total"]


def test_json_has_everything() -> None:
    told = as_json(_order())
    assert told["id"] == "b"
    sender, group, body = told["steps"]
    assert sender["sent"][0][0]["error"] == "ValueError: no stock of this"
    assert sender["started"] == "1970-01-01T00:01:40.250+00:00"
    assert (group["counts"], len(group["members"])) == ({"SUCCESS": 2}, 2)
    assert body == {"kind": "task", "id": "b", "task": "total", "state": "waiting"}


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """An app that the command line finds as ``sums_on_a_stage``."""
    stage = Stage("sums")
    stage.app.task(name="add")(lambda x=0, y=0: x + y)
    stage.app.task(name="total")(sum)
    module = ModuleType("sums_on_a_stage")
    module.app = stage.app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sums_on_a_stage", module)
    return stage


def _show(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["workflow", "show", "-A", "sums_on_a_stage", *arguments])


def _canvas(stage: Stage) -> Any:
    add = stage.app.tasks["add"]
    return chord([add.s(1), chain(add.s(2), add.s(3))], stage.app.tasks["total"].s())


def test_show_draws_the_workflow_of_an_id(sums: Stage) -> None:
    end = _canvas(sums).delay()
    sums.work()
    shown = _show(end.id)
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith("chord  SUCCESS\n├─ group of 2  2 SUCCESS")
    assert f"{end.id}  <- this one" in shown.output


@pytest.mark.parametrize(
    ("form", "begins"), [("mermaid", "flowchart TD"), ("dot", "digraph workflow {"), ("json", "{")]
)
def test_show_writes_other_formats(sums: Stage, form: str, begins: str) -> None:
    end = _canvas(sums).delay()
    sums.work()
    assert _show(end.id, "--format", form).output.startswith(begins)


def test_json_for_machines_is_the_same_option_as_everywhere(sums: Stage) -> None:
    end = _canvas(sums).delay()
    sums.work()
    assert json.loads(_show(end.id, "--json").output)["id"] == end.id


def test_an_id_that_nothing_is_known_of_is_answered_with_what_to_do(sums: Stage) -> None:
    shown = _show("nonsense")
    assert shown.exit_code == 1
    assert "no task of a workflow 'nonsense' has begun" in shown.output
    assert "caraway queues" in shown.output


def test_follow_draws_each_change_until_the_end(
    sums: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = _canvas(sums).delay()
    sums.work_once()

    async def work_meanwhile(_seconds: float) -> None:
        sums.work_once()

    monkeypatch.setattr(sums.memory, "sleep", work_meanwhile, raising=False)
    shown = _show(end.id, "--follow")
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("chord  STARTED") == 3
    assert shown.output.count("chord  SUCCESS") == 1


def test_follow_is_for_people(sums: Stage) -> None:
    assert "--follow draws a tree" in _show("1", "--follow", "--format", "dot").output
