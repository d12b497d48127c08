"""``-P gevent``: user code in greenlets of one child process.

gevent must patch the standard library before anything else is imported, and the worker itself needs
it as it is. So the child is a process of its own, which patches first and imports the app then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from caraway import signals
from caraway.aws.user_code import call_blocking, is_coroutine_function
from caraway.core.port import Raised
from caraway.exceptions import ImproperlyConfigured, SoftTimeLimitExceeded, TimeLimitExceeded
from caraway.workers.limits import limits_of
from caraway.workers.pools import frames
from caraway.workers.pools.forking import outlive_signals
from caraway.workers.pools.loop_thread import LoopThread
from caraway.workers.pools.processes import ProcessPool
from caraway.workers.pools.serving import answer, hello

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gevent import Greenlet

    from caraway.core.port import Outcome
    from caraway.workers.pools.processes import Limits

_PROGRAM: Final = (
    "from gevent import monkey; monkey.patch_all(); "
    "from caraway.workers.pools.greenlets import main; main()"
)


class GeventNursery:
    """Starts children that gevent has patched.

    Parameters
    ----------
    app_name
        ``module:attribute``: a child imports the app by itself.

    Raises
    ------
    ImproperlyConfigured
        If gevent is not installed, or the app has no name.
    """

    def __init__(self, app_name: str | None) -> None:
        if find_spec("gevent") is None:
            raise ImproperlyConfigured("-P gevent needs gevent: pip install 'caraway[gevent]'")
        if not app_name:
            raise ImproperlyConfigured(
                "-P gevent imports the app again, in a process that gevent has patched: "
                "name it with -A module:attribute"
            )
        self._app_name = app_name
        self._processes: dict[int, asyncio.subprocess.Process] = {}

    def start(self) -> None:
        """Do nothing: a child inherits nothing."""

    async def bear(self, _number: int) -> socket.socket:
        """Start a child: the only one."""
        here, there = socket.socketpair()
        here.setblocking(False)
        level = str(logging.getLogger().level)
        with there:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _PROGRAM,
                *(self._app_name, str(there.fileno()), level),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[there.fileno()],
            )
        self._processes[process.pid] = process
        return here

    async def exit_code(self, pid: int) -> int | None:
        """Wait for a child's end."""
        return await self._processes[pid].wait()

    async def close(self) -> None:
        """End the children."""
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class GeventPool(ProcessPool):
    """Functions run in greenlets; coroutine functions on an event loop beside the worker's."""

    def __init__(self, nursery: GeventNursery, tasks: Mapping[str, Any], limits: Limits) -> None:
        super().__init__("gevent", nursery, tasks, limits)
        self._coroutines = LoopThread()

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run user code where it belongs."""
        if is_coroutine_function(function):
            return await self._coroutines.call(self._stops, function, *args)
        return await super().call(function, *args)

    async def close(self) -> None:
        """End the child."""
        self._coroutines.close()
        await super().close()


def main() -> None:
    """Be a child: import the app, and run what comes in a greenlet of its own each."""
    from caraway.loader import load_app
    from caraway.workers.logs import set_up_logging, stdouts_logged

    app_name, connection, level = sys.argv[1:]
    outlive_signals()
    app = load_app(app_name).finalize()
    set_up_logging(app, int(level))
    with stdouts_logged(app):
        serve(socket.socket(fileno=int(connection)), app.tasks)


def serve(connection: socket.socket, tasks: Mapping[str, Any]) -> None:
    """Run what comes over the connection, until its other end is closed."""
    from gevent.lock import Semaphore
    from gevent.pool import Group

    running, writing = Group(), Semaphore()
    stoppable: dict[int, Greenlet] = {}

    def run(asked: frames.Frame) -> None:
        # Another greenlet says how it ended: this one may be killed meanwhile, and half a reply
        # would be the end of the connection.
        running.spawn(send, answer(asked, tasks, call_within))
        stoppable.pop(asked.number, None)

    def send(reply: bytes) -> None:
        with writing, suppress(ConnectionError):  # reading finds it closed
            connection.sendall(reply)

    signals.worker_process_init.send(None)
    connection.sendall(hello())
    while (asked := frames.read(connection)) is not None:
        if asked.data:
            stoppable[asked.number] = running.spawn(run, asked)
        elif (told := stoppable.pop(asked.number, None)) is not None:
            told.kill(block=False)
    running.join()
    signals.worker_process_shutdown.send(None, pid=os.getpid(), exitcode=0)


def call_within(function: Callable[..., Any], *args: Any) -> Outcome[Any]:
    """Run a function in this greenlet, within its limits: both are raised in it where it waits."""
    from gevent import Timeout

    hard_s, soft_s = limits_of(args)
    hard, soft = TimeLimitExceeded(hard_s), SoftTimeLimitExceeded(soft_s)
    try:
        with Timeout(hard_s, hard), Timeout(soft_s, soft):
            return call_blocking(function, *args)
    except (TimeLimitExceeded, SoftTimeLimitExceeded) as late:  # when it had just returned
        return Raised(late)
