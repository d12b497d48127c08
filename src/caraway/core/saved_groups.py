"""Groups whose results were saved: an item for each, which says what they consist of.

::

    saved-group<TAB>id   the group's result as plain data, or the address of it

They live in the task table; the tab keeps them apart from tasks.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from caraway.core.claim_check import keep_text, load_text
from caraway.core.codec import dumps
from caraway.core.ids import new_token
from caraway.core.record import HORIZON_S
from caraway.requests.dynamodb import ConditionFailed, GetItem, UpdateItem
from caraway.requests.items import Always, AtMost, Change

if TYPE_CHECKING:
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.requests.base import Json


def _key(id: str) -> str:
    return f"saved-group\t{id}"


async def save(aws: Aws, site: Site, id: str, data: Json) -> None:
    """Save what a group consists of, for as long as its members' results are kept."""
    now = aws.now().timestamp()
    text = await keep_text(aws, site.store, id, new_token(), dumps(data))
    assign = {"result": text, "ttl": int(now) + HORIZON_S}
    expires_s = site.result_expires_s
    if expires_s is not None:
        assign["expires_at"] = now + expires_s
    remove = () if expires_s is not None else ("expires_at",)
    await aws.perform(UpdateItem(site.records.table, _key(id), Change(assign, remove), Always()))


async def restore(aws: Aws, site: Site, id: str) -> Json:
    """Return what a saved group consists of, None when it was not saved or has expired."""
    item = await aws.perform(GetItem(site.records.table, _key(id)))
    if item is None or "result" not in item:
        return None
    if item.get("expires_at") is not None and item["expires_at"] <= aws.now().timestamp():
        return None
    return json.loads(await load_text(aws, site.store, item["result"]))


async def delete(aws: Aws, site: Site, id: str) -> None:
    """Forget a saved group; its members' results stay."""
    now = int(aws.now().timestamp())
    change = Change({"ttl": now}, ("result", "expires_at"))
    try:
        await aws.perform(
            UpdateItem(site.records.table, _key(id), change, AtMost("ttl", now + 10 * HORIZON_S))
        )
    except ConditionFailed:
        return
