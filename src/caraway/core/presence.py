"""Workers that show themselves: a small item for each, and a list of them all.

::

    worker<TAB>session   what one worker says of itself, anew at every beat
    about<TAB>digest     what the workers of one deployment have in common: tasks and settings
    workers<TAB>         the sessions of the workers that have started and not stopped

They live in the task table. The id of a task is printable, and a tab is not, so no task can have
one of these keys. Every write is idempotent: an item is its worker's own and is written whole, the
list is a set. So whoever has died in between is found by its age alone, and nothing is scanned.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from caraway.exceptions import OperationalError
from caraway.lean import dataclass
from caraway.requests.dynamodb import GetItem, UpdateItem
from caraway.requests.items import Always, Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from caraway.core.port import Aws
    from caraway.requests.items import Item

LIST: Final = "workers\t"
RUNNING_SHOWN: Final = 5
"""Running tasks that an item names: DynamoDB bills a write by the KiB."""
TASKS_SHOWN: Final = 2_000
LATE: Final = 2.5
"""A worker is gone after so many intervals: two beats have failed, and half a one was slow."""
_ITEM_LIFE_S: Final = 86_400
_ABOUT_LIFE_S: Final = 15 * 86_400


@dataclass(frozen=True)
class RunningTask:
    """A task that a worker runs; ``started_at`` in seconds since the epoch."""

    id: str
    name: str
    started_at: float


@dataclass(frozen=True)
class Presence:
    """What a worker says of itself at a beat.

    Attributes
    ----------
    session
        Tells it from every other worker, also of the same name: the hostname, a tab, a token.
    processed
        Attempts that have ended since it started.
    running, tasks
        How many tasks it runs, and the oldest of them.
    about
        The digest of its :class:`About`.
    """

    hostname: str
    session: str
    pid: int
    pool: str
    concurrency: int
    queues: tuple[str, ...]
    version: str
    about: str
    interval_s: float
    started_at: float
    beat_at: float = 0.0
    processed: int = 0
    running: int = 0
    tasks: tuple[RunningTask, ...] = ()

    @classmethod
    def read(cls, item: Item) -> Presence:
        """Return what an item says; what a later version adds to it is passed over."""
        told = {name: item[name] for name in cls.__dataclass_fields__ if name in item}
        tasks = tuple(
            RunningTask(each["id"], each["name"], each["started_at"])
            for each in told.pop("tasks", ())
        )
        return cls(**{**told, "queues": tuple(told["queues"]), "tasks": tasks})

    def attributes(self) -> Item:
        """Return what its item holds."""
        return {**vars(self), "tasks": [vars(each) for each in self.tasks]}

    def is_late(self, now: float) -> bool:
        """Whether it has been silent for so long that it is taken for gone."""
        return now - self.beat_at > LATE * self.interval_s


@dataclass(frozen=True)
class About:
    """What workers of one deployment have in common.

    Attributes
    ----------
    registered
        Names of the tasks that they know, at most :data:`TASKS_SHOWN`.
    conf
        Settings that differ from their defaults, as text, without secrets.
    """

    registered: tuple[str, ...] = ()
    conf: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Return what its content decides: the same content is the same item."""
        text = json.dumps([self.registered, dict(self.conf)], sort_keys=True)
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True)
class Presences:
    """The writes to the items of workers in one table; times are seconds since the epoch."""

    table: str

    def beat(self, presence: Presence) -> UpdateItem:
        """Say that a worker is there, and what it does."""
        life_s = max(_ITEM_LIFE_S, LATE * presence.interval_s)
        assign = {**presence.attributes(), "ttl": int(presence.beat_at + life_s)}
        return UpdateItem(self.table, _worker_key(presence.session), Change(assign), Always())

    def describe(self, about: About, now: float) -> UpdateItem:
        """Write what workers have in common; to be repeated before its 15 days are over."""
        assign = {
            "registered": list(about.registered[:TASKS_SHOWN]),
            "conf": dict(about.conf),
            "ttl": int(now) + _ABOUT_LIFE_S,
        }
        return UpdateItem(self.table, _about_key(about.digest), Change(assign), Always())

    def enlist(self, session: str) -> UpdateItem:
        """Put a worker on the list."""
        return UpdateItem(self.table, LIST, Change(add={"sessions": {session}}), Always())

    def strike(self, sessions: Iterable[str]) -> UpdateItem:
        """Take workers off the list."""
        return UpdateItem(self.table, LIST, Change(discard={"sessions": set(sessions)}), Always())


def _worker_key(session: str) -> str:
    return f"worker\t{session}"


def _about_key(digest: str) -> str:
    return f"about\t{digest}"


async def present(aws: Aws, presences: Presences) -> list[Presence]:
    """Return the workers that are there, by their names; take those that are gone off the list.

    Raises
    ------
    OperationalError
        If the table could not be asked.
    """
    listed = await aws.perform(GetItem(presences.table, LIST))
    sessions = sorted((listed or {}).get("sessions", ()))
    looks = [
        GetItem(presences.table, _worker_key(session), consistent=False) for session in sessions
    ]
    there: list[Presence] = []
    gone: list[str] = []
    now = aws.now().timestamp()
    for session, item in zip(sessions, await aws.perform_all(looks), strict=True):
        if isinstance(item, Exception):
            raise item
        presence = None if item is None else Presence.read(item)
        if presence is None or presence.is_late(now):
            gone.append(session)
        else:
            there.append(presence)
    if gone:
        # Who only reads may not write; and a worker that was silent for long comes back by itself.
        with suppress(OperationalError):
            await aws.perform(presences.strike(gone))
    return there


async def about(aws: Aws, presences: Presences, digests: Iterable[str]) -> dict[str, About]:
    """Return what workers have in common, by its digest; empty where it is not there."""
    wanted = sorted(set(digests))
    looks = [GetItem(presences.table, _about_key(digest), consistent=False) for digest in wanted]
    found: dict[str, About] = {}
    for digest, item in zip(wanted, await aws.perform_all(looks), strict=True):
        if isinstance(item, Exception):
            raise item
        told: Mapping[str, Any] = item or {}
        found[digest] = About(tuple(told.get("registered", ())), dict(told.get("conf", {})))
    return found


def doubles(presences: Iterable[Presence]) -> list[str]:
    """Return the names that several workers have."""
    names = [presence.hostname for presence in presences]
    return sorted({name for name in names if names.count(name) > 1})
