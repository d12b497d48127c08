"""An ECS-style worker beside the local engine: the real ``caraway worker``, as a child process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from caraway.exceptions import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

_SUPERVISOR: Final = Path(__file__).with_name("supervisor.py")
_READY: Final = " ready."
_READY_S: Final = 60.0
_MARGIN_S: Final = 10.0
_LAST_LINES: Final = 15
_CHUNK_BYTES: Final = 65_536


class LocalWorker:
    """A ``caraway worker``, as a context manager; it ends with the block, or with this process.

    At the block's end it is asked to shut down warmly. However this process ends, SIGKILL
    included, the worker is killed with all that it started.

    Parameters
    ----------
    arguments
        Options of ``caraway worker``, such as ``["-A", "shop:app", "-Q", "reports"]``.
    environ
        Its whole environment.
    on_lines
        Is handed the lines that it writes, from another thread: what was written at once, such as
        a traceback, comes at once.
    patience_s
        What it gets for a warm shutdown, before it is killed.

    Attributes
    ----------
    exit_code
        Once it has ended: 0 after a warm shutdown.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        *,
        on_lines: Callable[[Sequence[str]], None] = lambda _lines: None,
        patience_s: float = 25.0,
    ) -> None:
        self.exit_code: int | None = None
        self._arguments = arguments
        self._environ = environ
        self._on_lines = on_lines
        self._patience_s = patience_s + _MARGIN_S
        self._process: subprocess.Popen[bytes] | None = None
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._ready_or_over = threading.Event()
        self._is_over = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it says that it is ready.

        Raises
        ------
        LocalError
            If it ends instead: with its last lines.
        """
        command = [sys.executable, "-m", "caraway", "worker", *self._arguments]
        self._process = subprocess.Popen(  # noqa: S603 - the arguments are the caller's own
            [sys.executable, "-I", "-S", str(_SUPERVISOR), "", "0", *command],
            env=dict(self._environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the caller, who then stops the worker
        )
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), name="worker-output", daemon=True
        )
        self._reader.start()
        # A worker whose log format hides that line is taken to be ready after a while.
        self._ready_or_over.wait(_READY_S)
        if self._is_over:
            self._process.wait()
        self.check()

    def check(self) -> None:
        """Raise what it said last, if it has ended though nobody stopped it.

        Raises
        ------
        LocalError
            With its last lines.
        """
        process = self._process
        if process is None or process.poll() is None:
            return
        self.stop()
        raise LocalError(
            f"The worker ended by itself (exit code {process.returncode}):\n"
            + "\n".join(f"    {line}" for line in self._last)
        )

    def stop(self) -> None:
        """Shut it down: warmly, or at once if that takes too long. May be called again."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            self._ask_to_stop(process)
            process.wait(self._patience_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()  # type: ignore[union-attr]  # the supervisor kills it now
            self.exit_code = process.wait()
            self._reader.join(_MARGIN_S)

    @staticmethod
    def _ask_to_stop(process: subprocess.Popen[bytes]) -> None:
        """Let the supervisor pass on a SIGTERM."""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]

    def _read(self, output: IO[bytes]) -> None:
        with output:
            rest = b""
            # A log record is one write, so what can be read now are whole records.
            while chunk := os.read(output.fileno(), _CHUNK_BYTES):
                *whole, rest = (rest + chunk).split(b"\n")
                self._take(whole)
            if rest:
                self._take([rest])
        self._is_over = True
        self._ready_or_over.set()

    def _take(self, written: Sequence[bytes]) -> None:
        lines = [line.decode(errors="replace").rstrip() for line in written]
        if not lines:
            return
        self._last.extend(lines)
        self._on_lines(lines)
        if any(line.endswith(_READY) for line in lines):
            self._ready_or_over.set()
