"""From a call to a durable message: options, id, queue and delay are decided, then it is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from math import ceil, inf
from typing import TYPE_CHECKING, Any, Final

from caraway.core.claim_check import Store, pack
from caraway.core.ids import derived_id
from caraway.core.message import NAME_LIMIT, Message, digest_of, is_name, read_time, signature_fault
from caraway.core.record import Records
from caraway.core.serializers import JSON, Contents
from caraway.exceptions import (
    EndpointUnreachable,
    InvalidMessage,
    InvalidOption,
    Throttled,
    UnknownOption,
    nearest,
)
from caraway.requests.sqs import DELAY_LIMIT_S, GetQueueUrl, SendMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.core.port import Aws
    from caraway.core.routing import Queue, Router
    from caraway.requests.base import Json

DEFAULT_GROUP: Final = "default"
"""Message group of a FIFO task that names none: the whole queue keeps one order."""

OPTIONS: Final = frozenset(
    {
        "compression",
        "countdown",
        "eta",
        "expires",
        "headers",
        "ignore_result",
        "link",
        "link_error",
        "message_group_id",
        "queue",
        "retry",
        "retry_policy",
        "serializer",
        "soft_time_limit",
        "task_id",
        "time_limit",
    }
)
NO_MEANING: Final = {
    "priority": "SQS has no priorities; send urgent tasks to a queue of their own",
    "exchange": "SQS has no exchanges; name the queue",
    "routing_key": "SQS has no routing keys; name the queue",
    "connection": "the app keeps its own AWS clients",
    "producer": "the app keeps its own AWS clients",
    "delivery_mode": "SQS messages are always durable",
    "mandatory": "a queue that does not exist always raises",
}


@dataclass(frozen=True)
class Site:
    """Where an app's things are, and the limits it sets.

    Attributes
    ----------
    contents
        How values are written, and which are read.
    compression
        How large messages are compressed, where neither call nor task says so.
    result_expires_s
        After how many seconds a result is hidden, None for never.
    max_deliveries
        Claims without a finish after which a task is quarantined.
    """

    router: Router
    records: Records = field(default_factory=lambda: Records("caraway-tasks"))
    store: Store = field(default_factory=Store)
    queue_prefix: str = ""
    result_expires_s: float | None = 86_400
    max_deliveries: int = 5
    keeps_results: bool = True
    contents: Contents = field(default_factory=Contents)
    compression: str | None = None


@dataclass(frozen=True)
class Outgoing:
    """A message, the queue it goes to, and how long SQS is to hold it (0 to 900 seconds)."""

    message: Message
    queue: Queue
    delay_s: int = 0


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse an option that does not exist.

    Raises
    ------
    UnknownOption
        Naming the nearest one, or what takes the place of Celery's.
    """
    for name in options:
        if name in NO_MEANING:
            raise UnknownOption(f"option {name!r} has no meaning here: {NO_MEANING[name]}")
        if name not in OPTIONS:
            raise UnknownOption(f"no option named {name!r}{nearest(name, OPTIONS)}")


def _time(value: Any, what: str) -> datetime | None:
    match value:
        case None:
            return None
        case datetime() if value.tzinfo is not None:
            try:
                return value.astimezone(timezone.utc)
            except OverflowError as error:
                raise InvalidOption(f"{what}={value!r} is no time in UTC") from error
        case datetime():
            raise InvalidOption(f"{what}={value!r} has no time zone")
        case str():
            try:
                return read_time(value, what)
            except InvalidMessage as error:
                raise InvalidOption(str(error)) from error
        case _:
            raise InvalidOption(
                f"{what}={value!r}: expected a datetime, not {type(value).__qualname__}"
            )


def _after(now: datetime, value: Any, what: str) -> datetime:
    """Return the time that lies a number of seconds, or a timedelta, after now."""
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise InvalidOption(f"{what}={value!r}: expected seconds, not {type(value).__qualname__}")
    try:
        return now + (value if isinstance(value, timedelta) else timedelta(seconds=value))
    except (ValueError, OverflowError) as error:
        raise InvalidOption(f"{what}={value!r} seconds are not within a calendar") from error


