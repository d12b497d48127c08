"""What the options that all commands share have said, and the app that they name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from caraway.app import Caraway


@dataclass
class Session:
    """One run of the command line.

    Attributes
    ----------
    app_name
        ``module:attribute``; None reads ``CARAWAY_APP``.
    as_json
        Print for machines.
    traceback
        Show the traceback of an error.
    """

    app_name: str | None = None
    as_json: bool = False
    traceback: bool = False
    _app: Caraway | None = field(default=None, repr=False)

    def app(self) -> Caraway:
        """Return the app, with all its tasks; its connections close with the command.

        Raises
        ------
        ImproperlyConfigured
            If no app is named, or none is there.
        Failure
            If the user's code raises while it is imported.
        """
        if self._app is None:
            from caraway.cli.loading import load

            self._app = load(self.app_name, whole_traceback=self.traceback)
            click.get_current_context().call_on_close(self._app.close)
        return self._app


pass_session = click.make_pass_decorator(Session, ensure=True)
