"""``python -m tests.chaos [--tasks N] [--seed N] [NAME ...]``: break things, and write what held.

Without names all scenarios run, and the table goes to ``docs/reliability.md``. The logs of a
run that broke a promise stay in ``build/chaos``.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final

from caraway import __version__
from tests.chaos.history import VERDICTS
from tests.chaos.perform import perform, say
from tests.chaos.run import KILLS
from tests.chaos.scenarios import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.run import Report

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "reliability.md"
BEGIN: Final = "<!-- written by make chaos -->"
END: Final = "<!-- end -->"
FINDINGS_SHOWN: Final = 20


def row(report: Report) -> str:
    """Return a run as a line of the table."""
    scenario = report.scenario
    cells = [
        f"`{scenario.name}`",
        " and ".join(scenario.doors),
        scenario.title,
        f"{report.tasks:,}",
        f"{sum(report.faults.values()):,}",
        f"{report.faults[KILLS]}",
        f"{report.begun_again:,}",
        *(str(report.count(verdict)) for verdict in VERDICTS),
        f"{report.seconds:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def table(reports: Sequence[Report], seed: int) -> str:
    """Return the table of results, and what it was had from."""
    head = ["scenario", "door", "what goes wrong", "tasks", "faults", "kills", "begun again"]
    head += [*VERDICTS, "seconds"]
    lines = [
        f"Caraway {__version__}, Python {platform.python_version()}, {os.cpu_count()} cores,",
        f"seed {seed}. `python -m tests.chaos --seed {seed} NAME` repeats a scenario.",
        "",
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
        *map(row, reports),
    ]
    return "\n".join(lines)


def with_table(page: str, written: str) -> str:
    """Return the page with another table in the place of the one that it has."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{written}\n\n{END}{after}"


def main() -> int:
    """Run the scenarios; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BY_NAME))
    parser.add_argument("--tasks", type=int, help="tasks of each scenario")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="scenarios at a time")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in BY_NAME]
    if unknown:
        parser.error(f"no scenario {unknown[0]!r}; there are: {', '.join(BY_NAME)}")
    reports = []
    # A process for each: a proxy keeps one busy.
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as processes:
        names = given.names or list(BY_NAME)
        runs = {
            name: processes.submit(perform, name, given.tasks, given.seed)
            for name in sorted(names, key=lambda name: -BY_NAME[name].tasks)  # the longest first
        }
        for name in names:
            report = runs[name].result()
            reports.append(report)
            say(row(report))
            say(f"  {report.faults}, workers ended with {report.exit_codes}")
            for finding in report.findings[:FINDINGS_SHOWN]:
                say(f"  {finding}")
    if not given.names and not given.tasks:
        PAGE.write_text(with_table(PAGE.read_text(), table(reports, given.seed)))
    return int(any(report.findings for report in reports))


if __name__ == "__main__":
    sys.exit(main())
