"""The executor: one delivery in, one disposition out; the same code behind every door.

    decode > resolve > claim > run > settle > record > follow up

Each step takes what the step before it made and returns a new value. A step that finds that the
message needs nothing further raises :class:`_Decided`, with the disposition.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from caraway import states
from caraway.core.attempts import hand_over, resumed
from caraway.core.claim_check import unpack
from caraway.core.context import Context
from caraway.core.disposition import Delete, Delivery, Disposition, Leave
from caraway.core.endings import Recorded, follow_up, write_down
from caraway.core.events import (
    Ended,
    Event,
    Fenced,
    HookFailed,
    ProcessLost,
    Received,
    Undeliverable,
)
from caraway.core.ids import new_token
from caraway.core.port import Lost, Raised
from caraway.core.publish import Outgoing, Site, send
from caraway.core.record import HORIZON_S, Record
from caraway.core.refusal import leave, refused, undeliverable
from caraway.core.settle import (
    Again,
    Failed,
    Rejected,
    Requeued,
    Revoked,
    Unregistered,
    format_traceback,
    settle,
)
from caraway.exceptions import (
    ImproperlyConfigured,
    InvalidMessage,
    PayloadMissing,
    TaskError,
    WorkerLostError,
    nearest,
)
from caraway.requests.dynamodb import ConditionFailed
from caraway.requests.sqs import DELAY_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from caraway.core.message import Message
    from caraway.core.port import Aws, Returned
    from caraway.core.settle import Definition, Ending, Product
    from caraway.requests.dynamodb import UpdateItem

EAGER: Final = "eager"
"""The door of tasks that run in the caller's process, over a port of their own."""
EARLY_S: Final = 1.0
"""A message this much before its eta is run: SQS delays are whole seconds."""


class _Decided(Exception):  # noqa: N818 - an early exit, not an error
    """The pipeline's early exit: nothing further is needed."""

    def __init__(self, disposition: Disposition) -> None:
        super().__init__(disposition.why)
        self.disposition = disposition


@dataclass(frozen=True)
class Job:
    """A message that can be run, and the task it names."""

    delivery: Delivery
    message: Message
    task: Definition


@dataclass(frozen=True)
class Claimed:
    """A job that this worker may run.

    Attributes
    ----------
    message
        The job's, or on FIFO the attempt that the record is at.
    token
        None for an idempotent task, which takes no claim.
    """

    job: Job
    message: Message
    token: str | None
    record: Record | None
    context: Context
    began: datetime


