"""Reading results: what records show, and waiting for one task or for many.

Waiting looks early, then less and less often, and each look asks only for what has not ended. What
lies in S3 is read when its task has ended, or when somebody wants to see each change.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from caraway import states
from caraway.core.claim_check import NOTHING, load_texts
from caraway.core.errors import error_from_json, with_far_traceback
from caraway.core.lots import lots
from caraway.core.reading import get_items
from caraway.core.record import DONE, FAILED, Record
from caraway.exceptions import TimeoutError  # noqa: A004 - Celery's name
from caraway.requests.dynamodb import READ_LIMIT, ConditionFailed, GetItem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.requests.base import Json
    from caraway.requests.items import Item

FIRST_WAIT_S: Final = 0.02
LONGEST_WAIT_S: Final = 1.0
GROWTH: Final = 1.4
"""A short task is seen soon, a long one is cheap."""
WAIT_OF_A_REQUEST_S: Final = 0.05
"""A look of many requests comes less often: one who waits makes at most 20 a second."""
WINDOW: Final = 10_000
"""Tasks of a group that a look asks for: those behind them are asked for as these end."""
TOGETHER: Final = 8 * READ_LIMIT
"""Records that are in memory at a time."""


class Awaited(Protocol):
    """Something that ends: a task by its id."""

    @property
    def id(self) -> str:
        """The task's id."""
        ...


A = TypeVar("A", bound=Awaited)


@dataclass(frozen=True)
class Seen:
    """What users see of a task.

    Attributes
    ----------
    result
        The value as JSON for SUCCESS, the exception for FAILURE, REVOKED and RETRY, the ``meta``
        of a state of the user's own.
    """

    state: str
    result: Any = None
    record: Record = field(default_factory=lambda: Record(""))

    @property
    def ready(self) -> bool:
        """Whether the task has ended."""
        return is_over(self.record)


@dataclass(frozen=True)
class Ended(Generic[A]):
    """A task that has ended, its place among those that were waited for, and its record."""

    place: int
    task: A
    record: Record


@dataclass(frozen=True)
class _Waiting(Generic[A]):
    place: int
    task: A

    @property
    def id(self) -> str:
        return self.task.id


class ParentFailed(Exception):  # noqa: N818 - an event of waiting, which its caller answers
    """What is waited for never comes: a task before it in its chain has failed.

    Attributes
    ----------
    seen
        What is to be seen of that task.
    """

    def __init__(self, seen: Seen) -> None:
        super().__init__(f"its parent has ended as {seen.state}")
        self.seen = seen


def is_over(record: Record) -> bool:
    """Say whether a task has ended."""
    return record.phase in (DONE, FAILED)


def _has_failed(record: Record) -> bool:
    return is_over(record) and record.state in states.PROPAGATE_STATES


def _shown(aws: Aws, item: Item | None) -> Record:
    """Return the record of an item, an empty one where users are to see nothing (any more)."""
    record = Record("") if item is None else Record.read(item)
    is_hidden = record.expires_at is not None and record.expires_at <= aws.now().timestamp()
    return Record("") if is_hidden else record


def _look_differs(now: Record, before: Record | None) -> bool:
    """Say whether users see something else now: not so for a lease that was renewed."""
    return before is None or any(
        getattr(now, name) != getattr(before, name)
        for name in ("state", "meta", "attempt", "phase", "done_at")
    )


# -- looking -------------------------------------------------------------------------------------


async def look(aws: Aws, site: Site, id: str) -> Seen:
    """Return what is to be seen of a task now; PENDING when there is no record."""
    return await seen_of(aws, site, await _record(aws, site, id))


async def _record(aws: Aws, site: Site, id: str) -> Record:
    return _shown(aws, await aws.perform(GetItem(site.records.table, id)))


async def look_all(
    aws: Aws, site: Site, tasks: Iterable[A]
) -> AsyncGenerator[list[tuple[A, Record]], None]:
    """Give the records of many tasks as they are now, some hundred at a time.

    Nothing is read from S3.
    """
    for asked in lots(tasks, TOGETHER):
        items = await get_items(aws, site.records.table, [task.id for task in asked])
        yield [(task, _shown(aws, items.get(task.id))) for task in asked]


async def seen_of(aws: Aws, site: Site, record: Record) -> Seen:
    """Return what a record shows; a large value is read from S3."""
    (seen,) = await seen_of_all(aws, site, [record])
    return seen


async def seen_of_all(aws: Aws, site: Site, records: Sequence[Record]) -> list[Seen]:
    """Return what records show; large values are read from S3, together.

    Raises
    ------
    PayloadMissing, InvalidMessage
        If a value should be in S3 and is not to be had.
    """
    kept = [
        (record.result if _has_result(record) else record.meta) or NOTHING for record in records
    ]
    texts = await load_texts(aws, site.store, kept)
    return [_seen(record, json.loads(text)) for record, text in zip(records, texts, strict=True)]


def _has_result(record: Record) -> bool:
    return record.state in states.READY_STATES | {states.RETRY}


def _seen(record: Record, data: Json) -> Seen:
    if data is None or record.state not in states.EXCEPTION_STATES:
        return Seen(record.state, data, record)
    error = error_from_json(data)
    if record.traceback:
        error = with_far_traceback(error, record.traceback)
    return Seen(record.state, error, record)


# -- waiting -------------------------------------------------------------------------------------


