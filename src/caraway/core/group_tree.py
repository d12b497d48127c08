r"""The items by which the members of a group are counted: what they hold, and when they are full.

::

    group<TAB>gid<TAB>0<TAB>n    a node of up to 100 members: a set with an element for each
    group<TAB>gid<TAB>1<TAB>n    up to 100 nodes below it; and so on, up to the one root
    group<TAB>gid<TAB>+<TAB>i    what member i has added at run time, and what of it has ended

They live in the task table. The id of a task is printable, and a tab is not, so no task can have
one of these keys. Full means "contains all that is expected", never a count.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from caraway.requests.items import Item

WIDTH: Final = 100
"""Elements of a node: each write bills the whole item, and one partition takes 1,000 a second."""
OPEN_DEPTH: Final = 3
"""Levels of the tree of a group whose size is not known yet."""
OPEN_LIMIT: Final = WIDTH**OPEN_DEPTH
"""Most members of such a group."""
ADDED_LIMIT: Final = 1_000
"""Most members that the members of one place may add: all their ids are in one item, twice."""


def node_key(group: str, level: int, number: int) -> str:
    """Return the key of a node; level 0 holds members."""
    return f"group\t{group}\t{level}\t{number}"


def growth_key(group: str, index: int) -> str:
    """Return the key of the item of what a member has added."""
    return f"group\t{group}\t+\t{index}"


@dataclass(frozen=True)
class Element:
    """What a node says of a member: ``7``, ``7=task``, ``7*12=group``, ``7+`` for one that grew."""

    index: int
    grown: bool = False
    at: str | None = None
    nested: int | None = None

    def __str__(self) -> str:
        grown = "+" if self.grown else ""
        nested = "" if self.nested is None else f"*{self.nested}"
        return f"{self.index}{grown}{nested}" + ("" if self.at is None else f"={self.at}")

    @classmethod
    def read(cls, text: str) -> Element:
        """Return the element of a text."""
        found = _ELEMENT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no element of a group's node")
        index, grown, nested, at = found.groups()
        return cls(int(index), bool(grown), at, None if nested is None else int(nested))


_ELEMENT: Final = re.compile(r"(\d+)(\+)?(?:\*(\d+))?(?:=(.+))?", re.DOTALL)


@dataclass(frozen=True)
class Tree:
    """The shape of a group's nodes.

    Attributes
    ----------
    size
        None for a group that is not closed yet.
    """

    size: int | None
    width: int = WIDTH

    @property
    def depth(self) -> int:
        """Return how many levels there are; the root is the last one's only node."""
        if self.size is None:
            return OPEN_DEPTH
        depth = 1
        while self.width**depth < self.size:
            depth += 1
        return depth

    def is_full(self, level: int, number: int, node: Item) -> bool:
        """Say whether a node has all its elements."""
        size: int | None = node.get("size", self.size)
        if size is not None:
            below = -(-size // self.width**level)
            expected = min(self.width, below - number * self.width)
        elif level < self.depth - 1:
            expected = self.width
        else:
            return False  # who knows how many there will be
        if len(node.get("members", ())) < expected:
            return False  # most are seen so: the rest costs more
        first = number * self.width
        present = {Element.read(each).index for each in node["members"]}
        return present.issuperset(range(first, first + expected))


@dataclass(frozen=True)
class Growth:
    """What has ended of a member and of all that was added to its place.

    Attributes
    ----------
    added
        What each has added, by its id; None stands for the member.
    at
        Where values are that are not with their own ids.
    """

    added: Mapping[str | None, list[str]]
    at: Mapping[str, str]

    @classmethod
    def read(cls, item: Item) -> Growth:
        """Return what an item says."""
        added: dict[str | None, list[str]] = {}
        at: dict[str, str] = {}
        for text in sorted(item.get("ended", ())):
            id, ids, *elsewhere = json.loads(text)
            added[id] = ids
            if elsewhere:
                at[id] = elsewhere[0]
        return cls(added, at)

    def expected(self) -> Iterator[str | None]:
        """Yield the member and what was added, as far as it is known, in the order of adding."""
        seen: set[str | None] = set()
        waiting: list[str | None] = [None]
        while waiting:
            id = waiting.pop()
            if id not in seen:
                seen.add(id)
                yield id
                waiting.extend(reversed(self.added.get(id, ())))

    def is_full(self) -> bool:
        """Say whether all that is expected has ended."""
        return all(id in self.added for id in self.expected())

    def places(self) -> Iterable[str]:
        """Return the ids of the tasks that have the added members' values."""
        return [self.at.get(id, id) for id in self.expected() if id is not None]
