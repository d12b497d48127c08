"""The asynchronous port: coalesces requests, over aiobotocore or over botocore in threads."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from caraway.aws.clients import RENEWED_EVERY_S, ClientSettings
from caraway.aws.clock import Clock
from caraway.aws.failures import answer_of, translate, wants_other_credentials
from caraway.aws.gathering import Gathering
from caraway.aws.travel import Travel
from caraway.aws.user_code import call_async, call_blocking
from caraway.aws.wires import best_wire

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from datetime import datetime

    from caraway.aws.wires import Wire
    from caraway.core.port import Outcome
    from caraway.requests.base import Request

R = TypeVar("R")

GRACE_S: Final = 5.0
"""A request that was refused so soon after a renewal was signed before it, most likely."""


async def call_anywhere(function: Callable[..., Any], *args: Any) -> Outcome[Any]:
    """Await a coroutine function on this loop, run any other function in a thread."""
    if inspect.iscoroutinefunction(function):
        return await call_async(function, *args)
    return await asyncio.to_thread(call_blocking, function, *args)


class AsyncioAws:
    """Performs requests on an event loop; those that AWS takes in batches find each other here.

    When a batch leaves is said in :mod:`caraway.aws.gathering`. Every caller waits for its own
    answer, so nothing counts as done before AWS has said so, and each entry's failure goes to its
    own caller.

    Parameters
    ----------
    wire
        The SDK; :func:`best_wire` by default.
    caller
        Runs user code; :func:`call_anywhere` by default.

    Attributes
    ----------
    heard_at
        When AWS last answered anything, a refusal included, by the monotonic clock; minus infinity
        before the first answer.
    """

    def __init__(
        self,
        wire: Wire | None = None,
        caller: Callable[..., Awaitable[Outcome[Any]]] = call_anywhere,
        settings: ClientSettings | None = None,
    ) -> None:
        self._wire = wire or best_wire(settings or ClientSettings())
        self._caller = caller
        self._clock = Clock()
        self.heard_at = float("-inf")
        self._renewed_at = float("-inf")
        self._asked: dict[Request[Any], asyncio.Future[Any]] = {}
        self._remembered: dict[Request[Any], Any] = {}
        self._travel = Travel(self)
        self._calls = 0
        self._gathering = Gathering(self._travel, lambda: self._calls > 0)
        self._lifetime: AsyncGenerator[None] | None = None

    async def perform(self, request: Request[R]) -> R:
        """Perform one request."""
        remembered: R | None = self._remembered.get(request) if request.memoised else None
        if remembered is not None:
            return remembered
        if self._lifetime is None:
            await self._open()
        return await self._begun(request)

    def _begun(self, request: Request[R]) -> Awaitable[R]:
        """Return the answer to come."""
        if request.memoised:
            return self._remember(request)
        lane = self._travel.lane_of(request)
        return self._single(request) if lane is None else self._gathering.join(lane, request)

    async def perform_all(self, requests: Sequence[Request[R]]) -> list[R | Exception]:
        """Perform many requests at once."""
        if len(requests) == 1:  # gathering one costs more than performing it
            try:
                return [await self.perform(requests[0])]
            except Exception as error:  # noqa: BLE001 - it is the caller's answer
                return [error]
        if self._lifetime is None:
            await self._open()
        answers = await asyncio.gather(*map(self._begun, requests), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Exception):
                raise answer
        return answers  # type: ignore[return-value]

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run user code where the door wants it to run."""
        self._calls += 1
        try:
            return await self._caller(function, *args)
        finally:
            self._calls -= 1

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def now(self) -> datetime:
        """Return the time in UTC."""
        return self._clock.now()

    async def close(self) -> None:
        """Send what waits for company, wait for what is in flight, then close the connections."""
        if self._lifetime is not None:
            await self._lifetime.aclose()

    async def _open(self) -> None:
        """Arrange for the connections to be closed with the loop at the latest.

        An event loop closes its asynchronous generators when it ends, so a producer that only ever
        awaits ``adelay`` leaves no open connection behind.
        """

        async def lifetime() -> AsyncGenerator[None]:
            try:
                yield
            finally:
                await self._gathering.close()
                await self._wire.close()
                # Futures hold their loop: a port that outlives it must not keep it alive.
                self._asked.clear()
                self._remembered.clear()
                self._lifetime = None

        self._lifetime = lifetime()
        await anext(self._lifetime)

    # -- one request ------------------------------------------------------------------------

    async def _remember(self, request: Request[R]) -> R:
        """Ask once; whoever asks meanwhile waits for the same answer, a failure is forgotten."""
        found = self._asked.get(request)
        if found is None or (found.done() and (found.cancelled() or found.exception())):
            found = self._asked[request] = asyncio.ensure_future(self._single(request))
        answer: R = await asyncio.shield(found)
        self._remembered[request] = answer
        return answer

    async def _single(self, request: Request[R]) -> R:
        try:
            response = await self.respond(request.service, request.operation, request.params())
        except Exception as error:
            translated = translate(error, request)
            if translated is error:
                raise
            raise translated from error
        return answer_of(request, response)

    async def alone(self, requests: Sequence[Request[R]]) -> list[R | Exception]:
        """Perform each request by itself; return its answer or its exception."""
        if len(requests) == 1:
            try:
                return [await self._single(requests[0])]
            except Exception as error:  # noqa: BLE001 - it is the caller's answer
                return [error]
        answers: list[Any] = await asyncio.gather(
            *map(self._single, requests), return_exceptions=True
        )
        return answers

    async def respond(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Put one operation to the SDK; once more where AWS says that credentials are over."""
        try:
            return await self._ask(service, operation, params)
        except Exception as error:
            # Many requests meet it together: the first renews, and the others ask again, too.
            since_s = time.monotonic() - self._renewed_at
            if not wants_other_credentials(error) or GRACE_S < since_s < RENEWED_EVERY_S:
                raise
        if since_s >= RENEWED_EVERY_S:
            self._renewed_at = time.monotonic()
            await self._wire.renew()
        return await self._ask(service, operation, params)

    async def _ask(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        asked = self._clock.wall()
        try:
            response = await self._wire.send(service, operation, params)
        except Exception as error:
            refusal = getattr(error, "response", None)  # of botocore's ClientError
            if isinstance(refusal, dict):
                self.heard_at = time.monotonic()
                self._clock.learn(refusal, asked)
            raise
        self.heard_at = time.monotonic()
        self._clock.learn(response, asked)
        return response
