"""Options that commands share; each may stand before the command or after it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from caraway.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

F = TypeVar("F", bound="Callable[..., Any]")


def app_option(command: F) -> F:
    """Add ``-A``."""
    return click.option(
        "-A",
        "--app",
        metavar="MODULE:ATTRIBUTE",
        expose_value=False,
        callback=_remember("app_name"),
        help="The app, such as shop:app; CARAWAY_APP by default.",
    )(command)


def json_option(command: F) -> F:
    """Add ``--json``."""
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_remember("as_json"),
        help="Print JSON, for machines.",
    )(command)


def traceback_option(command: F) -> F:
    """Add ``--traceback``."""
    return click.option(
        "--traceback",
        is_flag=True,
        envvar="CARAWAY_TRACEBACK",
        expose_value=False,
        is_eager=True,
        callback=_remember("traceback"),
        help="Show the traceback of an error; CARAWAY_TRACEBACK=1 does so too.",
    )(command)


def color_option(command: F) -> F:
    """Add ``--no-color``."""
    return click.option(
        "-C",
        "--no-color",
        is_flag=True,
        expose_value=False,
        callback=_no_color,
        help="Print without colours; NO_COLOR=1 does so too.",
    )(command)


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, _option: click.Parameter, value: Any) -> None:
        if value:
            setattr(ctx.ensure_object(Session), name, value)

    return callback


def _no_color(ctx: click.Context, _option: click.Parameter, value: bool) -> None:
    if value or os.environ.get("NO_COLOR"):
        ctx.color = False


def timeout_option(command: F) -> F:
    """Add ``--timeout``, which goes with ``--wait`` and ``--follow``."""
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="Wait so long at most; for ever by default.",
    )(command)


def follow_option(command: F) -> F:
    """Add ``--follow``."""
    return click.option(
        "-f",
        "--follow",
        "follows",
        is_flag=True,
        help="Wait for the end, and show the task's progress meanwhile.",
    )(command)


def comma_separated(
    _ctx: click.Context, _option: click.Parameter, value: tuple[str, ...]
) -> list[str]:
    """Read ``-Q a,b -Q c`` as three names."""
    return [name.strip() for each in value for name in each.split(",") if name.strip()]


def age(ctx: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Read an age as seconds: ``90``, ``15m``, ``2h``, ``3d``."""
    if value is None:
        return None
    number, unit = (value[:-1], value[-1]) if value[-1:] in _UNITS_S else (value, "s")
    try:
        seconds = float(number) * _UNITS_S[unit]
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        wrong = f"{value!r} is no age: say 90 (seconds), 15m, 2h or 3d"
        raise click.BadParameter(wrong, ctx, option)
    return seconds
