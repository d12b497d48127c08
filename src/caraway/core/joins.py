"""Joins: the members of a group are counted, and their values gathered.

A member that has ended adds its element to its node (:mod:`caraway.core.group_tree`). Whoever sees
a node full adds the node's own number to the node above, and whoever sees the root full has seen
the whole group complete. An element may be added any number of times, so whoever dies in between
is repeated from the start. Nothing is polled, and no item is written more often than it has
elements, but for repeats.

A group whose size is not known yet has a tree of fixed depth. At the end its size is written to
the last node of each level, which would never be as full as the others.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from caraway import states
from caraway.core.claim_check import load_texts
from caraway.core.group_tree import (
    OPEN_LIMIT,
    WIDTH,
    Element,
    Growth,
    Tree,
    growth_key,
    node_key,
)
from caraway.core.ids import member_id
from caraway.core.reading import get_items
from caraway.core.record import DONE, HORIZON_S, Record
from caraway.exceptions import ChordError
from caraway.lean import dataclass
from caraway.requests.dynamodb import ConditionFailed, UpdateItem
from caraway.requests.items import Absent, Always, Change, Condition, Equals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.requests.base import Json
    from caraway.requests.items import Item

RECORDS_AT_ONCE: Final = 800
"""Records in memory at a time: 320 MB if each is as large as an item can be, 4 KB by default."""
NODE_S: Final = 24 * HORIZON_S
"""How much longer than its group is given a node lives: far longer than its members' records. A
group that takes too long is then complete one day, and fails for what its members have lost; a node
that was gone before would be waited for for ever."""


@dataclass(frozen=True)
class Member:
    """A place in a group, and where its value is.

    Attributes
    ----------
    group
        The group's id.
    index
        From 0.
    size
        Members in all; None while that is not known, which :func:`close` ends.
    at
        Id of the task, or of the group, that has the value; None for :func:`member_id`.
    nested
        ``at`` is a group of so many members: the value is a list of its values.
    """

    group: str
    index: int
    size: int | None
    at: str | None = None
    nested: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index < (OPEN_LIMIT if self.size is None else self.size):
            raise ValueError(f"a group of {self.size} members has no member {self.index}")
        if self.nested is not None and self.at is None:
            raise ValueError("a member that is a group needs the group's id")


# -- counting --------------------------------------------------------------------------------


async def arrive(aws: Aws, site: Site, member: Member, until: float, *, width: int = WIDTH) -> bool:
    """Count a member whose value is recorded; True if this call saw the whole group complete.

    Several calls may see that, and a call that is repeated sees it again.

    Parameters
    ----------
    until
        When the group is given up, in seconds since the epoch; its nodes live for
        :data:`NODE_S` longer.

    Raises
    ------
    OperationalError
        If the table could not be asked: repeat the call.
    """
    return await _climb(aws, site, member, _element(member), until, width)


async def _climb(
    aws: Aws, site: Site, member: Member, element: Element, until: float, width: int
) -> bool:
    """Add an element to a member's node, and go up as long as nodes are full."""
    tree = Tree(member.size, width)
    below, added = member.index, str(element)
    for level in range(tree.depth):
        number = below // width
        change = Change({"ttl": _life(until)}, add={"members": {added}})
        key = node_key(member.group, level, number)
        node = await aws.perform(UpdateItem(site.records.table, key, change, Always()))
        if not tree.is_full(level, number, node):
            return False
        below, added = number, str(number)
    return True


async def close(
    aws: Aws, site: Site, group: str, size: int, until: float, *, width: int = WIDTH
) -> bool:
    """Say how many members a group of unknown size has; True if it is complete.

    Raises
    ------
    ChordError
        If the group is closed already, with another size.
    ValueError
        If the size is above :data:`OPEN_LIMIT`.
    OperationalError
        If the table could not be asked: repeat the call.
    """
    tree = Tree(None, width)
    if size > width**tree.depth:
        raise ValueError(f"a group of unknown size has {width**tree.depth:,} members at most")
    if size == 0:
        return True
    told: dict[str, Any] = {"ttl": _life(until), "size": size}
    # The root first: its condition stops a producer that counts otherwise before it says so
    # anywhere else. And then from below, as somebody may have filled a node without knowing it.
    await _tell(aws, site, node_key(group, tree.depth - 1, 0), Change(told))
    filled: set[str] = set()
    for level in range(tree.depth):
        number = (size - 1) // width ** (level + 1)
        change = Change(told, add={"members": filled} if filled else {})
        node = await _tell(aws, site, node_key(group, level, number), change)
        is_full = tree.is_full(level, number, node)
        filled = {str(number)} if is_full else set()
    return is_full


async def _tell(aws: Aws, site: Site, key: str, change: Change) -> Item:
    """Write a group's size to a node, which has no other one."""
    condition: Condition = Absent("size") | Equals("size", change.assign["size"])
    try:
        return await aws.perform(UpdateItem(site.records.table, key, change, condition))
    except ConditionFailed as failed:
        raise ChordError(
            f"the group {key.split(chr(9))[1]} has {failed.item['size']} members, and is closed "
            f"again with {change.assign['size']}: what describes it must give the same members "
            "each time"
        ) from failed


def _life(until: float) -> int:
    return int(until) + NODE_S


# -- growing ---------------------------------------------------------------------------------


