"""Runs one command and makes sure that nothing of it survives whoever asked for it.

A script, run by its path: it imports nothing but the standard library, and starts at once.

    python supervisor.py FOLDER PATIENCE COMMAND...

FOLDER is the command's own; an empty word says that there is none. A lock on a file in it says that
it is in use, for as long as the command lives.

The command runs in a process group of its own. When it ends, when this process gets SIGTERM, or
when this process's standard input closes (the kernel closes it when the asker dies, even by
SIGKILL), the whole group is killed, with the functions that the engine started, and FOLDER, where
they kept their files, is removed. Anything that is written to the standard input asks the command
to end by itself: it gets a SIGTERM. With a PATIENCE above 0, it is asked so when the input closes
as well, and killed when it has not ended after so many seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

_REMOVALS = 20
_PAUSE_S = 0.1


def main(folder: str, patience_s: float, command: list[str]) -> int:
    """Run `command` until one of the three ends; return its exit status."""
    process = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, start_new_session=True, pass_fds=in_use(folder)
    )

    ended = threading.Event()

    def kill_group(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def kill_when_the_asker_is_gone() -> None:
        # Not through sys.stdin: its lock, held while reading, would hang the interpreter's exit.
        while os.read(0, 1024):
            process.terminate()
        if patience_s:
            process.terminate()
            ended.wait(patience_s)
        kill_group()

    signal.signal(signal.SIGTERM, kill_group)
    threading.Thread(target=kill_when_the_asker_is_gone, daemon=True).start()
    status = process.wait()
    ended.set()
    kill_group()
    if folder:
        remove(folder)
    return status


def in_use(folder: str) -> tuple[int, ...]:
    """Lock `folder` for whoever inherits this; see :mod:`caraway.local.leftovers`."""
    if not folder:
        return ()
    lock = os.open(os.path.join(folder, "in-use.lock"), os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_SH)
    return (lock,)


def remove(folder: str) -> None:
    """Remove `folder`, into which killed processes may still be writing for a moment."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            break
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
