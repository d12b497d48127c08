"""The entries of the schedule as AWS stores them: what their messages say, and how they fare.

The message that AWS sends carries the entry's timing, so what is stored says all of it to whoever
reads it: the code that made it is not needed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import field, replace
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from caraway.core.beat_sync import compare
from caraway.core.codec import decode
from caraway.core.envelope import parse_envelope
from caraway.core.message import Message, read_message
from caraway.core.policies import Policy
from caraway.core.run_history import Run, last_runs
from caraway.core.run_times import next_times
from caraway.core.stored import Held
from caraway.core.stores import find
from caraway.core.timing import Timing
from caraway.exceptions import AccessDenied, CarawayError, InvalidMessage, ResourceMissing
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from caraway.core.beat_sync import Status as Compared
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.stored import Kind, Origin, Stored
    from caraway.core.stores import Store, Stores
    from caraway.schedules import BaseSchedule

Status: TypeAlias = Literal[
    "active", "paused", "off", "edited", "differs", "missing", "left over", "unreadable"
]
_NO_ID: Final = "-"


@dataclass(frozen=True)
class ScheduleEntry:
    """An entry of the schedule, as AWS stores it.

    Attributes
    ----------
    name
        Its name; the ids of its occurrences derive from that and their times.
    task
        The task's name.
    timing
        When it occurs; None if that cannot be read.
    policy
        What becomes of its occurrences that are late, or come while another one runs.
    args, kwargs
        The arguments of each run.
    queue
        The queue's name.
    enabled
        What the code, or its maker, says; it may be paused nevertheless.
    is_on
        Whether AWS sends its occurrences.
    origin
        ``code``: ``beat_schedule`` says what it is, and the next sync takes changes back; ``data``:
        it was made at run time, and no sync touches it.
    is_edited
        Whether an entry of the code was edited since the last sync.
    compared
        How an entry of the code stands to that: ``active``, ``differs``, ``missing`` or
        ``left over``.
    expression, kind, stored_as
        How AWS is told: the expression (in UTC), whether it is a ``rule`` of EventBridge or a
        ``schedule`` of EventBridge Scheduler, and the name of that.
    seen_at
        When all this was seen.
    last_run
        Its last occurrence that has begun, of the last 32 and within 15 days; None without one.
    """

    name: str
    task: str
    timing: Timing | None
    policy: Policy
    args: Sequence[Any] = field(repr=False)
    kwargs: Mapping[str, Any] = field(repr=False)
    queue: str
    enabled: bool
    is_on: bool
    origin: Origin
    is_edited: bool
    compared: Compared
    expression: str
    kind: Kind
    stored_as: str
    seen_at: datetime
    last_run: Run | None = None

    @property
    def schedule(self) -> BaseSchedule | None:
        """The schedule: a crontab in its zone, an interval, an event of the sun or a moment."""
        return None if self.timing is None else self.timing.when

    @property
    def is_paused(self) -> bool:
        """Whether it would fire, had it not been paused."""
        return self.enabled and not self.is_on and self.compared != "missing"

    @property
    def status(self) -> Status:
        """How it is, in a word."""
        if self.compared in ("missing", "left over"):
            return self.compared
        if self.timing is None:
            return "unreadable"
        if not self.is_on:
            return "paused" if self.enabled else "off"
        return "edited" if self.is_edited else self.compared

    def next(self, count: int = 1) -> list[datetime]:
        """Return when its next occurrences are, in UTC; none while it is paused or off."""
        if self.timing is None or not self.is_on:
            return []
        return next_times(self.timing, self.seen_at, count)


def message_in(stored: Stored) -> Message:
    """Return the message that AWS sends; it has neither an id nor a time yet.

    Raises
    ------
    InvalidMessage
        If it cannot be read.
    """
    return read_message({**parse_envelope(stored.text), "id": _NO_ID})


def timing_in(message: Message) -> Timing:
    """Return when an entry occurs, as its message says.

    Raises
    ------
    InvalidMessage
        If it does not say so.
    """
    if message.when is None:
        raise InvalidMessage("the message does not say when it is due")
    return Timing.read(message.when)


def policy_in(message: Message) -> Policy:
    """Return what becomes of an entry's occurrences, as its message says.

    Who spreads a jitter, AWS or the worker, is no part of it.

    Raises
    ------
    InvalidMessage
        If a part of it cannot be.
    """
    return replace(Policy.read(message.when or {}), in_window=False)


def arguments_in(site: Site, message: Message) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a message as Python values.

    Raises
    ------
    CarawayError
        If they cannot be read here: of a serializer that is not accepted, or a type nobody knows.
    """
    read = site.contents.accepted.read
    return decode(list(message.args), read), decode(dict(message.kwargs), read)


