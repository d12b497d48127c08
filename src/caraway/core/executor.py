"""The executor: one delivery in, one disposition out; the same code behind every door.

    decode > resolve > admit > claim > begin > run > settle > record > follow up

Each step takes what the step before it made and returns a new value. A step that finds that the
message needs nothing further raises :class:`Decided`, with the disposition.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from caraway import states
from caraway.core.attempts import Handover, begun_anew, hand_over
from caraway.core.before_run import kept_from_running, unknown
from caraway.core.claim_check import keep_text, unpack
from caraway.core.claiming import claim
from caraway.core.codec import dumps
from caraway.core.disposition import Delete, Delivery, Disposition
from caraway.core.early import hold_if_early
from caraway.core.endings import Recorded, has_record, keeps_value, write_down
from caraway.core.events import (
    Ended,
    Event,
    Fenced,
    HookFailed,
    ProcessLost,
    Received,
    Undeliverable,
)
from caraway.core.following import follow_up
from caraway.core.ids import new_token
from caraway.core.job import Claimed, Decided, Job
from caraway.core.occurrences import occurring
from caraway.core.port import Lost, Raised, Returned, Stopped
from caraway.core.record import Record, Written
from caraway.core.refusal import leave, refused, undeliverable
from caraway.core.replacing import replace_by
from caraway.core.revoke import found_revoked
from caraway.core.revoked_stamps import RevokedStamps
from caraway.core.sending import request_to_send, send_all
from caraway.core.settle import (
    Again,
    Failed,
    Replaced,
    Requeued,
    Revoked,
    Unregistered,
    format_traceback,
    settle,
)
from caraway.core.trail import led_to, text_of
from caraway.exceptions import (
    ImproperlyConfigured,
    InvalidMessage,
    PayloadMissing,
    TaskError,
    WorkerLostError,
    nearest,
)
from caraway.requests.dynamodb import ConditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.sending import Sending
    from caraway.core.settle import Definition, Ending, Product
    from caraway.requests.dynamodb import UpdateItem
    from caraway.requests.items import Item


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
        self.revoked_stamps = RevokedStamps(aws, site.records.table)
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
            message = await self._occurring(delivery, await self._decode(delivery))
            job = await self._resolve(delivery, message)
            claimed = await self._begin(await self._claim(await job.admitted()))
            claimed, outcome = await self._run(claimed)
            ending = self._settle(claimed, outcome)
            done, ending = await self._record(claimed, ending)
            return await self._follow_up(claimed, done, ending)
        except Decided as early:
            decided = early.disposition
            if isinstance(decided, Delete) and decided.undeliverable:
                self._observe(Undeliverable(delivery, decided.why))
            elif early.record is not None and (revoked := found_revoked(early.record)):
                self._observe(Ended(message, revoked, 0.0))
            return decided

    def _now(self) -> float:
        return self._aws.now().timestamp()

    # -- decode: what cannot be read or trusted goes to the dead-letter queue -------------------

    async def _decode(self, delivery: Delivery) -> Message:
        try:
            message = await unpack(self._aws, self._site.store, delivery.body, self._site.signing)
        except (InvalidMessage, PayloadMissing) as error:
            reason = str(error)
            raise Decided(
                await undeliverable(self._aws, self._site, delivery, None, reason)
            ) from error
        self._observe(Received(message, delivery))
        return message

    # -- occur: a rule may fire when its entry is not due ---------------------------------------

    async def _occurring(self, delivery: Delivery, message: Message) -> Message:
        if message.when is None:
            return message
        try:
            return await occurring(self._aws, self._site, delivery, message, message.when)
        except (InvalidMessage, ImproperlyConfigured) as error:
            raise Decided(
                await undeliverable(self._aws, self._site, delivery, message, str(error))
            ) from error

    # -- resolve: hold back what is early, find the task ----------------------------------------

    async def _resolve(self, delivery: Delivery, message: Message) -> Job:
        if message.eta is not None:
            await hold_if_early(self._aws, self._site, self._tasks, delivery, message, message.eta)
        task = self._tasks.get(message.task)
        if task is None:
            near = nearest(message.task, self._tasks)
            why = f"no task named {message.task!r} is registered here{near}"
            task = Unregistered(message.task, why)
        return Job(delivery, message, task)

    # -- claim: take the record for this attempt, or find out why it cannot be taken ------------

    async def _claim(self, job: Job) -> Claimed:
        # Before it: to claim and then fail to read would cost the lease.
        await self.revoked_stamps.look(job.message.stamps)
        return await claim(self._aws, self._site, self._tasks, job, self._door, self._hostname)

    # -- begin: when its turn has come ----------------------------------------------------------

    async def _begin(self, claimed: Claimed) -> Claimed:
        """Wait for its turn; give back what was claimed ahead of a turn that does not come."""
        delivery, message = claimed.job.delivery, claimed.message
        if delivery.turn is None or await delivery.turn.comes():
            return claimed
        await self._release(claimed)
        why = "those before it take longer than expected"
        raise Decided(await leave(self._aws, self._site, delivery, message, 0, why))

    async def _release(self, claimed: Claimed) -> None:
        if claimed.token is not None:
            id, now = claimed.message.id, self._now()
            await self._write(claimed, self._site.records.release(id, claimed.token, now))

    # -- run: the function, unless the claim shows that it must not run ------------------------

    async def _run(self, claimed: Claimed) -> tuple[Claimed, Returned[Product] | Raised | Ending]:
        """Return the outcome of user code, or the ending of an attempt that has none."""
        is_revoked = self.revoked_stamps.mode_for(claimed.message.stamps) is not None
        ending = await kept_from_running(self._aws, self._site, claimed, is_revoked=is_revoked)
        if ending is not None:
            return claimed.over(self._aws.now(), 0.0), ending
        if claimed.token is not None:
            self.running[claimed.token] = claimed
        began = self._aws.now()
        try:
            outcome = await self._aws.call(claimed.job.task.runner, claimed.context)
        finally:
            self.running.pop(claimed.token or "", None)
        ended = self._aws.now()
        runtime_s = (ended - began).total_seconds()
        if claimed.job.delivery.turn is not None:
            hooked = claimed.job.task.hooks is not None
            await claimed.job.delivery.turn.is_over(hooked=hooked)
            ended = self._aws.now()
        claimed = claimed.over(ended, runtime_s)
        if isinstance(outcome, Lost):
            return claimed, await self._lost(claimed, outcome.why)
        if isinstance(outcome, Stopped):
            return claimed, Revoked("terminated", outcome.signal)
        return claimed, outcome

    async def _lost(self, claimed: Claimed, why: str) -> Ending:
        """Let the task be taken over at once, as it would be when the lease runs out."""
        self._observe(ProcessLost(claimed.message, why))
        if claimed.job.task.at_most_once:
            return unknown(why)
        if claimed.token is not None:
            write = self._site.records.give_up(claimed.message.id, claimed.token, self._now())
            await self._write(claimed, write)
        delivery = claimed.job.delivery
        raise Decided(await leave(self._aws, self._site, delivery, claimed.message, 0, why))

    # -- settle: from the outcome to an ending --------------------------------------------------

    def _settle(self, claimed: Claimed, outcome: Returned[Product] | Raised | Ending) -> Ending:
        if not isinstance(outcome, Returned | Raised):
            return outcome
        job = claimed.job
        return settle(
            outcome, job.task, claimed.context, job.delivery.queue, claimed.over_at, self._rng
        )

    # -- record: make the ending durable, under the claim's token ------------------------------

    async def _record(self, claimed: Claimed, ending: Ending) -> tuple[Recorded, Ending]:
        if isinstance(ending, Requeued):
            raise Decided(await self._requeue(claimed, ending))
        if isinstance(ending, Again | Replaced):
            ending = await self._go_on(claimed, ending)
        message, records = claimed.message, self._site.records
        is_claimed, keeps = claimed.token is not None, keeps_value(self._site, claimed)
        if not (is_claimed or keeps or has_record(claimed, ending)):
            self._ended(claimed, ending)
            return Recorded.of(message, ending), ending
        token, now = claimed.token or new_token(), claimed.over_at.timestamp()
        sensitive = bool(claimed.job.task.sensitive)
        ending, done, kept = await write_down(
            self._aws,
            self._site,
            message,
            ending,
            token=token,
            keeps=keeps,
            sensitive=sensitive,
        )
        done, kept = await self._with_what_it_sent(claimed, done, kept, token)
        if done.dead_lettered:
            changes = await begun_anew(
                self._aws, self._site, message, token, claimed.record, sensitive=sensitive
            )
            write = records.dead_letter(
                message, token, now, kept, claimed=is_claimed, changes=changes
            )
        else:
            expires_s = self._site.result_expires_s
            expires_at = None if expires_s is None else now + expires_s
            write = records.finish(message, token, now, kept, expires_at, claimed=is_claimed)
        await self._write(claimed, write)
        self._ended(claimed, ending)
        return done, ending

    async def _with_what_it_sent(
        self, claimed: Claimed, done: Recorded, kept: Written, token: str
    ) -> tuple[Recorded, Written]:
        """Return an ending with what the task has sent, and has added to its chord."""
        context = claimed.context
        if claimed.job.task.trail:
            children = text_of(context.trail, led_to(done.message, done.state))
            kept = kept if children is None else replace(kept, children=children)
        if context.added and done.state == states.SUCCESS:
            done = replace(done, added=tuple(context.added))
            store, text = self._site.store, dumps(context.added)
            text = await keep_text(self._aws, store, done.message.id, token, text, "added")
            kept = replace(kept, added=text)
        return done, kept

    async def _requeue(self, claimed: Claimed, ending: Requeued) -> Disposition:
        """Give the claim back, and the message to its queue."""
        delivery, message = claimed.job.delivery, claimed.message
        await self._release(claimed)
        self._ended(claimed, ending)
        return await leave(self._aws, self._site, delivery, message, 0, ending.reason)

    async def _go_on(self, claimed: Claimed, ending: Again | Replaced) -> Ending:
        """Record the next attempt, or what takes its place, send it, then let go of the message.

        Returns the failure of a retry, or of a replacement, that cannot be had as asked for.
        """
        try:
            handover = await self._handover(claimed, ending)
        except (ImproperlyConfigured, TaskError) as refused:
            refused.__cause__ = ending.error if isinstance(ending, Again) else None
            return Failed(refused, format_traceback(refused))
        sends: tuple[Sending, ...] = handover.sends
        if handover.write is not None:
            written = await self._write(claimed, handover.write)
            if handover.at_once is not None and written.get("revoked"):
                sends = (await request_to_send(self._aws, self._site, handover.at_once),)
        self._ended(claimed, ending)
        await send_all(self._aws, sends)
        await self._hooks(claimed, ending)
        raise Decided(handover.disposition)

    async def _handover(self, claimed: Claimed, ending: Again | Replaced) -> Handover:
        aws, site, message, token = self._aws, self._site, claimed.message, claimed.token
        sensitive = bool(claimed.job.task.sensitive)
        if isinstance(ending, Replaced):
            return await replace_by(aws, site, message, ending.by, token=token, sensitive=sensitive)
        return await hand_over(
            aws,
            site,
            claimed.job.delivery,
            message,
            ending,
            token=token,
            record=claimed.record,
            sensitive=sensitive,
        )

    async def _write(self, claimed: Claimed, request: UpdateItem) -> Item:
        """Write under the claim; when somebody else has it now, their record decides."""
        try:
            return await self._aws.perform(request)
        except ConditionFailed as failed:
            record = Record.read(failed.item)
            assigned = request.change.assign
            token = claimed.token or assigned.get("token")
            if record.token == token and record.phase == assigned.get("phase"):
                return failed.item  # the first answer was lost, and the SDK asked again
            if found_revoked(record) is None:
                self._observe(Fenced(claimed.message))
            delivery, message = claimed.job.delivery, claimed.message
            disposition = await refused(
                self._aws, self._site, self._tasks, delivery, message, record
            )
            raise Decided(disposition, record) from failed

    def _ended(self, claimed: Claimed, ending: Ending) -> None:
        self._observe(Ended(claimed.message, ending, claimed.runtime_s))

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
