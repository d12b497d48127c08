"""From exceptions to one line on standard error, and an exit code."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

import click

from caraway.exceptions import (
    CarawayError,
    ImproperlyConfigured,
    OperationalError,
    TaskError,
    TimeoutError,  # noqa: A004 - Celery's name
)

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_WELL: Final = 1
WRONG_APP_OR_CALL: Final = 3
AWS: Final = 4
TOO_LATE: Final = 5
INTERRUPTED: Final = 130
"""As shells say it: 128 and the number of SIGINT."""

_CODES: Final[Sequence[tuple[type[CarawayError], int]]] = (
    (TimeoutError, TOO_LATE),
    (OperationalError, AWS),
    (ImproperlyConfigured, WRONG_APP_OR_CALL),
    (TaskError, WRONG_APP_OR_CALL),
)


class Failure(click.ClickException):
    """Ends the process with ``Error: message`` and an exit code."""

    def __init__(self, message: str, exit_code: int = NOT_WELL) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click shows an instance's own


def failure_of(error: CarawayError, *, show_traceback: bool) -> Failure:
    """Return how the process ends for an exception."""
    if show_traceback:
        click.echo("".join(traceback.format_exception(error)), err=True)
    code = next((code for kind, code in _CODES if isinstance(error, kind)), NOT_WELL)
    return Failure(str(error), code)
