"""Importing the user's app, and saying clearly what the user's code raised."""

from __future__ import annotations

import importlib
import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from caraway.cli.errors import WRONG_APP_OR_CALL, Failure
from caraway.exceptions import CarawayError
from caraway.loader import load_app

if TYPE_CHECKING:
    from caraway.app import Caraway

_OURS: Final = str(Path(__file__).parents[1]) + os.sep
_MACHINERY: Final = (_OURS, "<frozen importlib", importlib.__file__)


def load(name: str | None, *, whole_traceback: bool = False) -> Caraway:
    """Return an app with all its tasks imported.

    Raises
    ------
    CarawayError
        If no app is there, or Caraway refuses what the user's code declares; the message ends with
        the place in the user's code.
    Failure
        If the user's code raises anything else; the message holds the user's part of the traceback.
    """
    try:
        return load_app(name).finalize()
    except CarawayError as error:
        frames = _user_frames(error)
        if frames and error.args and isinstance(error.args[0], str):
            place = f"{_short(frames[-1].filename)}, line {frames[-1].lineno}"
            error.args = (f"{error.args[0]} ({place})", *error.args[1:])
        raise
    except Exception as error:
        frames = _user_frames(error)
        if not frames and not isinstance(error, SyntaxError):
            raise  # not the user's fault
        raised = "".join(traceback.format_exception_only(error)).rstrip()
        if whole_traceback:
            shown = "".join(traceback.format_exception(error)).rstrip()
        else:
            shown = "".join(traceback.format_list(frames)) + raised
        raise Failure(
            f"the app {name or os.environ.get('CARAWAY_APP')!r} could not be imported; its code "
            f"raised\n\n{shown}",
            WRONG_APP_OR_CALL,
        ) from error


def _user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if not frame.filename.startswith(_MACHINERY)]


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename
