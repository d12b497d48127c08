"""Making what AWS stores equal to ``beat_schedule``.

Only the owner's schedules that come from code are touched, and of these only what differs is read
and written. What was paused stays paused, unless the code itself says otherwise than before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from caraway.core.stored import Held, Put
from caraway.core.stores import queue_arns
from caraway.exceptions import (
    AccessDenied,
    ImproperlyConfigured,
    OperationalError,
    ResourceMissing,
)
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from caraway.core.port import Aws
    from caraway.core.stored import Kept, Kind, Stored
    from caraway.core.stores import Store, Stores

AT_ONCE: Final = 200
"""Changes that are under way at a time."""
_TOLD: Final = 10
"""Failures that one message tells."""
_FIELDS: Final = ("expression", "queue", "enabled", "group_id", "description", "text")
_LONG: Final = ("description", "text")

Status: TypeAlias = Literal["active", "differs", "missing", "left over"]
"""In AWS as in the code; there, but not as in the code; only in the code; only there."""


@dataclass(frozen=True)
class Change:
    """Something that is not as the code wants it.

    Attributes
    ----------
    before
        What there is, None to create.
    after
        What there is to be, None to delete.
    name
        That in the store that is to have it.
    moves
        From the other store.
    """

    before: Held | None
    after: Stored | None
    name: str
    moves: bool = False

    @property
    def stored(self) -> Stored:
        """What it is about: what there is to be, else what there was."""
        if self.after is not None:
            return self.after
        assert self.before is not None
        return self.before.stored

    @property
    def is_on(self) -> bool:
        """Whether it is to fire: as it did, unless the code says otherwise than before."""
        if self.after is None:
            return False
        if self.before is None:
            return self.after.enabled
        if self.before.is_marked and self.after.enabled != self.before.stored.enabled:
            return self.after.enabled
        return self.before.is_on

    @property
    def is_new(self) -> bool:
        """Whether its store has nothing yet in whose place it comes."""
        return self.after is not None and (self.before is None or self.moves)

    def lines(self) -> list[str]:
        """Say what changes, a line for each field; long texts only by their name."""
        if self.before is None or self.after is None:
            return []
        lines = [f"{self.before.kind} moves"] if self.moves else []
        for name in _FIELDS:
            before, after = getattr(self.before.stored, name), getattr(self.after, name)
            if before != after and (name != "enabled" or self.before.is_marked):
                told = {"text": "message"}.get(name, name)
                lines.append(f"{told} changes" if name in _LONG else f"{told}: {before} -> {after}")
        return lines or ["where it is stored changes"]

    def __str__(self) -> str:
        """Return it as a line of a diff: ``+`` created, ``~`` changed, ``-`` deleted."""
        if self.before is None or self.after is None:
            sign = "+" if self.before is None else "-"
            return f"{sign} {self.stored.entry}  {self.stored.expression} -> {self.stored.queue}"
        return f"~ {self.stored.entry}  {'; '.join(self.lines())}"


@dataclass(frozen=True)
class Unchanged:
    """What is as the code wants it, paused or not."""

    stored: Stored
    name: str
    is_on: bool


@dataclass(frozen=True)
class Plan:
    """What makes AWS equal to the code.

    Attributes
    ----------
    unseen
        Why nobody could look whether the other store has something left, empty if one could.
    """

    create: tuple[Change, ...] = ()
    update: tuple[Change, ...] = ()
    delete: tuple[Change, ...] = ()
    unchanged: tuple[Unchanged, ...] = ()
    unseen: str = ""

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.create or self.update or self.delete)

    @property
    def changes(self) -> tuple[Change, ...]:
        """All that is to be done, in order."""
        return (*self.create, *self.update, *self.delete)

    def lines(self) -> list[str]:
        """Return the plan as a diff, to print."""
        return [str(change) for change in self.changes]


@dataclass(frozen=True)
class Done:
    """What a change has come to: ``failure`` is None if it was made."""

    change: Change
    failure: Exception | None


async def compare(aws: Aws, stores: Stores, wanted: Sequence[Stored]) -> Plan:
    """Decide what makes AWS equal to the code.

    It lists (a hundred schedules with a request) and reads what differs.

    Parameters
    ----------
    wanted
        From :func:`caraway.core.beat.schedules`, for the current store.

    Raises
    ------
    ImproperlyConfigured
        If a wanted name is somebody else's, or there is no room for what is new.
    """
    store = stores.current
    kept = await store.kept(aws, "code")
    there = {each.name: each for each in kept}
    unchanged: dict[str, Unchanged] = {}
    todo: dict[str, Stored] = {}
    for stored in wanted:
        digits, name = store.digits_of(stored), store.name_of(stored)
        found = there.get(name)
        if found is not None and found.is_as(stored, digits):
            unchanged[name] = Unchanged(stored, name, found.is_on)
        else:
            todo[name] = stored
    before = _Before(
        [
            *await _read(aws, store, [each for each in kept if each.name not in unchanged], todo),
            *(left := await _left_over(aws, stores.other)).held,
        ]
    )
    create, update = [], []
    for name, stored in todo.items():
        old = before.take(store.kind, name, stored.entry)
        if old is None:
            create.append(Change(None, stored, name))
        elif _is_same(old, Held(store.kind, name, stored, old.is_on, is_marked=False)):
            unchanged[name] = Unchanged(stored, name, old.is_on)
        else:
            update.append(Change(old, stored, name, moves=old.kind != store.kind))
    if new := [each.after for each in (*create, *update) if each.after and each.is_new]:
        await store.admit(aws, new)
    delete = [Change(old, None, old.name) for old in before.rest()]
    return Plan(tuple(create), tuple(update), tuple(delete), tuple(unchanged.values()), left.unseen)


async def apply(aws: Aws, stores: Stores, plan: Plan) -> AsyncGenerator[Done, None]:
    """Make the changes of a plan, and give what each has come to.

    What is new is there before the old is deleted. It may be repeated, also after a failure
    half-way: the next plan has what is left.

    Raises
    ------
    ImproperlyConfigured, ResourceMissing
        If a queue cannot be sent to; nothing has been changed then.
    """
    arns = await queue_arns(aws, (each.after.queue for each in plan.changes if each.after))
    for first in range(0, len(plan.changes), AT_ONCE):
        changes = plan.changes[first : first + AT_ONCE]
        puts = [
            (
                place,
                Put(
                    change.after,
                    arns[change.after.queue],
                    change.is_on,
                    None if change.moves else change.before,
                ),
            )
            for place, change in enumerate(changes)
            if change.after is not None
        ]
        failures: list[Exception | None] = [None] * len(changes)
        outcomes = await stores.current.put(aws, [put for _, put in puts])
        for (place, _), failure in zip(puts, outcomes, strict=True):
            failures[place] = failure
        for store in (stores.current, stores.other):
            gone = [
                (place, change.before)
                for place, change in enumerate(changes)
                if change.before is not None
                and change.before.kind == store.kind
                and failures[place] is None
                and (change.after is None or change.moves or change.before.name != change.name)
            ]
            outcomes = await store.remove(aws, [held for _, held in gone]) if gone else []
            for (place, _), failure in zip(gone, outcomes, strict=True):
                failures[place] = failure
        for change, failure in zip(changes, failures, strict=True):
            yield Done(change, failure)


async def sync(aws: Aws, stores: Stores, wanted: Sequence[Stored]) -> Plan:
    """Make AWS equal to the code; return what was done.

    Raises
    ------
    ImproperlyConfigured, ResourceMissing
        As :func:`compare` and :func:`apply`; nothing has been changed then.
    OperationalError
        If AWS refused some of the changes, naming them; the others were made.
    """
    plan = await compare(aws, stores, wanted)
    raise_failed([done async for done in apply(aws, stores, plan)])
    return plan


def raise_failed(done: Sequence[Done]) -> None:
    """Raise for the changes that were not made, each by its entry."""
    failed = [each for each in done if each.failure is not None]
    if not failed:
        return
    told = [f"{each.change.stored.entry!r}: {each.failure}" for each in failed[:_TOLD]]
    if len(failed) > _TOLD:
        told.append(f"and {len(failed) - _TOLD:,} more")
    raise OperationalError(
        f"{len(failed):,} of {len(done):,} changes were not made; the next 'caraway beat sync' "
        "takes them up:\n" + "\n".join(told)
    ) from failed[0].failure


async def _read(
    aws: Aws, store: Store, kept: Sequence[Kept], todo: dict[str, Stored]
) -> list[Held]:
    """Read what is not as it should be; refuse wanted names that are somebody else's."""
    read = await store.read(aws, kept)
    for each, held in zip(kept, read, strict=True):
        if each.name in todo and held is None:
            raise ImproperlyConfigured(
                f"beat_schedule[{todo[each.name].entry!r}]: a {store.kind} named {each.name!r} "
                f"exists and is not of app {store.owner.app!r} with prefix {store.owner.prefix!r}: "
                f"rename the entry, or delete that {store.kind}"
            )
    return [held for held in read if held is not None and held.stored.origin == "code"]


