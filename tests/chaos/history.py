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
======== ========================================================================================
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from caraway.core.record import DONE, FAILED, RUNNING, Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from caraway.requests.items import Item

Verdict: TypeAlias = Literal["lost", "stuck", "left", "twice", "wrong", "overlap"]
VERDICTS: Final[tuple[Verdict, ...]] = ("lost", "stuck", "left", "twice", "wrong", "overlap")
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
    """

    id: str
    state: str
    result: Any = None
    claims: bool = True
    dead_letter: bool = False


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
    """

    id: str
    writer: str | None
    owner: str | None
    phase: str | None
    open_at: float | None = None
    state: str | None = None
    result: str | None = None
    at: float = 0.0

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
        )

    @property
    def is_ending(self) -> bool:
        """Whether the record has ended with it."""
        return self.phase in (DONE, FAILED)


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
    """

    sent: Sequence[Sent]
    runs: Sequence[Run] = ()
    writes: Sequence[Write] = ()
    records: Mapping[str, Record] = field(default_factory=dict)
    left: Collection[str] = ()
    dead: Collection[str] = ()

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
    tokens: dict[str, set[str | None]] = defaultdict(set)
    for run in history.runs:
        tokens[run.id].add(run.token)
    findings: list[Finding] = []
    for sent in history.sent:
        record = history.records.get(sent.id, Record())
        findings += _unfinished(sent, record, sent.id in history.left)
        findings += _again(writes[sent.id])
        findings += _overlaps(writes[sent.id])
        if record.phase in (DONE, FAILED):
            findings += _wrong(sent, record, tokens[sent.id], sent.id in history.dead)
    return findings


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


def _overlaps(writes: Sequence[Write]) -> Iterator[Finding]:
    earlier: set[str] = set()
    before: Write | None = None
    for write in writes:
        writer = write.writer
        if writer is None:
            if write.is_ending:
                yield Finding("overlap", write.id, "it was ended under no token")
        elif writer in earlier:
            yield Finding("overlap", write.id, f"{writer} wrote though it had been taken over")
        elif before is not None and writer != before.owner:
            if before.phase == RUNNING and (before.open_at or 0) > write.at + CLOCKS_S:
                left_s = (before.open_at or 0) - write.at
                why = f"{writer} took it over with {left_s:.1f} s of the lease left"
                yield Finding("overlap", write.id, why)
            earlier.add(before.owner or "")
        before = write


def _wrong(
    sent: Sent, record: Record, tokens: Collection[str | None], is_dead: bool
) -> Iterator[Finding]:
    result = _result(record)
    if (record.state, result) != (sent.state, sent.result):
        why = f"recorded {record.state} {result!r}, not {sent.state} {sent.result!r}"
        yield Finding("wrong", sent.id, why)
    if not tokens:
        yield Finding("wrong", sent.id, f"recorded {record.state}, and it never ran")
    elif sent.claims and record.token not in tokens:
        yield Finding("wrong", sent.id, f"recorded by {record.token}, which never ran it")
    if sent.dead_letter and not is_dead:
        yield Finding("wrong", sent.id, "its dead letter is missing")
    if is_dead and not sent.dead_letter:
        yield Finding("wrong", sent.id, "it is in the dead-letter queue")


def _result(record: Record) -> Any:
    value = json.loads(record.result) if record.result else None
    if record.state == "SUCCESS" or not isinstance(value, dict):
        return value
    return value.get("exc_type")
