"""What is slow to make is made once, whoever asks, and never used half-made."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from caraway.exceptions import LocalError
from caraway.local.cache import build_once, cache_folder, python_key


def test_a_folder_is_built_at_the_first_call_only(tmp_path: Path) -> None:
    built: list[Path] = []
    assert build_once(tmp_path / "deep" / "thing", built.append) == tmp_path / "deep" / "thing"
    build_once(tmp_path / "deep" / "thing", built.append)
    assert built == [tmp_path / "deep" / "thing"]


def test_a_folder_whose_building_failed_is_built_anew_and_starts_empty(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_once(tmp_path / "thing", fail)
    left: list[Path] = []
    build_once(tmp_path / "thing", lambda folder: left.extend(folder.iterdir()))
    assert left == []
    assert not (tmp_path / "thing" / "half").exists()


def test_a_finished_folder_that_has_become_unusable_is_built_anew(tmp_path: Path) -> None:
    def is_whole(folder: Path) -> bool:
        return (folder / "part").exists()

    def build(folder: Path) -> None:
        (folder / "part").touch()

    build_once(tmp_path / "thing", build, is_whole=is_whole)
    (tmp_path / "thing" / "part").unlink()
    build_once(tmp_path / "thing", build, is_whole=is_whole)
    assert is_whole(tmp_path / "thing")


def test_a_second_process_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    first_builds, second_waits = threading.Event(), threading.Event()
    built: list[Path] = []
    said: list[str] = []

    def build(folder: Path) -> None:
        built.append(folder)
        first_builds.set()
        assert second_waits.wait(120)

    def progress(line: str) -> None:
        said.append(line)
        second_waits.set()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(build_once, tmp_path / "thing", build)
        assert first_builds.wait(120)
        second = pool.submit(build_once, tmp_path / "thing", build, progress)
        assert first.result() == second.result()
    assert len(built) == 1
    assert said == ["Waiting for another process that is preparing the same thing"]


def test_a_folder_that_cannot_be_written_to_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalError, match=r"file cannot be written to .*set CARAWAY_CACHE"):
        build_once(tmp_path / "file" / "thing", lambda _: None)


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"CARAWAY_CACHE": "/chosen", "XDG_CACHE_HOME": "/xdg"}, "/chosen"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/caraway"),
        ({}, "/home/somebody/.cache/caraway"),
    ],
)
def test_the_cache_is_where_the_user_says_else_where_the_system_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], folder: str
) -> None:
    monkeypatch.delenv("CARAWAY_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)


def test_keys_differ_by_content_and_by_python(monkeypatch: pytest.MonkeyPatch) -> None:
    key = python_key(b"a", b"b")
    assert python_key(b"a", b"b") == key
    assert python_key(b"ab", b"") != key
    monkeypatch.setattr("sys.base_prefix", "/another/python")
    assert python_key(b"a", b"b") != key
