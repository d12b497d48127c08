"""The raw figures as they are kept, and what is made of them: medians, ranges, ratios.

It needs the standard library only, so that the plots can be drawn elsewhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FOLDER = Path(__file__).parent / "results"
Row = dict[str, Any]
_DIGITS = 6


def save(folder: Path, section: str, kept: dict[str, Any]) -> None:
    """Write a section, a row on a line."""
    head = {name: value for name, value in kept.items() if name != "rows"}
    rows = ",\n".join(json.dumps(_rounded(row)) for row in kept["rows"])
    text = json.dumps(head, indent=1)[:-2]
    (folder / f"{section}.json").write_text(f'{text},\n "rows": [\n{rows}\n]}}\n')


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, _DIGITS)
        case dict():
            return {name: _rounded(each) for name, each in value.items()}
        case list() | tuple():
            return [_rounded(each) for each in value]
    return value


class Figures:
    """What was measured, by section; a section that was not has no rows."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.sections: dict[str, dict[str, Any]] = {
            path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))
        }

    def rows(self, section: str, **like: Any) -> list[Row]:
        """Return the rows of a section that have these values."""
        rows: list[Row] = self.sections.get(section, {}).get("rows", [])
        return [row for row in rows if all(row.get(name) == it for name, it in like.items())]

    def values(self, section: str, of: Callable[[Row], float], **like: Any) -> list[float]:
        """Return a figure of each of these rows."""
        return [of(row) for row in self.rows(section, **like)]

    def middle(self, section: str, of: Callable[[Row], float], **like: Any) -> float | None:
        """Return the median of a figure, or None if it was not measured."""
        values = self.values(section, of, **like)
        return float(median(values)) if values else None

    def systems(self, section: str) -> list[str]:
        """Return the names of the systems of a section, in their order."""
        return list(dict.fromkeys(row["system"] for row in self.rows(section)))


def cpu(row: Row) -> float:
    """Return the CPU seconds per 1,000 tasks."""
    return float(row["cpu_s"] / row["tasks"] * 1_000)


def rate(row: Row) -> float:
    """Return the tasks per second."""
    return float(row["tasks"] / row["wall_s"])


def requests(row: Row) -> float:
    """Return the requests per task."""
    return float(sum(row["requests"].values()) / row["tasks"])


def share(row: Row) -> float:
    """Return how much of a CPU was used."""
    return float(row["cpu_s"] / row["wall_s"])


def percentile(values: Sequence[float], part: int) -> float:
    """Return a percentile; of a few values the nearest."""
    return quantiles(values, n=100, method="inclusive")[part - 1]


def number(value: float | None) -> str:
    """Return a figure as a person reads it: three digits, or whole."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def spread(values: Sequence[float]) -> str:
    """Return the median, and the range where there is one."""
    if not values:
        return ""
    told, least, most = (number(each) for each in (median(values), min(values), max(values)))
    return told if least == most else f"{told} ({least} to {most})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table of the page."""
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines, ""]
