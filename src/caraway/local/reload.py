"""Watches the code of an app, and says what of it has changed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from typing_extensions import Self

_IGNORED: Final = {
    *("__pycache__", "node_modules", "site-packages", "venv", "build", "dist"),
}
"""Folders in which nothing counts; nor does it in those whose name begins with a dot."""
_DEBOUNCE_MS: Final = 400
_STEP_MS: Final = 80
_LOOK_MS: Final = 500
_CLOCK_S: Final = 0.02
"""How far a file system's clock may be behind ours (its ticks are as long as the kernel's)."""


@dataclass(frozen=True)
class Watched:
    """What counts as a change.

    Attributes
    ----------
    folders
        Python files in them, at any depth.
    flat_folders
        Python files directly in them.
    files
        Others that count: requirements, a template.
    """

    folders: frozenset[Path]
    flat_folders: frozenset[Path] = frozenset()
    files: frozenset[Path] = frozenset()

    def counts(self, path: Path) -> bool:
        """Say whether a change of this file is one of the app."""
        if path in self.files:
            return True
        if path.suffix != ".py" or path.name.startswith("."):  # .#shop.py: an editor's own
            return False
        if path.parent in self.flat_folders:
            return True
        return any(
            not _is_ignored(path.relative_to(folder).parts[:-1])
            for folder in self.folders
            if folder in path.parents
        )

    def changed_since(self, time_s: float) -> set[Path]:
        """Return the files that were written after a time, in seconds since 1970."""
        found = set(self.files)
        for folder in self.flat_folders:
            found.update(folder.glob("*.py"))
        for folder in self.folders:
            found.update(folder.rglob("*.py"))
        return {path for path in found if self.counts(path) and _written_at(path) > time_s}


class Watcher:
    """Watches from its creation on, as a context manager.

    Parameters
    ----------
    watched
        What counts.
    since
        What was written after this time, in seconds since 1970, counts as changed too: from when
        the app was read until the watching began.
    pending
        What is known to have changed already.

    Attributes
    ----------
    error
        Why changes are not seen any more, if so.
    """

    def __init__(self, watched: Watched, since: float, pending: Iterable[Path] = ()) -> None:
        self.watched = watched
        self.error = ""
        self._since = since - _CLOCK_S
        self._changed = set(pending)
        self._noted: dict[Path, float] = {}
        self._lock = threading.Condition()
        self._over = threading.Event()
        flat = watched.flat_folders | {file.parent for file in watched.files}
        self._threads = [
            threading.Thread(
                target=self._watch, args=(paths, recursive), name="code-watcher", daemon=True
            )
            for paths, recursive in ((watched.folders, True), (flat, False))
            if paths
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def take(self, timeout_s: float) -> set[Path]:
        """Return what has changed since the last call; waits for that, so long at most."""
        with self._lock:
            self._lock.wait_for(lambda: self._changed, timeout_s)
            changed, self._changed = self._changed, set()
        return changed

    def _watch(self, paths: Iterable[Path], recursive: bool) -> None:
        try:
            self._follow([path for path in paths if path.is_dir()], recursive)
        except (OSError, RuntimeError) as error:  # such as the system's limit of watched folders
            self.error = str(error)

    def _follow(self, folders: Sequence[Path], recursive: bool) -> None:
        import watchfiles

        looked_back = False
        for batch in watchfiles.watch(
            *folders,
            watch_filter=lambda _kind, path: self.watched.counts(Path(path)),
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            recursive=recursive,
            stop_event=self._over,
            raise_interrupt=False,
        ):
            found = {Path(path) for _, path in batch}
            # The first answer shows that the watching has begun: what came before it is looked up.
            if not looked_back:
                found |= self.watched.changed_since(self._since)
                looked_back = True
            self._note(found)

    def _note(self, paths: Iterable[Path]) -> None:
        """Remember what has changed, unless it was told in the state that it is in."""
        with self._lock:
            for path in paths:
                written_at = _written_at(path)
                if self._noted.get(path) != written_at:
                    self._noted[path] = written_at
                    self._changed.add(path)
            if self._changed:
                self._lock.notify_all()


def _is_ignored(folders: Iterable[str]) -> bool:
    return any(name in _IGNORED or name.startswith(".") for name in folders)


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
