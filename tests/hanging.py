"""What makes a test that hangs fail, and the run go on.

faulthandler can end the process instead (``faulthandler_exit_on_timeout``), but the process that
takes its place under pytest-xdist 3.8 runs the same test, a dozen times over (pull request 1371).
"""

from __future__ import annotations

import faulthandler
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S: Final = 600.0
"""Far longer than any test takes, also one that builds an environment first on a busy machine."""

AGAIN_S: Final = 30.0
"""When to try again: what undoes a test can hang as well, and callbacks of a loop eat errors."""


def _give_up(*_: Any) -> None:
    faulthandler.dump_traceback(file=2)  # pytest shows it with the failure
    pytest.fail("It hung. Here is where; for the other threads look into the captured stderr.")


@contextmanager
def patience(seconds: float = PATIENCE_S) -> Iterator[None]:
    """Fail what the main thread does in this block, when it takes longer than so many seconds."""
    handler = signal.signal(signal.SIGALRM, _give_up)
    left = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)
        signal.signal(signal.SIGALRM, handler)