class Executor:
    """Runs deliveries.

    Parameters
    ----------
    aws
        The port.
    site
        Where the app's things are.
    tasks
        The registered tasks by name.
    door, hostname
        Who runs them: shown in records, and in ``self.request.hostname``.
    observe
        Told of every :class:`~caraway.core.events.Event`, for logs and signals. Must not raise.
    rng
        Where the jitter of retries comes from.
    """

    def __init__(
        self,
        aws: Aws,
        site: Site,
        tasks: Mapping[str, Definition],
        *,
        door: str,
        hostname: str = "",
        observe: Callable[[Event], None] = lambda _event: None,
        rng: random.Random | None = None,
    ) -> None:
        self._aws = aws
        self._site = site
        self._tasks = tasks
        self._door = door
        self._hostname = hostname
        self._observe = observe
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self.running: dict[str, Claimed] = {}
        """What runs now under a claim, by token: what a heartbeat renews and a drain releases."""

    async def execute(self, delivery: Delivery) -> Disposition:
        """Run one delivery to its end.

        Raises
        ------
        OperationalError
            If AWS did not answer. Leave the message: the lease runs out by itself, and a later
            delivery finishes what this one began.
        """
        try:
            message = await self._decode(delivery)
            job = await self._resolve(delivery, message)
            claimed = await self._claim(job)
            outcome = await self._run(claimed)
            ending = self._settle(claimed, outcome)
            done, ending = await self._record(claimed, ending)
            return await self._follow_up(claimed, done, ending)
        except _Decided as early:
            decided = early.disposition
            if isinstance(decided, Delete) and decided.undeliverable:
                self._observe(Undeliverable(delivery, decided.why))
            return decided

    def _now(self) -> float:
        return self._aws.now().timestamp()

    # -- decode: what cannot be read goes to the dead-letter queue ------------------------------

    async def _decode(self, delivery: Delivery) -> Message:
        try:
            message = await unpack(self._aws, self._site.store, delivery.body)
        except (InvalidMessage, PayloadMissing) as error:
            reason = str(error)
            raise _Decided(
                await undeliverable(self._aws, self._site, delivery, None, reason)
            ) from error
        self._observe(Received(message, delivery))
        return message

    # -- resolve: hold back what is early, find the task ----------------------------------------

    async def _resolve(self, delivery: Delivery, message: Message) -> Job:
        await self._hold_if_early(delivery, message)
        task = self._tasks.get(message.task)
        if task is None:
            near = nearest(message.task, self._tasks)
            why = f"no task named {message.task!r} is registered here{near}"
            task = Unregistered(message.task, why)
        return Job(delivery, message, task)

    async def _hold_if_early(self, delivery: Delivery, message: Message) -> None:
        wait_s = (message.eta - self._aws.now()).total_seconds() if message.eta else 0.0
        if wait_s <= EARLY_S:
            return
        why = f"it is due in {wait_s:.0f} s"
        delay_s = min(ceil(wait_s), DELAY_LIMIT_S)
        if delivery.queue.fifo:
            raise _Decided(Leave(delay_s, why))
        await send(self._aws, self._site, Outgoing(message, delivery.queue, delay_s))
        raise _Decided(Delete(f"{why}: sent again with that delay"))

    # -- claim: take the record for this attempt, or find out why it cannot be taken ------------

    async def _claim(self, job: Job) -> Claimed:
        delivery, message = job.delivery, job.message
        fifo = delivery.queue.fifo
        if job.task.idempotent and not fifo:  # on FIFO it is the record that counts attempts
            return self._claimed(job, message, None, None)
        token, now = new_token(), self._now()
        asked_for_s = message.asked_for_s or delivery.sent_at_s or now
        request = self._site.records.claim(
            message,
            token,
            now,
            delivery.lease_s,
            fifo=fifo,
            may_create=now - asked_for_s < HORIZON_S,
            shown={
                "state": states.STARTED if job.task.track_started else states.PENDING,
                "task": message.task,
                "queue": delivery.queue.name,
                "door": self._door,
                "started_at": now,
            },
        )
        try:
            item = await self._aws.perform(request)
        except ConditionFailed as failed:
            # With my own token in it, an answer was lost and the SDK asked again: it is a win.
            if failed.item.get("token") != token:
                record = Record.read(failed.item)
                raise _Decided(await self._refused(delivery, message, record)) from failed
            item = failed.item
        record = Record.read(item)
        if fifo and record.attempt > message.attempt:
            message = await resumed(self._aws, self._site, message, record)
        return self._claimed(job, message, token, record)

    async def _refused(self, delivery: Delivery, message: Message, record: Record) -> Disposition:
        return await refused(self._aws, self._site, self._tasks, delivery, message, record)

    def _claimed(
        self, job: Job, message: Message, token: str | None, record: Record | None
    ) -> Claimed:
        context = Context.of(
            message,
            job.delivery,
            token=token,
            hostname=self._hostname,
            ignore_result=job.task.ignore_result,
            port=self._aws if self._door == EAGER else None,
        )
        return Claimed(job, message, token, record, context, self._aws.now())

    # -- run: the function, unless the claim shows that it must not run ------------------------

    async def _run(self, claimed: Claimed) -> Returned[Product] | Raised | Revoked | Rejected:
        message, record = claimed.message, claimed.record
        if record is not None and record.revoked:
            return Revoked("revoked")
        if message.expires is not None and self._aws.now() > message.expires:
            return Revoked("expired")
        if record is not None and record.lost >= self._site.max_deliveries:
            reason = f"{record.lost} workers were lost while they ran it"
            return Rejected(reason, WorkerLostError(reason))
        if claimed.token is not None:
            self.running[claimed.token] = claimed
        try:
            outcome = await self._aws.call(claimed.job.task.runner, claimed.context)
        finally:
            self.running.pop(claimed.token or "", None)
        if isinstance(outcome, Lost):
            raise _Decided(await self._lost(claimed, outcome.why))
        return outcome

    async def _lost(self, claimed: Claimed, why: str) -> Disposition:
        """Let the task be taken over at once, as it would be when the lease runs out."""
        self._observe(ProcessLost(claimed.message, why))
        if claimed.token is not None:
            write = self._site.records.give_up(claimed.message.id, claimed.token, self._now())
            await self._write(claimed, write)
        delivery = claimed.job.delivery
        return await leave(self._aws, self._site, delivery, claimed.message, 0, why)

    # -- settle: from the outcome to an ending --------------------------------------------------

    def _settle(
        self, claimed: Claimed, outcome: Returned[Product] | Raised | Revoked | Rejected
    ) -> Ending:
        if isinstance(outcome, Revoked | Rejected):
            return outcome
        job = claimed.job
        return settle(
            outcome, job.task, claimed.context, job.delivery.queue, self._aws.now(), self._rng
        )

    # -- record: make the ending durable, under the claim's token ------------------------------

    async def _record(self, claimed: Claimed, ending: Ending) -> tuple[Recorded, Ending]:
        if isinstance(ending, Requeued):
            raise _Decided(await self._requeue(claimed, ending))
        if isinstance(ending, Again):
            ending = await self._retry(claimed, ending)
        message, records, now = claimed.message, self._site.records, self._now()
        is_claimed, token = claimed.token is not None, claimed.token or new_token()
        keeps = self._keeps(claimed)
        if not (is_claimed or keeps or self._has_record(claimed, ending)):
            self._ended(claimed, ending)
            return Recorded.of(message, ending), ending
        ending, done, kept = await write_down(
            self._aws, self._site, message, ending, token=token, keeps=keeps
        )
        if done.dead_lettered:
            write = records.dead_letter(message, token, now, kept, claimed=is_claimed)
        else:
            expires_s = self._site.result_expires_s
            expires_at = None if expires_s is None else now + expires_s
            write = records.finish(message, token, now, kept, expires_at, claimed=is_claimed)
        await self._write(claimed, write)
        self._ended(claimed, ending)
        return done, ending

    def _keeps(self, claimed: Claimed) -> bool:
        """Say whether the value is kept: a callback takes it, whatever ignore_result says."""
        wanted = self._site.keeps_results and not claimed.context.ignore_result
        return wanted or bool(claimed.message.link)

    def _has_record(self, claimed: Claimed, ending: Ending) -> bool:
        """Say whether an idempotent task without a result has a record all the same.

        An errback needs one, as another run of the task may end otherwise; so does a dead letter.
        """
        if isinstance(ending, Failed) and claimed.job.task.store_errors_even_if_ignored:
            return True
        return isinstance(ending, Rejected) or bool(claimed.message.link_error)

    async def _requeue(self, claimed: Claimed, ending: Requeued) -> Disposition:
        """Give the claim back, and the message to its queue."""
        delivery, message = claimed.job.delivery, claimed.message
        if claimed.token is not None:
            request = self._site.records.release(message.id, claimed.token, self._now())
            await self._write(claimed, request)
        self._ended(claimed, ending)
        return await leave(self._aws, self._site, delivery, message, 0, ending.reason)

    async def _retry(self, claimed: Claimed, ending: Again) -> Ending:
        """Record the next attempt, send it, then let go of this one's message.

        Returns the failure of a retry that cannot be had as it was asked for.
        """
        delivery = claimed.job.delivery
        try:
            handover = await hand_over(
                self._aws,
                self._site,
                delivery,
                claimed.message,
                ending,
                token=claimed.token,
                record=claimed.record,
            )
        except (ImproperlyConfigured, TaskError) as refused:
            refused.__cause__ = ending.error
            return Failed(refused, format_traceback(refused))
        if handover.write is not None:
            await self._write(claimed, handover.write)
        self._ended(claimed, ending)
        if handover.send is not None:
            await self._aws.perform(handover.send)
        await self._hooks(claimed, ending)
        raise _Decided(handover.disposition)

    async def _write(self, claimed: Claimed, request: UpdateItem) -> None:
        """Write under the claim; when somebody else has it now, their record decides."""
        try:
            await self._aws.perform(request)
        except ConditionFailed as failed:
            record = Record.read(failed.item)
            assigned = request.change.assign
            token = claimed.token or assigned.get("token")
            if record.token == token and record.phase == assigned.get("phase"):
                return  # the first answer was lost, and the SDK asked again
            self._observe(Fenced(claimed.message))
            raise _Decided(
                await self._refused(claimed.job.delivery, claimed.message, record)
            ) from failed

    def _ended(self, claimed: Claimed, ending: Ending) -> None:
        runtime_s = (self._aws.now() - claimed.began).total_seconds()
        self._observe(Ended(claimed.message, ending, runtime_s))

    # -- follow up: what the ending leads to, then the hooks ------------------------------------

    async def _follow_up(self, claimed: Claimed, done: Recorded, ending: Ending) -> Disposition:
        delivery = claimed.job.delivery
        fault = await follow_up(self._aws, self._site, self._tasks, delivery, done)
        await self._hooks(claimed, ending)
        if fault is not None:
            self._observe(Undeliverable(delivery, fault))
        return Delete(fault or done.state, undeliverable=fault is not None)

    async def _hooks(self, claimed: Claimed, ending: Ending) -> None:
        hooks = claimed.job.task.hooks
        if hooks is None:
            return
        outcome = await self._aws.call(hooks, claimed.context, ending)
        if isinstance(outcome, Raised):
            self._observe(HookFailed(claimed.message, outcome.error))
        elif isinstance(outcome, Lost):
            self._observe(HookFailed(claimed.message, WorkerLostError(outcome.why)))
