"""One run at a time of an entry of the schedule: an item that names the occurrence that runs.

::

    schedule<TAB>name   the id of that occurrence, and its time

It lies in the task table; the tab keeps it apart from tasks. Nobody gives it back: whether the
occurrence still runs its own record says, and the next one takes its place once it has ended. So a
crash leaves nothing to be cleaned up, and an occurrence that is delivered again finds itself there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from caraway.core.record import DONE, FAILED, HORIZON_S, RUNNING, Record
from caraway.requests.dynamodb import ConditionFailed, GetItem, UpdateItem
from caraway.requests.items import Absent, Change, Equals

if TYPE_CHECKING:
    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.requests.items import Item

GONE_S: Final = 3_600.0
"""A run whose lease has ended so long ago is taken for lost with its message, as after a purge."""


def key_of(entry: str) -> str:
    """Return the key of an entry's item."""
    return f"schedule\t{entry}"


async def why_overlapping(aws: Aws, site: Site, message: Message) -> str | None:
    """Take an entry's item for an occurrence that is claimed; else return why it must not run.

    Two reads and a write, where another occurrence ran before.
    """
    table, key = site.records.table, key_of(message.schedule or "")
    item = await _read(aws, table, key)
    while (holder := item.get("holder")) != message.id:
        if holder is not None:
            record = Record.read(await _read(aws, table, holder))
            if goes_on(record, aws.now().timestamp()):
                return f"the run of {item.get('due')} is still going: task {holder}"
        try:
            await aws.perform(_take(table, key, message, item, aws.now().timestamp()))
        except ConditionFailed as taken:  # by another one; or by this, and the answer was lost
            item = taken.item
        else:
            break
    return None


async def _read(aws: Aws, table: str, id: str) -> Item:
    found = await aws.perform(GetItem(table, id))
    return {} if found is None else found


def _take(table: str, key: str, message: Message, item: Item, now: float) -> UpdateItem:
    assert message.scheduled_time is not None
    assign = {
        "holder": message.id,
        "due": message.scheduled_time.isoformat(),
        "ttl": int(now) + HORIZON_S,
    }
    unchanged = Equals("holder", item["holder"]) if "holder" in item else Absent("holder")
    return UpdateItem(table, key, Change(assign), unchanged, is_first=not item)


def goes_on(record: Record, now: float) -> bool:
    """Say whether a task runs, is taken over when its lease ends, or is tried again."""
    if record.phase in (None, DONE, FAILED):
        return False
    is_gone = record.phase == RUNNING and (record.open_at or 0) < now - GONE_S
    return not is_gone