@dataclass(frozen=True)
class _Left:
    held: Sequence[Held] = ()
    unseen: str = ""


async def _left_over(aws: Aws, store: Store) -> _Left:
    """Return what the store has that is not used, or why nobody could look."""
    try:
        kept = await store.kept(aws, "code")
    except ResourceMissing:  # there is no such group of schedules
        return _Left()
    except AccessDenied as error:
        return _Left(unseen=f"whether a {store.kind} is left over was not looked at: {error}")
    read = await store.read(aws, kept)
    return _Left([held for held in read if held is not None])


class _Before:
    """What there is and is not as it should be, until something wanted takes its place."""

    def __init__(self, held: Sequence[Held]) -> None:
        self._held = {(each.kind, each.name): each for each in held}
        self._of_entry: dict[str, list[Held]] = {}
        for each in held:
            self._of_entry.setdefault(each.stored.entry, []).append(each)

    def take(self, kind: Kind, name: str, entry: str) -> Held | None:
        """Return what has the name, else what is of the entry; only once."""
        found = self._held.pop((kind, name), None)
        for each in () if found else self._of_entry.get(entry, ()):
            if found := self._held.pop((each.kind, each.name), None):
                break
        return found

    def rest(self) -> list[Held]:
        """Return what nothing has taken."""
        return list(self._held.values())


def _is_same(old: Held, wanted: Held) -> bool:
    """Tell whether a rule without a mark, as a template may make it, is as it should be."""
    return replace(old, stored=replace(old.stored, enabled=wanted.stored.enabled)) == wanted
