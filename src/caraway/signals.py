"""Signals: receivers are told what has happened, by Celery's names and with its arguments.

Connect at the top level of a module that producers and workers import::

    @task_failure.connect
    def tell(sender, task_id, exception, **_):
        ...

What receivers of these signals raise is logged and disturbs nothing; :data:`import_modules` is the
exception, as a worker without a module would lose tasks. What must be able to stop a task, or to
surround it, is a middleware (:class:`caraway.Middleware`).
"""

from __future__ import annotations

import inspect
import logging
import weakref
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from caraway.exceptions import ImproperlyConfigured, nearest
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True)
class _Connection:
    """A receiver, the sender that it wants to hear of (None: all), and what tells it apart."""

    uid: Hashable
    sender: Any
    receiver: Callable[[], Callable[..., Any] | None]

    def is_of(self, uid: Hashable, sender: Any) -> bool:
        return self.uid == uid and self.sender is sender


class Signal:
    """Receivers of one event, called as ``receiver(sender=..., signal=..., **arguments)``.

    Parameters
    ----------
    name
        The signal's name.
    arguments
        The names of what receivers get, beside ``sender`` and ``signal``.
    propagates
        Whether what a receiver raises goes to who sends the signal. Otherwise it is logged, and the
        other receivers are called all the same.
    """

    def __init__(
        self, name: str, arguments: tuple[str, ...] = (), *, propagates: bool = False
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.propagates = propagates
        self.receivers: tuple[_Connection, ...] = ()
        """Who listens: empty is the one test that a signal costs where nobody does."""
        self._changing = Lock()

    @overload
    def connect(
        self, receiver: F, *, sender: Any = None, weak: bool = False, dispatch_uid: Hashable = None
    ) -> F: ...

    @overload
    def connect(
        self,
        receiver: None = None,
        *,
        sender: Any = None,
        weak: bool = False,
        dispatch_uid: Hashable = None,
    ) -> Callable[[F], F]: ...

    def connect(
        self,
        receiver: Any = None,
        *,
        sender: Any = None,
        weak: bool = False,
        dispatch_uid: Hashable = None,
    ) -> Any:
        """Add a receiver; also a decorator.

        Parameters
        ----------
        sender
            Hear of this one's events only: a task or its name, a worker or its host name.
        weak
            Forget the receiver when nothing else holds it. Celery's default is True, and a local
            function or a lambda is then gone at once; here it is False.
        dispatch_uid
            What tells the receiver apart, in place of itself: it is connected once, even if its
            module is imported twice.

        Raises
        ------
        ImproperlyConfigured
            If it cannot be called with what signals give.
        """
        if receiver is None:
            return lambda function: self.connect(
                function, sender=sender, weak=weak, dispatch_uid=dispatch_uid
            )
        self._check(receiver)
        uid = receiver if dispatch_uid is None else dispatch_uid
        new = _Connection(
            _weakly(uid) if weak else uid,
            sender,
            self._weak(receiver) if weak else lambda: receiver,
        )
        with self._changing:
            if not any(each.is_of(new.uid, sender) for each in self.receivers):
                self.receivers = (*self.receivers, new)
        return receiver

    def _check(self, receiver: Any) -> None:
        if not callable(receiver):
            raise ImproperlyConfigured(f"{self.name}: {receiver!r} cannot be called")
        if inspect.iscoroutinefunction(receiver):
            raise ImproperlyConfigured(
                f"{self.name}: {receiver.__qualname__} is a coroutine function, and nothing would "
                "await it: use a plain function, or a hook or a middleware, which may be async"
            )
        try:
            parameters = inspect.signature(receiver).parameters.values()
        except (TypeError, ValueError):  # of a function written in C nothing is known
            return
        if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
            raise ImproperlyConfigured(
                f"{self.name}: a receiver takes keyword arguments: give {receiver!r} a **kwargs"
            )

    def _weak(self, receiver: Any) -> Callable[[], Callable[..., Any] | None]:
        def forget(gone: object) -> None:
            with self._changing:
                self.receivers = tuple(each for each in self.receivers if each.receiver is not gone)

        reference: Callable[[], Callable[..., Any] | None] = _weakly(receiver, forget)
        return reference

    def disconnect(
        self,
        receiver: Callable[..., Any] | None = None,
        sender: Any = None,
        dispatch_uid: Hashable = None,
    ) -> bool:
        """Remove a receiver by itself or its ``dispatch_uid``; says whether it was there."""
        uid = receiver if dispatch_uid is None else dispatch_uid
        with self._changing:
            kept = tuple(
                each
                for each in self.receivers
                if not (each.is_of(uid, sender) or each.is_of(_weakly(uid), sender))
            )
            was_there = len(kept) < len(self.receivers)
            self.receivers = kept
        return was_there

    def has_listeners(self, sender: Any = None) -> bool:
        """Say whether somebody would hear of this sender's events."""
        return any(_wants(each.sender, sender) for each in self.receivers)

    def send(self, sender: Any, **arguments: Any) -> list[tuple[Callable[..., Any], Any]]:
        """Call the receivers in the order in which they were connected.

        Returns
        -------
        list
            The receivers, each with what it returned, or with the exception that was logged.
        """
        answers = []
        for each in self.receivers:
            receiver = each.receiver()
            if receiver is not None and _wants(each.sender, sender):
                answers.append((receiver, self._tell(receiver, sender, arguments)))
        return answers

    def _tell(self, receiver: Callable[..., Any], sender: Any, arguments: dict[str, Any]) -> Any:
        try:
            return receiver(sender=sender, signal=self, **arguments)
        except Exception as error:
            if self.propagates:
                raise
            logging.getLogger("caraway.signals").exception(
                "Receiver %r of signal %s raised", receiver, self.name
            )
            return error

    def __repr__(self) -> str:
        return f"<Signal: {self.name}>"


def _weakly(value: Any, forget: Callable[[Any], None] | None = None) -> Any:
    """Return a weak reference to what can have one; a text or a number is itself."""
    if inspect.ismethod(value):
        return weakref.WeakMethod(value, forget)
    try:
        return weakref.ref(value, forget)
    except TypeError:
        return value


def _wants(wanted: Any, sender: Any) -> bool:
    """Say whether a sender is the one that a receiver wants to hear of."""
    if wanted is None or wanted is sender:
        return True
    if isinstance(wanted, str) or isinstance(sender, str):
        return bool(_name(wanted) == _name(sender))
    stands_for = getattr(type(wanted), "stands_for", None)  # a shared task, for that of an app
    return stands_for is not None and bool(stands_for(wanted, sender))


def _name(sender: Any) -> Any:
    """Return the name of a task, or the host name of a worker."""
    if isinstance(sender, str):
        return sender
    return getattr(sender, "name", None) or getattr(sender, "hostname", None) or sender


# -- where a call is sent; the sender is the task's name ---------------------------------------

before_task_publish: Final = Signal(
    "before_task_publish",
    ("body", "exchange", "routing_key", "headers", "properties", "declare", "retry_policy"),
)
"""A call is about to be sent; ``headers`` may be changed."""
after_task_publish: Final = Signal(
    "after_task_publish", ("body", "exchange", "routing_key", "headers")
)
"""A call is durable."""

# -- where a task runs, in the thread and process of its function; the sender is the task ------

task_prerun: Final = Signal("task_prerun", ("task_id", "task", "args", "kwargs"))
"""A function is about to be called."""
task_postrun: Final = Signal(
    "task_postrun", ("task_id", "task", "args", "kwargs", "retval", "state")
)
"""A function has returned, or raised: ``retval`` is the exception then."""
task_success: Final = Signal("task_success", ("result",))
"""A success is recorded."""
task_failure: Final = Signal(
    "task_failure", ("task_id", "exception", "args", "kwargs", "traceback", "einfo")
)
"""A failure is recorded."""
task_retry: Final = Signal("task_retry", ("request", "reason", "einfo"))
"""A retry is recorded."""

# -- in the worker's process, of messages ------------------------------------------------------

task_received: Final = Signal("task_received", ("request",))
"""A message was read; the sender is the worker's host name."""
task_revoked: Final = Signal("task_revoked", ("request", "terminated", "signum", "expired"))
"""A task ended as REVOKED; the sender is the task."""
task_missed: Final = Signal("task_missed", ("request", "reason"))
"""An occurrence of a schedule ended as MISSED; the sender is the task."""
task_rejected: Final = Signal("task_rejected", ("message", "exc"))
"""A message that cannot be run goes to the dead-letter queue; the sender is the host name."""
task_unknown: Final = Signal("task_unknown", ("name", "id", "message", "exc"))
"""No task has the name that a message names; the sender is the host name."""
task_internal_error: Final = Signal(
    "task_internal_error",
    ("task_id", "args", "kwargs", "request", "exception", "traceback", "einfo"),
)
"""A hook raised, or the process of a task died; the sender is the task."""

# -- a worker's life; the sender is the worker, or for the older names its host name -----------

celeryd_init: Final = Signal("celeryd_init", ("instance", "conf", "options"))
"""A worker is about to be set up: per-host settings; the sender is the host name."""
celeryd_after_setup: Final = Signal("celeryd_after_setup", ("instance", "conf"))
"""A worker is set up, and has not begun; the sender is the host name."""
import_modules: Final = Signal("import_modules", propagates=True)
"""The modules with tasks are about to be imported; the sender is the app."""
worker_init: Final = Signal("worker_init")
"""A worker starts: before it has child processes, threads and connections."""
worker_ready: Final = Signal("worker_ready")
"""A worker can run tasks."""
worker_shutting_down: Final = Signal("worker_shutting_down", ("sig", "how", "exitcode"))
"""A worker was told to stop; the sender is the host name."""
worker_shutdown: Final = Signal("worker_shutdown")
"""A worker has stopped."""
worker_before_create_process: Final = Signal("worker_before_create_process")
"""A child process is about to be forked; sent in the process that forks it."""
worker_process_init: Final = Signal("worker_process_init")
"""A child process has begun; sent in it, before its first task."""
worker_process_shutdown: Final = Signal("worker_process_shutdown", ("pid", "exitcode"))
"""A child process is about to end; sent in it, after its last task."""
heartbeat_sent: Final = Signal("heartbeat_sent")
"""An ECS worker has shown that it lives; the sender has a ``hostname``."""

# -- logging -----------------------------------------------------------------------------------

setup_logging: Final = Signal("setup_logging", ("loglevel", "logfile", "format", "colorize"))
"""Logging is about to be set up: with a receiver the worker leaves it to that."""
after_setup_logger: Final = Signal(
    "after_setup_logger", ("logger", "loglevel", "logfile", "format", "colorize")
)
"""The worker's logger is set up: for handlers of one's own."""
after_setup_task_logger: Final = Signal(
    "after_setup_task_logger", ("logger", "loglevel", "logfile", "format", "colorize")
)
"""The logger of tasks is set up."""

SIGNALS: Final = {
    name: value for name, value in globals().copy().items() if isinstance(value, Signal)
}
"""All of them by name."""
_EVENTLET: Final = (
    "there is no eventlet: with -P gevent use worker_process_init and worker_process_shutdown, "
    "elsewhere worker_init and worker_shutdown"
)
NO_MEANING: Final = {
    "beat_embedded_init": "EventBridge keeps the time, and there is no beat process",
    "beat_init": "EventBridge keeps the time, and there is no beat process",
    "eventlet_pool_apply": _EVENTLET,
    "eventlet_pool_postshutdown": _EVENTLET,
    "eventlet_pool_preshutdown": _EVENTLET,
    "eventlet_pool_started": _EVENTLET,
    "task_sent": "its name is after_task_publish, as in Celery since 3.1",
    "user_preload_options": "the command line takes no options of an app: use settings "
    "(CARAWAY_* variables)",
}
"""Celery's signals that have no meaning here, and what takes their place."""


def __getattr__(name: str) -> Any:
    if name in NO_MEANING:
        raise ImproperlyConfigured(f"signal {name!r} has no meaning here: {NO_MEANING[name]}")
    # Each import from here asks for __path__, which nobody has misspelled.
    near = "" if name.startswith("__") else nearest(name, SIGNALS)
    raise AttributeError(f"module 'caraway.signals' has no attribute {name!r}{near}")
