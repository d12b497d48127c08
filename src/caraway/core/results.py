"""Reading results: what records show of one task, or of many."""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from caraway import states
from caraway.core.claim_check import NOTHING, load_texts
from caraway.core.errors import error_from_json, with_far_traceback
from caraway.core.lots import lots
from caraway.core.outcomes import all_written
from caraway.core.reading import get_items
from caraway.core.record import DONE, FAILED, Record
from caraway.lean import dataclass
from caraway.requests.dynamodb import READ_LIMIT, GetItem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.requests.base import Json
    from caraway.requests.items import Item

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


def is_over(record: Record) -> bool:
    """Say whether a task has ended."""
    return record.phase in (DONE, FAILED)


def shown(aws: Aws, item: Item | None) -> Record:
    """Return the record of an item, an empty one where users are to see nothing (any more)."""
    record = Record("") if item is None else Record.read(item)
    return Record("") if record.is_hidden(aws.now().timestamp()) else record


# -- looking -------------------------------------------------------------------------------------


async def look(aws: Aws, site: Site, id: str) -> Seen:
    """Return what is to be seen of a task now; PENDING when there is no record."""
    return await seen_of(aws, site, await record_of(aws, site, id))


async def record_of(aws: Aws, site: Site, id: str) -> Record:
    """Return the record of a task as users may see it."""
    return shown(aws, await aws.perform(GetItem(site.records.table, id)))


async def look_all(
    aws: Aws, site: Site, tasks: Iterable[A]
) -> AsyncGenerator[list[tuple[A, Record]], None]:
    """Give the records of many tasks as they are now, some hundred at a time.

    Nothing is read from S3.
    """
    for asked in lots(tasks, TOGETHER):
        items = await get_items(aws, site.records.table, [task.id for task in asked])
        yield [(task, shown(aws, items.get(task.id))) for task in asked]


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


async def forget(aws: Aws, site: Site, id: str) -> bool:
    """Hide a result; says whether there was one. The record goes on to guard the task's id."""
    (hidden,) = await forget_all(aws, site, [id])
    return hidden


async def forget_all(aws: Aws, site: Site, ids: Iterable[str]) -> list[bool]:
    """Hide many results; says of each whether there was one."""
    now = aws.now().timestamp()
    return all_written(await aws.perform_all([site.records.forget(id, now) for id in ids]))
