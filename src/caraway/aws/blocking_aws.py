"""The blocking port: botocore's calls, for synchronous producers and in-process moto."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from caraway.aws.clients import RENEWED_EVERY_S, ClientSettings
from caraway.aws.clock import Clock
from caraway.aws.failures import answer_of, translate, wants_other_credentials
from caraway.aws.lanes import batches, keeps_order
from caraway.aws.sharing import Sharing
from caraway.aws.travel import Travel
from caraway.aws.user_code import call_blocking
from caraway.core.port import run_now

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from concurrent.futures import ThreadPoolExecutor
    from datetime import datetime

    from caraway.aws.lanes import Lane
    from caraway.aws.shortcut import Shortcut
    from caraway.core.port import Outcome
    from caraway.requests.base import Request

R = TypeVar("R")
T = TypeVar("T")

THREADS: Final = 16
"""Requests of one caller in flight at a time; all callers but for one request each share them."""


class Botocore:
    """Clients of botocore, made at their first use, one per service; threads may share them."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._clients: dict[str, Any] = {}
        self._shortcuts: dict[str, Shortcut | None] = {}
        self._session: Any = None
        self._lock = threading.Lock()

    def __call__(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Perform one operation; a streamed body comes back read."""
        client = self._clients.get(service) or self._client(service)
        shortcut = self._shortcuts.get(service)
        if shortcut is not None:
            return run_now(shortcut.ask(operation, params))
        response: dict[str, Any] = getattr(client, operation)(**params)
        if "Body" in response:
            response["Body"] = response["Body"].read()
        return response

    def _client(self, service: str) -> Any:
        with self._lock:  # making a client is not thread-safe, using one is
            if service not in self._clients:
                from botocore.config import Config

                from caraway.aws.sdk_data import new_session
                from caraway.aws.sdk_requests import lightened
                from caraway.aws.shortcut import shortcut_of

                self._session = self._session or new_session(self._settings)
                client = self._session.create_client(
                    **self._settings.client_arguments(service),
                    config=self._settings.config(Config, service),
                )
                lightened(client, service)
                self._shortcuts[service] = shortcut_of(client)
                self._clients[service] = client
            return self._clients[service]

    def renew(self) -> None:
        """Read the credentials anew; other threads may still use the old clients."""
        with self._lock:
            self._session = None
            self._clients = {}
            self._shortcuts = {}

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._shortcuts.clear()


class BlockingAws:
    """Performs each request in the calling thread; nothing ever suspends.

    Threads that make requests at the same time share batches (:mod:`caraway.aws.sharing`); each
    has its own answer when its request is durable.

    Parameters
    ----------
    settings
        How clients are made.
    """

    def __init__(self, settings: ClientSettings | None = None) -> None:
        self._send = Botocore(settings or ClientSettings())
        self._clock = Clock()
        self._remembered: dict[Request[Any], Any] = {}
        self._remembering = threading.RLock()
        self._travel = Travel(self)
        self._sharing = Sharing(self._in_batches)
        self._renewed_at = float("-inf")
        self._threads: tuple[int, ThreadPoolExecutor] | None = None

    async def perform(self, request: Request[R]) -> R:
        """Perform one request."""
        if request.memoised:
            return await self._remember(request)
        lane = self._travel.lane_of(request)
        if lane is not None:
            shared: R = await self._sharing.perform(lane, request)
            return shared
        return await self._single(request)

    async def _remember(self, request: Request[R]) -> R:
        """Ask once, whatever the number of threads; a failure is forgotten."""
        remembered: R | None = self._remembered.get(request)
        if remembered is not None:
            return remembered
        with self._remembering:
            if request not in self._remembered:
                self._remembered[request] = await self._single(request)
            asked: R = self._remembered[request]
        return asked

    async def _single(self, request: Request[R]) -> R:
        try:
            response = await self.respond(request.service, request.operation, request.params())
        except Exception as error:
            translated = translate(error, request)
            if translated is error:
                raise
            raise translated from error
        return answer_of(request, response)

    async def perform_all(self, requests: Sequence[Request[R]]) -> list[R | Exception]:
        """Perform many requests, in batches where AWS has them; some in threads of their own."""
        answers: list[Any] = [None] * len(requests)
        lanes: dict[Lane | int, list[int]] = {}
        apart: list[int] = []
        for place, request in enumerate(requests):
            if request.concurrent:
                apart.append(place)
            else:
                lanes.setdefault(self._travel.lane_of(request) or place, []).append(place)
        at_once = self._in_threads([requests[place] for place in apart])
        for place, answer in zip(apart, at_once, strict=True):
            answers[place] = answer
        for lane, places in lanes.items():
            members = [requests[place] for place in places]
            if isinstance(lane, int) or len(members) == 1:
                answers[places[0]] = await _outcome(self.perform(members[0]))
                continue
            outcomes = await self._in_batches(lane, members)
            for place, outcome in zip(places, outcomes, strict=True):
                answers[place] = outcome
        return answers

    async def _in_batches(self, lane: Lane, requests: Sequence[Request[Any]]) -> list[Any]:
        """Perform requests of a lane, several batches at a time where their order does not matter.

        One after another they would take as many round trips as there are batches.
        """
        if len(requests) == 1:
            return await self._travel.go(lane, requests)
        several = [requests[some] for some in batches(lane[0], requests)]

        def go(batch: Sequence[Request[Any]]) -> list[Any]:
            return run_now(self._travel.go(lane, batch))

        in_turn = keeps_order(lane) or lane[0].in_turn
        answered = [go(batch) for batch in several] if in_turn else self._at_once(go, several)
        return [outcome for outcomes in answered for outcome in outcomes]

    async def alone(self, requests: Sequence[Request[R]]) -> list[R | Exception]:
        """Perform each request by itself; return its answer or its exception."""
        return [await _outcome(self._single(request)) for request in requests]

    def _in_threads(self, requests: Sequence[Request[R]]) -> list[R | Exception]:
        """Perform requests that AWS takes in no batch, several at a time."""
        return self._at_once(lambda request: run_now(_outcome(self.perform(request))), requests)

    def _at_once(self, function: Callable[[T], R], arguments: Sequence[T]) -> list[R]:
        """Call a function with each argument, several at a time, here and in threads."""
        if len(arguments) < 2:
            return [function(each) for each in arguments]
        first, *others = arguments
        try:
            threads = self._kept_threads()
            begun = [threads.submit(function, each) for each in others]
        except RuntimeError:  # the interpreter ends, and no thread can begin any more
            return [function(each) for each in arguments]
        try:
            return [function(first), *(each.result() for each in begun)]
        finally:
            for each in begun:  # where something has interrupted this one
                each.cancel()

    def _kept_threads(self) -> ThreadPoolExecutor:
        """Return the threads: a batch costs half as much again where one begins for it.

        A process that was forked has none of those that there were.
        """
        process, kept = os.getpid(), self._threads
        if kept is None or kept[0] != process:
            from concurrent.futures import ThreadPoolExecutor

            kept = self._threads = process, ThreadPoolExecutor(THREADS - 1, "caraway-aws")
        return kept[1]

    async def respond(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Put one operation to the SDK; once more where AWS says that credentials are over."""
        try:
            return self._ask(service, operation, params)
        except Exception as error:
            now = time.monotonic()
            if not wants_other_credentials(error) or now - self._renewed_at < RENEWED_EVERY_S:
                raise
        self._renewed_at = now
        self._send.renew()
        return self._ask(service, operation, params)

    def _ask(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        asked = self._clock.wall()
        response = self._send(service, operation, params)
        self._clock.learn(response, asked)
        return response

    async def call(self, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run user code in the calling thread."""
        return call_blocking(function, *args)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def now(self) -> datetime:
        """Return the time in UTC."""
        return self._clock.now()

    def close(self) -> None:
        """Close the connections, and let the threads end."""
        kept, self._threads = self._threads, None
        if kept is not None and kept[0] == os.getpid():
            kept[1].shutdown(wait=False)
        self._send.close()


async def _outcome(asking: Coroutine[Any, Any, R]) -> R | Exception:
    """Return the answer to one request, or its exception."""
    try:
        return await asking
    except Exception as error:  # noqa: BLE001 - the answer of a batch's entry
        return error