class _Pace:
    """When to look again, and when to give up."""

    def __init__(
        self,
        aws: Aws,
        timeout_s: float | None,
        interval_s: float | None,
        on_interval: Callable[[], object] | None = None,
    ) -> None:
        self._aws = aws
        self._began = aws.now()
        self._timeout_s = timeout_s
        self._interval_s = interval_s
        self._on_interval = on_interval
        self._wait_s = FIRST_WAIT_S if interval_s is None else interval_s

    async def pause(self, asked: int, why: str) -> None:
        """Wait until the next look, which asks for so many tasks.

        Raises
        ------
        TimeoutError
            If there is no time left; ``why`` says what has not happened.
        """
        if self._on_interval is not None:
            self._on_interval()
        wait_s = self._wait_s
        if self._interval_s is None:
            wait_s = max(wait_s, WAIT_OF_A_REQUEST_S * (asked // READ_LIMIT))
            self._wait_s = min(self._wait_s * GROWTH, LONGEST_WAIT_S)
        if self._timeout_s is not None:
            left_s = self._timeout_s - (self._aws.now() - self._began).total_seconds()
            if left_s <= 0:
                raise TimeoutError(
                    f"{why} after {self._timeout_s} s: is a worker consuming its queue?"
                )
            wait_s = min(wait_s, left_s)
        await self._aws.sleep(max(0.0, wait_s))


async def wait(
    aws: Aws,
    site: Site,
    id: str,
    timeout_s: float | None,
    interval_s: float | None,
    observe: Callable[[Seen], object] | None = None,
    *,
    parents: Sequence[str] = (),
    on_interval: Callable[[], object] | None = None,
) -> Seen:
    """Wait until a task has ended.

    Parameters
    ----------
    interval_s
        Seconds between looks; None looks early and then less and less often.
    observe
        Is told what each look sees, where that differs from the look before; the ending last.
    parents
        The tasks before it in its chain: where one fails, this one is never sent.
    on_interval
        Is called after each look that has not seen the end.

    Raises
    ------
    TimeoutError
        If it has not ended after ``timeout_s`` seconds.
    ParentFailed
        If one of the parents has.
    """
    pace = _Pace(aws, timeout_s, interval_s, on_interval)
    running = list(parents)
    before: Record | None = None
    while True:
        record, running = await _with_parents(aws, site, id, running)
        if is_over(record) or (observe is not None and _look_differs(record, before)):
            seen = await seen_of(aws, site, record)
            if observe is not None:
                observe(seen)
            if seen.ready:
                return seen
        before = record
        await pace.pause(1, f"task {id} is {record.state}")


async def _with_parents(
    aws: Aws, site: Site, id: str, parents: Sequence[str]
) -> tuple[Record, list[str]]:
    """Return a task's record, and which of its parents go on."""
    if not parents:
        return await _record(aws, site, id), []
    items = await get_items(aws, site.records.table, [id, *parents])
    record = _shown(aws, items.get(id))
    if is_over(record):
        return record, []
    return record, await _still_running(aws, site, parents, items)


async def _still_running(
    aws: Aws, site: Site, parents: Sequence[str], items: dict[str, Item]
) -> list[str]:
    running = []
    for id in parents:
        record = _shown(aws, items.get(id))
        if _has_failed(record):
            raise ParentFailed(await seen_of(aws, site, record))
        if not is_over(record):
            running.append(id)
    return running


async def endings(
    aws: Aws,
    site: Site,
    tasks: Iterable[A],
    timeout_s: float | None,
    interval_s: float | None,
    *,
    parents: Sequence[str] = (),
    on_interval: Callable[[], object] | None = None,
) -> AsyncGenerator[list[Ended[A]], None]:
    """Give tasks as they end, those together that one look has found; nothing is read from S3.

    Takes what :func:`wait` takes, and raises the same. However many tasks there are, no more than
    :data:`WINDOW` of them are in memory: the others are asked for as those before them end.
    """
    pace = _Pace(aws, timeout_s, interval_s, on_interval)
    left = (_Waiting(place, task) for place, task in enumerate(tasks))
    waiting: dict[int, _Waiting[A]] = {}
    running, number = list(parents), 0
    while True:
        fresh = {each.place: each for each in islice(left, WINDOW - len(waiting))}
        waiting |= fresh
        if not waiting:
            return
        before = number
        # Those behind the window may have ended long ago: they are looked at first, and alone.
        async for looked in look_all(aws, site, list((fresh or waiting).values())):
            ended = [Ended(at.place, at.task, record) for at, record in looked if is_over(record)]
            for each in ended:
                del waiting[each.place]
            number += len(ended)
            if ended:
                yield ended
        if waiting and not (fresh and number > before):
            running = await _running_of(aws, site, running)
            first = next(iter(waiting.values())).id
            await pace.pause(len(waiting), f"{number:,} tasks have ended, but {first} has not")


async def _running_of(aws: Aws, site: Site, parents: Sequence[str]) -> list[str]:
    """Return which of the parents of what is waited for go on."""
    if not parents:
        return []
    items = await get_items(aws, site.records.table, parents)
    return await _still_running(aws, site, parents, items)


async def forget(aws: Aws, site: Site, id: str) -> bool:
    """Hide a result; says whether there was one. The record goes on to guard the task's id."""
    (hidden,) = await forget_all(aws, site, [id])
    return hidden


async def forget_all(aws: Aws, site: Site, ids: Iterable[str]) -> list[bool]:
    """Hide many results; says of each whether there was one."""
    now = aws.now().timestamp()
    answers = await aws.perform_all([site.records.forget(id, now) for id in ids])
    for answer in answers:
        if isinstance(answer, Exception) and not isinstance(answer, ConditionFailed):
            raise answer
    return [not isinstance(answer, ConditionFailed) for answer in answers]
