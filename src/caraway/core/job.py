"""What passes through the executor: a delivery that can be run, and one that may be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from caraway.lean import dataclass

if TYPE_CHECKING:
    from datetime import datetime

    from caraway.core.context import Context
    from caraway.core.disposition import Delivery, Disposition
    from caraway.core.message import Message
    from caraway.core.record import Record
    from caraway.core.settle import Definition


class Decided(Exception):  # noqa: N818 - an early exit, not an error
    """The pipeline's early exit: nothing further is needed.

    Attributes
    ----------
    record
        The record that refused a claim or an ending, if it was one.
    """

    def __init__(self, disposition: Disposition, record: Record | None = None) -> None:
        super().__init__(disposition.why)
        self.disposition = disposition
        self.record = record


@dataclass(frozen=True)
class Job:
    """A message that can be run, and the task it names.

    ``counts`` is that of its :class:`~caraway.core.turns.Terms`.
    """

    delivery: Delivery
    message: Message
    task: Definition
    counts: bool = True

    async def admitted(self) -> Job:
        """Return it when it is to be claimed: at once, where no other has to do with it.

        A message that comes back may have killed who ran it, and a task that may begin once only
        must not be claimed in vain: they are by themselves.
        """
        delivery = self.delivery
        if delivery.turn is None:
            return self
        alone = delivery.receive_count > 1 or self.task.at_most_once
        terms = await delivery.turn.admit(self.task.name, alone=alone)
        if terms.counts and terms.lease_s == delivery.lease_s:
            return self
        return replace(self, delivery=replace(delivery, lease_s=terms.lease_s), counts=terms.counts)


@dataclass(frozen=True)
class Claimed:
    """A job that this worker may run.

    Attributes
    ----------
    message
        The job's, or on FIFO the attempt that the record is at.
    token
        None for an idempotent task, which takes no claim.
    began
        When its claim was asked for: from then on its lease counts.
    over_at
        When its outcome came, and was to be written; the same as ``began`` before.
    runtime_s
        What its function took; 0 until it has ended.
    """

    job: Job
    message: Message
    token: str | None
    record: Record | None
    context: Context
    began: datetime
    over_at: datetime
    runtime_s: float = 0.0

    def over(self, at: datetime, runtime_s: float) -> Claimed:
        """Return it as it is once its outcome has come."""
        # Not by replace(), which looks at each field: this is done once for every task.
        return Claimed(
            self.job,
            self.message,
            self.token,
            self.record,
            self.context,
            self.began,
            at,
            runtime_s,
        )
