"""User code in other threads than that of the event loop which waits for it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeAlias

from caraway.core.port import Stopped
from caraway.workers.pools.handover import Handover

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.core.port import Outcome
    from caraway.workers.pools.stops import Stops

Ended: TypeAlias = "tuple[Call, Outcome[Any] | BaseException]"
"""A call and how it has ended; an exception is the caller's, such as ``KeyboardInterrupt``."""


class Call:
    """A call of user code.

    Attributes
    ----------
    outcome
        What its caller waits for.
    ended
        Takes it back to the caller's loop.
    context
        The context variables of its caller.
    task
        What runs it on a loop, once it has begun there.
    """

    __slots__ = ("args", "context", "ended", "function", "outcome", "task")

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        outcome: asyncio.Future[Outcome[Any]],
        ended: Handover[Ended],
    ) -> None:
        self.function = function
        self.args = args
        self.outcome = outcome
        self.ended = ended
        self.context = copy_context()
        self.task: asyncio.Task[None] | None = None


class Elsewhere(ABC):
    """Runs user code in other threads.

    A call has one future, and the caller's loop alone touches it: it is resolved with what other
    threads hand back, or with ``Stopped`` when the call is told to stop.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: Handover[Ended]

    async def call(self, stops: Stops, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run user code."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._ended = loop, Handover(loop, self._hand_back)
        call = Call(function, args, loop.create_future(), self._ended)
        with stops.of(args, call.outcome):
            try:
                self._begin(call)
                outcome = await call.outcome
            except BaseException:
                self._give_up(call)
                raise
        if isinstance(outcome, Stopped):
            await self._stop(call)
        return outcome

    def _hand_back(self, ended: Ended) -> None:
        """Give the caller its outcome, if it still waits."""
        call, how = ended
        if call.outcome.done():
            return
        if isinstance(how, BaseException):
            call.outcome.set_exception(how)
        else:
            call.outcome.set_result(how)

    @abstractmethod
    def _begin(self, call: Call) -> None:
        """Let a call run."""

    @abstractmethod
    def _give_up(self, call: Call) -> None:
        """See to a call that nobody waits for any more, if it has not ended."""

    @abstractmethod
    async def _stop(self, call: Call) -> None:
        """See to a call that was told to stop, if it has not ended."""
