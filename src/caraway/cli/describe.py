"""Imports the user's app in a process of its own, for ``caraway dev``; no command.

    python -m caraway.cli.describe ANSWER_FILE APP PREFIX

The answer is a pickled :class:`~caraway.local.describe.Answer`. What the app's code prints, starts
or breaks stays in this process, and an import is always a fresh one.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from caraway.cli.errors import Failure, failure_of
from caraway.cli.loading import load
from caraway.exceptions import CarawayError
from caraway.local.describe import Answer
from caraway.local.project import Project


def main(answer_file: str, app: str, prefix: str) -> None:
    """Write what is known of the app, or why nothing is."""
    try:
        answer = Answer(Project.of(load(app or None), app or None, prefix))
    except CarawayError as error:
        failure = failure_of(error, show_traceback=False)
        answer = Answer(None, failure.message, failure.exit_code)
    except Failure as failure:
        answer = Answer(None, failure.message, failure.exit_code)
    Path(answer_file).write_bytes(pickle.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
