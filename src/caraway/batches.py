"""Calls on their way: described one by one, and sent together."""

from __future__ import annotations

import threading
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from caraway.announcing import after_publish
from caraway.core.outcomes import all_done
from caraway.core.port import run_now
from caraway.core.publish import AT_A_TIME
from caraway.core.sending import send_each, send_one
from caraway.exceptions import BatchError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future, ThreadPoolExecutor
    from contextlib import ExitStack
    from contextvars import Context
    from types import TracebackType

    from typing_extensions import Self

    from caraway.base import AppBase
    from caraway.core.port import Aws
    from caraway.core.publish import Outgoing, Site


@dataclass
class Departure:
    """A call that is described, and the middleware around it, until it is sent.

    Attributes
    ----------
    args, kwargs
        What it was called with, for signals.
    policy
        How often its send is asked again.
    around
        The middleware that surrounds it, entered, and where that runs: what it sets there is not
        seen by the calls around this one. None where nothing surrounds it.
    """

    outgoing: Outgoing
    args: Any
    kwargs: Any
    policy: Mapping[str, Any]
    around: tuple[ExitStack, Context] | None = None

    def end(self, failure: BaseException | None = None) -> Exception | None:
        """Tell signals and middleware what came of it; return its failure, or theirs."""
        if self.around is None and isinstance(failure, Exception):
            return failure  # not raised, and noted in its traceback, for each call that shares it
        try:
            if self.around is not None:
                middleware, context = self.around
                context.run(self._end, failure, middleware)
            elif failure is not None:
                raise failure
            else:
                after_publish(self.outgoing, self.args, self.kwargs)
        except Exception as error:  # noqa: BLE001 - the outcome of this call
            return error
        return None

    def _end(self, failure: BaseException | None, middleware: ExitStack) -> None:
        with middleware:
            if failure is not None:
                raise failure
            after_publish(self.outgoing, self.args, self.kwargs)


async def send_departure(aws: Aws, site: Site, call: Departure) -> None:
    """Make a call durable; raises why it is not."""
    try:
        outcome = await send_one(aws, site, call.outgoing, call.policy)
    except BaseException as error:
        give_up([call], error)
        raise
    failure = call.end(outcome)
    if failure is not None:
        raise failure


async def send_departures(
    aws: Aws, site: Site, several: Sequence[Departure]
) -> list[Exception | None]:
    """Make calls durable, in batches; return the failure of each, or None, in its place.

    What interrupts it is told to each call's middleware, and raised.
    """
    try:
        outcomes = await _send(aws, site, several)
    except BaseException as error:
        give_up(several, error)
        raise
    return _ended(several, outcomes)


async def _send(aws: Aws, site: Site, several: Sequence[Departure]) -> list[Exception | None]:
    outcomes: list[Exception | None] = []
    for policy, some in groupby(several, lambda each: each.policy):
        outcomes += await send_each(aws, site, [each.outgoing for each in some], policy)
    return outcomes


def _ended(
    several: Sequence[Departure], outcomes: Sequence[Exception | None]
) -> list[Exception | None]:
    return [each.end(outcome) for each, outcome in zip(several, outcomes, strict=True)]


def give_up(several: Sequence[Departure], error: BaseException) -> None:
    """Tell the middleware of calls that they are not sent, or that nobody knows."""
    for each in several:
        with suppress(BaseException):
            each.end(error)


class Ahead:
    """Sends the calls of a canvas, a hundred in a thread while the next hundred are described.

    One after the other they would wait for each other: AWS for the calls, and they for AWS. The
    first failure is raised, by what comes after the calls that it is of.
    """

    def __init__(self, aws: Aws, site: Site) -> None:
        self._aws, self._site = aws, site
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: tuple[Sequence[Departure], Future[list[Exception | None]]] | None = None

    def send(self, several: Sequence[Departure]) -> None:
        """Send calls after those that are under way: at once if they are the last ones.

        As many as can be described at a time may have others behind them.
        """
        try:
            self._land()
        except BaseException as error:
            give_up(several, error)
            raise
        if len(several) == AT_A_TIME:
            with suppress(RuntimeError):  # the interpreter ends, and no thread can begin any more
                sending = self._begun().submit(self._sent, several)
                self._under_way = several, sending
                return
        all_done(run_now(send_departures(self._aws, self._site, several)))

    def _sent(self, several: Sequence[Departure]) -> list[Exception | None]:
        return run_now(_send(self._aws, self._site, several))

    def _begun(self) -> ThreadPoolExecutor:
        if self._thread is None:
            from concurrent.futures import ThreadPoolExecutor

            self._thread = ThreadPoolExecutor(1, "caraway-ahead")
        return self._thread

    def _land(self) -> None:
        """Wait for those that are under way, and end them here, where they were described."""
        if self._under_way is None:
            return
        (several, sending), self._under_way = self._under_way, None
        try:
            outcomes = sending.result()
        except BaseException as error:
            give_up(several, error)
            raise
        all_done(_ended(several, outcomes))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._land()
        finally:
            if self._thread is not None:
                self._thread.shutdown()


_current: ContextVar[Batch | None] = ContextVar("caraway_batch", default=None)


def collecting(app: AppBase) -> Batch | None:
    """Return the batch of the app that is open here."""
    batch = _current.get()
    return batch if batch is not None and batch.collects(app) else None


class Batch:
    """What :meth:`caraway.Caraway.batch` gives: calls within it are sent together.

    It is full with :data:`~caraway.core.publish.AT_A_TIME` calls, and then sends them before it
    takes another one.
    """

    def __init__(self, app: AppBase) -> None:
        self._app = app
        self._open: list[Any] = []
        self._lock = threading.Lock()  # threads that were started in a copy of the context
        self._waiting: list[Departure] = []
        self._failures: dict[str, Exception] = {}
        self._sent = 0

    def collects(self, app: AppBase) -> bool:
        """Say whether it is open for calls of an app."""
        return bool(self._open) and self._app is app

    def put(self, several: Sequence[Departure]) -> bool:
        """Take calls; False if it is not open any more."""
        with self._lock:
            if self._open:
                self._waiting += several
            return bool(self._open)

    def make_room(self) -> None:
        """Send what waits, if it is full.

        Raises
        ------
        BatchError
            If calls before could not be sent; they are told by this.
        """
        if len(self._waiting) >= AT_A_TIME:
            run_now(self._flush(self._app.aws))
            self._tell()

    async def amake_room(self) -> None:
        """Send what waits, if it is full, from asynchronous code."""
        if len(self._waiting) >= AT_A_TIME:
            await self._flush(self._app.aio)
            self._tell()

    async def _flush(self, aws: Aws) -> None:
        with self._lock:
            leaving, self._waiting = self._waiting, []
        outcomes = await send_departures(aws, self._app.site, leaving)
        with self._lock:
            for each, failure in zip(leaving, outcomes, strict=True):
                if failure is None:
                    self._sent += 1
                else:
                    self._failures[each.outgoing.message.id] = failure

    def _tell(self) -> None:
        with self._lock:
            failures, self._failures = self._failures, {}
            sent = self._sent
        if failures:
            raise BatchError(failures, sent) from next(iter(failures.values()))

    # -- the block ----------------------------------------------------------------------------

    def _begin(self) -> Self:
        self._open.append(_current.set(self))
        return self

    def _end(self) -> None:
        with self._lock:
            _current.reset(self._open.pop())

    def __enter__(self) -> Self:
        return self._begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        run_now(self._flush(self._app.aws))
        self._tell()

    async def __aenter__(self) -> Self:
        return self._begin()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        await self._flush(self._app.aio)
        self._tell()
