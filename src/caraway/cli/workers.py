"""The workers that show themselves, as commands ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from caraway.core.port import run_now
from caraway.core.presence import Presences, doubles, present

if TYPE_CHECKING:
    from caraway.app import Caraway
    from caraway.core.presence import Presence


def present_workers(app: Caraway) -> list[Presence]:
    """Return the workers that are there; say of those that share a name that they do.

    Raises
    ------
    OperationalError
        If the table could not be asked.
    """
    workers = run_now(present(app.aws, Presences(app.site.records.table)))
    for name in doubles(workers):
        click.echo(
            f"several workers are named {name}: give each a name of its own with -n, such as "
            "-n reports@%h",
            err=True,
        )
    return workers
