"""Looking through the records: which tasks are found, and what is read for it."""

from __future__ import annotations

from typing import Any

import pytest

from caraway.core.listing import Selection, selected, state_of
from caraway.core.port import iterate_now
from caraway.core.results import Seen
from caraway.exceptions import AccessDenied, Retry
from caraway.requests.dynamodb import Scan
from tests.stage import Stage


class Scene(Stage):
    """A stage with tasks that end in each way, a minute apart."""

    def __init__(self) -> None:
        super().__init__()
        task = self.app.task
        self.give = task(name="shop.give")(lambda value: value)
        self.fail = task(name="shop.fail")(_fail)
        self.again = task(name="post.again")(_again)
        self.ids = {
            "given": self._done(self.give, 1),
            "failed": self._done(self.fail, "no stock"),
            "late": self._done(self.fail, "no such customer"),
            "retried": self._done(self.again),
        }
        self.names = {id: name for name, id in self.ids.items()}

    def _done(self, task: Any, *args: Any) -> str:
        id: str = task.delay(*args).id
        self.work_once()
        self.memory.pass_time(60)
        return id

    def listed(self, *, limit: int | None = None, page: int = 100, **chosen: Any) -> list[Seen]:
        asked = selected(self.memory, self.app.site, Selection(**chosen), limit=limit, page=page)
        return list(iterate_now(asked))

    def found(self, **chosen: Any) -> set[str]:
        return {self.names[seen.record.id] for seen in self.listed(**chosen)}

    def scans(self) -> list[Scan]:
        return [each for each in self.memory.requests if isinstance(each, Scan)]


def _fail(value: str) -> None:
    raise ValueError(value)


def _again() -> None:
    raise Retry(exc=KeyError("busy"), when=600)


@pytest.fixture
def stage() -> Scene:
    return Scene()


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({}, ["given", "failed", "late", "retried"]),
        ({"states": ["SUCCESS"]}, ["given"]),
        ({"states": ["FAILURE", "RETRY"]}, ["failed", "late", "retried"]),
        ({"task": "shop.fail"}, ["failed", "late"]),
        ({"task": "shop.*"}, ["given", "failed", "late"]),
        ({"task": "*again"}, ["retried"]),
        ({"task": "shop.[fg]*l"}, ["failed", "late"]),
        ({"queue": "default"}, ["given", "failed", "late", "retried"]),
        ({"queue": "reports"}, []),
        ({"reason": "NO S"}, ["failed", "late"]),
        ({"reason": "ValueError: no stock"}, ["failed"]),
        ({"reason": "busy"}, ["retried"]),
        ({"reason": "busy", "states": ["FAILURE"]}, []),
        ({"older_than_s": 150.0}, ["given", "failed"]),
        ({"newer_than_s": 150.0}, ["late", "retried"]),
        ({"older_than_s": 100.0, "newer_than_s": 150.0}, ["late"]),
        ({"states": ["FAILURE"], "task": "shop.*", "newer_than_s": 150.0}, ["late"]),
    ],
    ids=repr,
)
def test_tasks_are_selected_by_what_their_records_say(
    stage: Scene, chosen: dict[str, Any], found: list[str]
) -> None:
    if "states" in chosen:
        chosen["states"] = frozenset(chosen["states"])
    assert stage.found(**chosen) == set(found)


def test_what_runs_is_started_and_what_was_released_is_pending(stage: Scene) -> None:
    seen: list[tuple[list[str], str]] = []

    @stage.app.task(name="look", bind=True)
    def look(self: Any) -> None:
        running = stage.listed(states=frozenset({"STARTED"}))
        seen.append(([each.record.id for each in running], state_of(running[0].record)))
        assert stage.listed(states=frozenset({"PENDING"})) == []

    id = look.delay().id
    stage.work_once()
    assert seen == [([id], "STARTED")]
    table = stage.app.conf.task_table
    stage.memory.items[table, id] |= {"phase": "retry", "state": "PENDING"}
    (released,) = stage.listed(states=frozenset({"PENDING"}))
    assert state_of(released.record) == "PENDING"


def test_a_task_that_has_not_begun_and_what_else_is_in_the_table_is_not_found(
    stage: Scene,
) -> None:
    stage.give.delay(2)
    stage.memory.items[stage.app.conf.task_table, "workers\t"] = {
        "id": "workers\t",
        "task": "shop.give",
        "state": "SUCCESS",
    }
    assert stage.found(task="shop.give") == {"given"}


def test_errors_are_read_where_all_that_is_meant_has_one(stage: Scene) -> None:
    (failed,) = stage.listed(states=frozenset({"FAILURE"}), reason="stock")
    assert repr(failed.result) == "ValueError('no stock')"
    assert {seen.result for seen in stage.listed()} == {None}
    assert ["result" in scan.fields for scan in stage.scans()] == [True, False]


def test_a_table_is_read_page_by_page_up_to_what_is_wanted(stage: Scene) -> None:
    told: list[int] = []
    asked = selected(stage.memory, stage.app.site, Selection(), progress=told.append, page=3)
    assert len(list(iterate_now(asked))) == 4
    assert told == [3, 4]
    stage.memory.requests.clear()
    assert len(stage.listed(limit=1, page=1)) == 1
    assert len(stage.scans()) == 1


def test_an_error_that_is_gone_from_s3_is_no_error_of_the_list(stage: Scene) -> None:
    table, id = stage.app.conf.task_table, stage.ids["failed"]
    stage.memory.items[table, id]["result"] = "s3://payloads/results/gone.json"
    found = {seen.record.id: seen.result for seen in stage.listed(states=frozenset({"FAILURE"}))}
    assert "payload" in str(found[id]).lower()


def test_who_may_not_read_the_table_is_told_what_it_takes(stage: Scene) -> None:
    def denied(_request: object) -> Any:
        raise AccessDenied("table 'tasks': dynamodb:Scan is not allowed")

    stage.memory.fate = denied
    with pytest.raises(AccessDenied, match="allow dynamodb:Scan on it"):
        stage.listed()
