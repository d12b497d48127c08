"""What is left of an engine that was killed with all around it goes when the next one starts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from caraway.local import supervisor
from caraway.local.leftovers import LOCK, remove_leftovers

HOUR_S = 3_600


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def grown_old(folder: Path, *, locked: bool = True) -> Path:
    """Make a folder that an engine might have left long ago."""
    folder.mkdir()
    (folder / "engine.log").touch()
    if locked:
        (folder / LOCK).touch()
    then = folder.stat().st_mtime - HOUR_S
    os.utime(folder, (then, then))
    return folder


def test_a_folder_whose_lock_nobody_holds_is_removed(temporary: Path) -> None:
    left = grown_old(temporary / "engine-left")
    remove_leftovers("engine-")
    assert not left.exists()


def test_other_folders_stay(temporary: Path) -> None:
    stay = [
        grown_old(temporary / "other-left"),
        grown_old(temporary / "engine-without-a-lock", locked=False),
        temporary / "engine-young",
    ]
    stay[-1].mkdir()
    (stay[-1] / LOCK).touch()
    remove_leftovers("engine-")
    assert all(each.exists() for each in stay)


def test_a_folder_stays_until_the_last_one_who_works_in_it_is_gone(temporary: Path) -> None:
    folder = grown_old(temporary / "engine-at-work", locked=False)
    locks = supervisor.in_use(str(folder))
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=locks) as engine:
        for lock in locks:  # the supervisor is killed, the engine goes on
            os.close(lock)
        grown = folder.stat().st_mtime - HOUR_S
        os.utime(folder, (grown, grown))
        remove_leftovers("engine-")
        assert folder.exists()
        engine.kill()
    remove_leftovers("engine-")
    assert not folder.exists()


def test_who_has_no_folder_locks_none() -> None:
    assert supervisor.in_use("") == ()
