"""The runs of a schedule's entry: its last occurrences, and what their records say of them.

The id of an occurrence derives from the entry's name and its time, so the table of records is the
history: it is read by ids, a hundred a request, and nothing else is ever written of a run.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import field
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Final

from caraway import states
from caraway.core.errors import in_short
from caraway.core.ids import occurrence_id
from caraway.core.listing import seen_or_missing, state_of
from caraway.core.reading import get_items
from caraway.core.record import Record, utc
from caraway.core.results import is_over
from caraway.core.run_times import each_before, last_times
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.timing import Timing

DEPTHS: Final = (1, 3, 28)
"""How many occurrences more are looked at, each time, for the last one that has begun: mostly it is
the very last, or one that waits stands before it; an entry that was paused has some more."""


@dataclass(frozen=True)
class Run:
    """An occurrence of an entry, as its record shows it.

    Attributes
    ----------
    id
        The task's id.
    scheduled_time
        When it was due, in UTC.
    state
        The task's state; PENDING where nothing is known of it: it waits in its queue, was never
        sent (the entry was off, or another one), or its task keeps no record.
    started_at, ended_at
        When its last attempt began, and when the task ended, in UTC.
    retries
        Attempts begun after the first.
    reason
        Why it failed, was revoked, was missed or is retried.
    door, worker
        What ran it (``lambda`` or ``ecs``); by name, where ``result_extended`` keeps that.
    """

    id: str
    scheduled_time: datetime
    state: str = states.PENDING
    started_at: datetime | None = None
    ended_at: datetime | None = None
    retries: int = 0
    reason: str | None = None
    door: str | None = None
    worker: str | None = None

    @property
    def has_begun(self) -> bool:
        """Whether anything is known of it."""
        return self.state != states.PENDING or self.started_at is not None

    @property
    def duration_s(self) -> float | None:
        """Seconds that its last attempt took; None where it has not ended, or never ran."""
        if self.state == states.MISSED or self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.started_at).total_seconds())


@dataclass(frozen=True)
class Summary:
    """Some runs in numbers.

    Attributes
    ----------
    by_state
        How many there are of each state, of those of which anything is known.
    median_s
        Of the durations, in seconds; None without any.
    """

    by_state: Mapping[str, int] = field(default_factory=dict)
    median_s: float | None = None

    @property
    def runs(self) -> int:
        """How many runs anything is known of."""
        return sum(self.by_state.values())

    @property
    def failures(self) -> int:
        """How many runs failed."""
        return self.by_state.get(states.FAILURE, 0)


async def history(
    aws: Aws, site: Site, entry: str, timing: Timing, count: int, before: datetime | None = None
) -> list[Run]:
    """Return the last occurrences of an entry up to a moment, the latest first.

    Parameters
    ----------
    count
        How many at most. None is older than records are kept, which is 15 days.
    before
        The moment; None for now.

    Raises
    ------
    OperationalError
        If the table could not be read.
    """
    times = last_times(timing, before or aws.now(), count)
    return await _runs(aws, site, [(entry, time) for time in times])


async def last_runs(aws: Aws, site: Site, entries: Mapping[str, Timing]) -> dict[str, Run]:
    """Return the last occurrence of each entry that has begun, by the entries' names.

    One of whose last 32 occurrences none has begun is left out. Most entries take a hundredth of a
    request, as their very last occurrence has begun.

    Raises
    ------
    OperationalError
        If the table could not be read.
    """
    now = aws.now()
    times = {name: each_before(timing, now) for name, timing in entries.items()}
    found: dict[str, Run] = {}
    for more in DEPTHS:
        asked = [
            (name, time)
            for name in times
            if name not in found
            for time in islice(times[name], more)
        ]
        runs = await _runs(aws, site, asked)
        for (name, _), run in zip(asked, runs, strict=True):
            if run.has_begun:
                found.setdefault(name, run)
    return found


def summary(runs: Iterable[Run]) -> Summary:
    """Return runs in numbers."""
    begun = [run for run in runs if run.has_begun]
    durations = [run.duration_s for run in begun if run.duration_s is not None]
    middle = median(durations) if durations else None
    return Summary(Counter(run.state for run in begun), middle)


async def _runs(aws: Aws, site: Site, occurrences: Sequence[tuple[str, datetime]]) -> list[Run]:
    """Return what is known of occurrences, each in its place."""
    ids = [occurrence_id(entry, time) for entry, time in occurrences]
    items = await get_items(aws, site.records.table, ids, consistent=False)
    return [
        await _run(aws, site, id, time, Record.read(items[id])) if id in items else Run(id, time)
        for id, (_, time) in zip(ids, occurrences, strict=True)
    ]


async def _run(aws: Aws, site: Site, id: str, time: datetime, record: Record) -> Run:
    # Not hidden when its result has expired: when it ran is no result.
    is_told = record.state in states.EXCEPTION_STATES and not record.is_hidden(
        aws.now().timestamp()
    )
    error = (await seen_or_missing(aws, site, record)).result if is_told else None
    return Run(
        id=id,
        scheduled_time=time,
        state=state_of(record),
        started_at=utc(record.started_at),
        ended_at=utc(record.done_at) if is_over(record) else None,
        retries=record.retries,
        reason=in_short(error) if isinstance(error, BaseException) else None,
        door=record.door,
        worker=json.loads(record.call or "{}").get("worker"),
    )
