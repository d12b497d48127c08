"""The ECS door: a process that polls its queues, runs their tasks, and drains when told to."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import socket
import sys
import threading
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from caraway._version import __version__
from caraway.aws.asyncio_aws import AsyncioAws, best_wire
from caraway.core.disposition import Delete, Delivery, Leave
from caraway.core.executor import Executor
from caraway.core.publish import queue_url
from caraway.exceptions import ImproperlyConfigured, OperationalError
from caraway.requests.dynamodb import ConditionFailed
from caraway.requests.sqs import (
    BATCH_LIMIT,
    ChangeMessageVisibility,
    DeleteMessage,
    ReceiveMessages,
)
from caraway.utils.log import get_logger
from caraway.workers.holding import Backoff, Heartbeat, Held, Slots
from caraway.workers.logs import LogEvents, stdouts_logged
from caraway.workers.pools import make_pool

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from caraway.app import Caraway
    from caraway.core.disposition import Disposition
    from caraway.core.routing import Queue

logger = get_logger("worker")

DOOR: Final = "ecs"
POLL_S: Final = 5
"""Length of a long poll. A shutdown waits for the one in flight, as a receive that is abandoned may
still take messages with it; twenty seconds would save a fraction of a cent a day."""
PATIENCE_S: Final = 0.05
"""How long a receive waits for ten free slots while some are free."""
PARTING_S: Final = 3.0
"""How long a step of the shutdown waits for AWS: ECS kills what has not ended in time."""
EXIT_WARM: Final = 0
EXIT_COLD: Final = 1


class Worker:
    """A long-running worker.

    Parameters
    ----------
    queues
        Names of the queues to consume; by default those that the app declares with
        ``consumer="ecs"``.
    concurrency
        Tasks at a time; the setting ``worker_concurrency`` by default.
    pool
        ``threads``, ``asyncio`` or ``solo``; the setting ``worker_pool`` by default.
    hostname
        Shown in logs and in ``self.request.hostname``.
    shutdown_timeout_s
        Seconds that a warm shutdown gives to running tasks; the setting
        ``worker_soft_shutdown_timeout`` by default.
    """

    def __init__(
        self,
        app: Caraway,
        queues: Sequence[str] | None = None,
        *,
        concurrency: int | None = None,
        pool: str | None = None,
        hostname: str | None = None,
        shutdown_timeout_s: float | None = None,
    ) -> None:
        self.app = app.finalize()
        conf = app.conf
        self.queues = self._chosen(queues)
        self.pool = make_pool(pool or conf.worker_pool, concurrency, conf.worker_concurrency)
        self.hostname = hostname or f"caraway@{socket.gethostname()}"
        self.shutdown_timeout_s = (
            conf.worker_soft_shutdown_timeout if shutdown_timeout_s is None else shutdown_timeout_s
        )
        self._running: tuple[asyncio.AbstractEventLoop, _Session] | None = None
        self._stops = 0

    def _chosen(self, names: Sequence[str] | None) -> list[Queue]:
        router = self.app.site.router
        if names:
            return [router.queue(name) for name in dict.fromkeys(names)]
        chosen = [queue for queue in router.queues.values() if queue.consumer == "ecs"]
        if not chosen:
            raise ImproperlyConfigured(
                "the app declares no queue with consumer='ecs': name the queues to consume with -Q "
                f"(it has {', '.join(sorted(router.queues))})"
            )
        return chosen

    def run(self) -> int:
        """Work until SIGTERM, SIGINT or :meth:`stop`; return the exit code.

        The first is warm: nothing more is received, running tasks get the shutdown timeout, then
        they are released. The second is cold: everything is released at once.
        """
        with stdouts_logged(self.app):
            code, unfinished = asyncio.run(self._work())
            self.pool.close()
        if unfinished and threading.current_thread() is threading.main_thread():
            # Threads cannot be stopped, and what they still do is fenced off: leave them behind.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        return code

    async def _work(self) -> tuple[int, bool]:
        session = _Session(self)
        self._running = asyncio.get_running_loop(), session
        for _ in range(self._stops):
            session.stop("stop()")
        return await session.run()

    def stop(self) -> None:
        """Do as a signal does, from another thread; also before the worker has begun."""
        self._stops += 1
        if self._running is not None:
            loop, session = self._running
            with suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(session.stop, "stop()")

    def banner(self) -> str:
        """Return what a worker says about itself when it starts."""
        site = self.app.site
        lines = [
            f"{self.hostname} caraway {__version__}",
            f"{platform.platform()} · Python {platform.python_version()}",
            "",
            f".> app:         {self.app.main or '__main__'}",
            f".> results:     {site.records.table if site.keeps_results else 'disabled'}",
            f".> concurrency: {self.pool.concurrency} ({self.pool.name})",
            "",
            "[queues]",
            *(
                f"  . {queue.name:<20} {queue.sqs_name(site.queue_prefix)}"
                f" (visibility {queue.visibility_timeout_s} s)"
                for queue in self.queues
            ),
            "",
            "[tasks]",
            *(f"  . {name}" for name in sorted(self.app.tasks)),
        ]
        return "\n".join(lines)


class _Session:
    """One run of a worker, on its event loop."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        app = worker.app
        self._site = app.site
        self._aws = AsyncioAws(best_wire(app.client_settings), worker.pool.call)
        self._executor = Executor(
            self._aws,
            self._site,
            app.tasks,
            door=DOOR,
            hostname=worker.hostname,
            observe=LogEvents(app.tasks),
        )
        self._slots = Slots(worker.pool.concurrency)
        self._turns = asyncio.Semaphore(worker.pool.concurrency)
        self._working = Backoff()
        self._held: set[Held] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._cold = asyncio.Event()
        self._deadline = 0.0

    async def run(self) -> tuple[int, bool]:
        """Work until told to stop; return the exit code, and whether user code still runs."""
        if threading.current_thread() is threading.main_thread():
            self._listen_to_signals()
        heartbeat = asyncio.ensure_future(
            Heartbeat(self._aws, self._site.records, self._executor, self._held).run(
                min(queue.visibility_timeout_s for queue in self._worker.queues)
            )
        )
        logger.info("%s ready.", self._worker.hostname)
        try:
            await self._receive()
            unfinished = await self._drain()
        finally:
            heartbeat.cancel()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if not await self._within_reason(self._aws.close()):
            unfinished = True
        return EXIT_COLD if self._cold.is_set() else EXIT_WARM, unfinished

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop, number.name)

    def stop(self, name: str) -> None:
        """Shut down warmly, the second time coldly; ``name`` says who asks for it."""
        if self._stopping.is_set():
            logger.warning("%s again: cold shutdown, running tasks are released", name)
            self._cold.set()
        else:
            logger.warning(
                "%s: warm shutdown, running tasks have %g s (again: cold shutdown)",
                name,
                self._worker.shutdown_timeout_s,
            )
            # From now on, not from the end of the long poll: ECS counts from its signal, too.
            self._deadline = asyncio.get_running_loop().time() + self._worker.shutdown_timeout_s
            self._stopping.set()

    # -- receiving ----------------------------------------------------------------------------

    async def _receive(self) -> None:
        """Poll until the worker stops, then await the receives in flight while there is time.

        A receive that is given up on may have taken messages: they wait out their visibility.
        """
        polls = [asyncio.ensure_future(self._poll(queue)) for queue in self._worker.queues]
        await self._stopping.wait()
        cold = asyncio.ensure_future(self._cold.wait())
        ended = asyncio.gather(*polls)
        either: list[asyncio.Future[Any]] = [ended, cold]
        await asyncio.wait(either, timeout=self._remaining_s(), return_when=asyncio.FIRST_COMPLETED)
        for each in (cold, *polls):
            each.cancel()
        await asyncio.gather(ended, return_exceptions=True)

    def _remaining_s(self) -> float:
        """Return the seconds that a warm shutdown still has."""
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    async def _within_reason(self, step: Coroutine[Any, Any, None]) -> bool:
        """Take a step of the shutdown; say whether AWS answered in time for it."""
        try:
            await asyncio.wait_for(step, PARTING_S)
        except asyncio.TimeoutError:
            logger.warning("AWS does not answer: messages and leases run out by themselves")
            return False
        return True

    async def _poll(self, queue: Queue) -> None:
        """Receive for free slots until the worker stops."""
        wanted = min(BATCH_LIMIT, self._slots.total)
        receiving = Backoff()  # of its own: a queue that is missing does not hold up the others
        while not self._stopping.is_set():
            await receiving.pause(self._stopping)
            await self._working.pause(self._stopping)
            if not await self._wait_for_slots(wanted):
                return
            try:
                url = await queue_url(self._aws, self._site, queue)
                messages = await self._aws.perform(
                    ReceiveMessages(
                        url,
                        limit=self._limit(),
                        wait_s=POLL_S,
                        visibility_timeout_s=queue.visibility_timeout_s,
                    )
                )
            except Exception as error:
                if not isinstance(error, OperationalError):
                    logger.exception("receiving from %s failed", queue.name)
                receiving.fail(error)
                continue
            receiving.succeed()
            now = asyncio.get_running_loop().time()
            self._slots.take(len(messages))
            received = [Held(queue, url, message, now) for message in messages]
            self._held.update(received)
            for together in _in_order(received):
                job = asyncio.ensure_future(self._work_through(together))
                self._jobs.add(job)
                job.add_done_callback(self._jobs.discard)

    def _limit(self) -> int:
        """Return how many messages to ask for; one, to see whether records answer again."""
        return 1 if self._working.failures else max(1, min(BATCH_LIMIT, self._slots.free))

    async def _wait_for_slots(self, wanted: int) -> bool:
        """Wait for free slots; False when the worker stops first."""
        waiting = asyncio.ensure_future(self._slots.wait_for(wanted, PATIENCE_S))
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
        for each in (waiting, stopping):
            each.cancel()
        return not self._stopping.is_set()

    # -- working ------------------------------------------------------------------------------

    async def _work_through(self, together: list[Held]) -> None:
        """Run messages in their order; the first that stays keeps back those behind it."""
        for place, held in enumerate(together):
            disposition = await self._work(held)
            if isinstance(disposition, Leave):
                for behind in together[place + 1 :]:
                    self._slots.give_back()
                    await self._acknowledge(behind, disposition)
                return

    async def _work(self, held: Held) -> Disposition:
        """Run one message to its acknowledgement; its slot is free before that."""
        disposition: Disposition
        try:
            async with self._turns:
                if self._stopping.is_set():
                    disposition = Leave(0, "the worker stops")
                else:
                    held.running = True
                    disposition = await self._executor.execute(self._delivery(held))
                    self._working.succeed()
        except OperationalError as error:
            self._working.fail(error)
            disposition = Leave(ceil(self._working.longest_s), str(error))
        except Exception:
            logger.exception("the worker could not handle a message of %s", held.queue.name)
            disposition = Leave(held.queue.visibility_timeout_s, "it could not be handled")
        finally:
            self._slots.give_back()
        await self._acknowledge(held, disposition)
        return disposition

    @staticmethod
    def _delivery(held: Held) -> Delivery:
        message = held.message
        return Delivery(
            body=message.body,
            queue=held.queue,
            lease_s=float(held.queue.visibility_timeout_s),
            receive_count=message.receive_count,
            sent_at_s=message.sent_at_s,
            group_id=message.group_id,
            attributes=message.attributes,
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
                timeout=self._remaining_s(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            cold.cancel()
            finishing.cancel()
        left = [each for each in self._held if each.running]
        if left:
            logger.warning("%d running tasks are released to run again", len(left))
            await self._within_reason(self._release_claims())
            await self._within_reason(self._release(left))
        return bool(left)

    async def _release_claims(self) -> None:
        """Give the records back, so that the next worker need not wait for the leases."""
        releases = [
            self._site.records.release(
                claimed.message.id, claimed.token or "", self._aws.now().timestamp()
            )
            for claimed in list(self._executor.running.values())
        ]
        for answer in await self._aws.perform_all(releases):
            if isinstance(answer, Exception) and not isinstance(answer, ConditionFailed):
                logger.warning("a lease could not be released: %s", answer)

    async def _release(self, several: list[Held]) -> None:
        """Make messages visible at once."""
        for each in several:
            self._held.discard(each)
        answers = await self._aws.perform_all(
            [ChangeMessageVisibility(each.url, each.message.receipt_handle, 0) for each in several]
        )
        for each, answer in zip(several, answers, strict=True):
            if isinstance(answer, Exception):
                logger.warning(
                    "a message of %s stays hidden for a while: %s", each.queue.name, answer
                )


def _in_order(received: list[Held]) -> list[list[Held]]:
    """Return the messages that must run one after the other: those of a FIFO group together."""
    groups: dict[object, list[Held]] = {}
    for held in received:
        key = held.message.group_id if held.queue.fifo else held.message.receipt_handle
        groups.setdefault(key, []).append(held)
    return list(groups.values())
