"""The result of a task, seen from the caller's side."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar

from caraway import states
from caraway.core import results
from caraway.core.codec import decode
from caraway.core.context import current
from caraway.core.port import run_now
from caraway.core.record import DONE
from caraway.core.replay import replay
from caraway.current import current_app
from caraway.exceptions import NotReplayable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.base import AppBase
    from caraway.core.port import Aws
    from caraway.core.results import Seen

R_co = TypeVar("R_co", covariant=True, default=Any)

_join_allowed: ContextVar[bool] = ContextVar("caraway_join_allowed", default=False)


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Allow waiting for results inside a task: for those who know that it cannot deadlock."""
    token = _join_allowed.set(True)
    try:
        yield
    finally:
        _join_allowed.reset(token)


class AsyncResult(Generic[R_co]):
    """The result of a task that may be anywhere: queued, running, done, or unknown.

    Parameters
    ----------
    id
        The task's id.
    app
        The app whose records are asked; the current app when None.
    task_name
        Lets the value be rebuilt to the function's return annotation.
    ignored
        The task was sent with its result ignored: :meth:`get` returns None at once, as in Celery.
    """

    def __init__(
        self,
        id: str,
        app: AppBase | None = None,
        task_name: str | None = None,
        *,
        ignored: bool = False,
    ) -> None:
        self.id = id
        self.app = app or current_app()
        self.ignored = ignored
        self._task_name = task_name
        self._seen: Seen | None = None

    task_id = property(lambda self: self.id, doc="The task's id.")

    # -- looking ------------------------------------------------------------------------------

    def _port(self) -> Aws:
        return self.app.aws

    def _look(self) -> Seen:
        """Look once; an ending that cannot change any more is remembered."""
        if self._seen is not None:
            return self._seen
        return self._remember(run_now(results.look(self._port(), self.app.site, self.id)))

    async def _alook(self) -> Seen:
        if self._seen is not None:
            return self._seen
        return self._remember(await results.look(self.app.aio, self.app.site, self.id))

    def _remember(self, seen: Seen) -> Seen:
        # Not a failure: a replay, or a redrive of its dead letter, may change that.
        if seen.record.phase == DONE and seen.state != states.FAILURE:
            self._seen = seen
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
        done_at = self._look().record.done_at
        return None if done_at is None else datetime.fromtimestamp(done_at, timezone.utc)

    @property
    def name(self) -> str | None:
        """The task's name, when it is known."""
        return self._task_name or self._look().record.task

    @property
    def attempts(self) -> int:
        """Attempts begun so far, retries included."""
        record = self._look().record
        if record.phase is None:
            return 0
        return record.attempt if record.phase in ("failed", "retry") else record.attempt + 1

    def ready(self) -> bool:
        """Whether the task has ended."""
        return self._look().ready

    def successful(self) -> bool:
        """Whether the task returned a value."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Whether the task failed."""
        return self.state == states.FAILURE

    async def astate(self) -> str:
        """Return the task's state now, from asynchronous code."""
        return (await self._alook()).state

    async def aresult(self) -> Any:
        """Return the value, the exception or the ``meta`` as it is now, from asynchronous code."""
        return self._value(await self._alook())

    ainfo = aresult

    # -- waiting ------------------------------------------------------------------------------

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        *,
        disable_sync_subtasks: bool = True,
    ) -> R_co:
        """Wait for the task to end, and return its value; None where the result is ignored.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None waits for ever.
        propagate
            Raise the task's exception; False returns it.
        interval
            Seconds between looks; None looks early and then less and less often, up to 1 s.
        disable_sync_subtasks
            Refuse to wait inside a task, as in Celery: a worker that waits for another task can
            wait for itself.

        Raises
        ------
        TimeoutError
            If the task has not ended in time.
        RuntimeError
            If called inside a task.
        ContentDisallowed
            If the value was written by a serializer that ``result_accept_content`` does not name.
        BaseException
            What the task raised, where ``propagate`` is set.
        """
        if self.ignored:
            return None  # type: ignore[return-value]  # nothing may ever be recorded
        if disable_sync_subtasks:
            _refuse_inside_a_task()
        seen = self._seen
        if seen is None:
            waiting = results.wait(self._port(), self.app.site, self.id, timeout, interval)
            seen = self._remember(run_now(waiting))
        return self._outcome(seen, propagate)

    wait = get

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        *,
        disable_sync_subtasks: bool = True,
    ) -> R_co:
        """Wait as :meth:`get` does, without blocking the event loop."""
        if self.ignored:
            return None  # type: ignore[return-value]
        if disable_sync_subtasks:
            _refuse_inside_a_task()
        seen = self._seen
        if seen is None:
            waiting = results.wait(self.app.aio, self.app.site, self.id, timeout, interval)
            seen = self._remember(await waiting)
        return self._outcome(seen, propagate)

    def _outcome(self, seen: Seen, propagate: bool) -> R_co:
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

    def maybe_throw(self, propagate: bool = True) -> Any:
        """Raise the task's exception if it has failed; else return its value so far."""
        return self._outcome(self._look(), propagate)

    def forget(self) -> None:
        """Hide the result. The task's id stays known, so that it does not run again."""
        run_now(results.forget(self._port(), self.app.site, self.id))
        self._seen = None

    def replay(self, *, queue: str | None = None) -> None:
        """Run a task that failed again, from the message that its record keeps.

        It keeps its id and its arguments, and is sent at once: an eta and ``expires`` have passed.
        Its retries are counted from nothing. What followed from the failure has followed. Repeating
        the call is safe: until the task runs it sends the same attempt.

        Parameters
        ----------
        queue
            The queue's name; the one that it ran from when None.

        Raises
        ------
        NotReplayable
            If the task has not failed, or its message was not kept or is not to be had any more.
        QueueNotFound
            If no queue of that name is declared.
        OperationalError
            If AWS did not answer: call it again, or the task may wait for ever.
        """
        run_now(replay(self._port(), self.app.site, self.app.tasks, self.id, queue))
        self._seen = None

    async def areplay(self, *, queue: str | None = None) -> None:
        """Run a task that failed again, as :meth:`replay` does, from asynchronous code."""
        await replay(self.app.aio, self.app.site, self.app.tasks, self.id, queue)
        self._seen = None

    # -- identity -----------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AsyncResult):
            return self.id == other.id
        return self.id == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"


class EagerResult(AsyncResult[R_co]):
    """The result of a task that has run in this process; its record is in memory.

    A failed task's exception is the one that it raised, with its traceback.
    """

    def __init__(
        self,
        id: str,
        app: AppBase,
        task_name: str | None,
        port: Aws,
        error: BaseException | None = None,
    ) -> None:
        super().__init__(id, app, task_name)
        self._memory = port
        seen = run_now(results.look(port, app.eager_site, id))
        self._seen = seen if error is None else replace(seen, result=error)

    def _port(self) -> Aws:
        return self._memory

    def replay(self, *, queue: str | None = None) -> None:  # noqa: ARG002 - as for any result
        """Refuse: no worker has run it."""
        raise NotReplayable(f"task {self.id} ran in this process: call it again")

    async def areplay(self, *, queue: str | None = None) -> None:
        """Refuse: no worker has run it."""
        self.replay(queue=queue)


def _refuse_inside_a_task() -> None:
    context = current.get()
    running = context.running() if context is not None else None
    if running is not None and not running.is_eager and not _join_allowed.get():
        raise RuntimeError(
            f"never call result.get() within a task ({running.task}): it can wait for itself; link "
            "the tasks instead, or pass disable_sync_subtasks=False if you know better"
        )
