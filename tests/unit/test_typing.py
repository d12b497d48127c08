"""What type checkers know: the promises of `tests/typing`, checked with mypy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests" / "typing").glob("*.py"))


def check(path: Path) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_type_checkers_know_what_is_promised(path: Path) -> None:
    assert check(path) == (0, "")
