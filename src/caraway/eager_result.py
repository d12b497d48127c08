"""The result of a task that has run in the caller's process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from caraway.async_result import AsyncResult
from caraway.core import results
from caraway.core.port import run_now
from caraway.core.waiting import stopping, stops
from caraway.exceptions import NotReplayable
from caraway.looks import R_co

if TYPE_CHECKING:
    from caraway.base import AppBase
    from caraway.core.port import Aws
    from caraway.core.results import Seen
    from caraway.requests.base import Json
    from caraway.result_base import ResultBase


class EagerResult(AsyncResult[R_co]):
    """The result of a task that has run in this process; its record is in memory.

    A failed task's exception is the one that it raised, with its traceback.

    Parameters
    ----------
    port
        The account in memory.
    stopped
        What has stopped the chain that it lies in, if anything has.
    """

    def __init__(
        self,
        id: str,
        app: AppBase,
        task_name: str | None,
        port: Aws,
        error: BaseException | None = None,
        parent: ResultBase | None = None,
        stopped: Seen | None = None,
    ) -> None:
        super().__init__(id, app, task_name, parent=parent)
        self._memory = port
        seen = run_now(results.look(port, app.eager_site, id))
        if stopped is not None and seen.record.phase is None:
            seen = stopped
        self.known = seen if error is None else replace(seen, result=error)

    def _port(self) -> Aws:
        return self._memory

    _aport = _port

    def _child(self, data: Json) -> ResultBase:
        told, members = data
        if members is not None:
            return super()._child(data)
        return EagerResult(told[0], self.app, None, self._memory)

    def replay(self, *, queue: str | None = None) -> None:  # noqa: ARG002 - as for any result
        """Refuse: no worker has run it."""
        raise NotReplayable(f"task {self.id} ran in this process: call it again")

    async def areplay(self, *, queue: str | None = None) -> None:
        """Refuse: no worker has run it."""
        self.replay(queue=queue)


def stopped_by(result: ResultBase | None) -> Seen | None:
    """Return what stops the tasks after a result, from it or a task before it; None if nothing."""
    while result is not None and not isinstance(result, EagerResult):
        result = result.parent
    seen = None if result is None else result.known
    return stopping(seen) if seen is not None and stops(seen.record) else None
