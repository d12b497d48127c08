"""The result of a task, seen from the caller's side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caraway.core import results
from caraway.core.port import run_now
from caraway.core.revoke import DEFAULT_SIGNAL, chosen_signal, revoke
from caraway.core.revoked_stamps import revoke_stamps, wanted
from caraway.core.waiting import ParentFailed, wait
from caraway.current import current_app
from caraway.exceptions import UnknownOption
from caraway.joining import refuse_inside_a_task
from caraway.looks import Looks, R_co

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from caraway.base import AppBase
    from caraway.core.port import Aws
    from caraway.core.revoke import Revocation
    from caraway.core.revoked_stamps import RevokedStamp
    from caraway.result_base import ResultBase


class AsyncResult(Looks[R_co]):
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
    sent_at
        When this process has sent it, in UTC; None where that is not known.
    """

    def __init__(
        self,
        id: str,
        app: AppBase | None = None,
        task_name: str | None = None,
        *,
        parent: ResultBase | None = None,
        ignored: bool = False,
        sent_at: datetime | None = None,
    ) -> None:
        self.id: str = id
        self.parent = parent
        self.app = app or current_app()
        self.ignored = ignored
        self._task_name = task_name
        self._sent_at = sent_at
        self.known = None

    task_id = property(lambda self: self.id, doc="The task's id.")

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
        no_ack
            Celery's: results are records here, which nobody acknowledges.

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
        no_ack: bool = True,  # noqa: ARG002 - Celery's
    ) -> R_co:
        if self.ignored:
            return None  # type: ignore[return-value]  # nothing may ever be recorded
        if disable_sync_subtasks:
            refuse_inside_a_task()
        seen = self.known
        if seen is None:
            waiting = wait(
                aws,
                self.app.site,
                self.id,
                timeout,
                interval,
                None if on_message is None else lambda now: on_message(self.meta_of(now)),
                sent_at=self._sent_at,
                parents=self._ancestors() if follow_parents else (),
                on_interval=on_interval,
            )
            try:
                seen = self.remember(await waiting)
            except ParentFailed as failed:
                seen = failed.seen
        value = self.outcome_of(seen, propagate)
        if callback is not None:
            callback(self.id, value)
        return value

    # -- what is done with it -----------------------------------------------------------------

    def as_tuple(self) -> Any:
        """Return it as plain data: ``((id, parent), None)``."""
        return (self.id, self._parent_as_tuple()), None

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
        from caraway.core.replay import replay

        run_now(replay(self._port(), self.app.site, self.app.tasks, self.id, queue))
        self.known = None

    async def areplay(self, *, queue: str | None = None) -> None:
        """Run a task that failed again, as :meth:`replay` does, from asynchronous code."""
        from caraway.core.replay import replay

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

    def revoke_by_stamped_headers(
        self,
        headers: Mapping[str, Any],
        connection: None = None,
        terminate: bool = False,
        signal: str | int | None = None,
        wait: bool = False,  # noqa: ARG002 - Celery's
        timeout: float | None = None,  # noqa: ARG002 - Celery's
    ) -> list[RevokedStamp]:
        """Revoke all tasks that have one of these stamps, whether it is this one or not.

        That is Celery's method; ``app.control.revoke_by_stamped_headers`` does the same.
        """
        stamps, chosen = wanted(headers), asked_signal(connection, terminate, signal)
        table = self.app.site.records.table
        return run_now(revoke_stamps(self._port(), table, stamps, chosen))

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


def _ids_of(parent: ResultBase | None) -> list[str]:
    if isinstance(parent, AsyncResult):
        return parent.as_list()
    return [] if parent is None else [parent.id, *_ids_of(parent.parent)]


def asked_signal(connection: object, terminate: bool, signal: str | int | None) -> str | None:
    """Return the signal that ends a run, None where it may go on."""
    if connection is not None:
        raise UnknownOption("revoke takes no connection: the app keeps its own AWS clients")
    return chosen_signal(terminate, signal or DEFAULT_SIGNAL)
