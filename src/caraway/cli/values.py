"""Values of options: JSON, and points in time."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable


def json_of(
    kind: type, example: str, *, or_none: bool = False
) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return what reads an option's JSON, which must be a list or an object.

    Without the option the value is an empty one, or None with ``or_none``.
    """

    def callback(ctx: click.Context, option: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None if or_none else kind()
        expected = f"expected {'a list' if kind is list else 'an object'}, such as {example}"
        try:
            data = json.loads(value)
        except ValueError as error:
            raise click.BadParameter(
                f"{value!r} is not JSON ({error}): {expected}", ctx, option
            ) from error
        if not isinstance(data, kind):
            raise click.BadParameter(f"{value!r}: {expected}", ctx, option)
        return data

    return callback


def time(ctx: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    """Read ISO 8601; a time without an offset is in the app's zone."""
    if value is None:
        return None
    try:
        # fromisoformat of Python 3.10 does not know the Z.
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r}: expected a time such as 2030-01-31T09:00", ctx, option
        ) from error


def time_or_seconds(
    ctx: click.Context, option: click.Parameter, value: str | None
) -> datetime | float | None:
    """Read seconds, or a time."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return time(ctx, option, value)
