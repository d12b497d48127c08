"""What counts as a change of an app's code, and that none is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from caraway.local.reload import Watched, Watcher

PATIENCE_S = 30.0


def watched(folder: Path) -> Watched:
    (folder / "shop").mkdir()
    return Watched(
        frozenset({folder / "shop"}), frozenset({folder}), frozenset({folder / "requirements.txt"})
    )


@pytest.mark.parametrize("file", ["app.py", "shop/tasks.py", "shop/deep/er.py", "requirements.txt"])
def test_code_and_requirements_count(file: str, tmp_path: Path) -> None:
    assert watched(tmp_path).counts(tmp_path / file)


@pytest.mark.parametrize(
    "file",
    [
        *("notes.txt", "shop/data.json", "other/module.py", "shop/tasks.py~", "shop/4913"),
        *("shop/.#tasks.py", "shop/.tasks.py.swp", "shop/__pycache__/tasks.py"),
        *("shop/.venv/lib/x.py", "shop/.git/hooks/x.py", "shop/node_modules/x/y.py"),
        *("shop/venv/lib/python3.11/site-packages/x.py",),
    ],
)
def test_what_editors_and_tools_write_does_not_count(file: str, tmp_path: Path) -> None:
    assert not watched(tmp_path).counts(tmp_path / file)


def test_a_project_below_a_hidden_folder_is_watched_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / ".hidden" / "build"
    assert Watched(frozenset({folder})).counts(folder / "app.py")


def test_a_change_is_told_once_also_one_that_an_editor_makes_by_renaming(tmp_path: Path) -> None:
    code = tmp_path / "shop" / "tasks.py"
    what = watched(tmp_path)
    with Watcher(what, since=2**40) as watcher:
        changed: set[Path] = set()
        while not changed:  # until the watching has begun
            code.write_text("1")
            changed = watcher.take(0.5)
        while watcher.take(1.0):
            pass
        draft = tmp_path / "shop" / "tasks.py.tmp"
        draft.write_text("2")
        draft.replace(code)
        (tmp_path / "shop" / "data.json").write_text("{}")
        assert watcher.take(PATIENCE_S) == {code}
        assert watcher.take(0) == set()


def test_what_was_saved_between_the_reading_of_the_app_and_the_watching_counts(
    tmp_path: Path,
) -> None:
    what = watched(tmp_path)
    old, new = tmp_path / "old.py", tmp_path / "shop" / "new.py"
    for file, written_at in ((old, 1_000), (new, 3_000)):
        file.touch()
        os.utime(file, (written_at, written_at))
    with Watcher(what, since=2_000) as watcher:
        assert watcher.take(PATIENCE_S) == {new}
        # Both threads have looked by then, and neither tells of it again.
        assert watcher.take(1.5) == set()


def test_why_nothing_can_be_watched_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr("watchfiles.watch", full)
    with Watcher(watched(tmp_path), since=0) as watcher:
        pass
    assert watcher.error == "OS file watch limit reached"
