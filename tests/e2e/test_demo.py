"""The demo does what it says, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from caraway.demo.documents import documents, split

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


@dataclass
class Run:
    """What a run of the demo printed, and where its temporary files were."""

    exit_code: int
    output: str
    temporary: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, occurrences: object) -> Run:
    """Run the demo on the documents of the checkout, from a folder that has nothing to do with it.

    It waits a minute for its rule; meanwhile that of the other tests fires too (``occurrences``).
    """
    elsewhere, temporary = tmp_path_factory.mktemp("elsewhere"), tmp_path_factory.mktemp("tmp")
    done = subprocess.run(
        [sys.executable, "-m", "caraway", "demo"],
        env=os.environ
        | {"TMPDIR": str(temporary), "AWS_PROFILE": "missing", "CARAWAY_TASK_TABLE": "elsewhere"},
        cwd=elsewhere,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Run(done.returncode, done.stdout, temporary)


def row_of(run: Run, label: str) -> str:
    """Return the row of the table for a task."""
    found = re.search(rf"^ *{re.escape(label)}  .*", run.output, re.MULTILINE)
    assert found, f"{label} is not in\n{run.output}"
    return found[0]


def test_the_demo_goes_well(run: Run) -> None:
    assert run.exit_code == 0, run.output
    assert "NO" not in run.output


def test_the_demo_names_what_each_door_ran_and_what_a_rule_sent(run: Run) -> None:
    small, large = split(documents(None))
    assert all("Lambda" in row_of(run, each.name) for each in small)
    assert all("ECS worker" in row_of(run, each.name) for each in large)
    assert " rule " in row_of(run, "tick")
    assert "an EventBridge rule sent tick" in run.output


def test_the_demo_shows_the_retry_and_the_combined_result(run: Run) -> None:
    assert re.search(r" 2 .* at attempt 2", row_of(run, "flaky"))
    assert re.search(r"\d,\d{3} words in all\. The most frequent: the \d+", run.output)


def test_the_demo_leaves_no_files(run: Run) -> None:
    assert not list(run.temporary.iterdir())
