"""The checker of histories: pure; says of each task what the promises forbid.

It reads what was sent (with the only ending that is right), what ran, every write to a record in
its order, the records as they are at the end, and what lies on queues then.

======== ========================================================================================
lost     there is no record and no message
stuck    the record has not ended, and no message will end it
left     a message is still on its queue
twice    a final record was written a second time
wrong    the ending is not the one of the task, or comes from a run that never was, or a dead
         letter is missing
overlap  two attempts owned the record at a write: a write under a token that had been taken over,
         a takeover of a lease that had not ended, an ending under no token
again    the function began more often than it may
order    it began before what was sent before it, to its group of a FIFO queue, had ended
revoked  it ran by a claim that came after the answer to its revoke
======== ========================================================================================
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from caraway.core.record import DONE, FAILED, RETRY, RUNNING, Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from caraway.requests.items import Item

Verdict: TypeAlias = Literal[
    "lost", "stuck", "left", "twice", "wrong", "overlap", "again", "order", "revoked"
]
VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
_UNKNOWN: Final = ("FAILURE", "WorkerLostError")
_REVOKED: Final = ("REVOKED", "TaskRevokedError")
CLOCKS_S: Final = 1.5
"""How much a worker's idea of the time may differ from this machine's: dates of AWS are whole."""


@dataclass(frozen=True)
class Sent:
    """A task of the enqueue log, and how it has to end.

    Attributes
    ----------
    result
        What a success returns; of a failure, the name of its exception.
    claims
        False for a task that takes no claim (``idempotent=True``).
    dead_letter
        Whether it belongs into a dead-letter queue.
    runs
        False for a task that ends without a run of its own: the body of a chord that failed, or a
        task that somebody else counts out.
    may_be_lost
        Whether it may end as a failure because its worker was lost (``at_most_once=True``).
    begins
        How often its function may begin; None for as often as it takes.
    uncounted
        Whether runs of claims that do not count are more than these: of claims made ahead of the
        run, whose worker died and so did not say that it had begun.
    group
        That of its FIFO queue: what was sent to it before is before it.
    """

    id: str
    state: str
    result: Any = None
    claims: bool = True
    dead_letter: bool = False
    runs: bool = True
    may_be_lost: bool = False
    begins: int | None = None
    uncounted: bool = False
    group: str | None = None


@dataclass(frozen=True)
class Run:
    """One run of a task's function, as it told the effects log; without an end it was cut off."""

    id: str
    token: str | None
    started_at: float
    pid: int = 0
    ended_at: float | None = None


@dataclass(frozen=True)
class Write:
    """One write to a record that succeeded.

    Attributes
    ----------
    writer
        The token that the request named, None when it named none.
    owner
        The token of the record after it.
    at
        When, by this machine's clock.
    counts
        Whether the next claim counts this one as lost, unless it ends.
    """

    id: str
    writer: str | None
    owner: str | None
    phase: str | None
    open_at: float | None = None
    state: str | None = None
    result: str | None = None
    at: float = 0.0
    counts: bool = True

    @classmethod
    def of(cls, item: Item, writer: str | None, at: float) -> Write:
        """Return the write that left this item."""
        record = Record.read(item)
        return cls(
            record.id,
            writer,
            record.token,
            record.phase,
            record.open_at,
            record.state,
            record.result,
            at,
            counts=bool(item.get("held")),
        )

    @property
    def is_ending(self) -> bool:
        """Whether the record has ended with it."""
        return self.phase in (DONE, FAILED)


@dataclass(frozen=True)
class Revoke:
    """A revoke that was answered, when, and what it was said to have come to."""

    id: str
    happened: str
    at: float


@dataclass(frozen=True)
class Finding:
    """A promise that was broken for one task."""

    verdict: Verdict
    id: str
    why: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.id}: {self.why}"


