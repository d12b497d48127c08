"""The asynchronous port: coalesces requests, over aiobotocore or over boto3 in threads."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from caraway.aws.blocking_aws import Boto3
from caraway.aws.clients import GIVEN_UP_S, IDLE_S, RENEWED_EVERY_S, ClientSettings
from caraway.aws.clock import Clock
from caraway.aws.coalesce import Load, keeps_order
from caraway.aws.failures import answer_of, translate, wants_other_credentials
from caraway.aws.travel import Travel
from caraway.aws.user_code import call_async, call_blocking

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from concurrent.futures import Executor as Threads
    from datetime import datetime

    from caraway.aws.coalesce import Batch, Lane
    from caraway.core.port import Outcome
    from caraway.requests.base import Request

R = TypeVar("R")

GRACE_S: Final = 5.0
"""A request that was refused so soon after a renewal was signed before it, most likely."""


class Wire(Protocol):
    """Puts one operation to an SDK."""

    async def send(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Perform one operation; a streamed body comes back read."""
        ...

    async def renew(self) -> None:
        """Read the credentials anew, for the requests that follow."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class AiobotocoreWire:
    """aiobotocore clients, made at their first use; they belong to one event loop."""

    def __init__(self, settings: ClientSettings) -> None:
        from aiobotocore.session import AioSession

        from caraway.aws.sdk_data import lightened

        self._new_session: Callable[[], Any] = lambda: lightened(
            AioSession(profile=settings.profile)
        )
        self._session = self._new_session()
        self._settings = settings
        self._retired: list[tuple[float, Any]] = []
        self._clients: dict[str, Any] = {}
        self._opened: list[Any] = []
        self._lock = asyncio.Lock()

    async def send(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Perform one operation."""
        client = self._clients.get(service) or await self._client(service)
        response: dict[str, Any] = await getattr(client, operation)(**params)
        if "Body" in response:
            async with response["Body"] as stream:
                response["Body"] = await stream.read()
        return response

    async def _client(self, service: str) -> Any:
        from aiobotocore.config import AioConfig

        from caraway.aws.sdk_requests import lightened

        async with self._lock:
            if service not in self._clients:
                opening = self._session.create_client(
                    **self._settings.client_arguments(service),
                    config=self._settings.config(
                        AioConfig, service, connector_args={"keepalive_timeout": IDLE_S}
                    ),
                )
                self._clients[service] = lightened(await opening.__aenter__(), service)
                self._opened.append(opening)
            return self._clients[service]

    async def renew(self) -> None:
        """Read the credentials anew; requests that are under way end with the old clients."""
        now = time.monotonic()
        self._session = self._new_session()
        self._clients.clear()
        self._retired += [(now, each) for each in self._opened]
        self._opened.clear()
        while self._retired and now - self._retired[0][0] > GIVEN_UP_S:
            await self._retired.pop(0)[1].__aexit__(None, None, None)

    async def close(self) -> None:
        """Close the connections; another loop may open new ones."""
        self._clients.clear()
        self._lock = asyncio.Lock()
        self._opened += [each for _, each in self._retired]
        self._retired.clear()
        while self._opened:
            await self._opened.pop().__aexit__(None, None, None)


