"""An environment is named after its lock file's content, and says why it could not be made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from caraway.exceptions import LocalError
from caraway.local import environment as room
from caraway.local.environment import ENGINE_LOCK, environment, main, run_python


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Record the commands instead of running them; the interpreter appears as if they had run."""
    ran: list[list[str]] = []

    def run(python: Path, arguments: list[str], failure: str, remedy: str) -> None:
        ran.append(arguments)
        if arguments[1] == "venv":
            (Path(arguments[2]) / "bin").mkdir()
            (Path(arguments[2]) / "bin" / "python").touch()

    monkeypatch.setenv("CARAWAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(room, "run_python", run)
    return ran


def test_a_changed_lock_file_gets_an_environment_of_its_own(
    tmp_path: Path, commands: list[list[str]]
) -> None:
    lock = tmp_path / "tool.lock"
    lock.write_text("tool==1\n")
    first = environment(lock)
    assert environment(lock) == first
    assert len(commands) == 2

    lock.write_text("tool==2\n")
    assert environment(lock) != first
    assert len(commands) == 4


def test_an_environment_without_its_python_is_built_anew(
    tmp_path: Path, commands: list[list[str]]
) -> None:
    lock = tmp_path / "tool.lock"
    lock.touch()
    environment(lock).unlink()
    assert environment(lock).exists()


def test_the_lock_file_is_installed_as_it_is(tmp_path: Path, commands: list[list[str]]) -> None:
    environment(ENGINE_LOCK)
    assert "--no-deps" in commands[1]
    assert commands[1][-2:] == ["--requirement", str(ENGINE_LOCK)]


def test_the_command_prints_the_interpreter_and_nothing_else(
    tmp_path: Path, commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "tool.lock"
    lock.touch()
    assert main([str(lock)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{environment(lock)}\n"
    assert "Installing tool" in printed.err


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main([str(tmp_path / "missing.lock")]) == 1
    assert "missing.lock cannot be read" in capsys.readouterr().err


def test_a_failure_shows_the_last_lines_and_the_remedy() -> None:
    script = "print(*range(100), sep='\\n'); raise SystemExit(1)"
    with pytest.raises(LocalError) as raised:
        run_python(Path(sys.executable), ["-c", script], "it failed", "Do this")
    lines = str(raised.value).splitlines()
    assert lines[0] == "it failed:"
    assert lines[-2:] == ["    99", "Do this."]
    assert len(lines) < 20
