"""``python -m tests.chaos [--tasks N] [--seed N] [NAME ...]``: break things, and write what held.

Without names all scenarios run. Their rows go to the table of ``docs/reliability.md``, unless
``--tasks`` makes them smaller than they are. The logs of a run that broke a promise stay in
``build/chaos``.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from tests.chaos.page import row, with_rows
from tests.chaos.perform import perform, say
from tests.chaos.scenarios import BY_NAME

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
FINDINGS_SHOWN: Final = 20


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
    broken = False
    # A process for each: a proxy keeps one busy.
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as processes:
        names = given.names or list(BY_NAME)
        runs = [
            processes.submit(perform, name, given.tasks, given.seed)
            for name in sorted(names, key=lambda name: -BY_NAME[name].tasks)  # the longest first
        ]
        for run in as_completed(runs):
            report = run.result()
            broken = broken or bool(report.findings)
            say(row(report))
            say(f"  {report.faults}, workers ended with {report.exit_codes}")
            for line in [*report.findings[:FINDINGS_SHOWN], *report.waited_for[:FINDINGS_SHOWN]]:
                say(f"  {line}")
            if not given.tasks:  # at once: what has run is not lost with what has not
                PAGE.write_text(with_rows(PAGE.read_text(), [report]))
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
