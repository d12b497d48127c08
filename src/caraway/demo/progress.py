"""Progress while the demo waits: a bar for a person, plain lines for a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from caraway.demo.jobs import Done


def shown(console: Console, ended: Iterator[Done], total: int) -> Iterator[Done]:
    """Yield each task as it ends, and show how many have."""
    if not console.is_terminal:
        for count, done in enumerate(ended, 1):
            yield done
            line = f"{count:>4} of {total}  {done.job.label}: {done.state} on {done.door}"
            console.print(line, markup=False, highlight=False)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task("Tasks done", total=total)
        for count, done in enumerate(ended, 1):
            yield done
            waits = "Waiting for the rule" if total - count == 1 else "Tasks done"
            progress.update(bar, completed=count, description=waits)
