"""The tree of a workflow, put together from the records of its tasks.

Ids derive from one another, and each record tells its task's place and what it has sent: so any id
of a workflow leads to all of it. :func:`read_tree` alternates between putting together what the
known records tell, which is pure, and reading those that this asks for, a hundred a request.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from caraway import states
from caraway.core import places, trail
from caraway.core.ids import derived_id, member_id
from caraway.core.places import Step
from caraway.core.reading import get_items
from caraway.core.record import Record
from caraway.exceptions import TrailTooLong
from caraway.lean import dataclass
from caraway.requests.dynamodb import READ_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from caraway.core.places import Level
    from caraway.core.port import Aws
    from caraway.core.publish import Site

LIMIT: Final = 20_000
"""Records that are read at most: 200 requests."""
_DEEP: Final = 40
"""Tasks that have sent one another: what lies deeper is counted only."""
_FEW: Final = 100
"""In a larger group a member that has not begun is looked for in fewer ways."""
_STEPS_BEFORE: Final = 10
_MEMBERS_TRIED: Final = 5
_BLOCK: Final = READ_LIMIT
_ANYBODY: Final = ""
"""Who has sent it is not known."""


@dataclass(frozen=True)
class Task:
    """A task: ``record`` is None where there is none, or not any more.

    Attributes
    ----------
    sent
        What it has sent, and its callbacks.
    unlisted
        How many more there are that are not known, or lie too deep.
    """

    id: str
    name: str | None = None
    record: Record | None = None
    sent: tuple[Line, ...] = ()
    unlisted: int = 0


@dataclass(frozen=True)
class Many:
    """A group; ``unread`` of its members were not looked at.

    Attributes
    ----------
    size
        None where nothing tells it: then ``members`` are those that have begun.
    """

    id: str
    size: int | None
    members: tuple[Line, ...] = ()
    unread: int = 0


@dataclass(frozen=True)
class Left:
    """Steps that come later and are not listed."""

    count: int


Node: TypeAlias = "Task | Many | Left"
Line: TypeAlias = "tuple[Node, ...]"
"""Steps one after another."""


@dataclass(frozen=True)
class Tree:
    """A workflow.

    Attributes
    ----------
    asked
        The id that was asked for.
    top
        The workflow from its first step; nothing where nothing is known of the id.
    aside
        The part that holds the id, where the top does not lead to it (yet).
    lost_root
        The first task of the workflow, where it has no record: what is shown begins later.
    requests
        How many have read it.
    """

    asked: str
    top: Line
    aside: Line = ()
    lost_root: str | None = None
    requests: int = 0


async def read_tree(
    aws: Aws,
    site: Site,
    id: str,
    limit: int = LIMIT,
    over: dict[str, Record] | None = None,
) -> Tree:
    """Read the workflow that an id is part of: a task's, a group's, or that of its end.

    Parameters
    ----------
    limit
        Records to read at most; members behind that are counted as unread.
    over
        Records that do not change any more and are not read again; it is added to.

    Raises
    ------
    OperationalError
        If the table could not be asked.
    """
    known: dict[str, Record | None] = {**over} if over else {}
    requests = 0
    while True:
        builder = _Builder(known)
        tree = builder.tree(id)
        asked = list(islice(builder.wanted, max(0, limit - len(known))))
        if not asked:
            return replace(tree, requests=requests)
        # What is a moment old will do, and costs half.
        items = await get_items(aws, site.records.table, asked, consistent=False)
        requests += -(-len(asked) // READ_LIMIT)
        now = aws.now().timestamp()
        known |= {each: _told(items[each], now) if each in items else None for each in asked}
        if over is not None:
            seen = ((each, known[each]) for each in asked)
            over |= {each: rec for each, rec in seen if rec and rec.state == states.SUCCESS}


def _told(item: Any, now: float) -> Record:
    """Return a record; that of a result that has expired or was forgotten, without it."""
    record = Record.read(item)
    if not record.is_hidden(now):
        return record
    return replace(record, result=None, traceback=None, meta=None)


class _Builder:
    """Puts a tree together from what is known, and notes what it would like to know."""

    def __init__(self, known: Mapping[str, Record | None]) -> None:
        self._known = known
        self.wanted: dict[str, None] = {}
        self._groups: set[str] = set()
        self._sizes: dict[str, int] = {}
        self._depth = 0

    def _look(self, id: str) -> Record | None:
        if id not in self._known:
            self.wanted[id] = None
        return self._known.get(id)

    def _first(self, ids: Sequence[str]) -> str | None:
        """Return the first that has a record which tells its place."""
        found = [self._look(id) for id in ids]
        return next((id for id, rec in zip(ids, found, strict=True) if rec and rec.place), None)

    def tree(self, asked: str) -> Tree:
        record = self._look(asked)
        anchor: str | None = asked
        if asked in self._known and not (record and record.place):
            anchor = self._first(list(_anchors(asked))) or (asked if record else None)
        if anchor is None or self._look(anchor) is None:
            return Tree(asked, ())
        known = places.read((self._known[anchor] or Record()).place)
        root = known.root or anchor
        if self._look(root) is None:
            lost = root if root in self._known else None
            return Tree(asked, self._climb(anchor), lost_root=lost)
        top = self._climb(root)
        if not self.wanted and asked not in set(ids_of(top)):
            return Tree(asked, top, self._climb(anchor))
        return Tree(asked, top)

    # -- lines ------------------------------------------------------------------------------------

    def _climb(self, id: str) -> Line:
        """Return the workflow that a task begins, or is a member of the first step of."""
        known = places.read((self._known.get(id) or Record()).place)
        outermost: Level | None = None
        for level in _levels(known.level):
            if level.group in self._groups:
                break  # it is being drawn, around this
            outermost = level
        if outermost is None:
            return self._line((Step(id),))
        return self._level(outermost, known.parent)

    def _level(self, level: Level, sender: str | None) -> Line:
        return (self._many(level.group, level.size, sender), *self._line(level.then))

    def _line(self, steps: Sequence[Step | int]) -> Line:
        nodes: list[Node] = []
        left = list(steps)
        while left:
            step = left.pop(0)
            if isinstance(step, int):
                nodes.append(Left(step))
            elif step.size is not None:
                before = nodes[-1] if nodes else None
                sender = before.id if isinstance(before, Task) else _ANYBODY
                nodes.append(self._many(step.id, step.size, sender))
            else:
                record = self._look(step.id)
                known = places.read(record.place) if record else places.Known()
                left = list(known.chain) or left  # it lists more of them
                follows = left[0].id if left and isinstance(left[0], Step) else None
                nodes.append(self._task(step, record, follows))
        return tuple(nodes)

    def _task(self, step: Step, record: Record | None, follows: str | None) -> Task:
        name = record.task if record and record.task else step.name
        if record is None or record.children is None:
            return Task(step.id, name, record)
        try:
            entries = trail.read(step.id, record.children)
        except TrailTooLong:
            return Task(step.id, name, record, unlisted=trail.count(record.children))
        entries = [entry for entry in entries if entry[0][0] != follows]
        if self._depth >= _DEEP:
            return Task(step.id, name, record, unlisted=len(entries))
        self._depth += 1
        sent = tuple(self._sent(entry, step.id) for entry in entries)
        self._depth -= 1
        return Task(step.id, name, record, sent)

    def _sent(self, entry: Any, sender: str) -> Line:
        (id, _), members = entry
        if members is None:
            return self._ending(id, sender, thoroughly=True)
        self._sizes[id] = members if isinstance(members, int) else len(members)
        head = self._first(list(_heads(id)))
        if head is not None:
            return self._climb(head)
        if isinstance(members, int):
            return (self._many(id, members, sender),)
        return (self._listed(id, [each[0][0] for each in members], sender),)

    def _ending(self, id: str, sender: str | None, *, thoroughly: bool) -> Line:
        """Return the workflow that ends with a task, and that somebody has sent."""
        record = self._look(id)
        known = places.read(record.place) if record else places.Known()
        if (record and known.parent == sender) or id not in self._known:
            return self._line((Step(id),))
        head = self._first(list(_heads(id)) if thoroughly else [_first_step(id)])
        return self._line((Step(id),)) if head is None else self._climb(head)

    # -- groups -----------------------------------------------------------------------------------

    def _many(self, id: str, size: int | None, sender: str | None) -> Many:
        size = self._sizes.get(id) if size is None else size
        if size is None:
            size_seen = self._seen_size(id)
            found = self._listed(id, [member_id(id, i) for i in range(size_seen)], sender)
            return replace(found, size=None)
        listed = [member_id(id, index) for index in range(min(size, LIMIT))]
        return self._listed(id, listed, sender, size)

    def _listed(
        self, id: str, members: Sequence[str], sender: str | None, size: int | None = None
    ) -> Many:
        size = len(members) if size is None else size
        if id in self._groups:
            return Many(id, size, unread=size)
        self._groups.add(id)
        thoroughly = size <= _FEW
        lines = tuple(self._ending(each, sender, thoroughly=thoroughly) for each in members)
        self._groups.discard(id)
        read = tuple(line for each, line in zip(members, lines, strict=True) if each in self._known)
        return Many(id, size, read, size - len(read))

    def _seen_size(self, id: str) -> int:
        """Return how many members of a group have begun, up to the last one that has."""
        size = 0
        while True:
            block = range(size, size + _BLOCK)
            begun = [i for i in block if self._look(member_id(id, i)) is not None]
            begun += [i for i in block if self._look(_first_step(member_id(id, i))) is not None]
            if not begun:
                return size
            if max(begun) < size + _BLOCK - 1:
                return max(begun) + 1
            size += _BLOCK


def _levels(level: Level | None) -> Iterator[Level]:
    while level is not None:
        yield level
        level = level.up


def _first_step(id: str) -> str:
    return derived_id("step", 0, id)


def _heads(id: str) -> Iterator[str]:
    """Give the ids that the first task of a workflow may have, by that of its end."""
    yield from _down(id, _first_step, _first_member)
    yield from _down(id, _first_member, _first_step)


def _down(id: str, one: Callable[[str], str], other: Callable[[str], str]) -> Iterator[str]:
    for _ in range(2):
        id = one(id)
        yield id
        id = other(id)
        yield id


def _first_member(id: str) -> str:
    return member_id(id, 0)


def _anchors(id: str) -> Iterator[str]:
    """Give ids of tasks that lead to a workflow whose end, or whose group, is asked for."""
    yield from _heads(id)
    for place in range(1, _STEPS_BEFORE):
        yield derived_id("step", place, id)
        yield member_id(derived_id("step", place, id), 0)
    for index in range(1, _MEMBERS_TRIED):
        for group in (id, _first_step(id)):
            yield member_id(group, index)
            yield _first_step(member_id(group, index))


def ids_of(line: Line) -> Iterator[str]:
    """Give the ids of all tasks and groups of a line."""
    for node in line:
        if isinstance(node, Left):
            continue
        yield node.id
        for inner in node.sent if isinstance(node, Task) else node.members:
            yield from ids_of(inner)
