"""What the shell is told when a person presses Tab."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from caraway.cli import completing, main

if TYPE_CHECKING:
    from pathlib import Path

SHOP = """
from caraway import Caraway, Queue
print("noise")
app = Caraway("shop")
app.conf.update(
    task_queues=[Queue("default"), Queue("reports"), Queue("refunds")],
    beat_schedule={name: {"task": "shop.add", "schedule": 60} for name in ("clean", "close")},
)

@app.task(name="shop.add")
def add(): ...

@app.task(name="shop.send")
def send(): ...
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write an app that is named by CARAWAY_APP; return its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "completed_shop", raising=False)
    (tmp_path / "completed_shop.py").write_text(SHOP)
    monkeypatch.setenv("CARAWAY_APP", "completed_shop:app")
    return "completed_shop:app"


def completed(*words: str) -> list[str]:
    """Complete the last word."""
    complete = ShellComplete(main, {}, "caraway", "_CARAWAY_COMPLETE")
    return [item.value for item in complete.get_completions([*words[:-1]], words[-1])]


def test_commands_are_completed_without_importing_them() -> None:
    assert completed("wo") == ["worker", "workflow"]
    assert completed("res") == ["result"]
    assert completed("inspect", "act") == ["active", "active_queues"]
    assert completed("beat", "re") == ["resume"]
    assert completed("beat", "run") == ["run-now"]
    script = (
        "import sys\nfrom click.shell_completion import ShellComplete\n"
        "from caraway.cli import main\n"
        "ShellComplete(main, {}, 'caraway', 'X').get_completions([], 'w')\n"
        "print([name for name in sys.modules if name in ('rich', 'yaml', 'caraway.cli.worker')])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "[]\n"


def test_options_are_completed_without_those_that_are_refused() -> None:
    assert completed("worker", "--max") == ["--max-tasks-per-child", "--max-memory-per-child"]
    assert completed("worker", "--pre") == []
    assert "--json" in completed("--")


def test_tasks_are_completed(shop: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert completed("call", "") == ["shop.add", "shop.send"]
    assert completed("call", "shop.s") == ["shop.send"]
    assert capfd.readouterr() == ("", "")


def test_the_app_of_the_line_is_asked(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARAWAY_APP")
    assert completed("call", "shop.a") == []
    assert completed("call", "-A", shop, "shop.a") == ["shop.add"]
    assert completed("-A", shop, "call", "shop.a") == ["shop.add"]


@pytest.mark.parametrize("words", [("worker", "-Q"), ("call", "shop.add", "-Q"), ("purge",)])
def test_queues_are_completed(shop: str, words: tuple[str, ...]) -> None:
    assert completed(*words, "re") == ["refunds", "reports"]


def test_entries_of_the_schedule_are_completed_also_where_aws_does_not_tell_others(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completing, "_made_at_run_time", lambda _app: {"clear", "tidy"})
    assert completed("beat", "pause", "cl") == ["clean", "clear", "close"]
    assert completed("beat", "history", "t") == ["tidy"]

    def fail(_app: object) -> set[str]:
        raise ConnectionError

    monkeypatch.setattr(completing, "_made_at_run_time", fail)
    assert completed("beat", "edit", "cl") == ["clean", "close"]


def test_the_last_of_several_queues_is_completed(shop: str) -> None:
    assert completed("worker", "-Q", "default,re") == ["default,refunds", "default,reports"]


@pytest.mark.parametrize(
    "code", ["raise LookupError", "import sys; sys.exit(3)", "def (:", "print(1)"]
)
def test_an_app_that_cannot_be_had_completes_nothing_silently(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    code: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "completed_broken", raising=False)
    (tmp_path / "completed_broken.py").write_text(code)
    assert completed("call", "-A", "completed_broken:app", "") == []
    assert completed("call", "-A", "nowhere:app", "") == []
    assert capfd.readouterr() == ("", "")


def test_an_app_that_takes_too_long_completes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(completing, "PATIENCE_S", 0.05)
    (tmp_path / "completed_slow.py").write_text(
        "import threading\n"
        "try: threading.Event().wait()\n"
        "except Exception: threading.Event().wait()\n"
    )
    assert completed("call", "-A", "completed_slow:app", "") == []


def test_a_completion_in_another_thread_has_no_alarm(shop: str) -> None:
    found: list[list[str]] = []
    thread = threading.Thread(target=lambda: found.append(completed("call", "shop.a")))
    thread.start()
    thread.join()
    assert found == [["shop.add"]]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_the_shell_reads_is_printed(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell], prog_name="caraway")
    assert result.exit_code == 0
    assert f"_CARAWAY_COMPLETE={shell}_complete" in result.stdout
    assert result.stderr == ""


def test_a_shell_that_is_not_known_is_refused() -> None:
    result = CliRunner().invoke(main, ["completion", "tcsh"], prog_name="caraway")
    assert result.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in result.stderr