class ThreadWire:
    """boto3 calls in threads: no further dependency, and the SDK that Lambda has already.

    Parameters
    ----------
    threads
        Requests in flight at a time; the loop's own threads when None.
    """

    def __init__(self, settings: ClientSettings, threads: Threads | None = None) -> None:
        self._boto3 = Boto3(settings)
        self._threads = threads

    async def send(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Perform one operation."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._boto3, service, operation, params)

    async def renew(self) -> None:
        """Read the credentials anew."""
        self._boto3.renew()

    async def close(self) -> None:
        """Close the connections."""
        self._boto3.close()


def best_wire(settings: ClientSettings) -> Wire:
    """Return aiobotocore's wire where it is installed, else boto3 in threads."""
    try:
        return AiobotocoreWire(settings)
    except ModuleNotFoundError:
        return ThreadWire(settings)


async def call_anywhere(function: Callable[..., Any], *args: Any) -> Outcome[Any]:
    """Await a coroutine function on this loop, run any other function in a thread."""
    if inspect.iscoroutinefunction(function):
        return await call_async(function, *args)
    return await asyncio.to_thread(call_blocking, function, *args)


class _Gathering:
    """The requests that wait to travel together.

    Attributes
    ----------
    is_watched
        Whether each turn of the loop asks if it is time to leave.
    """

    def __init__(self, batch: Batch) -> None:
        self.members: list[tuple[Any, asyncio.Future[Any]]] = []
        self.load = Load(batch)
        self.is_watched = False


class AsyncioAws:
    """Performs requests on an event loop; those that AWS takes in batches find each other here.

    A batch leaves when it is full, or when a turn of the loop brought nothing new to it. Writes of
    records wait a few milliseconds for company while user code runs, which may bring it; deletes
    wait a little longer. Every caller waits for its own answer, so nothing counts as done before
    AWS has said so, and each entry's failure goes to its own caller.

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
        self._remembered: dict[Request[Any], asyncio.Future[Any]] = {}
        self._travel = Travel(self)
        self._calls = 0
        self._gathering: dict[Lane, _Gathering] = {}
        self._flights: dict[Lane, asyncio.Task[None]] = {}
        self._flying: set[asyncio.Task[None]] = set()
        self._lifetime: AsyncGenerator[None] | None = None

    async def perform(self, request: Request[R]) -> R:
        """Perform one request."""
        if self._lifetime is None:
            await self._open()
        if request.memoised:
            return await self._remember(request)
        lane = self._travel.lane_of(request)
        answer: R = await (self._single(request) if lane is None else self._join(lane, request))
        return answer

    async def perform_all(self, requests: Sequence[Request[R]]) -> list[R | Exception]:
        """Perform many requests at once."""
        if len(requests) == 1:  # gathering one costs more than performing it
            try:
                return [await self.perform(requests[0])]
            except Exception as error:  # noqa: BLE001 - it is the caller's answer
                return [error]
        answers = await asyncio.gather(
            *(self.perform(request) for request in requests), return_exceptions=True
        )
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
                for lane in list(self._gathering):
                    self._depart(lane)
                if self._flying:
                    await asyncio.wait(self._flying)
                await self._wire.close()
                # Futures hold their loop: a port that outlives it must not keep it alive.
                self._remembered.clear()
                self._flights.clear()
                self._lifetime = None

        self._lifetime = lifetime()
        await anext(self._lifetime)

    # -- one request ------------------------------------------------------------------------

    async def _remember(self, request: Request[R]) -> R:
        """Ask once; whoever asks meanwhile waits for the same answer, a failure is forgotten."""
        found = self._remembered.get(request)
        answer: R
        if found is not None and found.done() and not (found.cancelled() or found.exception()):
            answer = found.result()
            return answer
        if found is None or found.done():
            found = self._remembered[request] = asyncio.ensure_future(self._single(request))
        answer = await asyncio.shield(found)
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

    # -- many together ----------------------------------------------------------------------

    async def _join(self, lane: Lane, request: Any) -> Any:
        loop = asyncio.get_running_loop()
        batch = lane[0]
        gathering = self._gathering.get(lane)
        if gathering is not None and not gathering.load.fits(request):
            self._depart(lane)
            gathering = None
        if gathering is None:
            gathering = self._gathering[lane] = _Gathering(batch)
            if batch.linger_s:
                loop.call_later(batch.linger_s, self._depart, lane, gathering)
        answer: asyncio.Future[Any] = loop.create_future()
        gathering.members.append((request, answer))
        gathering.load.put(request)
        if gathering.load.is_full:
            self._depart(lane)
        elif not self._lingers(batch) and not gathering.is_watched:
            gathering.is_watched = True
            loop.call_soon(self._depart_when_still, lane, gathering, 0)
        return await answer

    def _lingers(self, batch: Batch) -> bool:
        """Say whether a batch waits: where nothing runs, nothing would come of it."""
        return bool(batch.linger_s) and (batch.lingers_alone or self._calls > 0)

    def _depart_when_still(self, lane: Lane, gathering: _Gathering, seen: int) -> None:
        """Leave when the last turn of the loop brought nothing new."""
        if self._gathering.get(lane) is not gathering:
            return
        if len(gathering.members) == seen:
            self._depart(lane, gathering)
        else:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._depart_when_still, lane, gathering, len(gathering.members))

    def _depart(self, lane: Lane, gathering: _Gathering | None = None) -> None:
        if gathering is not None and self._gathering.get(lane) is not gathering:
            return
        waiting = self._gathering.pop(lane).members
        leaving = [(request, answer) for request, answer in waiting if not answer.cancelled()]
        if not leaving:
            return
        ahead = self._flights.get(lane) if keeps_order(lane) else None
        flight = asyncio.get_running_loop().create_task(self._fly(lane, leaving, ahead))
        self._flying.add(flight)
        flight.add_done_callback(self._flying.discard)
        if keeps_order(lane):
            self._flights[lane] = flight

    async def _fly(
        self,
        lane: Lane,
        members: list[tuple[Any, asyncio.Future[Any]]],
        ahead: asyncio.Task[None] | None,
    ) -> None:
        """Perform a batch and hand each caller its answer; after the batch ahead, on FIFO."""
        if ahead is not None:
            await asyncio.wait([ahead])
        outcomes = await self._travel.go(lane, [request for request, _ in members])
        for (_, answer), outcome in zip(members, outcomes, strict=True):
            if answer.done():
                continue  # its caller was cancelled
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)
