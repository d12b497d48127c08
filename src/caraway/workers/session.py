"""One run of a worker on its event loop: receive, work, acknowledge, and drain when told to."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from caraway.aws.asyncio_aws import AsyncioAws
from caraway.aws.wires import best_wire
from caraway.core.disposition import Delete, Delivery, Leave
from caraway.core.executor import Executor
from caraway.exceptions import OperationalError
from caraway.requests.dynamodb import ConditionFailed
from caraway.requests.sqs import ChangeMessageVisibility, DeleteMessage
from caraway.signals import worker_shutting_down
from caraway.utils.log import get_logger
from caraway.workers.holding import Backoff, Heartbeat, Held
from caraway.workers.observing import observer
from caraway.workers.prefetch import Prefetch
from caraway.workers.presence import Attendance, Tally
from caraway.workers.protection import LONG_S, TaskProtection
from caraway.workers.receiving import POLL_S, Receiver, release
from caraway.workers.slots import Slots
from caraway.workers.vitals import LoopFailedError, Vitals, kept_running

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from caraway.app import Caraway
    from caraway.core.disposition import Disposition
    from caraway.core.routing import Queue
    from caraway.workers.pools import Pool
    from caraway.workers.slots import Turn
    from caraway.workers.vitals import Watch

logger = get_logger("worker")

DOOR: Final = "ecs"
PARTING_S: Final = 3.0
"""How long a step of the shutdown waits for AWS: ECS kills what has not ended in time."""
EXIT_WARM: Final = 0
EXIT_COLD: Final = 1


class Session:
    """One run of a worker, on its event loop."""

    def __init__(
        self,
        app: Caraway,
        queues: Sequence[Queue],
        pool: Pool,
        *,
        hostname: str,
        shutdown_timeout_s: float,
        heartbeat_interval_s: float | None = None,
        on_ready: Callable[[], object] = lambda: None,
        vitals: Vitals | None = None,
        ecs_agent: str | None = None,
    ) -> None:
        self._queues = queues
        self._vitals = vitals or Vitals(hostname)
        self._protection = ecs_agent and TaskProtection(ecs_agent, self._has_a_long_task)
        self._on_ready = on_ready
        self._hostname = hostname
        self._shutdown_timeout_s = shutdown_timeout_s
        self._site = app.site
        self._pool = pool
        self._aws = AsyncioAws(best_wire(app.client_settings), pool.call)
        tally = Tally(observer(app, hostname))
        self._executor = Executor(
            self._aws,
            self._site,
            app.tasks,
            door=DOOR,
            hostname=hostname,
            observe=tally,
        )
        self._slots = Slots(pool.concurrency)
        self._prefetch = Prefetch(self._slots)
        self._working = Backoff(shared=True)
        self._held: set[Held] = set()
        self._attendance = heartbeat_interval_s and Attendance(
            self._aws,
            app,
            hostname=hostname,
            pool=pool,
            queues=queues,
            executor=self._executor,
            slots=self._slots,
            tally=tally,
            interval_s=heartbeat_interval_s,
        )
        self._jobs: dict[asyncio.Task[None], list[Held]] = {}
        self._stopping = asyncio.Event()
        self._cold = asyncio.Event()
        self._failed = False
        self._stopped_at = 0.0
        self._vitals.heard_at = lambda: self._aws.heard_at
        self._vitals.running = lambda: len(self._executor.running)
        self._receivers = [
            Receiver(
                self._aws,
                self._site,
                queue,
                alone=len(queues) == 1,
                prefetch=self._prefetch,
                working=self._working,
                stopping=self._stopping,
                begin=self._begin,
                watch=self._vitals.watch_queue(queue.name),
            )
            for queue in queues
        ]

    async def run(self) -> tuple[int, bool]:
        """Work until told to stop; return the exit code, and whether user code still runs."""
        if threading.current_thread() is threading.main_thread():
            self._listen_to_signals()
        background = [
            asyncio.ensure_future(each) for each in (self._vitals.turn(), self._keep_heartbeat())
        ]
        if self._protection:
            background.append(asyncio.ensure_future(self._protection.run()))
        await self._pool.open()
        if self._attendance:
            self._attendance.begin()
        logger.info("%s ready.", self._hostname)
        self._vitals.ready = True
        self._on_ready()
        try:
            unfinished = await self._work_until_stopped()
        finally:
            for each in background:
                each.cancel()
            if self._attendance:
                await self._within_reason(self._attendance.end())
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if not await self._within_reason(self._aws.close()):
            unfinished = True
        unfinished = unfinished or self._pool.leaves_behind
        return EXIT_COLD if self._cold.is_set() or self._failed else EXIT_WARM, unfinished

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop, number.name)

    def stop(self, name: str) -> None:
        """Shut down warmly, the second time coldly; ``name`` says who asks for it."""
        is_cold = self._stopping.is_set()
        worker_shutting_down.send(
            self._hostname,
            sig=name,
            how="Cold" if is_cold else "Warm",
            exitcode=EXIT_COLD if is_cold else EXIT_WARM,
        )
        if is_cold:
            logger.warning("%s again: cold shutdown, running tasks are released", name)
            self._cold.set()
        else:
            logger.warning(
                "%s: warm shutdown, running tasks have %g s (again: cold shutdown)",
                name,
                self._shutdown_timeout_s,
            )
            # From now on, not from the end of the long poll: ECS counts from its signal, too.
            self._stopped_at = asyncio.get_running_loop().time()
            self._vitals.stopping = True
            self._stopping.set()
            self._slots.close()
            self._prefetch.close()

    # -- receiving ----------------------------------------------------------------------------

    async def _work_until_stopped(self) -> bool:
        """Poll until the worker stops, then drain; say if user code was left running.

        The receives in flight are awaited, also by a cold shutdown: SQS may hand messages to one
        that is given up, and they would be hidden for their visibility timeout. What they bring is
        released. No task waits for that: they run, or are released, meanwhile.
        """
        polls = [asyncio.ensure_future(self._keep_polling(each)) for each in self._receivers]
        await self._stopping.wait()
        unfinished = await self._drain()
        _, silent = await asyncio.wait(polls, timeout=self._remaining_s(POLL_S + PARTING_S))
        for poll in silent:
            poll.cancel()
        if silent:
            logger.warning(
                "AWS does not answer %d receives: what they may have taken stays hidden for its "
                "visibility timeout",
                len(silent),
            )
        await asyncio.gather(*polls, return_exceptions=True)
        return unfinished

    async def _keep_polling(self, receiver: Receiver) -> None:
        await self._keep(receiver.watch.name, receiver.run, receiver.watch)

    async def _keep_heartbeat(self) -> None:
        watch = self._vitals.watch("the heartbeat")
        heartbeat = Heartbeat(
            self._aws, self._site.records, self._executor, self._held, watch, self._pool.stop
        )
        shortest_s = min(queue.visibility_timeout_s for queue in self._queues)
        await self._keep(watch.name, lambda: heartbeat.run(shortest_s), watch)

    async def _keep(
        self, name: str, loop: Callable[[], Coroutine[Any, Any, None]], watch: Watch
    ) -> None:
        """Run a loop that the worker cannot do without; if it fails for good, the worker ends."""
        try:
            await kept_running(name, loop, self._unless_stopping, lambda: watch.done_at)
        except LoopFailedError as error:
            logger.critical("%s: the worker ends, for another to take its place", error)
            self._failed = True
            if not self._stopping.is_set():
                self.stop(name)

    def _has_a_long_task(self) -> bool:
        since = asyncio.get_running_loop().time() - LONG_S
        return any(each.running and each.began_at <= since for each in self._held)

    async def _unless_stopping(self, seconds: float) -> None:
        """Wait, but not longer than the worker works."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _begin(self, received: list[Held]) -> None:
        """Begin to work on what was received; the messages of a FIFO group one after the other."""
        self._held.update(received)
        loop = asyncio.get_running_loop()
        for together in _in_order(received):
            # One of a group runs at a time. No other worker gets those behind it meanwhile, so
            # that to hold them takes nothing from anybody, and they count as one.
            if len(together) > 1:
                self._prefetch.give_back(len(together) - 1)
            job = loop.create_task(self._work_through(together))
            self._jobs[job] = together

    def _remaining_s(self, granted_s: float) -> float:
        """Return what is left of the seconds that were granted when the worker was told to stop."""
        return max(0.0, self._stopped_at + granted_s - asyncio.get_running_loop().time())

    async def _within_reason(self, step: Coroutine[Any, Any, None]) -> bool:
        """Take a step of the shutdown; say whether AWS answered in time for it."""
        try:
            await asyncio.wait_for(step, PARTING_S)
        except asyncio.TimeoutError:
            logger.warning("AWS does not answer: messages and leases run out by themselves")
            return False
        return True

    # -- working ------------------------------------------------------------------------------

    async def _work_through(self, together: list[Held]) -> None:
        """Run messages in their order; the first that stays keeps back those behind it."""
        job, hold, last = asyncio.current_task(), self._prefetch.hold(), together[-1]
        assert job is not None
        try:
            for place, held in enumerate(together):
                disposition = await self._work(held, hold.end if held is last else _nothing)
                if isinstance(disposition, Leave):
                    hold.end()
                    left = (self._acknowledge(each, disposition) for each in together[place:])
                    await asyncio.gather(*left)
                    return
                await self._acknowledge(held, disposition)
        finally:
            hold.let_go()
            del self._jobs[job]  # a callback of each would take the loop as long as the rest of it

    async def _work(self, held: Held, ends: Callable[[], None]) -> Disposition:
        """Run one message; what it raises leaves it on its queue. ``ends`` hears of its end."""
        turn = self._slots.turn(float(held.queue.visibility_timeout_s), ends)
        try:
            if self._stopping.is_set():
                return Leave(0, "the worker stops")
            held.running, held.began_at = True, asyncio.get_running_loop().time()
            disposition = await self._executor.execute(self._delivery(held, turn))
            self._working.succeed(held.message.message_id)
        except OperationalError as error:
            wait_s = self._working.fail(error, held.message.message_id)
            return Leave(ceil(wait_s), str(error))
        except Exception:
            logger.exception("the worker could not handle a message of %s", held.queue.name)
            return Leave(held.queue.visibility_timeout_s, "it could not be handled")
        finally:
            turn.leave()
        return disposition

    @staticmethod
    def _delivery(held: Held, turn: Turn) -> Delivery:
        message = held.message
        return Delivery(
            body=message.body,
            queue=held.queue,
            lease_s=float(held.queue.visibility_timeout_s),
            receive_count=message.receive_count,
            sent_at_s=message.sent_at_s,
            group_id=message.group_id,
            attributes=message.attributes,
            turn=turn,
        )

    async def _acknowledge(self, held: Held, disposition: Disposition) -> None:
        if held not in self._held:
            return  # released meanwhile: it may be somebody else's by now
        self._held.discard(held)
        receipt = held.message.receipt_handle
        try:
            if isinstance(disposition, Delete):
                await self._aws.perform(DeleteMessage(held.url, receipt))
            else:
                request = ChangeMessageVisibility(held.url, receipt, disposition.visible_in_s)
                await self._aws.perform(request)
        except OperationalError as error:
            # An expired receipt is an expected event: the message comes back and is found done.
            logger.warning("a message of %s comes back: %s", held.queue.name, error)

    # -- stopping -----------------------------------------------------------------------------

    async def _drain(self) -> bool:
        """Finish what runs within the shutdown timeout, release the rest; say if any was left."""
        idle = [each for each in self._held if not each.running]
        await self._within_reason(self._release(idle))
        running = set(self._jobs)
        if running:
            cold = asyncio.ensure_future(self._cold.wait())
            finishing = asyncio.ensure_future(asyncio.wait(running))
            await asyncio.wait(
                [finishing, cold],
                timeout=self._remaining_s(self._shutdown_timeout_s),
                return_when=asyncio.FIRST_COMPLETED,
            )
            cold.cancel()
            finishing.cancel()
        left = [each for each in self._held if each.running]
        parting = [job for job, its in self._jobs.items() if self._held.isdisjoint(its)]
        if left:
            logger.warning("%d running tasks are released to run again", len(left))
            await self._within_reason(self._release_claims())
            await self._within_reason(self._release(left))
        if parting:  # their tasks have ended: what is being acknowledged is soon, and not again
            await self._within_reason(_all_of(parting))
        return bool(left)

    async def _release_claims(self) -> None:
        """Give the records back, so that the next worker need not wait for the leases."""
        releases = []
        for claimed in list(self._executor.running.values()):
            # What runs at most once has begun: the next claim must see that it was lost.
            at_most_once = claimed.job.task.at_most_once
            records = self._site.records
            give_back = records.give_up if at_most_once else records.release
            now = self._aws.now().timestamp()
            releases.append(give_back(claimed.message.id, claimed.token or "", now))
        for answer in await self._aws.perform_all(releases):
            if isinstance(answer, Exception) and not isinstance(answer, ConditionFailed):
                logger.warning("a lease could not be released: %s", answer)

    async def _release(self, several: list[Held]) -> None:
        """Make messages visible at once; they are not this worker's any more."""
        for each in several:
            self._held.discard(each)
        await release(self._aws, several)


def _nothing() -> None:
    """Do nothing."""


async def _all_of(jobs: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(jobs)


def _in_order(received: list[Held]) -> list[list[Held]]:
    """Return the messages that must run one after the other: those of a FIFO group together."""
    groups: dict[object, list[Held]] = {}
    for held in received:
        key = held.message.group_id if held.queue.fifo else held.message.receipt_handle
        groups.setdefault(key, []).append(held)
    return list(groups.values())
