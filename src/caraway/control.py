"""``app.control``: what can be asked of tasks from outside. Workers themselves take no commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from caraway.core.outcomes import all_done
from caraway.core.port import run_now
from caraway.core.revoke import DEFAULT_SIGNAL, Revocation, chosen_signal, revoke_all
from caraway.core.revoked_stamps import (
    RevokedStamp,
    allow_stamps,
    revoke_stamps,
    revoked_stamps,
    wanted,
)
from caraway.exceptions import UnknownOption, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from caraway.base import AppBase

_BROADCAST: Final = "SQS has no broadcast, and workers take no commands"
_ELSEWHERE: Final[Mapping[str, str]] = {
    "add_consumer": "name a worker's queues with -Q, and deploy",
    "cancel_consumer": "name a worker's queues with -Q, and deploy",
    "autoscale": "scale the ECS service, or give the worker --autoscale",
    "pool_grow": "scale the ECS service, or give the worker -c",
    "pool_shrink": "scale the ECS service, or give the worker -c",
    "pool_restart": "deploy: a task of ECS is replaced",
    "broadcast": _BROADCAST,
    "discard_all": "use 'caraway purge'",
    "purge": "use 'caraway purge'",
    "election": _BROADCAST,
    "enable_events": "workers send no events; the task records are the monitor",
    "disable_events": "workers send no events; the task records are the monitor",
    "heartbeat": "workers write theirs to the table: see 'caraway status'",
    "inspect": "use 'caraway inspect', which shows what workers write to the table",
    "ping": "use 'caraway status', which shows the workers that are there",
    "rate_limit": "limit the workers (-c), or MaximumConcurrency of the Lambda function",
    "shutdown": "stop a worker with SIGTERM, or set the ECS service's desired count",
    "time_limit": "limits are options of the task; change them and deploy",
}
"""Celery's methods of ``app.control``, and what takes the place of each."""
_OPTIONS: Final[Mapping[str, str]] = {
    "destination": "the task's record is asked, whichever worker runs it: leave it out",
    "connection": "the app keeps its own AWS clients",
    "channel": "the app keeps its own AWS clients",
    "producer": "the app keeps its own AWS clients",
    "pattern": "the task's record is asked, whichever worker runs it: leave it out",
    "matcher": "the task's record is asked, whichever worker runs it: leave it out",
    "callback": "the answers are what the call returns",
}
_NEEDLESS: Final = ("reply", "timeout", "limit")
"""Options of Celery that say how replies are waited for: the record always answers, at once."""


