"""Who announces what: the signals around a send and a run, and those of the executor's events."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from signal import Signals
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from caraway import signals, states
from caraway.core.codec import encode
from caraway.core.context import Context
from caraway.core.errors import ExceptionInfo
from caraway.core.events import (
    Ended,
    Event,
    HookFailed,
    ProcessLost,
    Received,
    Undeliverable,
)
from caraway.core.settle import (
    Again,
    Failed,
    Missed,
    Rejected,
    Revoked,
    Succeeded,
    format_traceback,
)
from caraway.exceptions import (
    Ignore,
    InvalidMessage,
    InvalidOption,
    NotRegistered,
    Reject,
    Retry,
    WorkerLostError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from caraway.core.message import Message
    from caraway.core.publish import Outgoing
    from caraway.core.settle import Ending, Product

_DECIDED: Final = ("id", "task", "root_id", "parent_id", "retries", "eta", "expires")
"""What the headers of before_task_publish show of a call, beside headers of its own."""


# -- around a send -----------------------------------------------------------------------------


def before_publish(
    outgoing: Outgoing, args: Any, kwargs: Any, headers: Any, policy: Mapping[str, Any]
) -> Outgoing:
    """Send ``before_task_publish``; return the call with the headers that receivers gave it.

    Raises
    ------
    InvalidOption
        If a receiver has changed what is decided.
    """
    if not signals.before_task_publish.receivers:
        return outgoing
    message = outgoing.message
    decided = _decided(message)
    given: dict[str, Any] = dict(headers or {})
    shown = {**given, **decided}
    signals.before_task_publish.send(
        message.task,
        **_addressed(outgoing),
        body=_body(message, args, kwargs),
        headers=shown,
        properties=MappingProxyType({"correlation_id": message.id}),
        declare=(),
        retry_policy=MappingProxyType(dict(policy)),
    )
    for name in decided:
        if shown.pop(name, None) != decided[name]:
            raise InvalidOption(
                f"a receiver of before_task_publish has changed {name!r} of {message.task}, which "
                "is decided: add headers of its own, or change options in a middleware"
            )
    own = {**shown, **{name: value for name, value in given.items() if name in decided}}
    return replace(outgoing, message=replace(message, headers=encode(own, path="headers")))


def is_publish_heard() -> bool:
    """Say whether anybody hears of sends."""
    return bool(signals.before_task_publish.receivers or signals.after_task_publish.receivers)


def after_publish(outgoing: Outgoing, args: Any, kwargs: Any) -> None:
    """Send ``after_task_publish``: the call is durable."""
    if not signals.after_task_publish.receivers:
        return
    message = outgoing.message
    signals.after_task_publish.send(
        message.task,
        **_addressed(outgoing),
        body=_body(message, args, kwargs),
        headers={**message.headers, **_decided(message)},
    )


def _decided(message: Message) -> dict[str, Any]:
    named = {name: getattr(message, name) for name in _DECIDED}
    stamps = MappingProxyType(message.stamps)
    return {**named, "stamps": stamps, "stamped_headers": list(stamps)}


def _addressed(outgoing: Outgoing) -> dict[str, Any]:
    return {"exchange": "", "routing_key": outgoing.queue.name}


def _body(message: Message, args: Any, kwargs: Any) -> tuple[Any, Any, dict[str, Any]]:
    embedded = {
        "callbacks": list(message.link),
        "errbacks": list(message.link_error),
        "chain": None,
        "chord": None,
    }
    return tuple(args or ()), dict(kwargs or {}), embedded


# -- around a run ------------------------------------------------------------------------------


class Announced:
    """Sends ``task_prerun`` and ``task_postrun`` around a function, where it runs.

    Attributes
    ----------
    product
        What the task returned; to be set inside.
    """

    __slots__ = ("_context", "_task", "product")

    def __init__(self, task: Any, context: Context) -> None:
        self._task = task
        self._context = context
        self.product: Product | None = None

    def __enter__(self) -> Self:
        if signals.task_prerun.receivers:
            signals.task_prerun.send(self._task, **self._about())
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if signals.task_postrun.receivers:
            value = error if self.product is None else self.product.value
            state = self._state(error)
            signals.task_postrun.send(self._task, **self._about(), retval=value, state=state)

    def _about(self) -> dict[str, Any]:
        context = self._context
        return {
            "task_id": context.id,
            "task": self._task,
            "args": context.args,
            "kwargs": context.kwargs,
        }

    def _state(self, error: BaseException | None) -> str:
        """Return the state that an attempt leads to, as far as its function decides it."""
        context = self._context
        if context.replacement is not None:
            return states.IGNORED
        if context.requested_retry is not None:
            return states.RETRY
        if error is None:
            refused = self.product is not None and self.product.refused is not None
            lost = refused and (not context.ignore_result or context.callbacks)
            return states.FAILURE if lost else states.SUCCESS
        match error:
            case Retry():
                return states.RETRY
            case Ignore():
                return states.IGNORED
            case Reject():
                return states.REJECTED
        retried = self._task.policy.leads_to_retry(error, context.retries)
        return states.RETRY if retried else states.FAILURE


def is_heard() -> bool:
    """Say whether somebody listens to how tasks end."""
    return bool(
        signals.task_success.receivers
        or signals.task_failure.receivers
        or signals.task_retry.receivers
    )


def of_ending(
    task: Any, context: Context, ending: Ending, value: Callable[[Product], Any]
) -> Iterator[Callable[[], Any]]:
    """Give what sends the signal of an ending that is recorded.

    ``value`` gives what the function returned, of its product.
    """
    match ending:
        case Succeeded(product) if signals.task_success.receivers:
            yield partial(signals.task_success.send, task, result=value(product))
        case Again(error=BaseException() as error) if signals.task_retry.receivers:
            einfo = ExceptionInfo(error, ending.traceback or "")
            yield partial(signals.task_retry.send, task, request=context, reason=error, einfo=einfo)
        case Failed(error) | Rejected(error=error) if signals.task_failure.receivers:
            yield partial(
                signals.task_failure.send,
                task,
                task_id=context.id,
                exception=error,
                args=context.args,
                kwargs=context.kwargs,
                traceback=error.__traceback__,
                einfo=ExceptionInfo(error, getattr(ending, "traceback", None) or ""),
            )


# -- of the executor's events ------------------------------------------------------------------


class EventSignals:
    """Sends the signals of messages, in the worker's process: an observer of the executor.

    Parameters
    ----------
    tasks
        The tasks by name.
    hostname
        The sender of the signals of no task.
    """

    def __init__(self, tasks: Mapping[str, Any], hostname: str) -> None:
        self._tasks = tasks
        self._hostname = hostname

    def __call__(self, event: Event) -> None:
        """Send the signal of an event, if it has one."""
        match event:
            case Received():
                if signals.task_received.receivers:
                    self._received(event)
            case Ended():
                # A success has none here: task_success is of where the function ran.
                if not isinstance(event.ending, Succeeded):
                    self._ended(event.message, event.ending)
            case Undeliverable(delivery, reason) if signals.task_rejected.receivers:
                signals.task_rejected.send(
                    self._hostname, message=delivery, exc=InvalidMessage(reason)
                )
            case HookFailed(message, error):
                self._internal_error(message, error)
            case ProcessLost(message, why):
                self._internal_error(message, WorkerLostError(why))

    def _received(self, event: Received) -> None:
        request = Context.of(
            event.message,
            event.delivery,
            token=None,
            hostname=self._hostname,
            ignore_result=False,
            port=None,
            sensitive=self._is_sensitive(event.message),
        )
        signals.task_received.send(self._hostname, request=request)

    def _ended(self, message: Message, ending: Ending) -> None:
        match ending:
            case Revoked(reason, signal) if signals.task_revoked.receivers:
                signals.task_revoked.send(
                    self._tasks.get(message.task),
                    request=Context.seen(message, sensitive=self._is_sensitive(message)),
                    terminated=reason == "terminated",
                    signum=None if signal is None else Signals[signal].value,
                    expired=reason == "expired",
                )
            case Missed(reason) if signals.task_missed.receivers:
                signals.task_missed.send(
                    self._tasks.get(message.task),
                    request=Context.seen(message, sensitive=self._is_sensitive(message)),
                    reason=reason,
                )
            case Rejected(error=NotRegistered() as error):
                self._unknown(message, error)

    def _is_sensitive(self, message: Message) -> bool:
        return bool(getattr(self._tasks.get(message.task), "sensitive", False))

    def _unknown(self, message: Message, error: NotRegistered) -> None:
        if signals.task_unknown.receivers and message.task not in self._tasks:
            signals.task_unknown.send(
                self._hostname,
                name=message.task,
                id=message.id,
                message=message,
                exc=error,
            )

    def _internal_error(self, message: Message, error: BaseException) -> None:
        if signals.task_internal_error.receivers:
            signals.task_internal_error.send(
                self._tasks.get(message.task),
                task_id=message.id,
                args=message.args,
                kwargs=message.kwargs,
                request=Context.seen(message, sensitive=self._is_sensitive(message)),
                exception=error,
                traceback=error.__traceback__,
                einfo=ExceptionInfo(error, format_traceback(error)),
            )
