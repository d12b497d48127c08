"""The result of a task, seen from the caller's side."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar

from caraway import states
from caraway.core import results, trail
from caraway.core.codec import decode
from caraway.core.port import run_now
from caraway.core.record import DONE
from caraway.core.replay import replay
from caraway.core.revoke import DEFAULT_SIGNAL, chosen_signal, revoke
from caraway.current import current_app
from caraway.exceptions import UnknownOption
from caraway.joining import refuse_inside_a_task
from caraway.result_base import ResultBase

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.base import AppBase
    from caraway.core.port import Aws
    from caraway.core.results import Seen
    from caraway.core.revoke import Revocation
    from caraway.requests.base import Json

R_co = TypeVar("R_co", covariant=True, default=Any)


class AsyncResult(ResultBase, Generic[R_co]):
    """The result of a task that may be anywhere: queued, running, done, or unknown.

    Parameters
    ----------
    id
        The task's id.
    app
        The app whose records are asked; the current app when None.
    task_name
        Lets the value be rebuilt to the function's return annotation.
    parent
        The result before this one in its chain.
    ignored
        The task was sent with its result ignored: :meth:`get` returns None at once, as in Celery.
    """

    def __init__(
        self,
        id: str,
        app: AppBase | None = None,
        task_name: str | None = None,
        *,
        parent: ResultBase | None = None,
        ignored: bool = False,
    ) -> None:
        self.id: str = id
        self.parent = parent
        self.app = app or current_app()
        self.ignored = ignored
        self._task_name = task_name
        self.known: Seen | None = None
        """What was seen of an ending that does not change any more."""

    task_id = property(lambda self: self.id, doc="The task's id.")

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
        return _utc(self._look().record.done_at)

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

    @property
    def queue(self) -> str | None:
        """The queue that the task ran from, when it is known."""
        return self._look().record.queue

    @property
    def retries(self) -> int:
        """Attempts begun after the first."""
        return max(0, self.attempts - 1)

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

    # -- waiting ------------------------------------------------------------------------------

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        **options: Any,
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
        callback
            Is called with the id and the value.
        on_message
            Is called with what is known of the task, as a dict, whenever that changes.
        on_interval
            Is called after each look that has not seen the end.
        follow_parents
            Take the failure of a task before this one in its chain for its own (the default): it
            is never sent then.
        disable_sync_subtasks
            Refuse to wait inside a task (the default), as in Celery: a worker that waits for
            another task can wait for itself.

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
        return run_now(self._value_of(self._port(), timeout, propagate, interval, **options))

    wait = get

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        **options: Any,
    ) -> R_co:
        """Wait as :meth:`get` does, without blocking the event loop."""
        return await self._value_of(self._aport(), timeout, propagate, interval, **options)

    async def _value_of(
        self,
        aws: Aws,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        *,
        callback: Callable[[str, Any], object] | None = None,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        follow_parents: bool = True,
        disable_sync_subtasks: bool = True,
    ) -> R_co:
        if self.ignored:
            return None  # type: ignore[return-value]  # nothing may ever be recorded
        if disable_sync_subtasks:
            refuse_inside_a_task()
        seen = self.known
        if seen is None:
            waiting = results.wait(
                aws,
                self.app.site,
                self.id,
                timeout,
                interval,
                None if on_message is None else lambda now: on_message(self.meta_of(now)),
                parents=self._ancestors() if follow_parents else (),
                on_interval=on_interval,
            )
            try:
                seen = self.remember(await waiting)
            except results.ParentFailed as failed:
                seen = failed.seen
        value = self.outcome_of(seen, propagate)
        if callback is not None:
            callback(self.id, value)
        return value

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
        return {
            "task_id": self.id,
            "status": seen.state,
            "result": self._value(seen),
            "traceback": seen.record.traceback,
            "date_done": _utc(seen.record.done_at),
        }

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

    def as_tuple(self) -> Any:
        """Return it as plain data: ``((id, parent), None)``."""
        return (self.id, self.parent and self.parent.as_tuple()), None

    def as_list(self) -> list[str]:
        """Return its id, and those of the tasks before it in its chain."""
        return [self.id, *_ids_of(self.parent)]

    def forget(self) -> None:
        """Hide the result. The task's id stays known, so that it does not run again."""
        run_now(results.forget(self._port(), self.app.site, self.id))
        self.known = None

    async def aforget(self) -> None:
        """Hide the result, from asynchronous code."""
        await results.forget(self._aport(), self.app.site, self.id)
        self.known = None

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
        self.known = None

    async def areplay(self, *, queue: str | None = None) -> None:
        """Run a task that failed again, as :meth:`replay` does, from asynchronous code."""
        await replay(self._aport(), self.app.site, self.app.tasks, self.id, queue)
        self.known = None

    def revoke(
        self,
        connection: None = None,
        terminate: bool = False,
        signal: str | int | None = None,
        wait: bool = False,  # noqa: ARG002 - Celery's
        timeout: float | None = None,  # noqa: ARG002 - Celery's
    ) -> Revocation:
        """Revoke the task: if it waits, it does not run.

        Parameters
        ----------
        terminate
            If it runs, end it; otherwise it runs to its end, and is not retried.
        signal
            By which a child process is ended (``-P prefork``); SIGTERM when None.
        connection, wait, timeout
            Celery's. There is no connection to give, and nobody's reply to wait for: what this
            returns is the answer.

        Returns
        -------
        Revocation
            What that has come to.

        Raises
        ------
        InvalidOption
            If there is no such signal.
        UnknownOption
            If a connection is given.
        OperationalError
            If AWS could not be asked, or refused.
        """
        chosen = asked_signal(connection, terminate, signal)
        return run_now(revoke(self._port(), self.app.site, self.id, chosen))

    async def arevoke(
        self,
        connection: None = None,
        terminate: bool = False,
        signal: str | int | None = None,
        wait: bool = False,  # noqa: ARG002 - Celery's
        timeout: float | None = None,  # noqa: ARG002 - Celery's
    ) -> Revocation:
        """Revoke as :meth:`revoke` does, without blocking the event loop."""
        chosen = asked_signal(connection, terminate, signal)
        return await revoke(self._aport(), self.app.site, self.id, chosen)

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


def _utc(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, timezone.utc)


def _ids_of(parent: ResultBase | None) -> list[str]:
    if isinstance(parent, AsyncResult):
        return parent.as_list()
    return [] if parent is None else [parent.id, *_ids_of(parent.parent)]


def asked_signal(connection: object, terminate: bool, signal: str | int | None) -> str | None:
    """Return the signal that ends a run, None where it may go on."""
    if connection is not None:
        raise UnknownOption("revoke takes no connection: the app keeps its own AWS clients")
    return chosen_signal(terminate, signal or DEFAULT_SIGNAL)
