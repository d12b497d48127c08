"""The port: what a decision may ask of the outside world.

A decision is an ``async def`` that awaits these five methods and nothing else. It does not
know whether the port suspends (asyncio), blocks (botocore) or answers from memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
    from datetime import datetime

    from caraway.requests.base import Request

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Returned(Generic[T]):
    """User code returned."""

    value: T


@dataclass(frozen=True)
class Raised:
    """User code raised; the traceback is on the exception."""

    error: BaseException


@dataclass(frozen=True)
class Lost:
    """The process that ran user code has died; nobody knows how far the code came."""

    why: str


@dataclass(frozen=True)
class Stopped:
    """The door has ended the user code, as it was told to: the task is revoked.

    ``signal`` is the name of the signal that it was told to end it by.
    """

    signal: str | None = None


Outcome: TypeAlias = "Returned[T] | Raised | Lost | Stopped"


class Aws(Protocol):
    """Performs requests, runs user code, waits, and knows the time."""

    async def perform(self, request: Request[R]) -> R:
        """Perform one request.

        Raises
        ------
        OperationalError
            If AWS could not be asked, or refused.
        ConditionFailed
            If the request was a conditional write and its condition did not hold.
        """
        ...

    async def perform_all(self, requests: Sequence[Request[R]]) -> list[R | Exception]:
        """Perform many requests, in batches where AWS has them; each answer in its place."""
        ...

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run user code (a function or a coroutine function); its outcome is a value."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def now(self) -> datetime:
        """Return the time in UTC, corrected by AWS's response dates where they contradict it."""
        ...


def run_now(decision: Coroutine[Any, Any, T]) -> T:
    """Run a decision whose port never suspends, without an event loop.

    Works inside a running event loop too, because nothing is scheduled.

    Raises
    ------
    RuntimeError
        If the decision suspends: its port is not a blocking one.
    """
    try:
        decision.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    decision.close()
    raise RuntimeError("the decision suspended: run it on an event loop, its port is asynchronous")


def iterate_now(decision: AsyncGenerator[T, None]) -> Iterator[T]:
    """Iterate over a decision that gives its answers one by one, as :func:`run_now` runs one."""

    async def following() -> T:
        return await decision.__anext__()

    try:
        while True:
            try:
                answer = run_now(following())
            except StopAsyncIteration:
                return
            yield answer
    finally:
        run_now(decision.aclose())
