"""What is slow to make is made once, and kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from caraway.exceptions import LocalError

Progress = Callable[[str], None]
"""Takes one line that says what is being done now, for a person who waits."""

_COMPLETE = ".complete"


def say_nothing(line: str) -> None:
    """Be the progress of a caller who wants none."""


def cache_folder() -> Path:
    """Where all of it is kept: ``$CARAWAY_CACHE``, else ``caraway`` in the user's cache folder."""
    if chosen := os.environ.get("CARAWAY_CACHE"):
        return Path(chosen).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caraway"


def python_key(*contents: bytes) -> str:
    """Name of what depends on `contents` and on this Python: 16 hexadecimal digits.

    Which Python it is, is its version and its place: what one installation made stops working when
    that installation is removed, although another one of the same version is there.
    """
    digest = hashlib.sha256()
    for part in (sys.version.encode(), os.fsencode(sys.base_prefix), *contents):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


def build_once(
    folder: Path,
    build: Callable[[Path], None],
    progress: Progress = say_nothing,
    *,
    is_whole: Callable[[Path], bool] = Path.is_dir,
) -> Path:
    """Return `folder`, filled by `build` unless an earlier call did that.

    The folder is filled where it stays (a virtual environment cannot be moved); a marker written at
    the end tells a finished one from one whose building was interrupted, which is built anew. Two
    processes at once are safe: the second waits for the first.

    Parameters
    ----------
    folder
        Where it belongs; its parents are created.
    build
        Fills the folder, which exists and is empty. What it raises passes through.
    progress
        Is told when another process has to be waited for.
    is_whole
        Says of a finished folder whether it is still usable; if not, it is built anew.

    Raises
    ------
    LocalError
        If the parent folder cannot be written to.
    """
    marker = folder / _COMPLETE
    if marker.exists() and is_whole(folder):
        return folder
    with _locked(folder.with_name(f"{folder.name}.lock"), progress):
        if not (marker.exists() and is_whole(folder)):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            build(folder)
            marker.touch()
    return folder


@contextlib.contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise LocalError(
            f"{path.parent} cannot be written to ({error.strerror}); "
            "set CARAWAY_CACHE to a folder that can"
        ) from error
    # The kernel drops a flock when its holder dies, however it dies: there are no stale locks.
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Waiting for another process that is preparing the same thing")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
