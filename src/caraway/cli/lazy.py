"""A group whose commands are imported when they are called."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem
from typing_extensions import override

from caraway.cli.celery_habits import Elsewhere
from caraway.cli.errors import INTERRUPTED, Failure, failure_of
from caraway.cli.session import Session
from caraway.exceptions import CarawayError
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Lazy:
    """Where a command is (the attribute ``command`` of a module), and its line in the help."""

    module: str
    help: str


class LazyGroup(Elsewhere):
    """The root of the command line.

    Parameters
    ----------
    lazy
        The commands by name.
    """

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, Lazy] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._lazy = lazy or {}

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
    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin so, without importing any."""
        commands = [
            CompletionItem(name, help=lazy.help)
            for name, lazy in self._lazy.items()
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

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
