"""Child processes by fork, from a process that does nothing else.

A worker has threads and an event loop, and a fork of it may inherit a lock that nobody releases.
So it forks once, while it is still alone: that process has the whole app in memory, opens no
connection and starts no thread, and every child is a fork of it, also those that replace others
later. It reaps them, and says how each of them ended. When the worker goes away, by SIGKILL too,
its socket closes, and the children are ended with it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.process import current_process
from typing import TYPE_CHECKING, Final, NoReturn

from caraway.exceptions import WorkerLostError
from caraway.signals import worker_before_create_process
from caraway.utils.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

logger = get_logger("worker.pool")

OUTLIVED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a process group may get."""
_NUMBER: Final = struct.Struct("!I")
_ENDED: Final = struct.Struct("!ii")
_GRACE_S: Final = 2.0
"""What children get to clean up when the worker has let them go."""
_LOOK_S: Final = 0.01


class ForkNursery:
    """Starts children by fork.

    Parameters
    ----------
    live
        What a child does, with its end of the connection; it ends when that returns.
    """

    def __init__(self, live: Callable[[socket.socket], None]) -> None:
        self._live = live
        self._control: socket.socket | None = None
        self._pid = 0
        self._unread = b""
        self._exit_codes: dict[int, asyncio.Future[int | None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Fork the process that forks the children."""
        here, there = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if not self._pid:
            here.close()
            _end_with(lambda: _Forker(there, self._live).run())
        there.close()
        here.setblocking(False)
        self._control = here

    async def bear(self, number: int) -> socket.socket:
        """Have a child forked."""
        assert self._control is not None  # start() comes first
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._control, self._hear, self._control)
        here, there = socket.socketpair()
        with there:
            try:
                socket.send_fds(self._control, [_NUMBER.pack(number)], [there.fileno()])
            except OSError as error:
                here.close()
                raise WorkerLostError(f"no child process can be forked: {error}") from error
        here.setblocking(False)
        return here

    async def exit_code(self, pid: int) -> int | None:
        """Wait for a child's end."""
        return await self._exit_code(pid)

    def _exit_code(self, pid: int) -> asyncio.Future[int | None]:
        if pid not in self._exit_codes:
            self._exit_codes[pid] = asyncio.get_running_loop().create_future()
        return self._exit_codes[pid]

    def _hear(self, control: socket.socket) -> None:
        """Read which children have ended, and how."""
        try:
            data = control.recv(65_536)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._abandoned(control)
        self._unread += data
        while len(self._unread) >= _ENDED.size:
            pid, exit_code = _ENDED.unpack_from(self._unread)
            self._unread = self._unread[_ENDED.size :]
            ended = self._exit_code(pid)
            if not ended.done():
                ended.set_result(exit_code)

    def _abandoned(self, control: socket.socket) -> None:
        """Stop the worker, whose children nobody can reap and replace any more."""
        asyncio.get_running_loop().remove_reader(control)
        for pid, ended in self._exit_codes.items():
            if not ended.done():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                ended.set_result(None)
        logger.critical("the process that forks the children has died: the worker stops")
        os.kill(os.getpid(), signal.SIGTERM)

    async def close(self) -> None:
        """Let the children end, and wait for it."""
        if self._control is None:
            return
        if self._loop is not None:
            self._loop.remove_reader(self._control)
        self._control.close()
        self._control = None
        await asyncio.to_thread(os.waitpid, self._pid, 0)


class _Forker:
    """The process that forks: single-threaded, for the whole of its life."""

    def __init__(self, control: socket.socket, live: Callable[[socket.socket], None]) -> None:
        self._control = control
        self._live = live
        self._children: set[int] = set()

    def run(self) -> None:
        """Fork and reap until the worker is gone, then end what is left."""
        gc.collect()
        gc.freeze()  # a collection in a child would copy the pages that it shares with the others
        outlive_signals()
        self._bell, rope = socket.socketpair()
        with self._control, self._bell, rope:
            for end in (self._bell, rope):
                end.setblocking(False)
            signal.set_wakeup_fd(rope.fileno(), warn_on_full_buffer=False)
            signal.signal(signal.SIGCHLD, _nothing)
            while self._attend():
                pass
            self._finish()
            signal.set_wakeup_fd(-1)

    def _attend(self) -> bool:
        """Wait for something to do, and do it; False when the worker is gone."""
        ready, _, _ = select.select([self._control, self._bell], [], [])
        if self._bell in ready:
            with suppress(BlockingIOError):
                self._bell.recv(4_096)
            self._reap()
        return self._control not in ready or self._obey()

    def _obey(self) -> bool:
        """Fork a child if the worker says so; False when it is gone."""
        try:
            data, connections, _, _ = socket.recv_fds(self._control, _NUMBER.size, 1)
        except ConnectionError:
            return False
        if not data:
            return False
        (number,) = _NUMBER.unpack(data)
        with socket.socket(fileno=connections[0]) as connection:
            worker_before_create_process.send(None)
            try:
                pid = os.fork()
            except OSError:  # of memory, or of processes; the worker finds the connection closed
                sys.excepthook(*sys.exc_info())
                return True
            if not pid:
                _end_with(lambda: self._become_child(number, connection))
        self._children.add(pid)
        return True

    def _become_child(self, number: int, connection: socket.socket) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()
        self._bell.close()
        # Which of them log lines show is the format's affair.
        current_process().name = threading.current_thread().name = f"ForkPoolWorker-{number}"
        self._live(connection)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._children.discard(pid)
            with suppress(ConnectionError):
                self._control.sendall(_ENDED.pack(pid, os.waitstatus_to_exitcode(status)))

    def _finish(self) -> None:
        deadline = time.monotonic() + _GRACE_S
        while self._children and time.monotonic() < deadline:
            self._reap()
            time.sleep(_LOOK_S)
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)


def _end_with(last: Callable[[], None]) -> NoReturn:
    """Do something in a forked process, and end it without what its parent would do at its end."""
    code = 1
    try:
        last()
        code = 0
    except BaseException:  # noqa: BLE001 - it is said, and there is nobody to catch it
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def outlive_signals() -> None:
    """Let signals to the whole process group be the worker's affair, which ends its children.

    A function and not SIG_IGN, which programs that a task starts would inherit.
    """
    for number in OUTLIVED:
        signal.signal(number, _nothing)


def _nothing(*_: object) -> None:
    """Handle a signal by doing nothing."""
