"""``caraway completion``: commands, options, tasks and queues, completed by the shell."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

_SHELLS: Final = ("bash", "zsh", "fish")
_PROGRAM: Final = "caraway"
_VARIABLE: Final = "_CARAWAY_COMPLETE"
"""By which click is asked for completions."""


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what makes your shell complete commands, options, tasks and queues.

    \b
    eval "$(caraway completion bash)"         # in ~/.bashrc
    eval "$(caraway completion zsh)"          # in ~/.zshrc, after compinit
    caraway completion fish | source          # in ~/.config/fish/config.fish

    Names of tasks and queues are those of the app that -A or CARAWAY_APP names, if it is imported
    within two seconds.
    """  # noqa: D301 - \b is click's
    kind = get_completion_class(shell)
    assert kind is not None  # click knows these shells
    click.echo(kind(ctx.find_root().command, {}, _PROGRAM, _VARIABLE).source())
