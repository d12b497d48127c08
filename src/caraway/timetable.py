"""``app.schedules``: the entries of the schedule that AWS stores, to be seen and changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from caraway.async_result import AsyncResult
from caraway.beat import arguments_of, compared_with_code, schedules_of, stored_of, stores_of
from caraway.call_options import options_to_json
from caraway.core.beat import entries
from caraway.core.port import run_now
from caraway.core.run_history import Run, history
from caraway.core.schedule_changes import (
    edited,
    entry_in,
    never_due,
    remove,
    send_now,
    switch,
    write,
)
from caraway.core.schedule_entries import (
    ScheduleEntry,
    find_anywhere,
    made_at_run_time,
    overview,
    shown,
    with_last_runs,
)
from caraway.exceptions import ImproperlyConfigured, ScheduleNotFound, nearest
from caraway.schedules import BaseSchedule, crontab
from caraway.schedules.written import schedule_of, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from typing_extensions import Unpack

    from caraway.base import AppBase
    from caraway.core.policies import CatchUp, Overlap
    from caraway.core.port import Aws
    from caraway.core.stored import Held, Stored

Entries: TypeAlias = "list[ScheduleEntry]"
Runs: TypeAlias = "list[Run]"
Times: TypeAlias = "list[datetime]"
When: TypeAlias = "BaseSchedule | timedelta | float | str"
"""A schedule, an interval, or text such as ``"*/15 8-18 * * mon-fri"`` and ``"every 10m"``
(:mod:`caraway.schedules.written`)."""


class Fields(TypedDict, total=False):
    """What an entry may say, as in ``beat_schedule``; None takes it back to its default."""

    args: Sequence[Any] | None
    kwargs: Mapping[str, Any] | None
    options: Mapping[str, Any] | None
    enabled: bool | None
    start: datetime | None
    end: datetime | None
    misfire_grace_s: float | timedelta | None
    catch_up: CatchUp | None
    overlap: Overlap | None
    jitter_s: int | timedelta | None


class Changes(Fields, total=False):
    """What an edit may change."""

    schedule: When


class Schedules:
    """The entries of the schedule that AWS stores: the code's, and those made at run time.

    Each method asks AWS; its twin with an ``a`` before its name is for asynchronous code. Methods
    that name an entry raise :class:`~caraway.exceptions.ScheduleNotFound` if AWS has none of that
    name, and all raise :class:`~caraway.exceptions.OperationalError` if AWS could not be asked or
    refused.
    """

    def __init__(self, app: AppBase) -> None:
        self.app = app

    # -- looking ------------------------------------------------------------------------------

    def list(self) -> Entries:
        """Return all entries by their names, each with its last run.

        Those of ``beat_schedule`` are among them whether or not AWS has them; see
        :attr:`ScheduleEntry.status`. What AWS has as the code says is listed, a hundred with a
        request; what differs or was made at run time is read, each with a request or two.

        Raises
        ------
        ImproperlyConfigured
            If the app has no name, or an entry of ``beat_schedule`` cannot be stored.
        """
        return run_now(self._list(self.app.aws))

    async def alist(self) -> Entries:
        """Return all entries, from asynchronous code."""
        return await self._list(self.app.aio)

    async def _list(self, aws: Aws) -> Entries:
        self.app.finalize()
        wanted = schedules_of(self.app, aws.now())
        return await overview(aws, self.app.site, stores_of(self.app), wanted)

    def get(self, name: str) -> ScheduleEntry:
        """Return an entry that AWS has, with its last run."""
        return run_now(self._get(self.app.aws, name))

    async def aget(self, name: str) -> ScheduleEntry:
        """Return an entry that AWS has, from asynchronous code."""
        return await self._get(self.app.aio, name)

    async def _get(self, aws: Aws, name: str) -> ScheduleEntry:
        return await self._shown(aws, (await self._held(aws, name))[0])

    def next(self, name: str, count: int = 1) -> Times:
        """Return when an entry's next occurrences are, in UTC; none while it is paused or off."""
        return run_now(self._next(self.app.aws, name, count))

    async def anext(self, name: str, count: int = 1) -> Times:
        """Return when an entry's next occurrences are, from asynchronous code."""
        return await self._next(self.app.aio, name, count)

    async def _next(self, aws: Aws, name: str, count: int) -> Times:
        return shown(self.app.site, (await self._held(aws, name))[0], aws.now()).next(count)

    def history(self, name: str, count: int = 20, before: datetime | None = None) -> Runs:
        """Return an entry's last occurrences, the latest first, as their records show them.

        A hundred cost one request. They are those of the schedule as it is now, at most 15 days
        back: what ran before an edit by other times is not among them, nor is :meth:`run_now`.

        Parameters
        ----------
        count
            How many at most.
        before
            Up to which moment; None: up to now.
        """
        return run_now(self._history(self.app.aws, name, count, before))

    async def ahistory(self, name: str, count: int = 20, before: datetime | None = None) -> Runs:
        """Return an entry's last occurrences, from asynchronous code."""
        return await self._history(self.app.aio, name, count, before)

    async def _history(self, aws: Aws, name: str, count: int, before: datetime | None) -> Runs:
        entry = shown(self.app.site, (await self._held(aws, name))[0], aws.now())
        if entry.timing is None:
            raise ImproperlyConfigured(
                f"the message of {name!r} does not say when it is due: run 'caraway beat sync'"
            )
        return await history(aws, self.app.site, name, entry.timing, count, before)

    # -- changing -----------------------------------------------------------------------------

    def create(
        self,
        name: str,
        task: str,
        schedule: When,
        *,
        tz: str | None = None,
        **fields: Unpack[Fields],
    ) -> ScheduleEntry:
        """Make an entry that no code says, and no sync touches.

        Parameters
        ----------
        task
            The task's name; its arguments are checked if this app has it.
        tz
            The zone of a crontab or a moment that is text; the app's by default.
        fields
            As in ``beat_schedule``: ``args``, ``kwargs``, ``options``, ``enabled``, ``start``,
            ``end``, ``misfire_grace_s``, ``catch_up``, ``overlap``, ``jitter_s``.

        Raises
        ------
        ImproperlyConfigured
            If there is an entry of that name, in AWS or in ``beat_schedule``, or it cannot be
            stored; the message says why.
        """
        stored = self._new(self.app.aws.now(), name, task, schedule, tz, fields)
        return run_now(self._create(self.app.aws, stored))

    async def acreate(
        self,
        name: str,
        task: str,
        schedule: When,
        *,
        tz: str | None = None,
        **fields: Unpack[Fields],
    ) -> ScheduleEntry:
        """Make an entry that no code says, from asynchronous code."""
        stored = self._new(self.app.aio.now(), name, task, schedule, tz, fields)
        return await self._create(self.app.aio, stored)

    def _new(
        self,
        now: datetime,
        name: str,
        task: str,
        when: When,
        tz: str | None,
        fields: Mapping[str, Any],
    ) -> Stored:
        said = {"task": task, "schedule": schedule_of(when, tz, self.app.timezone), **fields}
        (entry,) = entries({name: said}, "data")
        if name in self._code():
            raise ImproperlyConfigured(
                f"schedule[{name!r}]: beat_schedule has an entry of that name: choose another one"
            )
        made = stored_of(self.app, [entry], now, "data")
        if not made:
            raise never_due(name)
        return made[0]

    async def _create(self, aws: Aws, stored: Stored) -> ScheduleEntry:
        stores = stores_of(self.app)
        if await find_anywhere(aws, stores, stored.entry):
            raise ImproperlyConfigured(
                f"schedule[{stored.entry!r}]: there is one of that name already: edit it, delete "
                "it, or choose another name"
            )
        return await self._shown(aws, await write(aws, stores, stored))

    def edit(
        self, name: str, *, tz: str | None = None, **changes: Unpack[Changes]
    ) -> ScheduleEntry:
        """Change an entry: what is not named stays.

        An edit of an entry of the code lasts until the next sync; it is ``edited`` until then.

        Parameters
        ----------
        tz
            The zone of a crontab or a moment that is text; by default the zone that it was in.
        changes
            As in ``beat_schedule``: ``schedule``, ``args``, ``kwargs``, ``options`` (those named
            are changed, None takes one back), ``enabled``, ``start``, ``end`` and the policies.

        Raises
        ------
        UnknownOption
            If there is no such change; the message says the nearest.
        ImproperlyConfigured
            If what comes of it cannot be stored.
        """
        return run_now(self._edit(self.app.aws, name, tz, changes))

    async def aedit(
        self, name: str, *, tz: str | None = None, **changes: Unpack[Changes]
    ) -> ScheduleEntry:
        """Change an entry, from asynchronous code."""
        return await self._edit(self.app.aio, name, tz, changes)

    async def _edit(
        self, aws: Aws, name: str, tz: str | None, changes: Mapping[str, Any]
    ) -> ScheduleEntry:
        held = await self._held(aws, name)
        stored = self._edited(held[0].stored, tz, changes, aws.now())
        return await self._shown(aws, await write(aws, stores_of(self.app), stored, held))

    def pause(self, name: str) -> ScheduleEntry:
        """Let an entry fire no more, until :meth:`resume`; a sync leaves it paused."""
        return run_now(self._switch(self.app.aws, name, on=False))

    async def apause(self, name: str) -> ScheduleEntry:
        """Let an entry fire no more, from asynchronous code."""
        return await self._switch(self.app.aio, name, on=False)

    def resume(self, name: str) -> ScheduleEntry:
        """Let an entry that was paused fire again; what was due meanwhile is not made up for.

        Raises
        ------
        ImproperlyConfigured
            If it is off, which is no pause: its ``enabled`` is False.
        """
        return run_now(self._switch(self.app.aws, name, on=True))

    async def aresume(self, name: str) -> ScheduleEntry:
        """Let an entry that was paused fire again, from asynchronous code."""
        return await self._switch(self.app.aio, name, on=True)

    async def _switch(self, aws: Aws, name: str, *, on: bool) -> ScheduleEntry:
        held = await switch(aws, stores_of(self.app), await self._held(aws, name), on=on)
        return await self._shown(aws, held)

    def delete(self, name: str) -> None:
        """Delete an entry that was made at run time.

        Raises
        ------
        ImproperlyConfigured
            If the code says it: the next sync would bring it back.
        """
        run_now(self._delete(self.app.aws, name))

    async def adelete(self, name: str) -> None:
        """Delete an entry that was made at run time, from asynchronous code."""
        await self._delete(self.app.aio, name)

    async def _delete(self, aws: Aws, name: str) -> None:
        held = await self._held(aws, name)
        if held[0].stored.origin == "code":
            raise ImproperlyConfigured(
                f"{name!r} is an entry of beat_schedule: take it out there and run 'caraway beat "
                "sync', or pause it"
            )
        await remove(aws, stores_of(self.app), held)

    def run_now(self, name: str) -> AsyncResult[Any]:
        """Send an entry's message at once, as a task of its own; returns its result.

        It is none of the entry's occurrences: its id is new, its ``scheduled_time`` is now, and it
        runs also where the entry is paused, or would not run for its policies. Nor does it keep
        occurrences from running: with ``overlap="skip"`` pause the entry where the two must not
        meet.

        Raises
        ------
        InvalidMessage
            If the stored message cannot be read, or its signature does not hold.
        ImproperlyConfigured
            If messages must be signed, and this app has no key to sign with.
        """
        return run_now(self._run_now(self.app.aws, name))

    async def arun_now(self, name: str) -> AsyncResult[Any]:
        """Send an entry's message at once, from asynchronous code."""
        return await self._run_now(self.app.aio, name)

    async def _run_now(self, aws: Aws, name: str) -> AsyncResult[Any]:
        message = await send_now(aws, self.app.site, (await self._held(aws, name))[0].stored)
        return AsyncResult(message.id, self.app, message.task)

    # -- what they share ----------------------------------------------------------------------

    async def _held(self, aws: Aws, name: str) -> Sequence[Held]:
        """Return what is stored of an entry: at least one."""
        held = await find_anywhere(aws, stores_of(self.app), name)
        if not held:
            raise await self._not_found(aws, name)
        return held

    async def _not_found(self, aws: Aws, name: str) -> ScheduleNotFound:
        of_code = self._code()
        if name in of_code:
            return ScheduleNotFound(
                f"AWS does not have {name!r} of beat_schedule yet: run 'caraway beat sync'"
            )
        # Of very many not all: each is read, and they are not worth more than a suggestion.
        there = await made_at_run_time(aws, stores_of(self.app), pages=1)
        near = nearest(name, [*of_code, *(held.stored.entry for held in there)])
        return ScheduleNotFound(f"AWS has no schedule named {name!r}{near}")

    async def _shown(self, aws: Aws, held: Held) -> ScheduleEntry:
        now, site = aws.now(), self.app.site
        entry = shown(site, held, now, compared_with_code(self.app, held, now))
        (entry,) = await with_last_runs(aws, site, [entry])
        return entry

    def _code(self) -> Mapping[str, Any]:
        """Return ``beat_schedule``, when all that adds to it has run."""
        self.app.finalize()
        said: Mapping[str, Any] = self.app.conf.beat_schedule
        return said

    def _edited(
        self, stored: Stored, tz: str | None, changes: Mapping[str, Any], now: datetime
    ) -> Stored:
        """Return what is to be stored of an entry that is changed."""
        given = dict(changes)
        before = entry_in(self.app.site, stored).schedule
        if given.get("schedule") is not None or tz is not None:
            zone = before.tz if isinstance(before, crontab) else self.app.timezone
            given["schedule"] = schedule_of(given.get("schedule") or to_text(before), tz, zone)
        if options := given.get("options"):
            taken_back = {name: None for name, value in options.items() if value is None}
            given["options"] = {**options_to_json(options), **taken_back}
        return edited(
            self.app.site,
            stores_of(self.app).current,
            stored,
            given,
            zone=self.app.timezone,
            now=now,
            to_wire=lambda entry: arguments_of(self.app, entry),
        )
