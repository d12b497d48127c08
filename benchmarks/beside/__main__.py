"""``python -m benchmarks.beside [NAME ...]``: run the cases on both, and write the table."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.beside.cases import BY_NAME, Case
from benchmarks.beside.run import Came, run
from benchmarks.beside.systems import ROOT, System, caraway, celery
from benchmarks.systems import CELERY_LOCK, installed
from caraway import __version__

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- written by make beside -->", "<!-- end of make beside -->"
HEAD = ("case", "what goes wrong", "tasks", "Celery", "Caraway", "why")


def say(line: str) -> None:
    """Tell the person who waits."""
    print(line, file=sys.stderr, flush=True)


def told(came: Came) -> str:
    """Return what a case came to, in words."""
    parts = [
        f"{came.lost} lost" if came.lost else "",
        f"{came.stuck} stuck" if came.stuck else "",
        f"{came.twice} took effect more than once, up to {came.most} times" if came.twice else "",
    ]
    return ", ".join(part for part in parts if part) or "each once"


def row(case: Case, came: dict[str, Came]) -> str:
    """Return a case as a line of the table."""
    tasks = f"{case.chords} chords" if case.chords else f"{case.tasks}"
    both = (told(came["Celery"]), told(came["Caraway"]))
    cells = (f"`{case.name}`", case.title, tasks, *both, case.why)
    return f"| {' | '.join(cells)} |"


def versions(python: Path) -> str:
    """Return what ran."""
    code = "import celery, kombu, json; print(json.dumps([celery.__version__, kombu.__version__]))"
    said = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    theirs, transport = json.loads(said.stdout)
    return f"Celery {theirs} with kombu {transport}, Caraway {__version__}."


def with_rows(page: str, rows: dict[str, str], ran: str) -> str:
    """Return the page with these rows in its table, in place of those of the same cases."""
    before, _, rest = page.partition(BEGIN)
    written, _, after = rest.partition(END)
    old = {match[1]: match[0] for match in re.finditer(r"^\| `([^`]+)`.*$", written, re.MULTILINE)}
    known = {**old, **rows}
    head = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    lines = [ran, "", *head, *(known[name] for name in BY_NAME if name in known)]
    return "\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"])


def measured(case: Case, systems: list[System]) -> dict[str, Came]:
    """Run a case on both systems, one after the other."""
    came = {}
    for system in systems:
        with TemporaryDirectory(prefix="beside-") as folder:
            came[system.name] = run(system, case, Path(folder))
            say(f"{case.name}: {system.name}: {came[system.name]}")
    return came


def main() -> None:
    """Run the cases, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BY_NAME))
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in BY_NAME]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; there are: {', '.join(BY_NAME)}")
    python = installed(CELERY_LOCK)
    systems = [celery(python), caraway()]
    for name in given.names or BY_NAME:
        case = BY_NAME[name]
        rows = {name: row(case, measured(case, systems))}
        PAGE.write_text(with_rows(PAGE.read_text(), rows, versions(python)))


if __name__ == "__main__":
    main()
