"""A child process as its worker sees it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol

from caraway.core.port import Lost, Raised
from caraway.exceptions import TimeLimitExceeded, WorkerLostError
from caraway.workers.pools import frames

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from caraway.core.context import Context
    from caraway.core.port import Outcome
    from caraway.workers.pools.serving import Hello, Report


LAST_WORDS_S: Final = 1.0


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
    ) -> None:
        self.number = number
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
    ) -> Child:
        """Start a child and wait until it is ready.

        Parameters
        ----------
        tasks
            The tasks by name.
        at_its_end
            Is told when it can run nothing more.

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
        child = cls(number, hello.pid, reader, writer, tasks, at_its_end)
        child._watching = asyncio.ensure_future(child._watch(nursery))
        return child

    @property
    def calls(self) -> int:
        """Calls that it runs now."""
        return len(self._waiting)

    async def call(
        self, hard_s: float | None, function: Callable[..., Any], *args: Any
    ) -> Outcome[Any]:
        """Run user code in the child; the first argument is the request.

        A call that has not ended after ``hard_s`` seconds, or whose caller is cancelled, kills the
        child: there is no other way to stop user code.
        """
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
            if hard_s is not None:
                await asyncio.wait([answer], timeout=hard_s)
                if not answer.done():
                    self.kill()
                    return Raised(TimeLimitExceeded(hard_s))
            said = await answer
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            del self._waiting[number]
            self.done += len(args) == 1
            self.idle_since = asyncio.get_running_loop().time()
        return (
            Lost(f"its child process {self.pid} {self._end}")
            if said is None
            else self._read(said, args[0])
        )

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