def due_time(options: Mapping[str, Any], now: datetime) -> datetime | None:
    """Return when a call is due, from its ``countdown`` (seconds) or ``eta``.

    Raises
    ------
    InvalidOption
        If both are given, or one has a wrong type.
    """
    if options.get("countdown") is None:
        return _time(options.get("eta"), "eta")
    if options.get("eta") is not None:
        raise InvalidOption("give countdown or eta, not both")
    return _after(now, options["countdown"], "countdown")


def delay_for(eta: datetime | None, queue: Queue, now: datetime) -> int:
    """Return the DelaySeconds that hold a message until ``eta``.

    Raises
    ------
    InvalidOption
        If SQS cannot: more than 900 seconds, or any delay on a FIFO queue.
    """
    delay_s = 0 if eta is None else max(0, ceil((eta - now).total_seconds()))
    if delay_s and queue.fifo:
        raise InvalidOption(
            f"queue {queue.name!r} is FIFO, and SQS delays no single message there: "
            "send the task without countdown and eta, or to a standard queue"
        )
    if delay_s > DELAY_LIMIT_S:
        raise InvalidOption(
            f"a delay of {delay_s} s is above SQS's {DELAY_LIMIT_S} s, and longer ones are not "
            "supported yet: use a countdown of at most 15 minutes, or a schedule (beat_schedule)"
        )
    return delay_s


def _check_values(options: Mapping[str, Any]) -> None:
    """Refuse values that no worker could read, while the caller can still mend them."""
    for name, fits, expected in _VALUES:
        value = options.get(name)
        if value is not None and not fits(value):
            raise InvalidOption(f"{name}={value!r:.80}: expected {expected}")


