"""What commands print: tables where a person looks, JSON for machines."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, TypeAlias

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

Align: TypeAlias = Literal["left", "right"]

_GAP: Final = "  "


def show_json(value: Any) -> None:
    """Print JSON; what JSON has not (times, sets) as text."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def show_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()
) -> None:
    """Print a table: rich's where it is installed and a person looks, else aligned text.

    Parameters
    ----------
    right
        The headings of the columns that are aligned to the right.
    """
    console = console_of(sys.stdout)
    if console is None:
        click.echo(aligned([headings, *rows], [heading in right for heading in headings]))
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        align: Align = "right" if heading in right else "left"
        table.add_column(heading, justify=align, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: a cell is no markup
    console.print(table)


def show_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print names and their values, a line each; a value of several lines is indented."""
    width = max(len(name) for name, _ in fields)
    indent = "\n" + " " * (width + len(_GAP))
    for name, value in fields:
        label = click.style(f"{name:<{width}}", dim=True)
        click.echo(f"{label}{_GAP}{value.replace(chr(10), indent)}")


def aligned(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Return rows as lines whose columns are aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(right))]
    return "\n".join(
        _GAP.join(
            cell.rjust(width) if to_the_right else cell.ljust(width)
            for cell, width, to_the_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    )


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """Show on standard error that the command waits, where a person looks."""
    console = console_of(sys.stderr)
    if console is None:
        yield
        return
    with console.status(what):
        yield


@contextmanager
def steps_of(total: int, noun: str, *, least: int) -> Iterator[Callable[[], None]]:
    """Show on standard error how far many steps are; gives what is called after each.

    A bar where a person looks, else a line for each tenth; nothing for fewer than ``least``.
    """
    done = 0
    console = console_of(sys.stderr)

    def told() -> None:
        nonlocal done
        done += 1
        if total >= least and done * 10 // total > (done - 1) * 10 // total:
            click.echo(f"{done:,} of {total:,} {noun}", err=True)

    if console is None or total < least:
        yield told
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(noun, total=total)
        yield lambda: bar.advance(task)


def console_of(stream: TextIO) -> Console | None:
    """Return rich's console, None where nobody looks or rich is not installed."""
    if not stream.isatty():
        return None
    try:
        from rich.console import Console
    except ModuleNotFoundError:
        return None
    return Console(file=stream, no_color=click.get_current_context().color is False)


def duration(seconds: float) -> str:
    """Return seconds as a person says them: ``45 s``, ``3 min 20 s``, ``2 h``, ``4 d 1 h``."""
    whole = round(seconds)
    for size, unit, smaller, name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {name}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def shortened(text: str, width: int = 80) -> str:
    """Return a text in one line of so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3]}..."


def count(number: int, noun: str) -> str:
    """Return ``1 queue`` or ``2 queues``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
