"""What is to be seen of a task now, without waiting for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Generic

from caraway import states
from caraway.core import results, trail
from caraway.core.codec import decode
from caraway.core.port import run_now
from caraway.core.record import DONE, utc
from caraway.exceptions import TimeoutError  # noqa: A004 - Celery's name
from caraway.result_base import ResultBase

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from typing_extensions import TypeVar

    from caraway.core.port import Aws
    from caraway.core.results import Seen
    from caraway.requests.base import Json

    R_co = TypeVar("R_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    R_co = TypeVar("R_co", covariant=True)


class Looks(ResultBase, Generic[R_co]):
    """A task as its record shows it: each look is one request, until it cannot change any more."""

    TimeoutError = TimeoutError
    supports_native_join = True

    id: str
    ignored: bool
    known: Seen | None
    """What was seen of an ending that does not change any more."""
    _task_name: str | None

    # -- looking ------------------------------------------------------------------------------

    def _look(self) -> Seen:
        return run_now(self._seen_of(self._port()))

    async def _alook(self) -> Seen:
        return await self._seen_of(self._aport())

    async def _seen_of(self, aws: Aws) -> Seen:
        if self.known is not None:
            return self.known
        return self.remember(await results.look(aws, self.app.site, self.id))

    def remember(self, seen: Seen) -> Seen:
        """Keep what was seen in mind, if it cannot change any more; return it."""
        # Not a failure: a replay, or a redrive of its dead letter, may change that.
        if seen.record.phase == DONE and seen.state != states.FAILURE:
            self.known = seen
        return seen

    @property
    def state(self) -> str:
        """The task's state now; PENDING also when nothing is known of the id."""
        return self._look().state

    status = state

    @property
    def result(self) -> Any:
        """The value when done, the exception when failed, else the ``meta`` of its state."""
        return self._value(self._look())

    info = result

    @property
    def traceback(self) -> str | None:
        """The traceback of a failure, as text."""
        return self._look().record.traceback

    @property
    def date_done(self) -> datetime | None:
        """When the task ended, in UTC."""
        return utc(self._look().record.done_at)

    @property
    def name(self) -> str | None:
        """The task's name, when it is known."""
        return self._task_name or self._look().record.task

    @property
    def attempts(self) -> int:
        """Attempts begun so far, retries included."""
        return self._look().record.attempts

    @property
    def queue(self) -> str | None:
        """The queue that the task ran from, when it is known."""
        return self._look().record.queue

    @property
    def args(self) -> list[Any] | None:
        """The arguments by position, where ``result_extended`` keeps them."""
        args: list[Any] | None = self._called_with(self._look(), "args")
        return args

    @property
    def kwargs(self) -> dict[str, Any] | None:
        """The arguments by name, where ``result_extended`` keeps them."""
        kwargs: dict[str, Any] | None = self._called_with(self._look(), "kwargs")
        return kwargs

    @property
    def worker(self) -> str | None:
        """Who ran the task, where ``result_extended`` keeps that."""
        worker: str | None = self._called_with(self._look(), "worker")
        return worker

    def _called_with(self, seen: Seen, name: str) -> Any:
        kept = json.loads(seen.record.call or "{}").get(name)
        return decode(kept, self.app.site.contents.results_accepted.read)

    @property
    def retries(self) -> int:
        """Attempts begun after the first."""
        return self._look().record.retries

    def successful(self) -> bool:
        """Whether the task returned a value."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Whether the task failed."""
        return self.state == states.FAILURE

    async def asuccessful(self) -> bool:
        """Say whether the task returned a value, from asynchronous code."""
        return await self.astate() == states.SUCCESS

    async def afailed(self) -> bool:
        """Say whether the task failed, from asynchronous code."""
        return await self.astate() == states.FAILURE

    async def astate(self) -> str:
        """Return the task's state now, from asynchronous code."""
        return (await self._alook()).state

    async def aresult(self) -> Any:
        """Return the value, the exception or the ``meta`` as it is now, from asynchronous code."""
        return self._value(await self._alook())

    ainfo = aresult

    async def ameta(self) -> dict[str, Any]:
        """Return all that is known of the task now, by Celery's names, from asynchronous code."""
        return self.meta_of(await self._alook())

    # -- the value ----------------------------------------------------------------------------

    def outcome_of(self, seen: Seen, propagate: bool) -> R_co:
        """Return the value that was seen, or raise the exception."""
        if propagate and seen.state in states.PROPAGATE_STATES:
            raise (
                seen.result
                if seen.result is not None
                else RuntimeError(f"task {self.id} ended as {seen.state}; its error was not kept")
            )
        value: R_co = self._value(seen)
        return value

    def _value(self, seen: Seen) -> Any:
        """Return a value as the task's function returned it."""
        if seen.state != states.SUCCESS:
            return decode(seen.result) if isinstance(seen.result, dict | list) else seen.result
        task = self.app.tasks.get(self._task_name or seen.record.task or "")
        read = self.app.site.contents.results_accepted.read
        if task is None:
            return decode(seen.result, read)
        return task.parameters.result_from_wire(seen.result, read)

    def maybe_throw(
        self, propagate: bool = True, callback: Callable[[str, Any], object] | None = None
    ) -> Any:
        """Raise the task's exception if it has failed; else return its value so far."""
        value = self.outcome_of(self._look(), propagate)
        if callback is not None:
            callback(self.id, value)
        return value

    maybe_reraise = maybe_throw

    def meta_of(self, seen: Seen) -> dict[str, Any]:
        """Return what was seen, as callbacks are told it: Celery's names."""
        record = seen.record
        meta = {
            "task_id": self.id,
            "status": seen.state,
            "result": self._value(seen),
            "traceback": record.traceback,
            "date_done": utc(record.done_at),
        }
        if record.call is not None:
            meta |= {name: self._called_with(seen, name) for name in ("args", "kwargs", "worker")}
            meta |= {"name": record.task, "queue": record.queue, "retries": record.retries}
        return meta

    # -- what it has led to -------------------------------------------------------------------

    @property
    def children(self) -> list[Any] | None:
        """The results of what the task has sent, and of what its success led to.

        None until it has ended, and for a task with ``trail=False`` the empty list.

        Raises
        ------
        TrailTooLong
            If it has sent more than a record lists.
        """
        return self._children_in(self._look())

    async def achildren(self) -> list[Any] | None:
        """Return the children, from asynchronous code."""
        return self._children_in(await self._alook())

    def _children_in(self, seen: Seen) -> list[Any] | None:
        if not seen.ready:
            return None
        return [self._child(each) for each in trail.read(self.id, seen.record.children)]

    def _child(self, data: Json) -> ResultBase:
        child: ResultBase = self.app.result_from_tuple(data)
        return child

    async def _children_of(self, aws: Aws) -> list[ResultBase]:
        return self._children_in(await self._seen_of(aws)) or []

    async def _is_ready(self, aws: Aws) -> bool:
        return (await self._seen_of(aws)).ready

    def _own_ids(self) -> list[str]:
        return [] if self.known is not None and self.known.state == states.SUCCESS else [self.id]
