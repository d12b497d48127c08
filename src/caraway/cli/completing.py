"""Names that a shell completes: an app's tasks, queues and entries of the schedule.

A completion is quick and silent: a failing or a slow import of the app completes nothing, and what
the app prints is no part of the answer.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import TYPE_CHECKING, Final

from click.shell_completion import CompletionItem

from caraway.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

    from caraway.app import Caraway

PATIENCE_S: Final = 2.0
"""How long a person who pressed Tab is kept waiting."""


def task_names(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the tasks that begin so."""
    app = _app(ctx)
    names = [] if app is None else sorted(app.tasks)
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def queue_names(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the queues that begin so; of ``a,b`` the last name is completed."""
    before, comma, begun = incomplete.rpartition(",")
    app = _app(ctx)
    names = [] if app is None else sorted(app.site.router.queues)
    return [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(begun)]


def entry_names(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the entries of the schedule that begin so: the code's, and where AWS tells others."""
    app = _app(ctx)
    names = set[str]() if app is None else set(app.conf.beat_schedule)
    if app is not None:
        with suppress(Exception, _TooSlow), _silence(), _patience():
            names |= _made_at_run_time(app)
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def _made_at_run_time(app: Caraway) -> set[str]:
    from caraway.beat import stores_of
    from caraway.core.port import run_now
    from caraway.core.schedule_entries import made_at_run_time

    return {held.stored.entry for held in run_now(made_at_run_time(app.aws, stores_of(app)))}


def _app(ctx: click.Context) -> Caraway | None:
    """Return the app, None where it cannot be had quickly."""
    session = ctx.find_object(Session)
    from caraway.cli.loading import load

    try:
        with _silence(), _patience():
            return load(None if session is None else session.app_name)
    except (Exception, SystemExit, _TooSlow):  # noqa: BLE001 - whatever it is, nothing is completed
        return None


class _TooSlow(BaseException):
    """Not an Exception, so that no import catches it."""


@contextmanager
def _silence() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


@contextmanager
def _patience() -> Iterator[None]:
    """End what takes longer than :data:`PATIENCE_S`, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(*_: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
