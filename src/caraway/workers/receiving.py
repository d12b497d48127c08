"""Receiving: from each queue as fast as it gives, and never more than may be held."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from caraway.aws.clients import GIVEN_UP_S
from caraway.core.sending import queue_url
from caraway.exceptions import EndpointUnreachable, OperationalError
from caraway.requests.sqs import BATCH_LIMIT, ChangeMessageVisibility, ReceiveMessages
from caraway.utils.log import get_logger
from caraway.workers.holding import LONGEST_PAUSE_S, Backoff, Held
from caraway.workers.vitals import SLACK_S, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.routing import Queue
    from caraway.workers.prefetch import Prefetch

logger = get_logger("worker")

POLL_S: Final = 5
"""Length of a long poll. A shutdown waits for the one in flight, as a receive that is abandoned may
still take messages with it; twenty seconds would save a fraction of a cent a day."""
BUSY_POLL_S: Final = 1
"""The same where several queues share the slots, for a queue that had messages a moment ago: its
poll keeps slots that another queue could use."""
RECEIVE_S: Final = GIVEN_UP_S + 15.0
"""After so long a receive is given up, whatever it hangs on. The SDK's own time-outs come first,
and it asks again over another connection; what they do not see is a name that is not resolved, or
an answer that comes byte by byte."""
PATIENCE_S: Final = 0.01
"""How long a receive waits for room for one more message, on its way to ten."""
MOST: Final = 16
"""Receives in flight at a time: 8,000 messages a second where each takes 20 ms."""


class Receiver:
    """Polls one queue: with one receive at a time, and with more while they come back full.

    One after the other, receives of ten bring no more than 500 messages a second where each takes
    20 ms. Each that comes back full lets one more be in flight, and each that brings less than it
    asked for one less; an idle queue has one.

    A queue that had messages takes room first and then asks for as many. One that had none would
    keep it idle for the length of its poll, so it takes none while another queue could use it:
    what it receives when there is none goes back at once.

    Parameters
    ----------
    alone
        Whether no other queue shares the room.
    working
        Whether records can be written; while they cannot, one message at a time is asked for.
    begin
        Takes on what was received: there is room for it.
    watch
        Hears what the loop does.
    """

    def __init__(
        self,
        aws: Aws,
        site: Site,
        queue: Queue,
        *,
        alone: bool,
        prefetch: Prefetch,
        working: Backoff,
        stopping: asyncio.Event,
        begin: Callable[[list[Held]], None],
        watch: Watch,
    ) -> None:
        self._aws = aws
        self._site = site
        self._queue = queue
        self._alone = alone
        self._prefetch = prefetch
        self._working = working
        self._stopping = stopping
        self._begin = begin
        self.watch = watch
        self._is_busy = False
        self._at_once = 1
        self._in_flight: set[asyncio.Future[None]] = set()
        self._receiving = Backoff()  # its own: a queue that is missing does not hold up the others

    async def run(self) -> None:
        """Poll until the worker stops."""
        try:
            while not self._stopping.is_set():
                await self._land()
                self.watch.expect(2 * LONGEST_PAUSE_S + SLACK_S)
                await self._receiving.pause(self._stopping)
                await self._working.pause(self._stopping)
                self.watch.rest()  # every slot may be taken for as long as tasks are
                reserved = await self._room()
                if self._stopping.is_set():
                    break
                self.watch.expect(RECEIVE_S + SLACK_S)
                self._in_flight.add(asyncio.ensure_future(self._poll(reserved)))
            if self._in_flight:
                await asyncio.wait(self._in_flight)
        finally:
            for poll in self._in_flight:
                poll.cancel()
            self._in_flight.clear()

    async def _land(self) -> None:
        """Wait until one receive more may be in flight."""
        while len(self._in_flight) >= (1 if self._working.failures else self._at_once):
            landed, self._in_flight = await asyncio.wait(
                self._in_flight, return_when=asyncio.FIRST_COMPLETED
            )
            for poll in landed:
                poll.result()

    async def _poll(self, reserved: int) -> None:
        """Receive once, and begin to work on what came."""
        received: list[Held] = []
        try:
            received = await self._in_time(self._receive(reserved))
            self.watch.done()
            self._receiving.succeed()
        except Exception as error:
            if not isinstance(error, OperationalError):
                logger.exception("receiving from %s failed", self._queue.name)
            self._receiving.fail(error)
        finally:
            self._prefetch.give_back(max(0, reserved - len(received)))
        if len(received) == BATCH_LIMIT:
            self._at_once = min(MOST, self._at_once + 1)
        elif len(received) < max(1, reserved):
            self._at_once = max(1, self._at_once - 1)
        await self._take_on(received, reserved)

    async def _room(self) -> int:
        """Wait for room; return for how many messages it was taken."""
        wanted = 1 if self._working.failures else min(BATCH_LIMIT, self._prefetch.limit)
        if self._alone or self._is_busy:
            return await self._prefetch.reserve(wanted, PATIENCE_S)
        await self._prefetch.wait_for(wanted, PATIENCE_S)
        return 0

    async def _in_time(self, receive: Coroutine[Any, Any, list[Held]]) -> list[Held]:
        try:
            return await asyncio.wait_for(receive, RECEIVE_S)
        except asyncio.TimeoutError:
            raise EndpointUnreachable(
                f"AWS does not answer: receiving from {self._queue.name} was given up after "
                f"{RECEIVE_S:g} s"
            ) from None

    async def _receive(self, reserved: int) -> list[Held]:
        limit = reserved or (1 if self._working.failures else self._prefetch.free)
        url = await queue_url(self._aws, self._site, self._queue)
        messages = await self._aws.perform(
            ReceiveMessages(
                url,
                limit=max(1, min(BATCH_LIMIT, limit)),
                wait_s=BUSY_POLL_S if self._is_busy and not self._alone else POLL_S,
                visibility_timeout_s=self._queue.visibility_timeout_s,
            )
        )
        now = asyncio.get_running_loop().time()
        return [Held(self._queue, url, message, now) for message in messages]

    async def _take_on(self, received: list[Held], reserved: int) -> None:
        if self._stopping.is_set():
            self._prefetch.give_back(min(reserved, len(received)))
            await release(self._aws, received)
            return
        self._is_busy = bool(received)
        room = reserved or max(0, self._prefetch.free)
        if not reserved:
            self._prefetch.take(min(room, len(received)))
        if received[:room]:
            self._begin(received[:room])
        if received[room:]:
            await release(self._aws, received[room:])


async def release(aws: Aws, several: Sequence[Held]) -> None:
    """Make messages visible at once, for other workers."""
    answers = await aws.perform_all(
        [ChangeMessageVisibility(each.url, each.message.receipt_handle, 0) for each in several]
    )
    for each, answer in zip(several, answers, strict=True):
        if isinstance(answer, Exception):
            logger.warning("a message of %s stays hidden for a while: %s", each.queue.name, answer)