@dataclass(frozen=True)
class History:
    """All that is known of a run.

    Attributes
    ----------
    records
        By id, as they are at the end.
    left
        Ids of the tasks whose messages are on queues at the end.
    dead
        Ids of those in dead-letter queues.
    revokes
        By id.
    """

    sent: Sequence[Sent]
    runs: Sequence[Run] = ()
    writes: Sequence[Write] = ()
    records: Mapping[str, Record] = field(default_factory=dict)
    left: Collection[str] = ()
    dead: Collection[str] = ()
    revokes: Mapping[str, Revoke] = field(default_factory=dict)

    @property
    def begun_again(self) -> int:
        """Tasks whose function began more than once, be it for a retry; no broken promise."""
        begun: dict[str, int] = defaultdict(int)
        for run in self.runs:
            begun[run.id] += 1
        return sum(count > 1 for count in begun.values())


def check(history: History) -> list[Finding]:
    """Return every broken promise, in the order of what was sent."""
    writes: dict[str, list[Write]] = defaultdict(list)
    for write in history.writes:
        writes[write.id].append(write)
    runs: dict[str, list[Run]] = defaultdict(list)
    for run in history.runs:
        runs[run.id].append(run)
    findings: list[Finding] = []
    for sent in history.sent:
        record, revoke = history.records.get(sent.id, Record()), history.revokes.get(sent.id)
        findings += _unfinished(sent, record, sent.id in history.left)
        findings += _again(writes[sent.id])
        findings += _overlaps(sent, writes[sent.id], revoke)
        findings += _begun_too_often(sent, runs[sent.id], writes[sent.id])
        findings += _run_after(revoke, runs[sent.id], writes[sent.id])
        if record.phase in (DONE, FAILED):
            findings += _wrong(sent, record, runs[sent.id], sent.id in history.dead, revoke)
    return [*findings, *_out_of_order(history.sent, runs, writes)]


def _unfinished(sent: Sent, record: Record, is_left: bool) -> Iterator[Finding]:
    ended = record.phase in (DONE, FAILED)
    if is_left:
        yield Finding("left", sent.id, f"its message is on a queue, its record {record.phase}")
    elif record.phase is None:
        yield Finding("lost", sent.id, "no record and no message")
    elif not ended:
        yield Finding("stuck", sent.id, f"its record is {record.phase} and there is no message")


def _again(writes: Sequence[Write]) -> Iterator[Finding]:
    ending: Write | None = None
    for write in writes:
        if ending is None:
            ending = write if write.is_ending else None
        elif ending.phase == DONE and _changes(ending, write):
            why = f"{ending.state} by {ending.owner}, then {write.phase} by {write.owner}"
            yield Finding("twice", write.id, why)
        elif ending.phase == FAILED and write.is_ending:
            yield Finding("twice", write.id, "it failed for good and ended again unasked")
        elif ending.phase == FAILED:
            ending = None  # a redrive claimed it


def _changes(ending: Write, write: Write) -> bool:
    return (ending.phase, ending.owner, ending.state, ending.result) != (
        write.phase,
        write.owner,
        write.state,
        write.result,
    )


def _overlaps(sent: Sent, writes: Sequence[Write], revoke: Revoke | None) -> Iterator[Finding]:
    earlier: set[str] = set()
    before: Write | None = None
    for write in writes:
        writer = write.writer
        if writer is None:
            if write.is_ending and not _nobody_owned(sent, before, revoke):
                yield Finding("overlap", write.id, "it was ended under no token")
        elif writer in earlier:
            yield Finding("overlap", write.id, f"{writer} wrote though it had been taken over")
        elif before is not None and writer != before.owner:
            leased = before.phase == RUNNING and (before.open_at or 0) > write.at + CLOCKS_S
            if leased and not (revoke and write.is_ending and write.state == "REVOKED"):
                left_s = (before.open_at or 0) - write.at
                why = f"{writer} took it over with {left_s:.1f} s of the lease left"
                yield Finding("overlap", write.id, why)
            earlier.add(before.owner or "")
        before = write