async def arrive_with(
    aws: Aws,
    site: Site,
    member: Member,
    added: Sequence[str],
    until: float,
    *,
    width: int = WIDTH,
) -> bool:
    """Count a member that has added others, as :func:`arrive` does.

    Its place is full when it and all that its final record lists have arrived, and so on for what
    these have added. What an attempt without a record had added is not waited for.

    Parameters
    ----------
    added
        Ids in the order of adding, :data:`ADDED_LIMIT` at most.
    """
    if not added:
        return await arrive(aws, site, member, until, width=width)
    element = str(_element(member, grown=True))
    ended = json.dumps([None, list(added)])
    change = Change({"ttl": _life(until), "element": element}, add={"ended": {ended}})
    return await _grow(aws, site, member, change, until, width)


async def arrive_added(
    aws: Aws,
    site: Site,
    adder: Member,
    id: str,
    until: float,
    *,
    added: Sequence[str] = (),
    at: str | None = None,
    width: int = WIDTH,
) -> bool:
    """Count a task that was added at run time, as :func:`arrive` does.

    Parameters
    ----------
    adder
        The group's member to whose place it belongs, also where another added task has added it.
    id
        By which it was added.
    added
        What its own final record lists.
    at
        Id of the task that has its value, None for its own.
    """
    ended = json.dumps([id, list(added)] if at is None else [id, list(added), at])
    change = Change({"ttl": _life(until)}, add={"ended": {ended}})
    return await _grow(aws, site, adder, change, until, width)


async def _grow(
    aws: Aws, site: Site, member: Member, change: Change, until: float, width: int
) -> bool:
    """Add to what a member has added, and go on with its place when that is full."""
    key = growth_key(member.group, member.index)
    item = await aws.perform(UpdateItem(site.records.table, key, change, Always()))
    if not Growth.read(item).is_full():
        return False
    # Its place is counted by the element of the adder's ending: only that knows where its value is.
    return await _climb(aws, site, member, Element.read(item["element"]), until, width)


def _element(member: Member, *, grown: bool = False) -> Element:
    return Element(member.index, grown, member.at, member.nested)


# -- gathering -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where one value is: in a task's record, or in a group of so many."""

    group: str
    id: str
    nested: int | None = None


async def values(aws: Aws, site: Site, group: str, size: int, *, width: int = WIDTH) -> list[Json]:
    """Return the values of a group that is complete, as JSON, in the order of its members.

    A member that is a group has the list of its values. What members have added at run time comes
    last, in the order of the adders and of adding. Results that have expired, or were forgotten,
    are still there for this.

    Raises
    ------
    ChordError
        If a member has no value; the text names it.
    PayloadMissing
        If a value is not in S3 any more.
    OperationalError
        If AWS could not be asked.
    """
    (found,) = await _values(aws, site, [(group, size)], width)
    return found


async def _values(
    aws: Aws, site: Site, groups: Sequence[tuple[str, int]], width: int
) -> list[list[Json]]:
    """Return the values of several groups; those that are nested in them are read together."""
    places = await _places(aws, site, groups, width)
    inside = [(place.id, place.nested) for place in chain(*places) if place.nested is not None]
    lists = iter(await _values(aws, site, inside, width) if inside else ())
    tasks = [place for place in chain(*places) if place.nested is None]
    single = iter(await _results(aws, site, tasks))
    return [
        [next(single if place.nested is None else lists) for place in of_group]
        for of_group in places
    ]


async def _places(
    aws: Aws, site: Site, groups: Sequence[tuple[str, int]], width: int
) -> list[list[_Place]]:
    """Return where the values of groups are."""
    table = site.records.table
    leaves = [
        [node_key(group, 0, number) for number in range(-(-size // width))]
        for group, size in groups
    ]
    nodes = await get_items(aws, table, chain(*leaves))
    elements: list[dict[int, Element]] = []
    for keys in leaves:
        texts = sorted(chain(*(nodes.get(key, {}).get("members", ()) for key in keys)))
        read = map(Element.read, texts)
        elements.append({element.index: element for element in read})
    grown = [
        growth_key(group, index)
        for (group, _), known in zip(groups, elements, strict=True)
        for index in sorted(known)
        if known[index].grown
    ]
    growths = await get_items(aws, table, grown)
    places: list[list[_Place]] = []
    for (group, size), known in zip(groups, elements, strict=True):
        own = [_place(group, known.get(index, Element(index))) for index in range(size)]
        added = [
            _Place(group, id)
            for index in range(size)
            if index in known and known[index].grown
            for id in Growth.read(growths.get(growth_key(group, index), {})).places()
        ]
        places.append(own + added)
    return places


def _place(group: str, element: Element) -> _Place:
    return _Place(group, element.at or member_id(group, element.index), element.nested)


async def _results(aws: Aws, site: Site, places: Sequence[_Place]) -> list[Json]:
    """Return the results of tasks, as JSON."""
    found: list[Json] = []
    for start in range(0, len(places), RECORDS_AT_ONCE):
        some = places[start : start + RECORDS_AT_ONCE]
        items = await get_items(aws, site.records.table, (place.id for place in some))
        kept = [_kept(place, Record.read(items.get(place.id, {}))) for place in some]
        found += map(json.loads, await load_texts(aws, site.store, kept))
    return found


def _kept(place: _Place, record: Record) -> str:
    """Return what the record of a member keeps of its result."""
    if record.phase == DONE and record.state == states.SUCCESS:
        return "null" if record.result is None else record.result
    what = f"task {place.id}, a member of group {place.group},"
    if record.phase is None:
        raise ChordError(
            f"{what} has no record: that is kept for {2 * HORIZON_S // 86_400} days, and its group "
            "may have taken longer"
        )
    raise ChordError(f"{what} has no value: it is {record.state} ({record.phase})")
