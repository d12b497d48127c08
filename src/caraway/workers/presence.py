"""A worker that shows itself: its beat in the task table, read by ``caraway status``."""

from __future__ import annotations

import asyncio
import json
import os
import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from caraway._version import __version__
from caraway.core.events import Ended, Fenced
from caraway.core.ids import new_token
from caraway.core.presence import (
    RUNNING_SHOWN,
    TASKS_SHOWN,
    About,
    Presence,
    Presences,
    RunningTask,
    present,
)
from caraway.exceptions import AccessDenied, OperationalError, ResourceMissing
from caraway.signals import heartbeat_sent
from caraway.utils.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from caraway.app import Caraway
    from caraway.core.events import Event
    from caraway.core.executor import Executor
    from caraway.core.port import Aws
    from caraway.core.routing import Queue
    from caraway.workers.pools import Pool
    from caraway.workers.slots import Slots

logger = get_logger("worker")

ENLISTED_EVERY: Final = 20
"""Beats: who was taken off the list by mistake, after a long silence, is on it again by then."""
_ATTEMPT_ENDS: Final = (Ended, Fenced)
_DESCRIBED_EVERY_S: Final = 86_400
_VALUE_SHOWN: Final = 500
_SECRET: Final = re.compile("key|pass|secret|signature|token|credential", re.IGNORECASE)
_USER_IN_URL: Final = re.compile("//[^/@]*@")


class Tally:
    """Counts the attempts that end, on their way to another observer."""

    def __init__(self, observe: Callable[[Event], None]) -> None:
        self._observe = observe
        self.processed = 0

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        if isinstance(event, _ATTEMPT_ENDS):
            self.processed += 1
        self._observe(event)


class Attendance:
    """Shows one worker to those who ask, from its start to its stop.

    It never disturbs the worker: where the table may not be written it says so once and ends, and
    a beat that fails is followed by the next.
    """

    def __init__(
        self,
        aws: Aws,
        app: Caraway,
        *,
        hostname: str,
        pool: Pool,
        queues: Sequence[Queue],
        executor: Executor,
        slots: Slots,
        tally: Tally,
        interval_s: float,
    ) -> None:
        self._aws = aws
        self._presences = Presences(app.site.records.table)
        self._about = about_of(app)
        self._executor = executor
        self._slots = slots
        self._tally = tally
        self._beats = 0
        self._described_at: float | None = None
        self._is_listed = False
        self._stopping = asyncio.Event()
        self._beating: asyncio.Future[None] | None = None
        self.hostname = hostname
        self._first = Presence(
            hostname=hostname,
            session=f"{hostname}\t{new_token()}",
            pid=os.getpid(),
            pool=pool.name,
            concurrency=pool.concurrency,
            queues=tuple(queue.name for queue in queues),
            version=__version__,
            about=self._about.digest,
            interval_s=interval_s,
            started_at=aws.now().timestamp(),
        )

    def begin(self) -> None:
        """Show the worker from now on."""
        self._beating = asyncio.ensure_future(self._run())

    async def end(self) -> None:
        """Stop to beat, and take the worker off the list."""
        if self._beating is None:
            return
        self._stopping.set()
        await self._beating
        if self._is_listed:
            self._is_listed = False
            try:
                await self._aws.perform(self._presences.strike([self._first.session]))
            except OperationalError as error:
                logger.debug("the worker could not sign off: %s", error)

    async def _run(self) -> None:
        """Beat until the end, or until the table says that it is not to be written."""
        while not self._stopping.is_set():
            try:
                await self._beat()
            except (AccessDenied, ResourceMissing) as error:
                logger.warning("'caraway status' will not show this worker: %s", error)
                return
            except OperationalError as error:
                logger.debug("a heartbeat was not written: %s", error)
                self._is_listed = False
            except Exception:
                logger.exception("a heartbeat failed; the worker goes on")
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._first.interval_s)

    async def _beat(self) -> None:
        presence = self._now()
        if self._described_at is None or (
            presence.beat_at - self._described_at > _DESCRIBED_EVERY_S
        ):
            await self._aws.perform(self._presences.describe(self._about, presence.beat_at))
            self._described_at = presence.beat_at
        await self._aws.perform(self._presences.beat(presence))
        if not self._is_listed or self._beats % ENLISTED_EVERY == 0:
            await self._aws.perform(self._presences.enlist(presence.session))
            self._is_listed = True
        if self._beats == 0:
            await self._look_for_a_double()
        self._beats += 1
        heartbeat_sent.send(self)

    def _now(self) -> Presence:
        claimed = sorted(self._executor.running.values(), key=lambda each: each.began)
        return replace(
            self._first,
            beat_at=self._aws.now().timestamp(),
            processed=self._tally.processed,
            running=self._slots.running,
            tasks=tuple(
                RunningTask(each.message.id, each.message.task, each.began.timestamp())
                for each in claimed[:RUNNING_SHOWN]
            ),
        )

    async def _look_for_a_double(self) -> None:
        me = self._first
        for other in await present(self._aws, self._presences):
            if other.hostname == me.hostname and other.session != me.session:
                logger.warning(
                    "another worker is named %s too (process %d, seen %.0f s ago): unless it has "
                    "been killed, give each a name of its own with -n, such as -n reports@%%h",
                    me.hostname,
                    other.pid,
                    self._aws.now().timestamp() - other.beat_at,
                )


def about_of(app: Caraway) -> About:
    """Return what workers of an app have in common."""
    conf = app.conf
    shown = {
        name: _shown(name, conf[name]) for name in conf if conf[name] != conf.declared[name].default
    }
    return About(tuple(sorted(app.tasks)[:TASKS_SHOWN]), shown)


def _shown(name: str, value: Any) -> str:
    """Return a setting as text, as far as everybody who reads the table may know it."""
    if _SECRET.search(name):
        return "(secret)"
    if name == "beat_schedule":  # the arguments of a task are nobody's business
        value = sorted(value)
    try:
        text = json.dumps(value, ensure_ascii=False)
    except TypeError:
        text = repr(value)
    return _USER_IN_URL.sub("//", text)[:_VALUE_SHOWN]