def _is_limit(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < inf


def _is_compression(value: object) -> bool:
    return isinstance(value, str) and bool(_compression(value))  # which raises for an unknown one


def _compression(name: str) -> str:
    """Return the name of a compression; one that is not asked for is not imported."""
    from caraway.core.compression import compression

    return compression(name).name


def _is_group(value: object) -> bool:
    return isinstance(value, str) and _GROUP.fullmatch(value) is not None


_GROUP: Final = re.compile("[!-~]{1,128}")
_VALUES: Final[tuple[tuple[str, Callable[[object], bool], str], ...]] = (
    ("task", is_name, f"printable text of at most {NAME_LIMIT} characters"),
    ("task_id", is_name, f"printable text of at most {NAME_LIMIT} characters"),
    ("compression", _is_compression, "a compression's name"),
    ("serializer", is_name, "a serializer's name"),
    ("headers", lambda value: isinstance(value, Mapping), "a dict"),
    ("ignore_result", lambda value: isinstance(value, bool), "True or False"),
    ("retry", lambda value: isinstance(value, bool), "True or False"),
    ("retry_policy", lambda value: isinstance(value, Mapping), "a dict"),
    ("soft_time_limit", _is_limit, "seconds above 0"),
    ("time_limit", _is_limit, "seconds above 0"),
    ("message_group_id", _is_group, "1 to 128 letters, digits and punctuation marks"),
)


def _signatures(value: Any, what: str) -> tuple[Json, ...]:
    """Return link options as a tuple of JSON signatures."""
    if value is None:
        return ()
    several = value if isinstance(value, list | tuple) else [value]
    for each in several:
        if fault := signature_fault(each):
            raise InvalidOption(f"{what}={each!r:.200}: {fault}, such as task.s(...)")
    return tuple(several)


def describe(
    site: Site,
    task: str,
    args: Sequence[Json],
    kwargs: Mapping[str, Json],
    options: Mapping[str, Any],
    *,
    now: datetime,
    new_id: Callable[[str], str],
    parent: Message | None = None,
    digest: str | None = None,
) -> Outgoing:
    """Decide everything about a call: its id, queue, times and delay.

    Parameters
    ----------
    args, kwargs
        As the serializer that the options name has written them.
    options
        What ``apply_async`` takes, checked here; links as JSON signatures.
    new_id
        Gives the id for a digest, when the options name none.
    parent
        The message in whose course this one is sent.
    digest
        That of the arguments as JSON, where they travel otherwise.

    Raises
    ------
    UnknownOption, InvalidOption, QueueNotFound
        If the call cannot work; nothing has been sent then.
    """
    check_options(options)
    _check_values({**options, "task": task})
    queue = site.router.route(task, args, kwargs, options)
    eta = due_time(options, now)
    expires = options.get("expires")
    if isinstance(expires, int | float | timedelta):
        expires = _after(now, expires, "expires")
    group_id = options.get("message_group_id")
    wanted = options.get("compression") or site.compression
    digest = digest or digest_of(task, args, kwargs)
    id = options.get("task_id") or new_id(digest)
    message = Message(
        id=id,
        task=task,
        args=tuple(args),
        kwargs=dict(kwargs),
        root_id=(parent.root_id or parent.id) if parent else id,
        parent_id=parent.id if parent else None,
        sent_at=now,
        eta=eta,
        expires=_time(expires, "expires"),
        digest=digest,
        headers=options.get("headers") or {},
        link=_signatures(options.get("link"), "link"),
        link_error=_signatures(options.get("link_error"), "link_error"),
        ignore_result=options.get("ignore_result"),
        soft_time_limit=options.get("soft_time_limit"),
        time_limit=options.get("time_limit"),
        serializer=None if options.get("serializer") == JSON else options.get("serializer"),
        compression=_compression(wanted) if wanted else None,
        group_id=group_id or (DEFAULT_GROUP if queue.fifo else None),
    )
    return Outgoing(message, queue, delay_for(eta, queue, now))


def from_signature(
    site: Site, wire: Json, prepend: Sequence[Json], parent: Message, role: str, now: datetime
) -> Outgoing:
    """Decide everything about a callback: ``wire`` is a signature as JSON.

    Its id, unless the signature names one, derives from its parent and its ``role``, so a
    redelivery of the parent sends the same callback again and not another one.
    """
    args = list(wire.get("args") or ())
    if not wire.get("immutable"):
        args = [*prepend, *args]
    return describe(
        site,
        wire["task"],
        args,
        wire.get("kwargs") or {},
        {name: value for name, value in (wire.get("options") or {}).items() if value is not None},
        now=now,
        new_id=lambda _digest: derived_id(role, parent.id),
        parent=parent,
    )


async def queue_url(aws: Aws, site: Site, queue: Queue) -> str:
    """Return a queue's address; a port asks AWS once per queue."""
    return await aws.perform(GetQueueUrl(queue.sqs_name(site.queue_prefix)))


async def request_to_send(aws: Aws, site: Site, outgoing: Outgoing) -> SendMessage:
    """Return the request that makes a message durable; what is large is in S3 by then.

    Raises
    ------
    ImproperlyConfigured
        If it is too large to send and no bucket is configured.
    """
    message, queue = outgoing.message, outgoing.queue
    return SendMessage(
        await queue_url(aws, site, queue),
        await pack(aws, site.store, message),
        delay_s=outgoing.delay_s,
        group_id=message.group_id,
        deduplication_id=_deduplication_id(message) if queue.fifo else None,
    )


def _deduplication_id(message: Message) -> str:
    plain = f"{message.id}:{message.attempt}"
    return plain if _GROUP.fullmatch(plain) else sha256(plain.encode()).hexdigest()


async def send(aws: Aws, site: Site, outgoing: Outgoing) -> None:
    """Make a message durable.

    Raises
    ------
    OperationalError
        If SQS did not take it, or did not say so; sending the same ``Outgoing`` again is safe,
        because the id is the same.
    """
    await aws.perform(await request_to_send(aws, site, outgoing))


async def send_all(aws: Aws, requests: Sequence[SendMessage]) -> None:
    """Make several messages durable, in batches; raises the first failure."""
    for answer in await aws.perform_all(requests):
        if isinstance(answer, Exception):
            raise answer


async def send_patiently(
    aws: Aws, site: Site, outgoing: Outgoing, policy: Mapping[str, Any]
) -> None:
    """Make a message durable, asking again while AWS is unreachable or throttles.

    ``policy`` is Celery's ``retry_policy``: ``max_retries`` (3; None for ever), ``interval_start``
    (0 s), ``interval_step`` (0.2 s) and ``interval_max`` (0.2 s), on top of the SDK's own retries.
    """
    limit = policy.get("max_retries", 3)
    wait_s = float(policy.get("interval_start", 0))
    tried = 0
    while True:
        try:
            return await send(aws, site, outgoing)
        except (EndpointUnreachable, Throttled):
            if limit is not None and tried >= limit:
                raise
        await aws.sleep(wait_s)
        tried += 1
        step = float(policy.get("interval_step", 0.2))
        wait_s = min(wait_s + step, float(policy.get("interval_max", 0.2)))
