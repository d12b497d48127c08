"""What a worker holds: received messages, the heartbeat that keeps them, and its pauses."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from caraway.core.record import Record
from caraway.core.revoke import signal_of
from caraway.exceptions import AccessDenied, OperationalError, RequestFailed, ResourceMissing
from caraway.requests.dynamodb import ConditionFailed
from caraway.requests.sqs import BATCH_LIMIT, ChangeMessageVisibility, ReceiptExpired
from caraway.utils.log import get_logger
from caraway.workers.vitals import SLACK_S, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from caraway.aws.asyncio_aws import AsyncioAws
    from caraway.core.executor import Executor
    from caraway.core.job import Claimed
    from caraway.core.routing import Queue
    from caraway.core.transitions import Records
    from caraway.requests.base import Request
    from caraway.requests.sqs import ReceivedMessage

logger = get_logger("worker")

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
QUIET_S: Final = 2 * LONGEST_PAUSE_S
"""What has not failed for so long is mended, or nothing asks for it any more."""
FEW: Final = 3
"""Messages in a row that must fail before receiving is held back. One that fails between others
that succeed met a fault of its own; where the table is down, the first three say so."""
FAULTS_KNOWN: Final = 100
WITNESSES: Final = 100
_OF_ONE_THING: Final = (AccessDenied, RequestFailed, ResourceMissing)
BEATS: Final = 3
"""Renewals within one visibility timeout: two may fail before a message is let go."""


@dataclass(eq=False)
class Held:
    """A message that was received and is not yet acknowledged.

    Attributes
    ----------
    renewed_at
        When its visibility was last counted from, by the loop's clock.
    began_at
        When it began to run, by the same clock.
    is_renewed
        False once a renewal has failed: that is said once.
    """

    queue: Queue
    url: str
    message: ReceivedMessage
    renewed_at: float
    running: bool = False
    began_at: float = math.inf
    is_renewed: bool = True


@dataclass
class _Fault:
    """What keeps failing, by what is said of it.

    Attributes
    ----------
    of_one_thing
        Whether AWS answers, but for one of its things, such as a queue that is missing.
    met_by
        Who met it, as far as it is kept: with the success of one of them it is mended.
    """

    of_one_thing: bool
    met_by: set[str] = field(default_factory=set)
    times: int = 0
    last_at: float = 0.0


@dataclass
class Backoff:
    """Longer and longer pauses while AWS does not answer, with jitter; each is said.

    Parameters
    ----------
    shared
        Whether what succeeds may need other things than what failed: then a success does not say
        that a missing queue is there now, unless the message that missed it succeeds; and what one
        message meets holds up no other: only several in a row do.

    Attributes
    ----------
    failures
        Failures in a row; those between two pauses are one, however many messages met it.
    """

    shared: bool = False
    failures: int = 0
    _in_a_row: int = 0
    _is_counted: bool = False
    _faults: dict[str, _Fault] = field(default_factory=dict)
    _rng: random.Random = field(default_factory=random.Random)
    _clock: Callable[[], float] = time.monotonic

    @property
    def longest_s(self) -> float:
        """The longest that the next pause can be, 0 without a failure."""
        return _pause_s(self.failures)

    def succeed(self, who: str = "") -> None:
        """AWS answers again, unless what fails of it is another thing than ``who`` needed."""
        self.failures = 0
        self._in_a_row = 0
        self._is_counted = False
        if not self._faults:
            return
        quiet_since = self._clock() - QUIET_S
        self._faults = {
            said: fault
            for said, fault in self._faults.items()
            if self.shared
            and fault.of_one_thing
            and who not in fault.met_by
            and fault.last_at > quiet_since
        }
        if not self._faults:
            logger.info("AWS answers again")

    def fail(self, error: Exception, who: str = "") -> float:
        """AWS did not answer ``who``; the first failure and then every tenth is said.

        Returns
        -------
        float
            Seconds for which the message that met it is better left alone.
        """
        self._in_a_row += 1
        another = not self._is_counted
        if another and (not self.shared or self._in_a_row >= FEW):
            self._is_counted = True
            self.failures += 1
        said, now = str(error), self._clock()
        if said not in self._faults and len(self._faults) >= FAULTS_KNOWN:
            self._faults.clear()
        fault = self._faults.setdefault(said, _Fault(isinstance(error, _OF_ONE_THING)))
        if len(fault.met_by) < WITNESSES:
            fault.met_by.add(who)
        # Between other successes it counts once for each pause, however many messages met it.
        is_due = self.failures > 1 or now - fault.last_at >= _pause_s(fault.times) / 2
        if not fault.times or (another and is_due):
            fault.times += 1
            fault.last_at = now
            if fault.times % 10 == 1:
                logger.error("%s (the worker goes on trying)", error)
        return _pause_s(max(self.failures, fault.times))

    async def pause(self, stopping: asyncio.Event) -> None:
        """Wait as long as the failures so far call for, or until the worker stops."""
        if not self.failures:
            return
        longest_s = self.longest_s
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stopping.wait(), self._rng.uniform(longest_s / 2, longest_s))
        self._is_counted = False


def _pause_s(failures: int) -> float:
    """Return the longest pause after so many failures in a row."""
    if not failures:
        return 0.0
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10))


def due_now(held: Iterable[Held], now: float) -> Iterator[Held]:
    """Give the messages to renew at a beat: after a third of their time, in whole batches.

    The last batch of a queue is filled with messages that would be due at the next beat: they cost
    no request now, and are renewed together from then on, so that N messages take N / 10 requests
    within a third of their visibility timeout whenever each of them was received.
    """
    waiting: dict[str, list[Held]] = {}
    for each in held:
        if now - each.renewed_at >= each.queue.visibility_timeout_s / BEATS / 2:
            waiting.setdefault(each.url, []).append(each)
    for several in waiting.values():
        several.sort(key=lambda each: each.renewed_at)
        third_s = several[0].queue.visibility_timeout_s / BEATS
        due = sum(now - each.renewed_at >= third_s for each in several)
        yield from several[: math.ceil(due / BATCH_LIMIT) * BATCH_LIMIT]


class Heartbeat:
    """Renews the visibility of held messages and the leases of running tasks, in batches.

    A task that is shorter than a third of its queue's visibility timeout costs nothing here.
    """

    def __init__(
        self,
        aws: AsyncioAws,
        records: Records,
        executor: Executor,
        held: Iterable[Held],
        watch: Watch | None = None,
        stop: Callable[[str, str], None] = lambda _token, _signal: None,
    ) -> None:
        self._aws = aws
        self._records = records
        self._executor = executor
        self._held = held
        self._watch = watch or Watch("the heartbeat")
        self._stop = stop
        self._leases: dict[str, float] = {}

    async def run(self, shortest_visibility_s: float) -> None:
        """Beat until cancelled.

        A beat that AWS does not answer in the time until renewals are due again is given up for the
        next: a connection that hangs must not cost the leases that another could renew.
        """
        patience_s = shortest_visibility_s / BEATS
        while True:
            self._watch.expect(patience_s * 1.5 + SLACK_S)
            await asyncio.sleep(patience_s / 2)
            try:
                await asyncio.wait_for(self._beat(), patience_s)
                self._watch.done()
            except asyncio.TimeoutError:
                logger.warning("AWS does not answer the heartbeat, which is tried again")
            except Exception:
                # Whatever it is, the messages that are held depend on the next beat.
                logger.exception("the heartbeat failed and goes on")

    async def _beat(self) -> None:
        now = asyncio.get_running_loop().time()
        due = list(due_now(self._held, now))
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
            self._kept(each, answer, now)
        for claimed, answer in zip(claims, answers[len(due) :], strict=True):
            self._renewed(claimed, answer, now)
        self._leases = {
            token: at for token, at in self._leases.items() if token in self._executor.running
        }
        await self._stop_revoked_stamps()

    async def _stop_revoked_stamps(self) -> None:
        """Stop the runs whose stamps were revoked with ``terminate=True``."""
        stamped = [
            (token, claimed.message.stamps)
            for token, claimed in self._executor.running.items()
            if claimed.message.stamps
        ]
        for token, stamps in stamped:
            revoked = self._executor.revoked_stamps
            try:
                await revoked.look(stamps)
            except OperationalError as error:
                logger.warning("which stamps are revoked is not known: %s", error)
                return
            if (signal := signal_of(revoked.mode_for(stamps))) is not None:
                self._stop(token, signal)

    @staticmethod
    def _kept(held: Held, answer: object, now: float) -> None:
        """Note whether a message stays hidden; a renewal that failed is tried at the next beat."""
        if not isinstance(answer, Exception):
            held.renewed_at, held.is_renewed = now, True
            return
        if isinstance(answer, ReceiptExpired):
            held.renewed_at = math.inf  # nothing brings it back: it is not asked for again
        if held.is_renewed:
            logger.log(
                logging.INFO if isinstance(answer, ReceiptExpired) else logging.WARNING,
                "a message of %s may be handed out again while it is held here: %s",
                held.queue.name,
                answer,
            )
        held.is_renewed = False

    def _due(self, token: str, claimed: Claimed, now: float) -> bool:
        """Say whether a claim's lease is to be renewed."""
        renewed_at = self._leases.setdefault(token, now)
        age_s = now - renewed_at
        if renewed_at == now:
            age_s = (self._aws.now() - claimed.began).total_seconds()
        return age_s >= claimed.job.delivery.lease_s / BEATS

    def _renewed(self, claimed: Claimed, answer: object, now: float) -> None:
        token = claimed.token or ""
        if isinstance(answer, ConditionFailed):
            self._overtaken(claimed, Record.read(answer.item))
        elif isinstance(answer, Exception):
            logger.warning("heartbeat: %s", answer)
        else:
            self._leases[token] = now
            revoked = Record.read(answer).revoked if isinstance(answer, dict) else None
            if (signal := signal_of(revoked)) is not None:
                self._stop(token, signal)

    def _overtaken(self, claimed: Claimed, record: Record) -> None:
        """Stop a run that may record nothing any more; not one that has just ended by itself."""
        token = claimed.token or ""
        if record.token == token or token not in self._executor.running:
            return
        logger.warning(
            "Task %s[%s] was taken over by another worker while it ran here: it is stopped",
            claimed.message.task,
            claimed.message.id,
        )
        self._stop(token, "SIGKILL")