class Control:
    """Revokes tasks.

    Celery's other methods raise, and say what takes their place.
    """

    def __init__(self, app: AppBase) -> None:
        self.app = app

    def revoke(
        self,
        task_id: str | Iterable[str],
        destination: None = None,
        terminate: bool = False,
        signal: str | int = DEFAULT_SIGNAL,
        **options: Any,
    ) -> list[Revocation]:
        """Revoke tasks by their ids: those that wait do not run.

        Parameters
        ----------
        terminate
            End those that run, too; otherwise a run goes on to its end, and is not retried.
        signal
            By which a child process is ended (``-P prefork``), and after a second by SIGKILL.
        options
            Celery's ``reply``, ``timeout`` and ``limit`` are taken: there is always an answer.

        Returns
        -------
        list[Revocation]
            What that has come to, for each id in its place.

        Raises
        ------
        InvalidOption
            If there is no such signal.
        UnknownOption
            If Celery's option has no meaning here, or there is none of that name.
        OperationalError
            If AWS did not do it for one of them; the others are revoked.
        """
        ids, chosen = _asked(task_id, destination, terminate, signal, options)
        return all_done(run_now(revoke_all(self.app.aws, self.app.site, ids, chosen)))

    async def arevoke(
        self,
        task_id: str | Iterable[str],
        destination: None = None,
        terminate: bool = False,
        signal: str | int = DEFAULT_SIGNAL,
        **options: Any,
    ) -> list[Revocation]:
        """Revoke as :meth:`revoke` does, without blocking the event loop."""
        ids, chosen = _asked(task_id, destination, terminate, signal, options)
        return all_done(await revoke_all(self.app.aio, self.app.site, ids, chosen))

    def terminate(
        self,
        task_id: str | Iterable[str],
        destination: None = None,
        signal: str | int = DEFAULT_SIGNAL,
        **options: Any,
    ) -> list[Revocation]:
        """Revoke tasks, and end those that run: ``revoke`` with ``terminate=True``."""
        return self.revoke(task_id, destination, True, signal, **options)

    def revoke_by_stamped_headers(
        self,
        headers: Mapping[str, Any],
        destination: None = None,
        terminate: bool = False,
        signal: str | int = DEFAULT_SIGNAL,
        **options: Any,
    ) -> list[RevokedStamp]:
        """Revoke all tasks that have one of these stamps, now and for the next 15 days.

        Workers know of it within ten seconds: what begins later does not run.

        Parameters
        ----------
        headers
            Stamps by name: one value, or a list of values any of which is meant.
        terminate
            End those that run on ECS, too.
        signal, options
            As in :meth:`revoke`.

        Returns
        -------
        list[RevokedStamp]
            What is revoked, for each name and value.

        Raises
        ------
        InvalidOption
            If these are no stamps, or more than can be revoked at one time.
        UnknownOption
            If Celery's option has no meaning here, or there is none of that name.
        OperationalError
            If AWS could not be asked, or refused.
        """
        stamps, chosen = wanted(headers), _signal(destination, terminate, signal, options)
        return run_now(revoke_stamps(self.app.aws, self._table, stamps, chosen))

    async def arevoke_by_stamped_headers(
        self,
        headers: Mapping[str, Any],
        destination: None = None,
        terminate: bool = False,
        signal: str | int = DEFAULT_SIGNAL,
        **options: Any,
    ) -> list[RevokedStamp]:
        """Revoke as :meth:`revoke_by_stamped_headers` does, without blocking the event loop."""
        stamps, chosen = wanted(headers), _signal(destination, terminate, signal, options)
        return await revoke_stamps(self.app.aio, self._table, stamps, chosen)

    def terminate_by_stamped_headers(
        self,
        headers: Mapping[str, Any],
        destination: None = None,
        signal: str | int = DEFAULT_SIGNAL,
        **options: Any,
    ) -> list[RevokedStamp]:
        """Revoke by stamps, and end what runs: with ``terminate=True``."""
        return self.revoke_by_stamped_headers(headers, destination, True, signal, **options)

    def allow_stamped_headers(self, headers: Mapping[str, Any]) -> None:
        """Take a revoke by stamps back; what it has met stays revoked.

        ``headers`` is what was revoked, or a part of it: values by name.
        """
        run_now(allow_stamps(self.app.aws, self._table, wanted(headers)))

    async def aallow_stamped_headers(self, headers: Mapping[str, Any]) -> None:
        """Take a revoke back as :meth:`allow_stamped_headers` does, without blocking."""
        await allow_stamps(self.app.aio, self._table, wanted(headers))

    def revoked_stamped_headers(self) -> list[RevokedStamp]:
        """Return which stamps are revoked, the oldest first."""
        return run_now(revoked_stamps(self.app.aws, self._table))

    async def arevoked_stamped_headers(self) -> list[RevokedStamp]:
        """Return which stamps are revoked, without blocking the event loop."""
        return await revoked_stamps(self.app.aio, self._table)

    @property
    def _table(self) -> str:
        return self.app.site.records.table

    def __getattr__(self, name: str) -> NoReturn:
        if name in _ELSEWHERE:
            raise AttributeError(
                f"Celery's app.control.{name} has no meaning here: {_ELSEWHERE[name]}"
            )
        near = nearest(name, [each for each in vars(Control) if not each.startswith("_")])
        raise AttributeError(f"app.control has no {name!r}{near}")


def _asked(
    task_id: str | Iterable[str],
    destination: object,
    terminate: bool,
    signal: str | int,
    options: Mapping[str, Any],
) -> tuple[list[str], str | None]:
    """Return the ids, and the signal that ends what runs; None where it may go on."""
    ids = [task_id] if isinstance(task_id, str) else [str(each) for each in task_id]
    return ids, _signal(destination, terminate, signal, options)


def _signal(
    destination: object, terminate: bool, signal: str | int, options: Mapping[str, Any]
) -> str | None:
    """Return the signal that ends what runs; None where it may go on."""
    given = dict(options)
    if destination is not None:
        given["destination"] = destination
    for name in given:
        if name in _OPTIONS:
            raise UnknownOption(f"Celery's {name!r} has no meaning here: {_OPTIONS[name]}")
        if name not in _NEEDLESS:
            known = ("terminate", "signal", *_NEEDLESS)
            raise UnknownOption(f"revoke takes no {name!r}{nearest(name, known)}")
    return chosen_signal(terminate, signal)