def shown(site: Site, held: Held, now: datetime, compared: Compared = "active") -> ScheduleEntry:
    """Return what is stored as people see it."""
    stored = held.stored
    task, timing, policy = stored.description.partition(" ")[0], None, Policy()
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    with suppress(InvalidMessage):
        message = message_in(stored)
        task, args, kwargs = message.task, list(message.args), dict(message.kwargs)
        policy, timing = policy_in(message), timing_in(message)
        with suppress(CarawayError):  # else they are shown as they travel
            args, kwargs = arguments_in(site, message)
    return ScheduleEntry(
        name=stored.entry,
        task=task,
        timing=timing,
        policy=policy,
        args=args,
        kwargs=kwargs,
        queue=stored.queue.removeprefix(site.queue_prefix),
        enabled=stored.enabled,
        is_on=held.is_on,
        origin=stored.origin,
        is_edited=stored.edited,
        compared=compared,
        expression=stored.expression,
        kind=held.kind,
        stored_as=held.name,
        seen_at=now,
    )


async def overview(
    aws: Aws, site: Site, stores: Stores, wanted: Sequence[Stored]
) -> list[ScheduleEntry]:
    """Return all entries, of the code and made at run time, by their names.

    What is as the code says is only listed, a hundred schedules with a request; what differs from
    it and what was made at run time is read.

    Parameters
    ----------
    wanted
        Those of the code, from :func:`caraway.core.beat.schedules`.

    Raises
    ------
    ImproperlyConfigured
        As :func:`caraway.core.beat_sync.compare`.
    OperationalError
        If AWS could not be asked.
    """
    plan = await compare(aws, stores, wanted)
    now, kind = aws.now(), stores.current.kind
    found = [
        shown(site, Held(kind, each.name, each.stored, each.is_on), now) for each in plan.unchanged
    ]
    for change in plan.changes:
        if change.before is None:
            missing = Held(kind, change.name, change.stored, is_on=False)
            found.append(shown(site, missing, now, "missing"))
        else:
            compared: Compared = "left over" if change.after is None else "differs"
            found.append(shown(site, change.before, now, compared))
    found += [shown(site, held, now) for held in await made_at_run_time(aws, stores)]
    return await with_last_runs(aws, site, sorted(found, key=lambda entry: entry.name))


async def with_last_runs(
    aws: Aws, site: Site, entries: Sequence[ScheduleEntry]
) -> list[ScheduleEntry]:
    """Return entries with their last runs, at 10 to 40 requests for a thousand."""
    timings = {each.name: each.timing for each in entries if each.timing is not None}
    runs = await last_runs(aws, site, timings)
    return [replace(entry, last_run=runs.get(entry.name)) for entry in entries]


async def made_at_run_time(aws: Aws, stores: Stores, pages: float = inf) -> list[Held]:
    """Return the entries that were made at run time, in whichever store; each is read.

    Parameters
    ----------
    pages
        Of how many pages of a list at most, with a hundred each.
    """
    found = await _read_all(aws, stores.current, pages)
    with suppress(AccessDenied, ResourceMissing):  # who never used it may not look there
        found += await _read_all(aws, stores.other, pages)
    return found


async def _read_all(aws: Aws, store: Store, pages: float) -> list[Held]:
    held = await store.read(aws, await store.kept(aws, "data", pages=pages))
    return [each for each in held if each is not None and each.stored.origin == "data"]


async def find_anywhere(aws: Aws, stores: Stores, name: str) -> list[Held]:
    """Return what is stored of an entry, in whichever store, as :func:`~.stores.find` does."""
    held = await find(aws, stores.current, name)
    if not held:
        with suppress(AccessDenied, ResourceMissing):  # as above
            held = await find(aws, stores.other, name)
    return held
