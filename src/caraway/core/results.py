"""Reading results: what a record shows, and waiting for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from caraway import states
from caraway.core.claim_check import load_text
from caraway.core.errors import error_from_json
from caraway.core.record import DONE, FAILED, Record
from caraway.exceptions import TimeoutError  # noqa: A004 - Celery's name
from caraway.requests.dynamodb import ConditionFailed, GetItem

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.requests.base import Json

FIRST_WAIT_S: Final = 0.02
LONGEST_WAIT_S: Final = 1.0
GROWTH: Final = 1.4
"""Waiting looks early, then less and less often: a short task is seen soon, a long one is cheap."""


@dataclass(frozen=True)
class Seen:
    """What users see of a task.

    Attributes
    ----------
    result
        The value as JSON for SUCCESS, the exception for FAILURE, REVOKED and RETRY, the ``meta``
        of a state of the user's own.
    """

    state: str
    result: Any = None
    record: Record = field(default_factory=lambda: Record(""))

    @property
    def ready(self) -> bool:
        """Whether the task has ended."""
        return self.record.phase in (DONE, FAILED)

    def changed_since(self, before: Record) -> bool:
        """Whether users see something else now: not so for a lease that was renewed."""
        now = self.record
        return (now.state, now.meta, now.attempt, now.phase, now.done_at) != (
            before.state,
            before.meta,
            before.attempt,
            before.phase,
            before.done_at,
        )


async def look(aws: Aws, site: Site, id: str) -> Seen:
    """Return what is to be seen of a task now; PENDING when there is no record."""
    item = await aws.perform(GetItem(site.records.table, id))
    if item is None:
        return Seen(states.PENDING)
    record = Record.read(item)
    if record.expires_at is not None and record.expires_at <= aws.now().timestamp():
        return Seen(states.PENDING)
    if record.state in states.READY_STATES | {states.RETRY}:
        return Seen(record.state, await _result(aws, site, record), record)
    meta = json.loads(await load_text(aws, site.store, record.meta)) if record.meta else None
    return Seen(record.state, meta, record)


async def _result(aws: Aws, site: Site, record: Record) -> Any:
    if record.result is None:
        return None
    data: Json = json.loads(await load_text(aws, site.store, record.result))
    return error_from_json(data) if record.state in states.EXCEPTION_STATES else data


async def wait(
    aws: Aws,
    site: Site,
    id: str,
    timeout_s: float | None,
    interval_s: float | None,
    observe: Callable[[Seen], None] = lambda _seen: None,
) -> Seen:
    """Wait until a task has ended.

    Parameters
    ----------
    interval_s
        Seconds between looks; None looks early and then less and less often.
    observe
        Is told what each look sees, where that differs from the look before; the ending last.

    Raises
    ------
    TimeoutError
        If it has not ended after ``timeout_s`` seconds.
    """
    began = aws.now()
    wait_s = FIRST_WAIT_S if interval_s is None else interval_s
    shown: Record | None = None
    while True:
        seen = await look(aws, site, id)
        if shown is None or seen.changed_since(shown):
            observe(seen)
            shown = seen.record
        if seen.ready:
            return seen
        waited_s = (aws.now() - began).total_seconds()
        if timeout_s is not None and waited_s >= timeout_s:
            raise TimeoutError(
                f"task {id} is {seen.state} after {timeout_s} s: is a worker consuming its queue?"
            )
        remaining_s = wait_s if timeout_s is None else timeout_s - waited_s
        await aws.sleep(max(0.0, min(wait_s, remaining_s)))
        if interval_s is None:
            wait_s = min(wait_s * GROWTH, LONGEST_WAIT_S)


async def forget(aws: Aws, site: Site, id: str) -> bool:
    """Hide a result; says whether there was one. The record goes on to guard the task's id."""
    try:
        await aws.perform(site.records.forget(id, aws.now().timestamp()))
    except ConditionFailed:
        return False
    return True
