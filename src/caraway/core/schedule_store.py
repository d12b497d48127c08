"""Schedules as those of EventBridge Scheduler: it needs a role, and takes millions of them.

A list shows names only, so a name holds what its schedule comes to: another content has another
name. The new one is created before the old one is deleted; both may fire in between, which is one
task, as the ids of occurrences derive from the entry.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, ClassVar, Final

from caraway.core.paging import first_of
from caraway.core.patience import in_turn, unhurried
from caraway.core.stored import Held, Kept, Mark, Put, Stored, entry_of, made_at_run_time
from caraway.exceptions import InvalidOption
from caraway.lean import dataclass
from caraway.requests.scheduler import (
    INPUT_LIMIT_BYTES,
    SCHEDULED_TIME,
    CreateSchedule,
    DeleteSchedule,
    GetSchedule,
    ListSchedules,
    Schedule,
    ScheduleExists,
    ScheduleMissing,
    ScheduleSummary,
    UpdateSchedule,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.core.port import Aws
    from caraway.core.stored import Kind, Origin, Owner
    from caraway.requests.base import Json

_TIME: Final = f',"scheduled_time":"{SCHEDULED_TIME}"}}'
_NAME = re.compile(r"([cd])[0-9a-f]{8}-.*-([0-9a-f]{12})")
_ORIGINS: Final[dict[str, Origin]] = {"c": "code", "d": "data"}


def input_of(text: str) -> str:
    """Return a message as an input, into which Scheduler puts the time."""
    return text[:-1] + _TIME


@dataclass(frozen=True)
class ScheduleStore:
    """The schedules of one owner in one group, told from others by their names and marks.

    Attributes
    ----------
    role_arn
        What Scheduler assumes to send; empty only where nothing is written.
    """

    owner: Owner
    group: str = "default"
    role_arn: str = ""

    kind: ClassVar[Kind] = "schedule"

    def name_of(self, stored: Stored) -> str:
        """Return the name of a schedule."""
        return self.owner.schedule_name(stored, self.digits_of(stored))

    def digits_of(self, stored: Stored) -> str:
        """Return what its name and mark say of its content."""
        return stored.digits(self.role_arn)

    def check(self, stored: Stored) -> None:
        """Raise for a message that is too long."""
        size = len(input_of(stored.text).encode())
        if size > INPUT_LIMIT_BYTES:
            raise InvalidOption(
                f"its message has {size:,} bytes, above EventBridge Scheduler's limit of "
                f"{INPUT_LIMIT_BYTES:,}: keep the data in S3 or a table, and pass where it is"
            )

    def resource(self, stored: Stored, queue_arn: Json) -> dict[str, Json]:
        """Return it as a resource of CloudFormation."""
        wire = self._schedule(Put(stored, "", is_on=stored.enabled)).to_wire()
        del wire["ActionAfterCompletion"]  # CloudFormation has no such property
        target = {**wire["Target"], "Arn": queue_arn}
        return {"Type": "AWS::Scheduler::Schedule", "Properties": {**wire, "Target": target}}

    async def kept(
        self,
        aws: Aws,
        origin: Origin | None = None,
        entry: str | None = None,
        pages: float = inf,
    ) -> list[Kept]:
        """List the owner's schedules, a hundred with a request."""
        origins: tuple[Origin, ...] = ("code", "data") if origin is None else (origin,)
        found: list[Kept] = []
        for each in origins:
            page = partial(ListSchedules, self.group, self.owner.schedule_prefix(each, entry))
            listed, _ = await first_of(aws, page, pages)
            found += [_kept(schedule) for schedule in listed]
        return found

    async def read(self, aws: Aws, kept: Sequence[Kept]) -> list[Held | None]:
        """Read schedules as a whole; None for what is gone, or not the owner's."""
        held: list[Held | None] = []
        for each in await unhurried(aws, [GetSchedule(each.name, self.group) for each in kept]):
            if isinstance(each, Schedule):
                held.append(_held(each, self.owner))
            elif isinstance(each, ScheduleMissing):
                held.append(None)
            else:
                raise each
        return held

    async def admit(self, aws: Aws, new: Sequence[Stored]) -> None:
        """Look for entries that were made at run time.

        A request for each hundred of these, or for each new entry where that is fewer; and two for
        each that looks alike. There is room for 10 million ("Amazon EventBridge Scheduler quotas").
        """
        page = partial(ListSchedules, self.group, self.owner.schedule_prefix("data"))
        listed, is_all = await first_of(aws, page, len(new))
        there = {f"{each.name.rpartition('-')[0]}-" for each in listed}
        for stored in new:
            if is_all and self.owner.schedule_prefix("data", stored.entry) not in there:
                continue
            for held in await self.read(aws, await self.kept(aws, "data", stored.entry)):
                if held is not None and held.stored.entry == stored.entry:
                    raise made_at_run_time(stored.entry)

    async def put(self, aws: Aws, puts: Sequence[Put]) -> list[Exception | None]:
        """Create schedules, with one request each, or update those that have their names."""
        schedules = [self._schedule(put) for put in puts]
        is_there = [
            put.before is not None and put.before.name == schedule.name
            for put, schedule in zip(puts, schedules, strict=True)
        ]
        outcomes = await unhurried(
            aws,
            [
                UpdateSchedule(schedule) if there else CreateSchedule(schedule)
                for schedule, there in zip(schedules, is_there, strict=True)
            ],
        )
        failures = [each if isinstance(each, Exception) else None for each in outcomes]
        exist = [place for place, each in enumerate(failures) if isinstance(each, ScheduleExists)]
        again = await in_turn(aws, [schedules[place] for place in exist], UpdateSchedule)
        for place, failure in zip(exist, again, strict=True):
            failures[place] = failure
        return failures

    async def switch(self, aws: Aws, held: Sequence[Held], *, on: bool) -> list[Exception | None]:
        """Read schedules and give them back with another state, as Scheduler knows no other way."""
        read = await unhurried(aws, [GetSchedule(each.name, self.group) for each in held])
        failures = [each if isinstance(each, Exception) else None for each in read]
        done = [place for place, each in enumerate(read) if isinstance(each, Schedule)]
        schedules = [each for each in read if isinstance(each, Schedule)]
        outcomes = await in_turn(
            aws,
            schedules,
            lambda each: UpdateSchedule(replace(each, state="ENABLED" if on else "DISABLED")),
        )
        for place, outcome in zip(done, outcomes, strict=True):
            failures[place] = outcome
        return failures

    async def remove(self, aws: Aws, held: Sequence[Held]) -> list[Exception | None]:
        """Delete schedules."""
        failures = await in_turn(aws, held, lambda each: DeleteSchedule(each.name, self.group))
        return [None if isinstance(each, ScheduleMissing) else each for each in failures]

    def _schedule(self, put: Put) -> Schedule:
        stored = put.stored
        mark = Mark.of(stored, self.owner, self.digits_of(stored))
        return Schedule(
            name=self.name_of(stored),
            group=self.group,
            expression=stored.expression,
            target_arn=put.queue_arn,
            role_arn=self.role_arn,
            input=input_of(stored.text),
            message_group_id=stored.group_id,
            state="ENABLED" if put.is_on else "DISABLED",
            description=mark.on(stored.description),
            window_minutes=stored.window_minutes,
        )


def _kept(schedule: ScheduleSummary) -> Kept:
    named = _NAME.fullmatch(schedule.name)
    return Kept(
        schedule.name,
        schedule.arn,
        schedule.state == "ENABLED",
        None if named is None else _ORIGINS[named[1]],
        None if named is None else named[2],
        queue=schedule.target_arn.rpartition(":")[2],
    )


def _held(schedule: Schedule, owner: Owner) -> Held | None:
    description, mark = Mark.split(schedule.description)
    entry = entry_of(schedule.input)
    if mark is None or mark.owner != owner.digits or entry is None:
        return None
    text = schedule.input
    stored = Stored(
        entry=entry,
        expression=schedule.expression,
        queue=schedule.target_arn.rpartition(":")[2],
        text=text.removesuffix(_TIME) + "}" if text.endswith(_TIME) else "",
        description=description,
        enabled=mark.enabled,
        group_id=schedule.message_group_id,
        origin=mark.origin,
        edited=mark.edited,
        window_minutes=schedule.window_minutes,
    )
    return Held("schedule", schedule.name, stored, schedule.state == "ENABLED")
