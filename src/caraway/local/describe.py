"""Asks a fresh interpreter what the user's app declares: its code never runs in this one."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from caraway.exceptions import ImproperlyConfigured, LocalError
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from caraway.local.project import Project

_WRONG_APP: Final = 3
"""The command line's exit code for an app that is not there or not right."""
_LAST_LINES: Final = 15


@dataclass(frozen=True)
class Answer:
    """What the other interpreter says: a project, or why there is none."""

    project: Project | None
    error: str = ""
    exit_code: int = 0


def describe(
    app: str | None,
    environ: Mapping[str, str],
    prefix: str,
    on_lines: Callable[[Sequence[str]], None] = lambda _lines: None,
) -> Project:
    """Import an app elsewhere, and return what is to be known of it.

    Parameters
    ----------
    app
        ``module:attribute``; None reads ``CARAWAY_APP``.
    environ
        The other interpreter's environment.
    prefix
        Goes before the names of the app's queues.
    on_lines
        Is handed what the app's code prints.

    Raises
    ------
    ImproperlyConfigured
        If there is no such app, or importing it raises: with the user's part of the traceback.
    LocalError
        If its code ends the interpreter, or cannot be packaged.
    """
    with tempfile.TemporaryDirectory(prefix="caraway-describe-") as folder:
        file = Path(folder, "answer")
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            [sys.executable, "-m", "caraway.cli.describe", str(file), app or "", prefix],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        lines = done.stdout.splitlines()
        if not file.exists():
            raise LocalError(
                f"Importing the app ended the interpreter (exit code {done.returncode}): its code "
                "must be importable without running anything\n"
                + "\n".join(f"    {line}" for line in lines[-_LAST_LINES:])
            )
        answer: Answer = pickle.loads(file.read_bytes())  # noqa: S301 - our own child wrote it
    if lines:
        on_lines(lines)
    if answer.project is None:
        kind = ImproperlyConfigured if answer.exit_code == _WRONG_APP else LocalError
        raise kind(answer.error)
    return answer.project
