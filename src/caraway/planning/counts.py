"""What a task asks of AWS: requests, and the units by which they are billed.

The numbers are those that the tests count, on both doors and for each kind of task
(``tests/unit/test_planning_counts.py``, ``tests/integration/test_requests_per_task.py``): a model
that said otherwise would fail them.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from caraway.lean import dataclass
from caraway.requests.partiql import STATEMENT_LIMIT
from caraway.requests.sqs import BILLED_BYTES, MESSAGE_LIMIT_BYTES

if TYPE_CHECKING:
    from caraway.planning.workload import Workload

Door: TypeAlias = Literal["lambda", "ecs"]

KIB: Final = 1_024
WRITE_UNIT_BYTES: Final = 1_024
READ_UNIT_BYTES: Final = 4_096
"""What a unit pays for; each item is rounded up ("DynamoDB read and write operations")."""
INLINE_MESSAGE_BYTES: Final = 262_144
INLINE_RESULT_BYTES: Final = 4_096
"""Above these a message, or a result, is in S3: the settings' defaults."""

ENVELOPE_BYTES: Final = 250
"""What a message has besides its arguments; some more if it has links or headers."""
MEMBER_BYTES: Final = 250
"""What the message of a chord's member has besides that."""
POINTER_BYTES: Final = 500
"""A message whose payload is in S3."""
CLAIM_BYTES: Final = 260
ENDING_BYTES: Final = 280
MEMBER_RECORD_BYTES: Final = 150
"""An item of the table when its task has begun, when it has ended, without its result, and what
it has besides where the task is a member of a chord."""
ENDING_WAITS_MS: Final = 100
"""How long an invocation waits for the endings of other tasks, to write them together."""
NODE_WIDTH: Final = 100
"""Members that are counted in one item; each item is itself counted in the one above."""


@dataclass(frozen=True)
class Counts:
    """What one task asks for on average, with its retries.

    Attributes
    ----------
    sends, receives, deletes
        Requests to SQS.
    writes
        Conditional writes of records and of a chord's nodes.
    write_requests
        Requests that carry them.
    reads
        Items read: by who asks for results, and by the body of a chord.
    puts, gets
        Objects in S3.
    billed_requests
        Requests to SQS as they are billed, by 64 KiB.
    write_units, read_units
        Of DynamoDB.
    stored_bytes
        What stays in the table for the horizon.
    object_bytes
        What stays in S3.
    queue_bytes
        What goes to and from SQS.
    """

    sends: float
    receives: float
    deletes: float
    writes: float
    write_requests: float
    reads: float
    puts: float
    gets: float
    billed_requests: float
    write_units: float
    read_units: float
    stored_bytes: float
    object_bytes: float
    queue_bytes: float

    @property
    def requests(self) -> float:
        """Requests of producer and worker together, without those for results."""
        return self.sends + self.receives + self.deletes + self.write_requests

    def of_worker(self, door: Door) -> float:
        """Return the requests that the worker itself makes: Lambda's poller does some of them."""
        if door == "lambda":
            return self.write_requests
        return self.receives + self.deletes + self.write_requests


def counts(work: Workload, door: Door) -> Counts:
    """Return what a task of a workload asks for."""
    attempts = 1 + work.retries
    message_bytes, in_bucket = _message(work)
    sent = min(work.sent_together, int(MESSAGE_LIMIT_BYTES / message_bytes))
    got = work.batch_size
    writes, write_units, ending_bytes = _records(work)
    result_bytes = 0 if work.ignore_result else work.result_kb * KIB
    large_result = result_bytes > INLINE_RESULT_BYTES and keeps_record(work)
    reads = work.result_reads + work.chord_share * (1 + 1 / NODE_WIDTH)
    return Counts(
        sends=1 / sent + work.retries,
        receives=attempts / got,
        deletes=attempts / got,
        writes=writes,
        write_requests=_write_requests(work, door, writes),
        reads=reads,
        puts=in_bucket * attempts + large_result,
        gets=in_bucket * attempts + large_result * reads,
        billed_requests=(
            chunks(sent * message_bytes) / sent
            + work.retries * chunks(message_bytes)
            + attempts * chunks(got * message_bytes) / got
            + attempts / got
        ),
        write_units=write_units,
        read_units=reads * ceil(max(1, ending_bytes) / READ_UNIT_BYTES),
        stored_bytes=ending_bytes,
        object_bytes=in_bucket * work.payload_kb * KIB + large_result * result_bytes,
        queue_bytes=2 * attempts * message_bytes,
    )


def keeps_record(work: Workload) -> bool:
    """Say whether a task leaves a record."""
    return not (work.idempotent and work.ignore_result)


def chunks(size_bytes: float) -> int:
    """Return as how many requests SQS bills one of a size."""
    return max(1, ceil(size_bytes / BILLED_BYTES))


def _write_requests(work: Workload, door: Door, writes: float) -> float:
    """Return the requests that carry a task's writes.

    A worker takes on what it has received together. In an invocation the endings of tasks that end
    soon after each other share a request, which takes the next claims along; the first go alone.
    """
    if door == "ecs":
        return writes / min(work.batch_size, work.worker_concurrency, STATEMENT_LIMIT)
    claims = 0.0 if work.idempotent or not writes else 1 + work.retries
    soon = max(1, int(ENDING_WAITS_MS / max(work.mean_ms, 1))) * work.lambda_concurrency
    return claims / work.batch_size + (writes - claims) / min(work.batch_size, soon)


def _message(work: Workload) -> tuple[float, int]:
    """Return the bytes of a message on its queue, and 1 if its payload is in S3."""
    whole = work.payload_kb * KIB + ENVELOPE_BYTES + work.chord_share * MEMBER_BYTES
    return (POINTER_BYTES, 1) if whole > INLINE_MESSAGE_BYTES else (whole, 0)


def _records(work: Workload) -> tuple[float, float, float]:
    """Return a task's writes, their units, and the bytes of what they leave."""
    result_bytes = 0.0 if work.ignore_result else work.result_kb * KIB
    if result_bytes > INLINE_RESULT_BYTES:
        result_bytes = 0.0  # the record has no more than its place
    alone = _of_one(work, result_bytes, is_member=False)
    # A chord's member keeps its value, whatever its options say.
    member = _of_one(work, result_bytes, is_member=True)
    writes, units, left = (
        (1 - work.chord_share) * one + work.chord_share * other
        for one, other in zip(alone, member, strict=True)
    )
    return writes, units, left


def _of_one(work: Workload, result_bytes: float, *, is_member: bool) -> tuple[float, float, float]:
    if not (keeps_record(work) or is_member):
        return 0.0, 0.0, 0.0
    more = MEMBER_RECORD_BYTES if is_member else 0
    claims, retried = (0.0, 0.0) if work.idempotent else (1 + work.retries, work.retries)
    nodes = 1 + 1 / NODE_WIDTH if is_member else 0.0
    ending_bytes = ENDING_BYTES + more + result_bytes
    units = (
        (claims + retried) * ceil((CLAIM_BYTES + more) / WRITE_UNIT_BYTES)
        + ceil(ending_bytes / WRITE_UNIT_BYTES)
        + nodes
    )
    return claims + retried + 1 + nodes, units, ending_bytes
