"""What a worker holds: slots for tasks, received messages, and the heartbeat that keeps them."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from caraway.requests.dynamodb import ConditionFailed
from caraway.requests.sqs import ChangeMessageVisibility
from caraway.utils.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caraway.aws.asyncio_aws import AsyncioAws
    from caraway.core.executor import Claimed, Executor
    from caraway.core.record import Records
    from caraway.core.routing import Queue
    from caraway.requests.base import Request
    from caraway.requests.sqs import ReceivedMessage

logger = get_logger("worker")

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
BEATS: Final = 3
"""Renewals within one visibility timeout: two may fail before a message is let go."""


@dataclass(eq=False)
class Held:
    """A message that was received and is not yet acknowledged.

    Attributes
    ----------
    renewed_at
        When its visibility was last counted from, by the loop's clock.
    """

    queue: Queue
    url: str
    message: ReceivedMessage
    renewed_at: float
    running: bool = False


class Slots:
    """Counts the tasks that may still be taken on."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self._changed = asyncio.Event()
        self._turns = asyncio.Lock()

    @property
    def free(self) -> int:
        """Slots that nothing has taken."""
        return self.total - self.taken

    def take(self, count: int) -> None:
        """Take slots that are free."""
        self.taken += count

    def give_back(self, count: int = 1) -> None:
        """Give slots back."""
        self.taken -= count
        self._changed.set()

    async def reserve(self, wanted: int, patience_s: float) -> int:
        """Take so many slots, or after ``patience_s`` those that are free, at least one.

        Who asks first is served first, so that no queue starves another.
        """
        async with self._turns:
            await self.wait_for(wanted, patience_s)
            count = min(wanted, self.free)
            self.take(count)
            return count

    async def wait_for(self, wanted: int, patience_s: float) -> None:
        """Wait until so many slots are free; one is enough once no other has followed for a while.

        Fuller receives make fuller batches of deletes: fewer requests a task. Where tasks are long
        nothing follows soon, and a slot must not stand idle for it.

        Parameters
        ----------
        patience_s
            How long to wait for the next slot to be free, while one is.
        """
        while self.free < wanted:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), patience_s if self.free > 0 else None)
            except asyncio.TimeoutError:
                return


@dataclass
class Backoff:
    """Longer and longer pauses while AWS does not answer, with jitter; each is said.

    Attributes
    ----------
    failures
        Failures in a row; those between two pauses are one, however many messages met it.
    """

    failures: int = 0
    _is_counted: bool = False
    _rng: random.Random = field(default_factory=random.Random)

    @property
    def longest_s(self) -> float:
        """The longest that the next pause can be, 0 without a failure."""
        if not self.failures:
            return 0.0
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self.failures - 1, 10))

    def succeed(self) -> None:
        """AWS answers again."""
        if self.failures:
            logger.info("AWS answers again")
        self.failures = 0
        self._is_counted = False

    def fail(self, error: Exception) -> None:
        """AWS did not answer; the first failure and then every tenth is said."""
        if self._is_counted:
            return
        self._is_counted = True
        self.failures += 1
        if self.failures % 10 == 1:
            logger.error("%s (the worker goes on trying)", error)

    async def pause(self, stopping: asyncio.Event) -> None:
        """Wait as long as the failures so far call for, or until the worker stops."""
        if not self.failures:
            return
        longest_s = self.longest_s
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stopping.wait(), self._rng.uniform(longest_s / 2, longest_s))
        self._is_counted = False


class Heartbeat:
    """Renews the visibility of held messages and the leases of running tasks, in batches.

    A task that is shorter than a third of its queue's visibility timeout costs nothing here.
    """

    def __init__(
        self, aws: AsyncioAws, records: Records, executor: Executor, held: Iterable[Held]
    ) -> None:
        self._aws = aws
        self._records = records
        self._executor = executor
        self._held = held
        self._leases: dict[str, float] = {}

    async def run(self, shortest_visibility_s: float) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(shortest_visibility_s / BEATS / 2)
            try:
                await self._beat()
            except Exception:
                # Whatever it is, the messages that are held depend on the next beat.
                logger.exception("the heartbeat failed and goes on")

    async def _beat(self) -> None:
        now = asyncio.get_running_loop().time()
        due = [
            each
            for each in self._held
            if now - each.renewed_at >= each.queue.visibility_timeout_s / BEATS
        ]
        renewals: list[Request[object]] = [
            ChangeMessageVisibility(
                each.url, each.message.receipt_handle, each.queue.visibility_timeout_s
            )
            for each in due
        ]
        claims = [
            claimed
            for token, claimed in self._executor.running.items()
            if self._due(token, claimed, now)
        ]
        leases: list[Request[object]] = [
            self._records.heartbeat(
                claimed.message.id,
                claimed.token or "",
                self._aws.now().timestamp(),
                claimed.job.delivery.lease_s,
            )
            for claimed in claims
        ]
        answers = await self._aws.perform_all([*renewals, *leases])
        for each, answer in zip(due, answers, strict=False):
            if not isinstance(answer, Exception):
                each.renewed_at = now
        for claimed, answer in zip(claims, answers[len(due) :], strict=True):
            self._renewed(claimed, answer, now)
        self._leases = {
            token: at for token, at in self._leases.items() if token in self._executor.running
        }

    def _due(self, token: str, claimed: Claimed, now: float) -> bool:
        """Say whether a claim's lease is to be renewed."""
        renewed_at = self._leases.setdefault(token, now)
        age_s = now - renewed_at
        if renewed_at == now:
            age_s = (self._aws.now() - claimed.began).total_seconds()
        return age_s >= claimed.job.delivery.lease_s / BEATS

    def _renewed(self, claimed: Claimed, answer: object, now: float) -> None:
        if isinstance(answer, ConditionFailed):
            logger.warning(
                "Task %s[%s] was taken over by another worker while it runs here",
                claimed.message.task,
                claimed.message.id,
            )
        elif isinstance(answer, Exception):
            logger.warning("heartbeat: %s", answer)
        elif claimed.token is not None:
            self._leases[claimed.token] = now
