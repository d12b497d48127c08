"""Reading many items: a hundred a request, and what DynamoDB has left out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from caraway.core.outcomes import all_done
from caraway.exceptions import Throttled
from caraway.requests.dynamodb import READ_LIMIT, BatchGetItem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caraway.core.port import Aws
    from caraway.requests.items import Item

IN_FLIGHT: Final = 8
"""Requests at a time: the items of all of them are in memory at once, up to 16 MB each."""
FIRST_WAIT_S: Final = 0.05
LONGEST_WAIT_S: Final = 6.4
"""Without an item it waits twice as long each time, up to this (12.75 s in all), and gives up."""


async def get_items(
    aws: Aws, table: str, ids: Iterable[str], *, consistent: bool = True
) -> dict[str, Item]:
    """Return the items that are there, by their ids, in no particular order.

    Parameters
    ----------
    ids
        However many, and whichever twice.

    Raises
    ------
    Throttled
        If DynamoDB goes on leaving all of them out.
    OperationalError
        If the table could not be asked.
    """
    found: dict[str, Item] = {}
    left = list(dict.fromkeys(ids))
    wait_s = FIRST_WAIT_S
    while left:
        asked, waiting = left[: IN_FLIGHT * READ_LIMIT], left[IN_FLIGHT * READ_LIMIT :]
        unprocessed: list[str] = []
        looks = [
            BatchGetItem(table, tuple(asked[start : start + READ_LIMIT]), consistent)
            for start in range(0, len(asked), READ_LIMIT)
        ]
        for read in all_done(await aws.perform_all(looks)):
            found.update(read.items)
            unprocessed.extend(read.unprocessed)
        left = unprocessed + waiting
        if len(unprocessed) < len(asked):
            wait_s = FIRST_WAIT_S
        elif wait_s > LONGEST_WAIT_S:
            raise Throttled(
                f"DynamoDB reads no more from table {table!r} ({len(left):,} items are left): "
                "try again later, or raise the table's capacity"
            )
        if unprocessed:
            await aws.sleep(wait_s)
            wait_s *= 2
    return found
