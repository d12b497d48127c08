r"""The state machine of a task record: each transition is one conditional write, as a value.

::

    (none) --claim--> running --finish--> done: SUCCESS | FAILURE | IGNORED | REVOKED
                        |  \--retry, replace, release--> retry --claim--> running
                        |  \--lease ran out--> running (new token, lost + held)
                        \--dead-letter--> failed (attempt + 1) --redrive: claim--> running
    failed | done: FAILURE --replay--> retry
    (none) | retry --revoke--> done: REVOKED          running --revoke--> flag
    running --revoke, where nobody can stop the run--> done: REVOKED

The phases are those of :class:`caraway.core.record.Record`; the conditions are

    RUN    token = :token AND phase = :running
    CLAIM  no item, or open_at <= :now, attempt <= the message's, and the same digest
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caraway import states
from caraway.core import places
from caraway.core.claimable import Claimable
from caraway.core.record import (
    DONE,
    FAILED,
    HORIZON_S,
    OF_AN_ENDING,
    RETRY,
    RUNNING,
    Record,
    Written,
)
from caraway.lean import dataclass
from caraway.requests.dynamodb import UpdateItem
from caraway.requests.items import (
    Absent,
    Change,
    Condition,
    Equals,
    OneOf,
    OrElse,
    Sum,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.core.message import Message


def _mine(token: str) -> Condition:
    """RUN: this claim still owns the record."""
    return Equals("token", token) & Equals("phase", RUNNING)


@dataclass(frozen=True)
class Records:
    """The transitions of the records in one table.

    Times are seconds since the epoch. Each write but that which hides a result sets ``ttl`` to
    :data:`HORIZON_S` from then, or twice that for the value of a chord's member, so a
    record outlives every message that could still ask for it.
    """

    table: str

    def _write(
        self,
        id: str,
        condition: Condition,
        now: float,
        assign: Mapping[str, Any],
        remove: tuple[str, ...] = (),
        *,
        is_first: bool = False,
        answers_item: bool = True,
    ) -> UpdateItem:
        change = Change({"ttl": int(now) + HORIZON_S, **assign}, remove)
        return UpdateItem(self.table, id, change, condition, is_first, answers_item)

    def claim(
        self,
        message: Message,
        token: str,
        now: float,
        lease_s: float,
        *,
        fifo: bool = False,
        may_create: bool = True,
        counts: bool = True,
        shown: Mapping[str, Any] | None = None,
    ) -> UpdateItem:
        """Take the record for an attempt: first run, takeover after a lost lease, or redrive.

        Parameters
        ----------
        may_create
            False for a message so old that its record may have expired: it must not run again.
        counts
            Whether the next claim counts this one as lost if it ends without a finish.
        shown
            What users may see of the claim: state, task, queue, door, started_at.
        """
        change = {
            "phase": RUNNING,
            "token": token,
            "attempt": OrElse("attempt", message.attempt) if fifo else message.attempt,
            "open_at": now + lease_s,
            "lost": Sum(OrElse("lost", 0), OrElse("held", 0)),
            "held": int(counts),
            "digest": OrElse("digest", message.digest),
            **_place(message),
            **_replaced(message),
            **(shown or {}),
        }
        condition = Claimable(
            message.attempt, message.digest, now, fifo=fifo, may_create=may_create
        )
        is_first = may_create and message.attempt == 0
        return self._write(message.id, condition, now, change, OF_AN_ENDING, is_first=is_first)

    def finish(
        self,
        message: Message,
        token: str,
        now: float,
        written: Written,
        expires_at: float | None,
        *,
        claimed: bool = True,
    ) -> UpdateItem:
        """End the task for good.

        ``claimed`` is False for a task that took no claim (``idempotent=True``): it ends where a
        claim could be had.
        """
        assign, remove = _finish(now, written, expires_at)
        if message.chord is not None:
            # It lives as long as what counts it: the body takes its value.
            assign["ttl"] = int(now) + 2 * HORIZON_S
        return self._end(message, token, now, assign, remove, claimed=claimed)

    def _end(
        self,
        message: Message,
        token: str,
        now: float,
        assign: Mapping[str, Any],
        remove: tuple[str, ...],
        *,
        claimed: bool,
    ) -> UpdateItem:
        """Return an ending, which is its own claim where none was taken; nobody reads the item."""
        condition, is_first = _mine(token), False
        if not claimed:
            claim = {
                "token": token,
                "attempt": message.attempt,
                "digest": OrElse("digest", message.digest),
                "task": message.task,
                **_place(message),
                **_replaced(message),
            }
            condition = Claimable(message.attempt, message.digest, now)
            assign = {**claim, **assign}
            is_first = message.attempt == 0
        return self._write(
            message.id, condition, now, assign, remove, is_first=is_first, answers_item=False
        )

    def retry(
        self,
        id: str,
        token: str,
        now: float,
        *,
        attempt: int,
        open_at: float,
        until: float = 0,
        changes: str,
        written: Written,
    ) -> UpdateItem:
        """Hand the task to its next attempt, number ``attempt``, not before ``open_at``.

        ``changes`` is what :attr:`Record.retry` holds. ``until`` is when the attempt is due: the
        record lives :data:`HORIZON_S` longer.
        """
        change = {
            "phase": RETRY,
            "attempt": attempt,
            "open_at": open_at,
            "held": 0,
            "retry": changes,
            "ttl": int(max(now, until)) + HORIZON_S,
            **written.attributes(),
        }
        return self._write(id, _mine(token), now, change, ("meta", *written.missing()))

    def replace(
        self, id: str, token: str, now: float, *, attempt: int, changes: str, written: Written
    ) -> UpdateItem:
        """Hand the id to another task from attempt number ``attempt`` on.

        ``changes`` is what :attr:`Record.retry` holds: what takes its place.
        """
        change = {
            "phase": RETRY,
            "attempt": attempt,
            "replaced": attempt,
            "open_at": 0,
            "held": 0,
            "lost": 0,
            "retry": changes,
            **written.attributes(),
        }
        return self._write(id, _mine(token), now, change, ("meta", *written.missing()))

    def release(self, id: str, token: str, now: float) -> UpdateItem:
        """Give the claim back without an ending: the worker is going away."""
        change = {"phase": RETRY, "open_at": 0, "held": 0}
        return self._write(id, _mine(token), now, change)

    def give_up(self, id: str, token: str, now: float) -> UpdateItem:
        """End the lease at once: who ran the task has died, and the next claim counts that.

        So it does where the claim was made ahead of the run: the run is known to have begun.
        """
        return self._write(id, _mine(token), now, {"open_at": 0, "held": 1})

    def heartbeat(self, id: str, token: str, now: float, lease_s: float) -> UpdateItem:
        """Renew the lease; the answer's ``revoked`` says whether to stop."""
        return self._write(id, _mine(token), now, {"open_at": now + lease_s})

    def update_state(self, id: str, token: str, now: float, state: str, meta: str) -> UpdateItem:
        """Show a state of the user's own, with its JSON or the address of that."""
        change = {"state": state, "meta": meta}
        return self._write(id, _mine(token), now, change, answers_item=False)

    def dead_letter(
        self,
        message: Message,
        token: str,
        now: float,
        written: Written,
        *,
        claimed: bool = True,
        changes: str | None = None,
    ) -> UpdateItem:
        """Fail the task so that only a redrive, which asks for a later attempt, can take it.

        What an earlier retry changed of the message stays, for deliveries of the first one, but
        for what ``changes`` says instead. ``claimed`` is as in :meth:`finish`.
        """
        assign = {
            "phase": FAILED,
            "attempt": message.attempt + 1,
            "open_at": 0,
            "held": 0,
            "lost": 0,
            "done_at": now,
            **({} if changes is None else {"retry": changes}),
            **written.attributes(),
        }
        remove = ("meta", *written.missing())
        return self._end(message, token, now, assign, remove, claimed=claimed)

    def reopen(self, id: str, now: float, ended: Record, *, changes: str) -> UpdateItem:
        """Hand a task that failed to one attempt more: a replay, for which it keeps its message.

        ``ended`` is the failure as it was read, ``changes`` what :attr:`Record.retry` holds.
        """
        same = (
            Equals("phase", ended.phase)
            & Equals("state", states.FAILURE)
            & Equals("attempt", ended.attempt)
        )
        change = {
            "phase": RETRY,
            "attempt": ended.attempt + (ended.phase == DONE),
            "open_at": 0,
            "held": 0,
            "lost": 0,
            "retry": changes,
            "state": states.RETRY,
        }
        removed = ("revoked", "done_at", "expires_at", "meta")
        return self._write(id, same, now, change, removed)

    def fail_unsent(
        self, message: Message, now: float, written: Written, *, whole: bool = True
    ) -> UpdateItem:
        """Fail a task that is not sent, unless it has a record: a body whose chord has failed.

        What is mended may lead to it after all: its message takes this record as a redrive does.
        ``whole`` is False where its arguments are not known: it would have taken a value.
        The record of one that takes another task's place waits for it.
        """
        assign = {
            "phase": FAILED,
            "attempt": message.attempt + 1,
            "open_at": 0,
            **({"digest": message.digest} if whole else {}),
            "task": message.task,
            "done_at": now,
            **_place(message),
            **_replaced(message),
            **written.attributes(),
        }
        condition: Condition = Absent("id")
        if message.replaced_at is not None:
            condition |= Equals("phase", RETRY) & Equals("attempt", message.replaced_at)
        return self._write(message.id, condition, now, assign)

    def revoke(
        self,
        id: str,
        now: float,
        mode: str,
        written: Written,
        expires_at: float | None,
        *,
        was_seen: bool = False,
    ) -> UpdateItem:
        """End a task that does not run now. When this fails, :meth:`flag_revoked` is next.

        Parameters
        ----------
        mode
            What :attr:`Record.revoked` holds, so that its message knows how it ended.
        was_seen
            True for one that was seen to wait for its next attempt, so that it has a record.
        """
        waits: Condition = Equals("phase", RETRY)
        condition = waits if was_seen else Absent("id") | waits
        assign, remove = _finish(now, written, expires_at)
        change = {**assign, "revoked": mode}
        return self._write(id, condition, now, change, remove, is_first=not was_seen)

    def flag_revoked(self, id: str, now: float, mode: str) -> UpdateItem:
        """Tell whoever runs the task, and every later claim, that it is revoked."""
        return self._write(id, Equals("phase", RUNNING), now, {"revoked": mode})

    def fence_off(
        self,
        id: str,
        held_by: str,
        token: str,
        now: float,
        mode: str,
        written: Written,
        expires_at: float | None,
    ) -> UpdateItem:
        """End a task whose run nobody can stop: the run goes on, and may record nothing any more.

        Parameters
        ----------
        held_by
            The claim of that run; a later one would be another run.
        token
            A fresh one: a run that found its own in an ended record would take the end for its own.
        """
        assign, remove = _finish(now, written, expires_at)
        fenced = {**assign, "revoked": mode, "token": token}
        return self._write(id, _mine(held_by), now, fenced, remove)

    def forget(self, id: str, now: float) -> UpdateItem:
        """Hide the result of a task that has ended; the record goes on to guard its id."""
        # It is hidden, not removed: a callback that was not sent yet still takes the value. And it
        # lives on as before: that of a chord's member longer than another.
        has_ended = OneOf("phase", (DONE, FAILED))
        return UpdateItem(self.table, id, Change({"expires_at": now}), has_ended)


def _place(message: Message) -> dict[str, str]:
    place = places.text_of(message)
    return {} if place is None else {"place": place}


def _replaced(message: Message) -> dict[str, Any]:
    """Return what the record of a task says that has replaced another one."""
    return {} if message.replaced_at is None else {"replaced": message.replaced_at}


def _finish(
    now: float, written: Written, expires_at: float | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what an ending sets, and what it removes."""
    assign = {"phase": DONE, "done_at": now, **written.attributes()}
    if expires_at is not None:
        assign["expires_at"] = expires_at
    return assign, ("open_at", "held", "retry", "meta", *written.missing())
