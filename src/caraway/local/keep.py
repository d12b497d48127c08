"""The folder in which ``caraway dev --keep`` keeps the local AWS between two runs."""

from __future__ import annotations

import fcntl
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from caraway.exceptions import LocalError
from caraway.local.package import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FORMAT: Final = 1


@contextmanager
def kept(folder: Path, app: str, region: str) -> Iterator[Path]:
    """Hold the folder for one run, and give the place of the engine's state in it.

    Parameters
    ----------
    folder
        Made if it is not there. One that was not made so must be empty.
    app, region
        Whose state it is: the stack in it is updated, not another one made beside it.

    Raises
    ------
    LocalError
        If it holds something else, the state of another app or region, is in use, or cannot be
        written to.
    """
    marker = folder / KEPT
    owner = {"format": _FORMAT, "app": app, "region": region}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not marker.exists() and any(folder.iterdir()):
            raise LocalError(
                f"{folder} holds other files: give --keep an empty folder, or a name that is free"
            )
        with marker.open("a+") as held:
            _lock(held.fileno(), folder)
            held.seek(0)
            _check(folder, held.read(), owner)
            (folder / ".gitignore").write_text("*\n")
            held.seek(0)
            held.truncate()
            held.write(json.dumps(owner) + "\n")
            held.flush()
            yield folder.absolute()
    except OSError as error:
        raise LocalError(
            f"{error.filename or folder} cannot be used for --keep: {error.strerror}"
        ) from error


def _lock(descriptor: int, folder: Path) -> None:
    # The kernel drops a flock when its holder dies, however it dies.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LocalError(
            f"{folder} is in use by another caraway dev: stop that one, or keep elsewhere"
        ) from error


def _check(folder: Path, written: str, owner: dict[str, object]) -> None:
    """Refuse the state of others; a file that was never finished is nobody's."""
    try:
        found = json.loads(written or "null") or owner
    except ValueError:
        found = owner
    if found != owner:
        raise LocalError(
            f"{folder} keeps the state of {found.get('app')} in {found.get('region')}, and this is "
            f"{owner['app']} in {owner['region']}: keep it in another folder, or remove that one"
        )
