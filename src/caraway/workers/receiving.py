"""Receiving: from each queue as fast as it gives, and never more than there are free slots."""

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
    from caraway.workers.holding import Slots

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
"""How long a receive waits for one more slot to be free, on its way to ten."""


class Receiver:
    """Polls one queue: with one receive at a time, and with more while they come back full.

    A queue that had messages takes slots first and then asks for as many. One that had none would
    keep them idle for the length of its poll, so it takes none while another queue could use them:
    what it receives when they are all taken goes back at once.

    Parameters
    ----------
    alone
        Whether no other queue shares the slots.
    working
        Whether records can be written; while they cannot, one message at a time is asked for.
    begin
        Takes on what was received: its slots are taken.
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
        slots: Slots,
        working: Backoff,
        stopping: asyncio.Event,
        begin: Callable[[list[Held]], None],
        watch: Watch,
    ) -> None:
        self._aws = aws
        self._site = site
        self._queue = queue
        self._alone = alone
        self._slots = slots
        self._working = working
        self._stopping = stopping
        self._begin = begin
        self.watch = watch
        self._is_busy = False
        self._beside: set[asyncio.Future[None]] = set()
        self._receiving = Backoff()  # its own: a queue that is missing does not hold up the others

    async def run(self) -> None:
        """Poll until the worker stops."""
        try:
            while not self._stopping.is_set():
                self.watch.expect(2 * LONGEST_PAUSE_S + SLACK_S)
                await self._receiving.pause(self._stopping)
                await self._working.pause(self._stopping)
                self.watch.rest()  # every slot may be taken for as long as tasks are
                reserved = await self._unless_stopping(self._free_slots())
                if reserved is None:
                    break
                await self._poll(reserved, self.watch)
            if self._beside:
                await asyncio.wait(self._beside)
        finally:
            for poll in self._beside:
                poll.cancel()

    async def _poll(self, reserved: int, watch: Watch) -> bool:
        """Receive once, and begin to work on what came; say if it was as much as can come."""
        received: list[Held] = []
        try:
            watch.expect(RECEIVE_S + SLACK_S)
            received = await self._in_time(self._receive(reserved))
            watch.done()
            self._receiving.succeed()
        except Exception as error:
            if not isinstance(error, OperationalError):
                logger.exception("receiving from %s failed", self._queue.name)
            self._receiving.fail(error)
        finally:
            self._slots.give_back(max(0, reserved - len(received)))
        await self._take_on(received, reserved)
        is_full = len(received) == BATCH_LIMIT
        if is_full:
            self._poll_beside()
        return is_full

    def _poll_beside(self) -> None:
        """Let one receive more go beside those in flight, if there are slots for what it may bring.

        One after the other, receives of ten bring no more than 500 messages a second where each
        takes 20 ms. One that comes back full is followed by two, any other by none: an idle queue
        has one receive in flight.
        """
        is_wanted = not (self._stopping.is_set() or self._working.failures)
        if is_wanted and self._slots.free >= BATCH_LIMIT:
            self._slots.take(BATCH_LIMIT)
            poll = asyncio.ensure_future(self._poll_once())
            self._beside.add(poll)
            poll.add_done_callback(self._beside.discard)

    async def _poll_once(self) -> None:
        if await self._poll(BATCH_LIMIT, Watch("a receive beside")):
            self._poll_beside()  # in its own place

    async def _free_slots(self) -> int:
        """Wait for free slots; return how many were taken for the receive."""
        wanted = 1 if self._working.failures else min(BATCH_LIMIT, self._slots.total)
        if self._alone or self._is_busy:
            return await self._slots.reserve(wanted, PATIENCE_S)
        await self._slots.wait_for(wanted, PATIENCE_S)
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
        limit = reserved or (1 if self._working.failures else self._slots.free)
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
            await release(self._aws, received)
            return
        self._is_busy = bool(received)
        room = reserved or max(0, self._slots.free)
        if not reserved:
            self._slots.take(min(room, len(received)))
        if received[:room]:
            self._begin(received[:room])
        if received[room:]:
            await release(self._aws, received[room:])

    async def _unless_stopping(self, waiting: Coroutine[Any, Any, int]) -> int | None:
        """Wait for slots; None when the worker stops first."""
        slots = asyncio.ensure_future(waiting)
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([slots, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not self._stopping.is_set():
            return slots.result()
        slots.cancel()
        return None


async def release(aws: Aws, several: Sequence[Held]) -> None:
    """Make messages visible at once, for other workers."""
    answers = await aws.perform_all(
        [ChangeMessageVisibility(each.url, each.message.receipt_handle, 0) for each in several]
    )
    for each, answer in zip(several, answers, strict=True):
        if isinstance(answer, Exception):
            logger.warning("a message of %s stays hidden for a while: %s", each.queue.name, answer)