def _nobody_owned(sent: Sent, before: Write | None, revoke: Revoke | None) -> bool:
    """Say whether a record could be ended from outside: a revoke, or the body of a failed chord."""
    if revoke is not None:
        return before is None or before.phase == RETRY
    return before is None and not sent.runs


def _begun_too_often(sent: Sent, runs: Sequence[Run], writes: Sequence[Write]) -> Iterator[Finding]:
    if sent.begins is None:
        return
    begun = len(runs)
    if sent.uncounted:
        begun -= sum(run.token in _uncounted(writes) for run in runs)
    if begun > sent.begins:
        why = f"it began {begun} times, and {sent.begins} is the most that it may"
        yield Finding("again", sent.id, why)


def _uncounted(writes: Sequence[Write]) -> set[str | None]:
    """Return the tokens of the claims that never counted."""
    running = [write for write in writes if write.phase == RUNNING]
    return {write.owner for write in running} - {write.owner for write in running if write.counts}


def _run_after(
    revoke: Revoke | None, runs: Sequence[Run], writes: Sequence[Write]
) -> Iterator[Finding]:
    if revoke is None:
        return
    claimed_at: dict[str | None, float] = {}
    for write in writes:
        if write.phase == RUNNING:
            claimed_at.setdefault(write.owner, write.at)
    for run in runs:
        late_s = claimed_at.get(run.token, 0.0) - revoke.at
        if late_s > 0:
            why = f"it was claimed, and ran, {late_s:.3f} s after it was {revoke.happened}"
            yield Finding("revoked", revoke.id, why)


def _out_of_order(
    several: Sequence[Sent],
    runs: Mapping[str, Sequence[Run]],
    writes: Mapping[str, Sequence[Write]],
) -> Iterator[Finding]:
    """Find what began while something before it in its group had not ended."""
    ended_at: dict[str, tuple[float, str]] = {}
    for sent in several:
        if sent.group is None:
            continue
        began_at = min((run.started_at for run in runs[sent.id]), default=inf)
        before_at, before = ended_at.get(sent.group, (0.0, ""))
        if began_at < before_at:
            why = f"it began {before_at - began_at:.3f} s before {before} had ended"
            yield Finding("order", sent.id, why)
        own_at = min((write.at for write in writes[sent.id] if write.is_ending), default=inf)
        ended_at[sent.group] = max((before_at, before), (own_at, sent.id))


def _wrong(
    sent: Sent, record: Record, runs: Sequence[Run], is_dead: bool, revoke: Revoke | None
) -> Iterator[Finding]:
    own = sent.state, sent.result
    ending = record.state, _result(record)
    if ending not in _endings(sent, revoke):
        said = f", though it was {revoke.happened}" if revoke else ""
        yield Finding("wrong", sent.id, f"recorded {ending}, not {own}{said}")
    if sent.runs and ending == own:
        tokens = {run.token for run in runs}
        if not tokens:
            yield Finding("wrong", sent.id, f"recorded {record.state}, and it never ran")
        elif sent.claims and record.token not in tokens:
            yield Finding("wrong", sent.id, f"recorded by {record.token}, which never ran it")
    if sent.dead_letter and not is_dead and ending == own:
        yield Finding("wrong", sent.id, "its dead letter is missing")
    if is_dead and not sent.dead_letter:
        yield Finding("wrong", sent.id, "it is in the dead-letter queue")


def _endings(sent: Sent, revoke: Revoke | None) -> list[tuple[str, Any]]:
    """Return the endings that are right."""
    if revoke is not None and revoke.happened in ("revoked", "fenced"):
        return [_REVOKED]
    endings = [(sent.state, sent.result)]
    if sent.may_be_lost:
        endings.append(_UNKNOWN)
    if revoke is not None and revoke.happened in ("flagged", "terminating"):
        endings.append(_REVOKED)
    return endings


def _result(record: Record) -> Any:
    value = json.loads(record.result) if record.result else None
    if record.state == "SUCCESS" or not isinstance(value, dict):
        return value
    return value.get("exc_type")
