"""Executions that stand still before every request, so that a test decides what happens next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from caraway.requests.dynamodb import UpdateItem
from caraway.requests.sqs import SendMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence
    from datetime import datetime

    from caraway.aws.memory import Fate, MemoryAws
    from caraway.core.disposition import Delivery, Disposition
    from caraway.core.executor import Executor
    from caraway.core.port import Outcome
    from caraway.requests.base import Request

R = TypeVar("R")


@dataclass(frozen=True)
class UserCode:
    """What an execution stands before, when it is no request: the function, or the hooks."""

    function: Callable[..., Any]


@dataclass(frozen=True)
class TurnToCome:
    """What an execution stands before that was claimed ahead of its run."""


Next: TypeAlias = "Request[Any] | UserCode | TurnToCome"


@dataclass(frozen=True)
class StandStill:
    """Awaited, it suspends the execution and says before what."""

    before: Next

    def __await__(self) -> Generator[Next, None, None]:
        yield self.before


class SteppedAws:
    """A port over an account in memory that suspends before each request and each call."""

    def __init__(self, memory: MemoryAws) -> None:
        self._memory = memory

    async def perform(self, request: Request[R]) -> R:
        # A look-up changes nothing, so there is nothing to interleave.
        if isinstance(request, UpdateItem | SendMessage):
            await StandStill(request)
        return await self._memory.perform(request)

    async def perform_all(self, requests: Sequence[Request[R]]) -> list[R | Exception]:
        answers: list[R | Exception] = []
        for request in requests:
            try:
                answers.append(await self.perform(request))
            except Exception as error:  # noqa: PERF203 - each request's own answer
                answers.append(error)
        return answers

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        await StandStill(UserCode(function))
        return await self._memory.call(function, *args)

    async def sleep(self, seconds: float) -> None:
        await self._memory.sleep(seconds)

    def now(self) -> datetime:
        return self._memory.now()


class Execution:
    """One execution of one delivery, which goes on when it is told.

    Attributes
    ----------
    next
        What it stands before, None when it has ended.
    disposition
        What the door is to do with the message, None while it runs or when it failed.
    """

    def __init__(self, executor: Executor, memory: MemoryAws, delivery: Delivery) -> None:
        self._memory = memory
        self._coroutine: Coroutine[Any, Any, Disposition] = executor.execute(delivery)
        self.next: Next | None = None
        self.disposition: Disposition | None = None
        self.step()

    def step(self, fate: Fate = "ok") -> None:
        """Go on to what it stands before next.

        Raises
        ------
        EndpointUnreachable
            If the fate of a request ends it; so it would end a worker's.
        """
        self._memory.fate = lambda _request: fate
        self.next = None
        try:
            self.next = self._coroutine.send(None)
        except StopIteration as stop:
            self.disposition = stop.value
        finally:
            self._memory.fate = lambda _request: "ok"

    def crash(self) -> None:
        """End it where it stands."""
        self._coroutine.close()
        self.next = None
