"""A child process as its worker sees it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol

from caraway.core.port import Lost, Raised, Returned, Stopped
from caraway.exceptions import TimeLimitExceeded, WorkerLostError
from caraway.workers.pools import frames

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from caraway.core.context import Context
    from caraway.core.port import Outcome
    from caraway.workers.pools.serving import Hello, Report


LAST_WORDS_S: Final = 1.0
PARTING_S: Final = 1.0
"""What a call that is to stop gets to clean up, before its child is killed."""


class Nursery(Protocol):
    """Starts child processes, and hears how they end."""

    def start(self) -> None:
        """Get ready, before there are threads and an event loop."""
        ...

    async def bear(self, number: int, /) -> socket.socket:
        """Start a child; return this end of its connection.

        ``number`` tells the children of a worker apart.
        """
        ...

    async def exit_code(self, pid: int) -> int | None:
        """Wait for a child's end; return its exit code, minus the number of a signal, if known."""
        ...

    async def close(self) -> None:
        """End all children: those whose connection is closed may finish cleaning up first."""
        ...


class Child:
    """A child process that runs user code.

    Attributes
    ----------
    calls
        Calls that it runs now.
    done
        Tasks that it has run. (Hooks come with an ending, and are not counted.)
    memory_kb
        Its resident memory after the last of them, in KiB.
    idle_since
        When its last call ended, by the loop's clock.
    is_over
        Whether it can run nothing more.
    """

    def __init__(
        self,
        number: int,
        pid: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        tasks: Mapping[str, Any],
        at_its_end: Callable[[Child], None],
        *,
        is_shared: bool = False,
    ) -> None:
        self.number = number
        self._is_shared = is_shared
        self.pid = pid
        self.done = 0
        self.memory_kb = 0
        self.idle_since = asyncio.get_running_loop().time()
        self.is_over = False
        self._reader = reader
        self._writer = writer
        self._tasks = tasks
        self._waiting: dict[int, asyncio.Future[frames.Frame | None]] = {}
        self._numbers = count()
        self._end = "has not ended"
        self._at_its_end = at_its_end
        self._watching: asyncio.Task[None] | None = None

    @classmethod
    async def born(
        cls,
        nursery: Nursery,
        number: int,
        tasks: Mapping[str, Any],
        at_its_end: Callable[[Child], None],
        *,
        is_shared: bool = False,
    ) -> Child:
        """Start a child and wait until it is ready.

        Parameters
        ----------
        tasks
            The tasks by name.
        at_its_end
            Is told when it can run nothing more.
        is_shared
            Whether it runs several calls at a time, so that one is ended without the others.

        Raises
        ------
        WorkerLostError
            If it ends instead.
        """
        reader, writer = await asyncio.open_connection(sock=await nursery.bear(number))
        try:
            said = await frames.aread(reader)
        except BaseException:  # the pool is closed before the child is ready
            writer.close()
            raise
        if said is None:
            writer.close()
            raise WorkerLostError("a child process of the worker ended before it was ready")
        hello: Hello = frames.loads(said.data, tasks)
        child = cls(number, hello.pid, reader, writer, tasks, at_its_end, is_shared=is_shared)
        child._watching = asyncio.ensure_future(child._watch(nursery))
        return child

    @property
    def calls(self) -> int:
        """Calls that it runs now."""
        return len(self._waiting)

    async def call(
        self,
        hard_s: float | None,
        stop: asyncio.Future[Stopped],
        function: Callable[..., Any],
        *args: Any,
    ) -> Outcome[Any]:
        """Run user code in the child; the first argument is the request.

        A call that has not ended after ``hard_s`` seconds, or whose caller is cancelled, kills the
        child: there is no other way to stop user code. ``stop`` ends it by its signal.
        """
        if stop.done():  # before there was a child for it
            return stop.result()
        number = next(self._numbers)
        try:
            asked = frames.Frame(number, frames.dumps((function, args)))
        except Exception as error:  # noqa: BLE001 - whatever the arguments' own code raises
            return Raised(error)
        answer: asyncio.Future[frames.Frame | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            with suppress(ConnectionError):  # whoever watches the child finds out as well
                self._writer.write(bytes(asked))
                await self._writer.drain()
            either: list[asyncio.Future[Any]] = [answer, stop]
            await asyncio.wait(either, timeout=hard_s, return_when=asyncio.FIRST_COMPLETED)
            if stop.done() and not answer.done():
                return await self._stop(number, answer, stop.result(), args[0])
            if not answer.done():
                self.kill()
                return Raised(TimeLimitExceeded(hard_s))
            said = answer.result()
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            del self._waiting[number]
            self.done += len(args) == 1
            self.idle_since = asyncio.get_running_loop().time()
        return self._outcome(said, args[0])

    async def _stop(
        self,
        number: int,
        answer: asyncio.Future[frames.Frame | None],
        stopped: Stopped,
        context: Context,
    ) -> Outcome[Any]:
        """End a call, and with it the child unless that is shared; what has returned stands."""
        with suppress(ConnectionError):
            self._writer.write(bytes(frames.Frame(number, b"")))
            await self._writer.drain()
        if not self._is_shared:
            self.is_over = True
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.Signals[stopped.signal or "SIGTERM"])
        await asyncio.wait([answer], timeout=PARTING_S)
        if not self._is_shared:
            await self._part(may_finish=answer.done())
        outcome = self._outcome(answer.result(), context) if answer.done() else None
        return outcome if isinstance(outcome, Returned) else stopped

    async def _part(self, *, may_finish: bool) -> None:
        """Wait until the child has ended: by itself if it may, and not for long."""
        assert self._watching is not None  # it was born
        await asyncio.wait([self._watching], timeout=PARTING_S if may_finish else 0)
        if not self._watching.done():
            self.kill()
            await asyncio.wait([self._watching])

    def _outcome(self, said: frames.Frame | None, context: Context) -> Outcome[Any]:
        if said is None:
            return Lost(f"its child process {self.pid} {self._end}")
        return self._read(said, context)

    def _read(self, said: frames.Frame, context: Context) -> Outcome[Any]:
        try:
            report: Report = frames.loads(said.data, self._tasks)
        except Exception as error:  # noqa: BLE001 - whatever the outcome's own code raises
            return Raised(error)
        self.memory_kb = report.memory_kb
        report.tell(context)
        return report.outcome

    async def _watch(self, nursery: Nursery) -> None:
        """Hand each report to its caller, until the child has ended; then tell those who wait."""
        listening = asyncio.ensure_future(self._listen())
        ended = asyncio.ensure_future(nursery.exit_code(self.pid))
        await asyncio.wait([listening, ended], return_when=asyncio.FIRST_COMPLETED)
        if not ended.done() and not self.is_over:
            self.kill()  # it has ended already, or user code has closed its connection
        self._end = _how(await ended)
        self.is_over = True
        # What it said last is still to be read. What it has started may hold the connection open.
        await asyncio.wait([listening], timeout=LAST_WORDS_S)
        listening.cancel()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(None)
        self._writer.close()
        self._at_its_end(self)

    async def _listen(self) -> None:
        while (said := await frames.aread(self._reader)) is not None:
            answer = self._waiting.get(said.number)
            if answer is not None and not answer.done():
                answer.set_result(said)

    def let_go(self) -> None:
        """Let the child end by itself, once it has run what it runs."""
        self.is_over = True
        if self._writer.can_write_eof():
            with suppress(OSError):
                self._writer.write_eof()

    def kill(self) -> None:
        """End the child at once."""
        self.is_over = True
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it: at once if it runs something, else by itself."""
        if self._waiting:
            self.kill()
        if self._watching is not None:
            self._watching.cancel()
        self.is_over = True
        self._writer.close()


def _how(exit_code: int | None) -> str:
    """Return how a process ended."""
    if exit_code is None:
        return "was ended with the process that forked it"
    if exit_code >= 0:
        return f"ended by itself (exit code {exit_code})"
    name = signal.Signals(-exit_code).name
    return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
