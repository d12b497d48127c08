"""How large the Lambda package is that ``make package`` builds, by what is in it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from benchmarks.measures import say
from benchmarks.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measures import Row, Scale

BUILT = ROOT / "build" / "lambda"


def measure(scale: Scale) -> list[Row]:
    """Build it, which takes the network, and measure its parts."""
    if scale.part < 1:
        return []
    say("package")
    made = subprocess.run(
        ["make", "-s", "package"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if made.returncode:
        say(f"the package could not be built: {made.stderr.strip()[-300:]}")
        return []
    parts = (each for each in BUILT.iterdir() if each.suffix != ".dist-info")
    return [{"part": each.name, "mb": megabytes(each)} for each in sorted(parts)]


def megabytes(path: Path) -> float:
    """Return the size of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files) / 1e6
