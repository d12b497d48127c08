"""The table of results on the documentation's page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.chaos.history import VERDICTS
from tests.chaos.run import KILLS
from tests.chaos.scenarios import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.run import Report

BEGIN: Final = "<!-- written by make chaos -->"
END: Final = "<!-- end -->"
HEAD: Final = (
    *("scenario", "door", "what goes wrong", "tasks", "faults", "kills", "begun again"),
    *VERDICTS,
    "seconds",
)


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


def with_rows(page: str, reports: Sequence[Report]) -> str:
    """Return the page with these rows in its table, in place of those of the same scenarios."""
    before, _, rest = page.partition(BEGIN)
    written, _, after = rest.partition(END)
    rows = {
        match[1]: match[0] for match in re.finditer(r"^\| `([\w-]+)`.*$", written, re.MULTILINE)
    }
    rows |= {report.scenario.name: row(report) for report in reports}
    lines = [
        f"| {' | '.join(HEAD)} |",
        "|" + "---|" * len(HEAD),
        *(rows[name] for name in BY_NAME if name in rows),
    ]
    return "\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"])
