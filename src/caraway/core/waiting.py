"""Waiting for results: of one task, or of many together.

Waiting looks early, then less and less often, and each look asks only for what has not ended. What
lies in S3 is read when its task has ended, or when somebody wants to see each change. A task before
which another of its chain has ended otherwise than well never comes, and ends the wait as that did.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from caraway import states
from caraway.core.reading import get_items
from caraway.core.results import (
    Awaited,
    Seen,
    is_over,
    look_all,
    record_of,
    seen_of,
    seen_of_all,
    shown,
)
from caraway.exceptions import ChainStopped, TimeoutError  # noqa: A004 - Celery's name
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
    from datetime import datetime

    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.record import Record
    from caraway.requests.items import Item

FIRST_LOOK_S: Final = 0.009
"""How long after its sending a task is looked at first: no worker ends one sooner, and on one
machine the look would only be in its way."""
FIRST_WAIT_S: Final = 0.002
LONGEST_WAIT_S: Final = 1.0
GROWTH: Final = 1.4
"""A short task is seen soon, a long one is cheap. One that an idle worker ends at once is seen with
the first look or the second; one of a second takes 17, one of a minute 77."""
ITEMS_A_SECOND: Final = 2_000
"""A look at many tasks comes less often, as each is billed: who waits asks for no more of them."""
WINDOW: Final = 10_000
"""Tasks of a group that a look asks for: those behind them are asked for as these end."""


class Link(Awaited, Protocol):
    """A task that comes after others."""

    @property
    def before(self) -> Sequence[str]:
        """The tasks before it in its chain, the nearest first."""
        ...


A = TypeVar("A", bound=Link)


@dataclass(frozen=True)
class Ended(Generic[A]):
    """A task that has ended, and its place among those that were waited for.

    Attributes
    ----------
    record
        Its own; where it is never sent, that of the task before it which has stopped their chain.
    """

    place: int
    task: A
    record: Record

    @property
    def is_stopped(self) -> bool:
        """Whether it is never sent."""
        return self.record.id != self.task.id


@dataclass(frozen=True)
class _Waiting(Generic[A]):
    """A task that is waited for; ``before`` are those before it that go on, the next one last."""

    place: int
    task: A
    before: list[str]

    @property
    def id(self) -> str:
        return self.task.id


@dataclass(frozen=True)
class _Link(Generic[A]):
    """The next task in the chain of one that is waited for."""

    id: str
    of: _Waiting[A]


class ParentFailed(Exception):  # noqa: N818 - an event of waiting, which its caller answers
    """What is waited for never comes: a task before it in its chain has not ended well.

    Attributes
    ----------
    seen
        What is to be seen of that task; the error of one that was ignored is :class:`ChainStopped`.
    """

    def __init__(self, seen: Seen) -> None:
        super().__init__(f"its parent has ended as {seen.state}")
        self.seen = seen


def stops(record: Record) -> bool:
    """Say whether nothing comes after a task: it has ended, and not well."""
    return is_over(record) and record.state != states.SUCCESS


def stopping(seen: Seen) -> Seen:
    """Return what is to be seen of a task that never comes, from what has stopped its chain."""
    if seen.state in states.PROPAGATE_STATES:
        return seen
    why = f"task {seen.record.id} has ended as {seen.state}, and what comes after it is never sent"
    return Seen(states.FAILURE, ChainStopped(why), seen.record)


def _look_differs(now: Record, before: Record | None) -> bool:
    """Say whether users see something else now: not so for a lease that was renewed."""
    return before is None or any(
        getattr(now, name) != getattr(before, name)
        for name in ("state", "meta", "attempt", "phase", "done_at")
    )


class _Pace:
    """When to look again, and when to give up."""

    def __init__(
        self,
        aws: Aws,
        timeout_s: float | None,
        interval_s: float | None,
        on_interval: Callable[[], object] | None = None,
    ) -> None:
        self._aws = aws
        self._began = aws.now()
        self._timeout_s = timeout_s
        self._interval_s = interval_s
        self._on_interval = on_interval
        self._wait_s = FIRST_WAIT_S if interval_s is None else interval_s

    async def until_it_may_have_ended(self, sent_at: datetime) -> None:
        """Wait for the first look at a task that was sent a moment ago."""
        if self._interval_s is None:
            wait_s = FIRST_LOOK_S - (self._began - sent_at).total_seconds()
            wait_s = wait_s if self._timeout_s is None else min(wait_s, self._timeout_s)
            if wait_s > 0:
                await self._aws.sleep(wait_s)

    async def pause(self, asked: int, why: str) -> None:
        """Wait until the next look, which asks for so many tasks.

        Raises
        ------
        TimeoutError
            If there is no time left; ``why`` says what has not happened.
        """
        if self._on_interval is not None:
            self._on_interval()
        wait_s = self._wait_s
        if self._interval_s is None:
            wait_s = max(wait_s, asked / ITEMS_A_SECOND)
            self._wait_s = min(self._wait_s * GROWTH, LONGEST_WAIT_S)
        if self._timeout_s is not None:
            left_s = self._timeout_s - (self._aws.now() - self._began).total_seconds()
            if left_s <= 0:
                raise TimeoutError(
                    f"{why} after {self._timeout_s} s: is a worker consuming its queue?"
                )
            wait_s = min(wait_s, left_s)
        await self._aws.sleep(max(0.0, wait_s))


async def wait(
    aws: Aws,
    site: Site,
    id: str,
    timeout_s: float | None,
    interval_s: float | None,
    observe: Callable[[Seen], object] | None = None,
    *,
    sent_at: datetime | None = None,
    parents: Sequence[str] = (),
    on_interval: Callable[[], object] | None = None,
) -> Seen:
    """Wait until a task has ended.

    Parameters
    ----------
    interval_s
        Seconds between looks; None looks early and then less and less often.
    observe
        Is told what each look sees, where that differs from the look before; the ending last.
    sent_at
        When it was sent, where that is known.
    parents
        The tasks before it in its chain: where one does not end well, this one is never sent.
    on_interval
        Is called after each look that has not seen the end.

    Raises
    ------
    TimeoutError
        If it has not ended after ``timeout_s`` seconds.
    ParentFailed
        If one of the parents has.
    """
    pace = _Pace(aws, timeout_s, interval_s, on_interval)
    running = list(parents)
    before: Record | None = None
    if sent_at is not None:
        await pace.until_it_may_have_ended(sent_at)
    while True:
        record, running = await _with_parents(aws, site, id, running)
        if is_over(record) or (observe is not None and _look_differs(record, before)):
            seen = await seen_of(aws, site, record)
            if observe is not None:
                observe(seen)
            if seen.ready:
                return seen
        before = record
        await pace.pause(1, f"task {id} is {record.state}")


async def _with_parents(
    aws: Aws, site: Site, id: str, parents: Sequence[str]
) -> tuple[Record, list[str]]:
    """Return a task's record, and which of its parents go on."""
    if not parents:
        return await record_of(aws, site, id), []
    items = await get_items(aws, site.records.table, [id, *parents])
    record = shown(aws, items.get(id))
    if is_over(record):
        return record, []
    return record, await _still_running(aws, site, parents, items)


