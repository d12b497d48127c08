"""What commands share that are about many things at once: which are meant, whether to act."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from caraway.cli.completing import task_names
from caraway.cli.options import age
from caraway.cli.output import console_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

F = TypeVar("F", bound="Callable[..., Any]")


def selecting(since: str) -> Callable[[F], F]:
    """Add the options that say which are meant; ``since`` is what ages are counted from."""

    def add(command: F) -> F:
        for option in (
            click.option("--limit", type=click.IntRange(min=1), help="Take so many at most."),
            click.option(
                "--newer-than",
                "newer_than_s",
                callback=age,
                metavar="AGE",
                help=f"{since} since less: 90, 15m, 2h, 3d.",
            ),
            click.option(
                "--older-than",
                "older_than_s",
                callback=age,
                metavar="AGE",
                help=f"{since} for longer: 90, 15m, 2h, 3d.",
            ),
            click.option("--reason", metavar="TEXT", help="Whose reason contains it."),
            click.option(
                "--task", metavar="GLOB", shell_complete=task_names, help="Such as 'shop.*'."
            ),
        ):
            command = option(command)
        return command

    return add


def acting(command: F) -> F:
    """Add what commands have in common that change something."""
    for option in (
        click.option("-f", "--force", is_flag=True, help="Do not ask."),
        click.option("-n", "--dry-run", is_flag=True, help="Show what is meant, change nothing."),
    ):
        command = option(command)
    return command


class Counter:
    """Shows on standard error how far a command is, where a person looks."""

    def __init__(self, begins: str) -> None:
        console = console_of(sys.stderr)
        self._status = None if console is None else console.status(begins)

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, how_far: str) -> None:
        """Say how far it is now."""
        if self._status is not None:
            self._status.update(how_far)
