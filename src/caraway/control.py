"""``app.control``: what can be asked of tasks from outside. Workers themselves take no commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from caraway.core.port import run_now
from caraway.core.revoke import DEFAULT_SIGNAL, Revocation, all_done, chosen_signal, revoke_all
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
    "revoke_by_stamped_headers": "revoke by ids",
    "terminate_by_stamped_headers": "terminate by ids",
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

    def __getattr__(self, name: str) -> NoReturn:
        if name in _ELSEWHERE:
            raise AttributeError(
                f"Celery's app.control.{name} has no meaning here: {_ELSEWHERE[name]}"
            )
        near = nearest(name, ("revoke", "arevoke", "terminate"))
        raise AttributeError(f"app.control has no {name!r}{near}")


def _asked(
    task_id: str | Iterable[str],
    destination: object,
    terminate: bool,
    signal: str | int,
    options: Mapping[str, Any],
) -> tuple[list[str], str | None]:
    """Return the ids, and the signal that ends what runs; None where it may go on."""
    given = dict(options)
    if destination is not None:
        given["destination"] = destination
    for name in given:
        if name in _OPTIONS:
            raise UnknownOption(f"Celery's {name!r} has no meaning here: {_OPTIONS[name]}")
        if name not in _NEEDLESS:
            known = ("terminate", "signal", *_NEEDLESS)
            raise UnknownOption(f"revoke takes no {name!r}{nearest(name, known)}")
    ids = [task_id] if isinstance(task_id, str) else [str(each) for each in task_id]
    return ids, chosen_signal(terminate, signal)
