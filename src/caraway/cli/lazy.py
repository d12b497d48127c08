"""A group whose commands are imported when they are called."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click
from typing_extensions import override

from caraway.cli.errors import INTERRUPTED, Failure, failure_of
from caraway.cli.session import Session
from caraway.exceptions import CarawayError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Lazy:
    """Where a command is (the attribute ``command`` of a module), and its line in the help."""

    module: str
    help: str


class LazyGroup(click.Group):
    """The root of the command line.

    Parameters
    ----------
    lazy
        The commands by name.
    elsewhere
        Commands that users may look for, and what takes the place of each.
    """

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, Lazy] | None = None,
        elsewhere: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._lazy = lazy or {}
        self._elsewhere = elsewhere or {}

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        return list(self._lazy)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._lazy:
            return None
        command: click.Command = import_module(self._lazy[cmd_name].module).command
        return command

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name."""
        name = args[0]
        if name in self._elsewhere:
            ctx.fail(f"Celery's command {name!r} has no meaning here: {self._elsewhere[name]}.")
        if name not in self._lazy and not name.startswith("-"):
            ctx.fail(f"no command {name!r}{nearest(name, self._lazy)}")
        return super().resolve_command(ctx, args)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in self._lazy.items()])

    @override
    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of Caraway's ends as one line and an exit code."""
        try:
            return super().invoke(ctx)
        except CarawayError as error:
            session = ctx.ensure_object(Session)
            raise failure_of(error, show_traceback=session.traceback) from error
        except KeyboardInterrupt as stop:
            raise Failure("interrupted", INTERRUPTED) from stop
