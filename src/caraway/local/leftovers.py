"""Temporary folders that nobody could remove, as everybody around them was killed at once.

Whoever works in one holds a lock on a file in it. The kernel drops the lock when the last one dies,
however that comes; what has a lock file that nobody holds may go.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

LOCK: Final = "in-use.lock"
"""The supervisor makes it and locks it; the engine inherits that."""

_SETTLED_S: Final = 60.0
"""A younger folder may be one whose lock is about to be taken."""


def remove_leftovers(prefix: str) -> None:
    """Remove temporary folders whose names begin so, and in which nobody works any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError):  # it is in use, another user's, or has just been removed
            if folder.stat().st_mtime > time.time() - _SETTLED_S:
                continue
            lock = os.open(folder / LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)
