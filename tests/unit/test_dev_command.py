"""The command line of ``caraway dev``: what it hands on, and what it refuses before it starts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from caraway.cli import main
from caraway.exceptions import ImproperlyConfigured, LocalError
from caraway.local import dev
from caraway.local.options import Options
from caraway.local.provision import TEMPLATE


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    options: list[Options] = []
    monkeypatch.setattr("caraway.cli.dev.run", options.append)
    return options


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["dev", *arguments])


def test_the_options_are_handed_on(seen: list[Options], tmp_path: Path) -> None:
    named = tmp_path / "my.txt"
    named.touch()
    outcome = invoke(
        *("-A", "shop:app", "--port", "4567", "--requirements", str(named)),
        *("--no-worker", "--no-reload", "--keep", str(tmp_path / "kept"), "-Q", "a,b"),
    )
    assert outcome.exit_code == 0, outcome.output
    assert seen == [
        Options(
            "shop:app",
            4567,
            TEMPLATE,
            named,
            worker=False,
            queues=("a", "b"),
            reload=False,
            keep=tmp_path / "kept",
        )
    ]


def test_the_port_may_be_a_variable_and_the_option_is_stronger(
    seen: list[Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAWAY_DEV_PORT", "0")
    assert invoke("-A", "shop:app").exit_code == 0
    assert invoke("-A", "shop:app", "--port", "4567").exit_code == 0
    assert [options.port for options in seen] == [0, 4567]


def test_the_app_may_be_named_before_the_command(seen: list[Options]) -> None:
    assert CliRunner().invoke(main, ["-A", "shop:app", "dev"]).exit_code == 0
    assert seen[0].app_name == "shop:app"
    assert seen[0].reload


def test_options_of_the_worker_are_its_own_also_those_that_dev_does_not_know(
    seen: list[Options],
) -> None:
    outcome = invoke(
        *("-A", "shop:app", "-c", "3", "-P", "prefork", "-l", "debug"),
        *("--", "--autoscale", "1,4", "--max-tasks-per-child", "9"),
    )
    assert outcome.exit_code == 0, outcome.output
    assert seen[0].worker_options == (
        *("-c", "3", "-P", "prefork", "-l", "debug"),
        *("--autoscale", "1,4", "--max-tasks-per-child", "9"),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-P", "thread"), "did you mean 'threads'?"),
        (("-c", "0"), "x>=1"),
        (("--", "--autoscal", "3"), "--autoscale"),
        (("--", "--beat"), "there is no beat process"),
        (("--kep", "x"), "--keep"),
    ],
)
def test_a_wrong_option_is_told_before_anything_starts(
    arguments: tuple[str, ...], message: str, seen: list[Options]
) -> None:
    outcome = invoke("-A", "shop:app", *arguments)
    assert outcome.exit_code == 2
    assert message in outcome.output
    assert seen == []


# -- failing starts --------------------------------------------------------------------------------


def test_a_machine_without_the_extra_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "find_spec", lambda name: None if name == "watchfiles" else object())
    with pytest.raises(LocalError, match=r"needs watchfiles.*pip install 'caraway\[dev\]'"):
        dev.run(Options("shop:app"))


def test_an_endpoint_in_the_code_is_refused_as_nothing_would_find_the_local_aws(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = SimpleNamespace(endpoint_url="http://fixed:1")
    monkeypatch.setattr(dev, "describe", lambda *_: project)
    monkeypatch.setattr(dev, "enter", lambda _environ: None)
    with pytest.raises(ImproperlyConfigured, match="sets aws_endpoint_url to http://fixed:1"):
        dev.run(Options("shop:app"))


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(LocalError("Port 1 of 127.0.0.1 is in use"), 1), (ImproperlyConfigured("no app"), 3)],
)
def test_a_failing_start_is_one_error_and_an_exit_code(
    error: Exception, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_options: Any) -> None:
        raise error

    monkeypatch.setattr("caraway.cli.dev.run", fail)
    outcome = invoke("-A", "shop:app")
    assert outcome.exit_code == exit_code
    assert outcome.output.strip() == f"Error: {error}"
