"""One scenario as a command performs it: with its logs in a folder of its own, and said aloud."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.chaos.run import run
from tests.chaos.scenarios import BY_NAME

if TYPE_CHECKING:
    from tests.chaos.run import Report

LOGS: Final = Path(__file__).parents[2] / "build" / "chaos"


def say(line: str) -> None:
    """Tell the person who waits."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def perform(name: str, tasks: int | None, seed: int) -> Report:
    """Run one scenario; its logs stay if it broke a promise."""
    scenario = BY_NAME[name]
    if tasks:
        scenario = replace(scenario, tasks=tasks)
    folder = LOGS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    report = run(scenario, seed, folder, say)
    if not report.findings:
        shutil.rmtree(folder)
    return report
