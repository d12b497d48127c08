"""The request of a running task: what ``self.request`` shows."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Final

from caraway.core.codec import decode, register_type
from caraway.core.ids import derived_id, new_id
from caraway.core.sensitive import FILTERED
from caraway.core.trail import Trail
from caraway.exceptions import DecodeError
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from caraway.core.decoding import Read
    from caraway.core.disposition import Delivery
    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.exceptions import Retry
    from caraway.requests.base import Json


@dataclass(frozen=True)
class Replacement:
    """What takes a task's place.

    Attributes
    ----------
    steps
        Signatures as JSON, with their ids, one after another; the last one is a call.
    sensitive
        Whether one of them calls a task that is sensitive.
    """

    steps: Sequence[Json]
    sensitive: bool = False


@dataclass(repr=False)
class Context:
    """The request of one attempt, with Celery's names.

    Attributes
    ----------
    id, task, args, kwargs
        The task's id, name and arguments; ``id`` is None in a direct call.
    retries
        Retries made before this attempt.
    attempt
        The record's count, which redrives raise too.
    hostname
        The worker that runs it.
    delivery_info
        ``{"queue": ..., "redelivered": bool}``.
    timelimit
        ``(hard, soft)`` in seconds, None where there is none.
    stamps
        What the call was stamped with, by name.
    group, group_index
        The group that it is a member of, and its number there, from 0.
    chain, chord
        The signatures after it, as JSON, and what its group leads to.
    replaced_task_nesting
        How many tasks had its id before, each replaced by the next.
    called_directly
        True when the function was called, not sent.
    """

    utc: ClassVar[bool] = True
    origin: ClassVar[None] = None
    reply_to: ClassVar[None] = None
    logfile: ClassVar[None] = None
    loglevel: ClassVar[None] = None
    """Celery's; they have nothing to say here."""

    id: str | None = None
    task: str | None = None
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    retries: int = 0
    attempt: int = 0
    root_id: str | None = None
    parent_id: str | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    stamps: Mapping[str, Any] = field(default_factory=dict)
    eta: datetime | None = None
    expires: datetime | None = None
    scheduled_time: datetime | None = None
    hostname: str | None = None
    delivery_info: Mapping[str, Any] = field(default_factory=dict)
    timelimit: tuple[float | None, float | None] = (None, None)
    ignore_result: bool = False
    group: str | None = None
    group_index: int | None = None
    chain: Sequence[Any] = ()
    chord: Any = None
    replaced_task_nesting: int = 0
    callbacks: Sequence[Any] = ()
    errbacks: Sequence[Any] = ()
    called_directly: bool = False
    is_eager: bool = False
    sensitive: bool = field(default=False, repr=False)
    """Whether ``repr`` hides the arguments."""
    message: Message | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    port: Aws | None = field(default=None, repr=False)
    """Where the task's own record is written from inside the task; None means the app's port."""
    outer: Context | None = field(default=None, repr=False)
    """The request in whose course this direct call was made."""
    requested_retry: Retry | None = field(default=None, repr=False)
    """Set by ``retry(throw=False)``: how the attempt ends, whatever it returns."""
    replacement: Replacement | None = field(default=None, repr=False)
    """Set by ``replace``: likewise."""
    added: list[str] = field(default_factory=list, repr=False)
    """What it has added to its place in a chord."""
    described: Counter[str] = field(default_factory=Counter, repr=False)
    trail: Trail = field(default_factory=Trail, repr=False)
    is_unpacked: bool = field(default=False, repr=False)
    """Whether args, kwargs and headers are the function's, and not those of the message."""

    @classmethod
    def of(
        cls,
        message: Message,
        delivery: Delivery,
        *,
        token: str | None,
        hostname: str,
        ignore_result: bool,
        timelimit: tuple[float | None, float | None] = (None, None),
        port: Aws | None,
        sensitive: bool = False,
    ) -> Context:
        """Return the request of a message.

        ``ignore_result`` and ``timelimit`` are the task's own: the message's come before them.
        """
        hard_s, soft_s = timelimit
        return cls(
            id=message.id,
            task=message.task,
            args=message.args,
            kwargs=message.kwargs,
            retries=message.retries,
            attempt=message.attempt,
            root_id=message.root_id or message.id,
            parent_id=message.parent_id,
            headers=message.headers,
            stamps=message.stamps,
            eta=message.eta,
            expires=message.expires,
            scheduled_time=message.scheduled_time,
            hostname=hostname,
            delivery_info={
                "queue": delivery.queue.name,
                "redelivered": delivery.receive_count > 1,
            },
            timelimit=(
                message.time_limit or hard_s,
                message.soft_time_limit or soft_s,
            ),
            ignore_result=ignore_result if message.ignore_result is None else message.ignore_result,
            group=message.group,
            group_index=message.group_index,
            chain=message.chain,
            chord=message.chord,
            replaced_task_nesting=message.replaced_task_nesting,
            callbacks=message.link,
            errbacks=message.link_error,
            is_eager=port is not None,
            sensitive=sensitive,
            message=message,
            token=token,
            port=port,
        )

    @property
    def stamped_headers(self) -> list[str]:
        """The names of its stamps."""
        return list(self.stamps)

    def open(self, read: Read) -> None:
        """Rebuild the arguments of a request that has travelled.

        What cannot be read here stays as the message had it: it may be what the task failed of.
        """
        for name in ("args", "kwargs", "headers", "stamps"):
            with suppress(DecodeError):
                setattr(self, name, decode(getattr(self, name), read))

    @classmethod
    def seen(cls, message: Message, *, sensitive: bool = False) -> Context:
        """Return what others than the task itself see of the request of a message."""
        return cls(
            id=message.id,
            task=message.task,
            args=message.args,
            kwargs=message.kwargs,
            retries=message.retries,
            root_id=message.root_id,
            parent_id=message.parent_id,
            headers=message.headers,
            stamps=message.stamps,
            scheduled_time=message.scheduled_time,
            sensitive=sensitive,
        )

    def __repr__(self) -> str:
        shown = {each.name: getattr(self, each.name) for each in fields(self) if each.repr}
        if self.sensitive:
            shown |= {"args": FILTERED, "kwargs": FILTERED}
        return f"Context({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def correlation_id(self) -> str | None:
        """The id, by Celery's other name for it."""
        return self.id

    @property
    def properties(self) -> dict[str, Any]:
        """What the message is sent with besides its body."""
        group_id = self.message.group_id if self.message else None
        group = {} if group_id is None else {"MessageGroupId": group_id}
        return {"correlation_id": self.id, **group}

    @property
    def argsrepr(self) -> str:
        """The positional arguments as text."""
        return FILTERED if self.sensitive else repr(self.args)

    @property
    def kwargsrepr(self) -> str:
        """The named arguments as text."""
        return FILTERED if self.sensitive else repr(self.kwargs)

    def running(self) -> Context | None:
        """Return the request of the message that is being run, None outside of one."""
        context: Context | None = self
        while context is not None and context.called_directly:
            context = context.outer
        return context

    def child_id(self, digest: str) -> str:
        """Return the id of the next child with this digest of name and arguments.

        The same attempt describes the same ids when it is run again; the ordinal tells children
        with the same name and arguments apart.
        """
        running = self.running()
        if running is None or running.id is None:
            return new_id()
        running.described[digest] += 1
        ordinal = running.described[digest]
        return derived_id("child", running.id, running.attempt, digest, ordinal)


current: ContextVar[Context | None] = ContextVar("caraway_request", default=None)
"""The request that user code runs in, None outside of tasks."""


_TRAVELS: Final = (
    "id",
    "task",
    "args",
    "kwargs",
    "retries",
    "root_id",
    "parent_id",
    "headers",
    "stamps",
)


def _to_json(context: Context) -> dict[str, Any]:
    """Return what an errback sees of the request of the task that failed."""
    return {name: getattr(context, name) for name in _TRAVELS}


def _from_json(data: Any) -> Context:
    return Context(**{name: data[name] for name in _TRAVELS if name in data})


register_type(Context, "request", _to_json, _from_json)
