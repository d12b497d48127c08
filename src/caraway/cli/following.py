"""Following a task to its end: a bar or a spinner for a person, lines for a log or a program."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from caraway.cli.outcome import as_json, task_goes_on
from caraway.cli.output import console_of
from caraway.cli.progress import Progress, progress_of, state_text
from caraway.core.codec import decode
from caraway.core.port import run_now
from caraway.core.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from rich.console import Console

    from caraway.app import Caraway
    from caraway.core.results import Seen

    Show: TypeAlias = Callable[[Seen], None]

_BAR_WIDTH: Final = 30
_CLEAR_LINE: Final = "\r\x1b[K"


def followed(app: Caraway, id: str, timeout_s: float | None, *, as_lines_of_json: bool) -> Seen:
    """Show each change of a task until it has ended; return what is seen then.

    With ``as_lines_of_json`` each is one JSON object a line on standard output, the ending
    included. Otherwise changes are shown on standard error, and the ending is the caller's.

    Raises
    ------
    TimeoutError
        If the end does not come in time.
    Failure
        If the user interrupts: the task goes on.
    """
    with _display(id, as_lines_of_json=as_lines_of_json) as show, task_goes_on(id):
        return run_now(wait(app.aws, app.site, id, timeout_s, None, show))


def _display(id: str, *, as_lines_of_json: bool) -> AbstractContextManager[Show]:
    if as_lines_of_json:
        return _json_lines(id)
    if not sys.stderr.isatty():
        return _lines()
    console = console_of(sys.stderr)
    return _plain_bar() if console is None else _rich_bar(console)


@contextmanager
def _json_lines(id: str) -> Iterator[Show]:
    def show(seen: Seen) -> None:
        line = {"id": id, **as_json(seen)}
        click.echo(json.dumps(line, ensure_ascii=False, default=str))

    yield show


@contextmanager
def _lines() -> Iterator[Show]:
    def show(seen: Seen) -> None:
        click.echo(state_text(seen), err=True)

    yield show


@contextmanager
def _plain_bar() -> Iterator[Show]:
    """Write one line anew at each change, without rich."""

    def show(seen: Seen) -> None:
        click.echo(_CLEAR_LINE + _plain_line(seen), nl=False, err=True)

    try:
        yield show
    finally:
        click.echo(_CLEAR_LINE, nl=False, err=True)


def _plain_line(seen: Seen) -> str:
    progress = _progress(seen)
    if progress is None:
        return state_text(seen)
    filled = round(progress.fraction * _BAR_WIDTH)
    return f"{seen.state} [{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {progress}"


@contextmanager
def _rich_bar(console: Console) -> Iterator[Show]:
    """Show a bar while the task tells how far it is, and a spinner while it does not."""
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    # Texts are the user's: they are no markup.
    state = TextColumn("{task.description}", markup=False)
    far = TextColumn("{task.fields[told]}", markup=False)
    with_bar = (state, BarColumn(), far, TimeElapsedColumn())
    with_spinner = (SpinnerColumn(), state, TimeElapsedColumn())
    with Bars(*with_spinner, console=console, transient=True) as bars:
        bar = bars.add_task("waiting", total=None, told="")

        def show(seen: Seen) -> None:
            progress = _progress(seen)
            if progress is None:
                bars.columns = with_spinner
                bars.update(bar, description=state_text(seen), total=None)
            else:
                bars.columns = with_bar
                done, total = progress.done, progress.total
                bars.update(
                    bar, description=seen.state, completed=done, total=total, told=str(progress)
                )
            bars.refresh()

        yield show


def _progress(seen: Seen) -> Progress | None:
    if seen.ready or seen.record.meta is None:
        return None
    meta: Any = decode(seen.result)
    return progress_of(meta)
