"""The command line without AWS: what it offers, what it refuses, and how it says so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from caraway import __version__
from caraway.cli import main
from caraway.cli.celery_habits import (
    BEAT_OPTIONS,
    COMMANDS,
    GLOBAL_OPTIONS,
    INSPECTIONS,
    WORKER_OPTIONS,
)
from caraway.cli.errors import failure_of
from caraway.cli.worker import expand_hostname
from caraway.exceptions import (
    AccessDenied,
    CarawayError,
    InvalidArguments,
    LocalError,
    QueueNotFound,
    RegionMissing,
    TimeoutError,  # noqa: A004 - Celery's name
    UnknownSetting,
)
from caraway.workers.ecs import Worker

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).parents[2]
HEAVY = ("boto3", "botocore", "aiobotocore", "pydantic", "asyncio", "rich", "yaml", "caraway.app")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, and forget what was imported from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("CARAWAY_APP", raising=False)
    monkeypatch.delenv("CARAWAY_TRACEBACK", raising=False)
    return tmp_path


def run(*arguments: str, **environ: str | None) -> Result:
    """Run the command line in this process."""
    return CliRunner(env=environ).invoke(main, arguments, prog_name="caraway")


def module(folder: Path, name: str, text: str) -> str:
    """Write a module of a name that no other test uses."""
    (folder / f"{name}.py").write_text(text)
    return f"{name}:app"


# -- what it offers ---------------------------------------------------------------------------


def test_help_lists_the_commands_and_the_exit_codes() -> None:
    shown = run("--help").output
    for command in main.list_commands(click.Context(main)):
        assert f"\n  {command} " in shown
    assert "Exit codes:" in shown


def every_command(group: click.Group = main, *path: str) -> list[tuple[str, ...]]:
    """Return the words of every command, those of groups too."""
    found: list[tuple[str, ...]] = []
    context = click.Context(group)
    for name in group.list_commands(context):
        found.append((*path, name))
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            found += every_command(command, *path, name)
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_each_command_has_help_with_an_example_and_its_exit_at_zero(words: tuple[str, ...]) -> None:
    result = run(*words, "--help")
    assert result.exit_code == 0
    usage, rest = result.output.split("\n\n", 1)
    assert usage.startswith(f"Usage: caraway {' '.join(words)}")
    assert f"caraway {' '.join(words)}" in rest


def test_every_documented_exit_code_is_seen_in_a_test() -> None:
    page = (ROOT / "docs/cli.md").read_text().partition("| exit code |")[2]
    documented = re.findall(r"^\| (\d+) \|", page, re.MULTILINE)
    shown = run("--help").output.partition("Exit codes:")[2]
    listed = re.findall(r"^ +(\d+)  ", shown, re.MULTILINE)
    assert documented == listed == ["0", "1", "2", "3", "4", "5", "130"]
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_cli*.py"))
    assert [code for code in listed if f"exit_code == {code}\n" not in tests] == []


def test_the_version_is_said_in_one_line() -> None:
    assert run("--version").output == f"caraway {__version__}\n"


def test_python_can_run_the_package_as_a_module() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "caraway", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == f"caraway {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["worker", "--help"], ["call", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom caraway.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert shown.stdout.endswith("heavy: []\n")


# -- what it refuses --------------------------------------------------------------------------


def _each(options: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, instead) for names, instead in options.items() for name in names.split()]


@pytest.mark.parametrize(("option", "instead"), _each(dict(WORKER_OPTIONS)))
@pytest.mark.parametrize("value", [[], ["3"]], ids=["alone", "with a value"])
def test_a_worker_option_of_celery_is_refused_with_a_sentence(
    option: str, instead: str, value: list[str]
) -> None:
    result = run("worker", "-A", "shop:app", option, *value)
    assert result.exit_code == 2
    assert f"Celery's option {option} is not one of Caraway's: {instead}." in result.stderr


@pytest.mark.parametrize(("option", "instead"), _each(dict(GLOBAL_OPTIONS)))
def test_a_global_option_of_celery_is_refused_with_a_sentence(option: str, instead: str) -> None:
    result = run(option, "x", "worker")
    assert result.exit_code == 2
    assert instead in result.stderr


@pytest.mark.parametrize(("option", "instead"), _each(dict(BEAT_OPTIONS)))
def test_an_option_of_celery_beat_is_refused_with_a_sentence(option: str, instead: str) -> None:
    result = run("beat", option, "x")
    assert result.exit_code == 2
    assert instead in result.stderr


@pytest.mark.parametrize(("command", "instead"), COMMANDS.items())
def test_a_command_of_celery_is_refused_with_a_sentence(command: str, instead: str) -> None:
    result = run("-A", "shop:app", command, "--anything")
    assert result.exit_code == 2
    assert instead in result.stderr


@pytest.mark.parametrize(("verb", "instead"), INSPECTIONS.items())
def test_a_verb_of_celery_inspect_is_refused_with_a_sentence(verb: str, instead: str) -> None:
    result = run("inspect", verb, "-A", "shop:app")
    assert result.exit_code == 2
    assert instead in result.stderr
    assert f"`{verb}`" in (ROOT / "docs/cli.md").read_text()


@pytest.mark.parametrize("arguments", [["-t", "3", "active"], ["active", "--timeout", "3"]])
def test_inspecting_waits_for_nothing(arguments: list[str]) -> None:
    result = run("inspect", *arguments)
    assert result.exit_code == 2
    assert "nothing is waited for" in result.stderr


def test_a_misspelt_verb_is_answered_with_the_nearest() -> None:
    result = run("inspect", "activ")
    assert result.exit_code == 2
    assert "no command 'activ', did you mean 'active'?" in result.stderr


def test_refused_options_are_not_in_the_help() -> None:
    assert "--prefetch-multiplier" not in run("worker", "--help").output


def test_there_is_no_beat_process_to_run() -> None:
    result = run("beat", "-A", "shop:app")
    assert result.exit_code == 2
    assert "caraway beat sync" in result.stderr


def test_a_misspelt_command_is_answered_with_the_nearest() -> None:
    result = run("wroker")
    assert result.exit_code == 2
    assert "no command 'wroker', did you mean 'worker'?" in result.stderr


@pytest.mark.parametrize("value", ["a", "1,2,3", "0", "-1,2", "1,x", ""])
def test_an_autoscale_that_is_no_range_says_what_one_is(value: str) -> None:
    result = run("worker", "--autoscale", value)
    assert result.exit_code == 2
    assert "two numbers such as 2,10" in result.stderr


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        ("processes", "use -P prefork"),
        ("eventlet", "use -P gevent, or -P asyncio"),
        ("thread", "did you mean 'threads'?"),
    ],
)
def test_a_pool_that_is_not_there_is_answered_with_one_that_is(pool: str, said: str) -> None:
    result = run("worker", "-P", pool)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--args", "[1,"], "is not JSON"),
        (["--args", '{"a": 1}'], "expected a list, such as '[2, \"b\"]'"),
        (["--args", "3"], "expected a list"),
        (["--kwargs", "[]"], "expected an object"),
        (["--eta", "tomorrow"], "expected a time such as 2030-01-31T09:00"),
        (["--expires", "soon"], "expected a time"),
        (["--countdown", "x"], "is not a valid float"),
        (["--wait", "--timeout", "-1"], "is not in the range"),
    ],
)
def test_what_cannot_be_read_is_named_with_an_example(arguments: list[str], said: str) -> None:
    result = run("call", "shop.add", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


# -- the user's app ---------------------------------------------------------------------------


def test_a_command_without_an_app_says_how_to_name_one() -> None:
    result = run("queues")
    assert result.exit_code == 3
    assert result.stderr == "Error: no app: give -A module:attribute, or set CARAWAY_APP\n"


def test_a_module_that_is_not_there_is_named() -> None:
    result = run("queues", "-A", "no_such_module:app")
    assert result.exit_code == 3
    assert "there is no module 'no_such_module'" in result.stderr


def test_the_app_after_the_command_wins_over_the_one_before_it(folder: Path) -> None:
    result = run("-A", "first_app:app", "queues", "-A", "second_app:app")
    assert "'second_app'" in result.stderr
    assert "'first_app'" in run("-A", "first_app:app", "queues").stderr
    assert "'third_app'" in run("queues", CARAWAY_APP="third_app:app").stderr


def test_what_the_users_code_raises_is_shown_with_its_place_and_without_ours(folder: Path) -> None:
    app = module(folder, "cli_broken", "def load():\n    return {}['key']\n\nload()\n")
    result = run("queues", "-A", app)
    assert result.exit_code == 3
    assert "the app 'cli_broken:app' could not be imported; its code raised" in result.stderr
    assert "line 2, in load\n    return {}['key']" in result.stderr
    assert result.stderr.endswith("KeyError: 'key'\n")
    assert "importlib" not in result.stderr
    assert "caraway/loader.py" not in result.stderr


def test_a_syntax_error_of_the_users_is_shown_with_its_line(folder: Path) -> None:
    result = run("queues", "-A", module(folder, "cli_syntax", "def (:\n"))
    assert result.exit_code == 3
    assert "cli_syntax.py" in result.stderr
    assert "SyntaxError" in result.stderr


def test_a_library_that_the_users_code_lacks_is_the_users_error(folder: Path) -> None:
    result = run("queues", "-A", module(folder, "cli_lacking", "import no_such_library\n"))
    assert result.exit_code == 3
    assert "line 1, in <module>\n    import no_such_library" in result.stderr


def test_what_caraway_refuses_in_the_users_code_is_one_line_with_its_place(folder: Path) -> None:
    app = module(
        folder,
        "cli_refused",
        "from caraway import Caraway\napp = Caraway('x')\n\napp.task(binds=True)(print)\n",
    )
    result = run("queues", "-A", app)
    assert result.exit_code == 3
    assert result.stderr == (
        "Error: no task option named 'binds', did you mean 'bind'? (cli_refused.py, line 4)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [(["--traceback"], {}), ([], {"CARAWAY_TRACEBACK": "1"})],
)
def test_the_whole_traceback_is_shown_to_who_asks(
    arguments: list[str], environ: dict[str, str]
) -> None:
    result = run(*arguments, "queues", "-A", "no_such_module:app", **environ)
    assert result.exit_code == 3
    assert "Traceback (most recent call last)" in result.stderr
    assert "ImproperlyConfigured" in result.stderr
    assert "Traceback" not in run("queues", "-A", "no_such_module:app").stderr


def test_the_tasks_of_included_modules_are_imported_before_a_command_runs(folder: Path) -> None:
    module(folder, "cli_more_tasks", "raise LookupError('reached')\n")
    app = module(
        folder,
        "cli_including",
        "from caraway import Caraway\napp = Caraway('x', include=['cli_more_tasks'])\n",
    )
    assert "LookupError: reached" in run("queues", "-A", app).stderr


# -- the worker -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "interval_s"),
    [
        ([], 30.0),
        (["--heartbeat-interval", "2.5"], 2.5),
        (["--without-heartbeat"], 0),
        (["--without-heartbeat", "--heartbeat-interval", "2"], 0),
    ],
)
def test_a_worker_beats_as_often_as_it_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], interval_s: float
) -> None:
    app = module(
        folder,
        "cli_beating",
        "from caraway import Caraway, Queue\napp = Caraway('x')\n"
        "app.conf.task_queues = [Queue('default', consumer='ecs')]\n",
    )
    told: list[float | None] = []

    def run_worker(worker: Worker) -> int:
        told.append(worker.heartbeat_interval_s)
        return 0

    monkeypatch.setattr("caraway.workers.logs.set_up_logging", lambda *_: None)
    monkeypatch.setattr(Worker, "run", run_worker)
    assert run("worker", "-A", app, *arguments).exit_code == 0
    assert told == [interval_s]


@pytest.mark.parametrize("value", ["0", "-1", "soon"])
def test_a_heartbeat_needs_an_interval(value: str) -> None:
    assert run("worker", "--heartbeat-interval", value).exit_code == 2


# -- exit codes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownSetting("x"), 3),
        (QueueNotFound("x"), 3),
        (InvalidArguments("x"), 3),
        (RegionMissing("x"), 4),
        (AccessDenied("x"), 4),
        (TimeoutError("x"), 5),
        (LocalError("x"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: CarawayError, code: int) -> None:
    assert failure_of(error, show_traceback=False).exit_code == code


def test_an_interrupted_command_ends_as_shells_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(main), "get_command", lambda *_: interrupted)
    result = run("worker")
    assert (result.exit_code, result.stderr) == (130, "Error: interrupted\n")


# -- small things -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("reports@%h", "reports@box.example.com"),
        ("reports@%n", "reports@box"),
        ("%d", "example.com"),
        ("100%%h", "100%h"),
        ("plain", "plain"),
    ],
)
def test_a_workers_name_may_hold_celerys_signs(pattern: str, name: str) -> None:
    assert expand_hostname(pattern, "box.example.com") == name
