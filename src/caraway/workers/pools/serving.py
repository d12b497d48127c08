"""What a child process does: it runs user code, one call after the other, until it is let go."""

from __future__ import annotations

import asyncio
import inspect
import os
import resource
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from caraway import signals
from caraway.aws.user_code import call_blocking
from caraway.core.context import Context
from caraway.core.errors import text_of
from caraway.core.port import Raised, Returned
from caraway.core.settle import Product
from caraway.lean import dataclass
from caraway.workers.limits import call_async_within, call_by_alarm, limits_of
from caraway.workers.pools import frames
from caraway.workers.pools.parting import Parting

if TYPE_CHECKING:
    import socket
    from collections import Counter
    from collections.abc import Callable, Mapping

    from caraway.core.context import Replacement
    from caraway.core.port import Outcome
    from caraway.core.trail import Trail
    from caraway.exceptions import Retry

SHOWN: int = 400
"""Characters of a returned value that go to the log with its JSON."""


@dataclass(frozen=True)
class Hello:
    """The first thing that a child says: it is there, and ready."""

    pid: int


@dataclass(frozen=True)
class Report:
    """How a call ended in a child.

    Attributes
    ----------
    requested_retry, replacement, added, described, trail
        What the call has changed of its request.
    memory_kb
        The child's resident memory after it, in KiB.
    """

    outcome: Outcome[Any]
    requested_retry: Retry | None
    replacement: Replacement | None
    added: list[str]
    described: Counter[str]
    trail: Trail
    memory_kb: int

    def tell(self, context: Context) -> None:
        """Let the request that stayed in the worker know."""
        context.requested_retry = self.requested_retry
        context.replacement = self.replacement
        context.added = self.added
        context.trail = self.trail
        context.described.update(self.described - context.described)


class Coroutines:
    """The event loop of a child, made at its first use and kept: connections belong to a loop."""

    def __init__(self, parting: Parting) -> None:
        self._parting = parting
        self._loop: asyncio.AbstractEventLoop | None = None

    def call_anything(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run user code to its end, within its soft limit; the hard one is the worker's affair."""
        if inspect.iscoroutinefunction(function):
            return self.call(function, *args)
        _, soft_s = limits_of(args)
        within = self._parting.within
        return call_by_alarm((None, soft_s), call_blocking, within, function, *args)

    def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run a coroutine function to its end."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        _, soft_s = limits_of(args)
        loop = self._loop
        running = loop.create_task(call_async_within((None, soft_s), function, *args))
        with self._parting.by(lambda: loop.call_soon_threadsafe(running.cancel)):
            try:
                return loop.run_until_complete(running)
            except asyncio.CancelledError as cancelled:
                return Raised(cancelled)

    def close(self) -> None:
        """Close the loop, and with it what belongs to it."""
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


def serve(connection: socket.socket, tasks: Mapping[str, Any]) -> None:
    """Run what comes over the connection, until its other end is closed, or says to stop."""
    coroutines = Coroutines(Parting(connection))
    signals.worker_process_init.send(None)
    connection.sendall(hello())
    while (asked := frames.read(connection)) is not None and asked.data:
        reply = answer(asked, tasks, coroutines.call_anything)
        del asked  # a large argument is not kept until the next call
        with suppress(ConnectionError):  # the next read finds it closed
            connection.sendall(reply)
    coroutines.close()
    signals.worker_process_shutdown.send(None, pid=os.getpid(), exitcode=0)


def hello() -> bytes:
    """Return the frame by which a child says that it is ready."""
    return bytes(frames.Frame(0, frames.dumps(Hello(os.getpid()))))


def answer(
    asked: frames.Frame,
    tasks: Mapping[str, Any],
    call: Callable[..., Outcome[Any]],
) -> bytes:
    """Run what a frame asks for, with ``call``; return the frame that reports its outcome."""
    context = Context()
    try:
        function, args = frames.loads(asked.data, tasks)
        context = args[0]
    except Exception as error:  # noqa: BLE001 - whatever the arguments' own code raises
        outcome: Outcome[Any] = Raised(error)
    else:
        outcome = call(function, *args)
    report = Report(
        _portable(outcome),
        context.requested_retry,
        context.replacement,
        context.added,
        context.described,
        context.trail,
        resident_kb(),
    )
    try:
        data = frames.dumps(report)
    except Exception as error:  # noqa: BLE001 - whatever the outcome's own code raises
        data = frames.dumps(replace(report, outcome=Raised(error), requested_retry=None))
    return bytes(frames.Frame(asked.number, data))


def _portable(outcome: Outcome[Any]) -> Outcome[Any]:
    """Return an outcome without the value that a task returned: its JSON is what is kept."""
    match outcome:
        case Returned(Product() as product):
            shown = text_of(product.value)[:SHOWN]
            return Returned(replace(product, value=None, shown=shown))
    return outcome


def resident_kb() -> int:
    """Return the resident memory of this process, in KiB; its peak where that is all there is."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize() // 1024
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak
