"""``caraway demo``: the whole corridor, on real input, on a local AWS."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from caraway.exceptions import CarawayError


@click.command("demo")
@click.argument(
    "folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.pass_context
def command(ctx: click.Context, folder: Path | None) -> None:
    """Count the words of text files through both doors, on a local AWS.

    The files are those in FOLDER; by default the documents of the checkout. A Lambda function
    counts the smaller ones, an ECS-style worker the larger ones; one task fails and is retried, and
    one is sent by an EventBridge rule, for which a minute has to pass. Nothing leaves this machine,
    and nothing is left running.

    \b
    caraway demo
    caraway demo texts
    """  # noqa: D301 - \b is click's
    missing = [name for name in ("rich", "yaml") if find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"the demo needs {' and '.join(missing)}: pip install 'caraway[dev]'"
        )
    from rich.console import Console

    from caraway.demo.documents import documents
    from caraway.demo.flow import run

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # a file is as wide as it needs to be
    try:
        went_well = run(console, documents(folder))
    except CarawayError as error:
        raise click.ClickException(str(error)) from error
    ctx.exit(0 if went_well else 1)


if __name__ == "__main__":
    command()
