"""Looking through the records for tasks in some state, of some name, from some time.

The table has one key, the task's id, and no index: an index would be billed with every write of
every task. So whoever asks for more than ids reads the whole table, page by page, and DynamoDB
bills what is read, not what is found. A task that has not begun has no record, and is not found.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Final

from caraway import states as words
from caraway.core.errors import in_short
from caraway.core.record import RETRY, RUNNING, Record
from caraway.core.results import Seen, seen_of
from caraway.exceptions import AccessDenied, InvalidMessage, PayloadMissing
from caraway.lean import dataclass
from caraway.requests.dynamodb import Scan
from caraway.requests.items import Absent, AtLeast, AtMost, BeginsWith, Equals, OneOf, Present

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.requests.dynamodb import Page
    from caraway.requests.items import Condition

PAGE: Final = 1_000
"""Items of a request at most, so that a reader sees that it goes on; a page ends at 1 MB anyway
(Amazon DynamoDB API Reference, "Scan")."""
_FIELDS: Final = (
    *("id", "phase", "state", "task", "queue", "door", "attempt", "started_at", "done_at"),
)
_PATTERN: Final = "*?["


@dataclass(frozen=True)
class Selection:
    """Which tasks are meant; all that have a record by default.

    Attributes
    ----------
    states
        In one of these, as :func:`state_of` says it.
    task
        A pattern of names, such as ``shop.*``.
    queue
        The queue that the task ran from.
    reason
        Text that the error contains, in any case: of tasks that ended with one, or are retried.
    older_than_s, newer_than_s
        Of the time since it ended; since it began, where it has not ended.
    """

    states: frozenset[str] = frozenset()
    task: str | None = None
    queue: str | None = None
    reason: str | None = None
    older_than_s: float | None = None
    newer_than_s: float | None = None

    @property
    def shows_errors(self) -> bool:
        """Whether all that is meant has an error, so that it is worth its way."""
        return bool(self._states) and self._states <= words.EXCEPTION_STATES

    @property
    def _states(self) -> frozenset[str]:
        if self.reason is not None and not self.states:
            return words.EXCEPTION_STATES
        return self.states

    def condition(self, now_s: float) -> Condition:
        """Return what DynamoDB is to leave out: it says less than a pattern of names does."""
        parts: list[Condition] = [Present("phase")]  # the table has other items, too
        if self._states:
            parts.append(reduce(or_, _in_states(self._states)))
        if self.task is not None:
            parts.append(_named(self.task))
        if self.queue is not None:
            parts.append(Equals("queue", self.queue))
        if self.older_than_s is not None:
            latest = now_s - self.older_than_s
            parts.append(_since(AtMost("done_at", latest), AtMost("started_at", latest)))
        if self.newer_than_s is not None:
            earliest = now_s - self.newer_than_s
            parts.append(_since(AtLeast("done_at", earliest), AtLeast("started_at", earliest)))
        return reduce(and_, parts)

    def takes(self, seen: Seen) -> bool:
        """Say of what DynamoDB has found whether it is meant."""
        if self.task is not None and not fnmatchcase(seen.record.task or "", self.task):
            return False
        if self.reason is None:
            return True
        error = seen.result
        told = in_short(error) if isinstance(error, BaseException) else ""
        return self.reason.casefold() in told.casefold()


def _in_states(wanted: frozenset[str]) -> list[Condition]:
    """Return conditions of which one holds: PENDING is the state of what runs, too."""
    pending = Equals("state", words.PENDING)
    parts: list[Condition] = []
    if words.STARTED in wanted:
        parts.append(pending & Equals("phase", RUNNING))
    if words.PENDING in wanted:
        parts.append(pending & Equals("phase", RETRY))
    if others := sorted(wanted - {words.PENDING}):
        parts.append(OneOf("state", tuple(others)))
    return parts


def _named(pattern: str) -> Condition:
    literal = min((pattern.find(each) for each in _PATTERN if each in pattern), default=None)
    if literal is None:
        return Equals("task", pattern)
    return BeginsWith("task", pattern[:literal]) if literal else Present("task")


def _since(ended: Condition, began: Condition) -> Condition:
    return ended | (Absent("done_at") & began)


def state_of(record: Record) -> str:
    """Return a task's state: STARTED for one that runs, whatever ``track_started`` says."""
    is_running = record.phase == RUNNING and record.state == words.PENDING
    return words.STARTED if is_running else record.state


async def selected(
    aws: Aws,
    site: Site,
    selection: Selection,
    *,
    limit: int | None = None,
    progress: Callable[[int], None] = lambda _read: None,
    page: int = PAGE,
) -> AsyncGenerator[Seen, None]:
    """Give the tasks that are meant, in no order, with their errors where all have one.

    Parameters
    ----------
    limit
        How many at most: what comes behind them in the table is not read.
    progress
        Is told after each page how many items have been read.

    Raises
    ------
    AccessDenied
        If the table may not be read through.
    OperationalError
        If AWS could not be asked.
    """
    condition = selection.condition(aws.now().timestamp())
    fields = (*_FIELDS, "result") if selection.shows_errors else _FIELDS
    found, read, after = 0, 0, None
    while True:
        scan = Scan(site.records.table, condition, fields, after, page)
        answer = await _page(aws, scan)
        read += answer.read
        progress(read)
        for item in answer.items:
            seen = await seen_or_missing(aws, site, Record.read(item))
            if not selection.takes(seen):
                continue
            yield seen
            found += 1
            if found == limit:
                return
        if answer.last is None:
            return
        after = answer.last


async def _page(aws: Aws, scan: Scan) -> Page:
    try:
        return await aws.perform(scan)
    except AccessDenied as error:
        raise AccessDenied(
            f"{error}; to find tasks is to read the whole table: allow dynamodb:Scan on it, which "
            "no role of the templates has"
        ) from error


async def seen_or_missing(aws: Aws, site: Site, record: Record) -> Seen:
    """Return what a record shows; an error where what it points to is not to be had."""
    try:
        return await seen_of(aws, site, record)
    except (PayloadMissing, InvalidMessage) as missing:
        return Seen(record.state, missing, record)
