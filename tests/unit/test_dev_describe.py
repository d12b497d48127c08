"""The app is imported by another interpreter: always freshly, and without harm to this one."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from caraway.core.signing import Signing
from caraway.exceptions import ImproperlyConfigured, LocalError
from caraway.local.describe import describe

APP = """
from caraway import Caraway, Queue
print("being imported")
app = Caraway("shop", set_as_current=False)
app.conf.task_queues = [Queue("default"), Queue("reports", consumer="ecs")]
app.conf.beat_schedule = {"hourly": {"task": "shop.x", "schedule": 3600}}
@app.task
def x(): ...
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path / "shop.py"


def test_queues_rules_and_folders_are_told_and_what_the_code_prints(shop: Path) -> None:
    lines: list[str] = []
    project = describe("shop", os.environ, "dev-", lines.extend)
    assert project.name == "shop:app"
    assert [queue.name for queue in project.queues] == ["default", "reports"]
    assert [(rule.entry, rule.queue) for rule in project.schedules] == [("hourly", "dev-default")]
    assert shop.parent in project.flat_folders
    assert lines == ["being imported"]
    assert "shop" not in sys.modules


def test_what_signs_the_apps_messages_is_told_and_no_other_key(shop: Path) -> None:
    assert describe("shop:app", os.environ, "").signing is None
    keys = {"old": "o" * 40, "new": "n" * 40}
    shop.write_text(
        f"{APP}\napp.conf.update(task_signing_keys={keys!r}, task_signing_key_id='new')\n"
    )
    project = describe("shop:app", os.environ, "")
    envelope = {"caraway": 1, "id": "i", "task": "shop.x"}
    assert project.signing is not None
    signed = {**envelope, "signature": project.signing.value_of(envelope)}
    of_the_app = Signing.of(keys, None, required=True)
    assert of_the_app is not None
    of_the_app.verify(signed, datetime.now(timezone.utc))
    assert "n" * 40 not in repr(project)
    assert "o" * 40 not in str(vars(project))


def test_a_change_is_seen_by_the_next_one(shop: Path) -> None:
    first = describe("shop:app", os.environ, "")
    shop.write_text(APP.replace('"reports"', '"papers"'))
    second = describe("shop:app", os.environ, "")
    assert [project.queues[1].name for project in (first, second)] == ["reports", "papers"]


def test_a_syntax_error_is_told_with_its_file_and_line(shop: Path) -> None:
    shop.write_text(APP + "def broken(:\n")
    with pytest.raises(ImproperlyConfigured, match=r'shop\.py", line 9\n(.*\n)+SyntaxError'):
        describe("shop:app", os.environ, "")


def test_what_the_code_raises_is_told_with_the_users_part_of_the_traceback(shop: Path) -> None:
    shop.write_text(APP + "1 / 0\n")
    with pytest.raises(ImproperlyConfigured) as caught:
        describe("shop:app", os.environ, "")
    assert 'shop.py", line 9' in str(caught.value)
    assert "ZeroDivisionError" in str(caught.value)
    assert "importlib" not in str(caught.value)


def test_an_app_that_is_not_there_is_told(shop: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="there is no module 'nowhere'"):
        describe("nowhere:app", os.environ, "")


def test_code_that_ends_the_interpreter_is_told_with_its_last_words(shop: Path) -> None:
    shop.write_text("import sys\nprint('good bye')\nsys.exit(7)\n")
    with pytest.raises(LocalError, match=r"exit code 7[^$]*good bye"):
        describe("shop:app", os.environ, "")