async def _still_running(
    aws: Aws, site: Site, parents: Sequence[str], items: dict[str, Item]
) -> list[str]:
    running = []
    for id in parents:
        record = shown(aws, items.get(id))
        if stops(record):
            raise ParentFailed(stopping(await seen_of(aws, site, record)))
        if not is_over(record):
            running.append(id)
    return running


async def endings(
    aws: Aws,
    site: Site,
    tasks: Iterable[A],
    timeout_s: float | None,
    interval_s: float | None,
    *,
    parents: Sequence[str] = (),
    on_interval: Callable[[], object] | None = None,
) -> AsyncGenerator[list[Ended[A]], None]:
    """Give tasks as they end, those together that one look has found; nothing is read from S3.

    One that never comes, as its own chain has stopped, is given with what has stopped it. Takes
    what :func:`wait` takes, and raises the same. However many tasks there are, no more than
    :data:`WINDOW` of them are in memory: the others are asked for as those before them end.
    """
    pace = _Pace(aws, timeout_s, interval_s, on_interval)
    left = (_Waiting(place, task, list(task.before)) for place, task in enumerate(tasks))
    waiting: dict[int, _Waiting[A]] = {}
    running, number = list(parents), 0
    while True:
        fresh = {each.place: each for each in islice(left, WINDOW - len(waiting))}
        waiting |= fresh
        if not waiting:
            return
        before = number
        # Those behind the window may have ended long ago: they are looked at first, and alone.
        async for looked in look_all(aws, site, list((fresh or waiting).values())):
            ended = [Ended(at.place, at.task, record) for at, record in looked if is_over(record)]
            for each in ended:
                del waiting[each.place]
            number += len(ended)
            if ended:
                yield ended
        if waiting and not (fresh and number > before):
            running = await _running_of(aws, site, running)
            if stopped := await _stopped(aws, site, list(waiting.values())):
                for each in stopped:
                    del waiting[each.place]
                number += len(stopped)
                yield stopped
                continue
            first = next(iter(waiting.values())).id
            await pace.pause(len(waiting), f"{number:,} tasks have ended, but {first} has not")


async def _stopped(aws: Aws, site: Site, waiting: Sequence[_Waiting[A]]) -> list[Ended[A]]:
    """Return those that never come; of each chain only the next task is asked for."""
    stopped: list[Ended[A]] = []
    links = [_Link(each.before[-1], each) for each in waiting if each.before]
    while links:
        further: list[_Link[A]] = []
        async for looked in look_all(aws, site, links):
            for link, record in looked:
                if stops(record):
                    stopped.append(Ended(link.of.place, link.of.task, record))
                elif is_over(record):
                    link.of.before.pop()
                    further += [_Link(id, link.of) for id in link.of.before[-1:]]
        links = further
    return stopped


async def seen_of_ended(aws: Aws, site: Site, ended: Sequence[Ended[A]]) -> list[Seen]:
    """Return what is to be seen of tasks that have ended, or never come."""
    seen = await seen_of_all(aws, site, [each.record for each in ended])
    return [
        stopping(now) if each.is_stopped else now for each, now in zip(ended, seen, strict=True)
    ]


async def _running_of(aws: Aws, site: Site, parents: Sequence[str]) -> list[str]:
    """Return which of the parents of what is waited for go on."""
    if not parents:
        return []
    items = await get_items(aws, site.records.table, parents)
    return await _still_running(aws, site, parents, items)
