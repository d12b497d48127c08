"""The options of a call: which there are, and what each may hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from math import ceil, inf
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from caraway.core.fields import NAME_LIMIT, is_name, read_time, signature_fault
from caraway.core.record import HORIZON_S
from caraway.core.stamps import are_stamps
from caraway.exceptions import InvalidMessage, InvalidOption, UnknownOption, nearest

if TYPE_CHECKING:
    from caraway.core.routing import Queue
    from caraway.requests.base import Json

When: TypeAlias = "datetime | timedelta | None"
"""A point in time, or the time from when a call is made."""

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
        "message_deduplication_id",
        "message_group_id",
        "queue",
        "retry",
        "retry_policy",
        "serializer",
        "soft_time_limit",
        "stamps",
        "task_id",
        "time_limit",
    }
)
AS_IN_SQS: Final = {
    "MessageDeduplicationId": "message_deduplication_id",
    "MessageGroupId": "message_group_id",
}
"""Options by the names that Celery's users of SQS give them, and by ours."""
_KNOWN: Final = OPTIONS | AS_IN_SQS.keys()
NO_MEANING: Final = {
    "priority": "SQS has no priorities; send urgent tasks to a queue of their own",
    "exchange": "SQS has no exchanges; name the queue",
    "routing_key": "SQS has no routing keys; name the queue",
    "connection": "the app keeps its own AWS clients",
    "producer": "the app keeps its own AWS clients",
    "delivery_mode": "SQS messages are always durable",
    "stamped_headers": "give the stamps themselves, stamps={'name': value}",
    "mandatory": "a queue that does not exist always raises",
}


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse an option that does not exist.

    Raises
    ------
    UnknownOption
        Naming the nearest one, or what takes the place of Celery's.
    """
    if _KNOWN.issuperset(options):
        return
    for name in options:
        if name in NO_MEANING:
            raise UnknownOption(f"option {name!r} has no meaning here: {NO_MEANING[name]}")
        if name not in OPTIONS and name not in AS_IN_SQS:
            raise UnknownOption(f"no option named {name!r}{nearest(name, OPTIONS)}")


def by_our_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with one name each.

    Raises
    ------
    InvalidOption
        If one is given by two names.
    """
    if AS_IN_SQS.keys().isdisjoint(options):
        return dict(options)
    named = {name: value for name, value in options.items() if name not in AS_IN_SQS}
    for name in options.keys() & AS_IN_SQS.keys():
        ours = AS_IN_SQS[name]
        if named.get(ours) is not None:
            raise InvalidOption(f"give {ours} or {name}, not both")
        named[ours] = options[name]
    return named


def deduplication_id(value: str | None, queue: Queue) -> str | None:
    """Return the deduplication id that a call asks for.

    Raises
    ------
    InvalidOption
        If the queue is standard: SQS refuses one there.
    """
    if value is not None and not queue.fifo:
        raise InvalidOption(
            f"queue {queue.name!r} is standard, and SQS tells no duplicates there: give a task_id, "
            "which runs once however often it is sent, or use a FIFO queue"
        )
    return value


def time_of(value: Any, what: str) -> datetime | None:
    """Return a point in time from a datetime or from ISO 8601 text, in UTC."""
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


def span_of(value: Any, what: str) -> timedelta:
    """Return a time from now as a timedelta, from a number of seconds or from one."""
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise InvalidOption(f"{what}={value!r}: expected seconds, not {type(value).__qualname__}")
    try:
        return value if isinstance(value, timedelta) else timedelta(seconds=value)
    except (ValueError, OverflowError) as error:
        raise InvalidOption(f"{what}={value!r} seconds are not within a calendar") from error


def point(when: When, now: datetime, what: str) -> datetime | None:
    """Return a time from now as the point in time that it is for a call made now.

    Raises
    ------
    InvalidOption
        If no calendar has it.
    """
    if not isinstance(when, timedelta):
        return when
    try:
        return now + when
    except OverflowError as error:
        said = f"{what}={when.total_seconds():.15g} seconds are not within a calendar"
        raise InvalidOption(said) from error


def due(options: Mapping[str, Any]) -> When:
    """Return when calls are due, from their ``countdown`` (seconds) or ``eta``.

    Raises
    ------
    InvalidOption
        If both are given, or one has a wrong type.
    """
    if options.get("countdown") is None:
        return time_of(options.get("eta"), "eta")
    if options.get("eta") is not None:
        raise InvalidOption("give countdown or eta, not both")
    return span_of(options["countdown"], "countdown")


def due_time(options: Mapping[str, Any], now: datetime) -> datetime | None:
    """Return when a call that is made now is due; as :func:`due`."""
    return point(due(options), now, "countdown")


def delay_for(eta: datetime | None, queue: Queue, now: datetime) -> int:
    """Return for how many seconds a message is to be held until ``eta``.

    Raises
    ------
    InvalidOption
        If the queue is FIFO, as SQS delays no single message there.
    """
    delay_s = 0 if eta is None else max(0, ceil((eta - now).total_seconds()))
    if delay_s and queue.fifo:
        raise InvalidOption(
            f"queue {queue.name!r} is FIFO, and SQS delays no single message there: "
            "send the task without countdown and eta, or to a standard queue"
        )
    return delay_s


def check_within_horizon(eta: datetime | None, now: datetime) -> None:
    """Refuse an ETA that the values of a group need not live to see.

    Raises
    ------
    InvalidOption
        If it is further away than half of the time for which the values of a chord are kept.
    """
    if eta is not None and (eta - now).total_seconds() > HORIZON_S:
        raise InvalidOption(
            f"an eta {(eta - now).days} days ahead: a member of a chord, and what follows a chord, "
            f"is due within {HORIZON_S // 86_400} days, as the values of a chord are kept for "
            f"{2 * HORIZON_S // 86_400}; send the later part from a task of its own"
        )


def check_values(options: Mapping[str, Any]) -> None:
    """Refuse values that no worker could read, while the caller can still mend them."""
    for name, value in options.items():
        if value is None or name not in _VALUES:
            continue
        fits, expected = _VALUES[name]
        if not fits(value):
            raise InvalidOption(f"{name}={value!r:.80}: expected {expected}")


def _is_limit(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < inf


def _is_compression(value: object) -> bool:
    # An unknown one raises, with the nearest.
    return isinstance(value, str) and bool(known_compression(value))


def known_compression(name: str) -> str:
    """Return the name of a compression; one that is not asked for is not imported."""
    from caraway.core.compression import compression

    return compression(name).name


def _is_group(value: object) -> bool:
    return isinstance(value, str) and GROUP.fullmatch(value) is not None


GROUP: Final = re.compile("[!-~]{1,128}")
"""What a message group or a deduplication id may be."""
_GROUP_SAID: Final = "1 to 128 letters, digits and punctuation marks"
_VALUES: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "task": (is_name, f"printable text of at most {NAME_LIMIT} characters"),
    "task_id": (is_name, f"printable text of at most {NAME_LIMIT} characters"),
    "compression": (_is_compression, "a compression's name"),
    "serializer": (is_name, "a serializer's name"),
    "headers": (lambda value: isinstance(value, Mapping), "a dict"),
    "stamps": (are_stamps, "a dict of stamps by their names"),
    "ignore_result": (lambda value: isinstance(value, bool), "True or False"),
    "retry": (lambda value: isinstance(value, bool), "True or False"),
    "retry_policy": (lambda value: isinstance(value, Mapping), "a dict"),
    "soft_time_limit": (_is_limit, "seconds above 0"),
    "time_limit": (_is_limit, "seconds above 0"),
    "message_group_id": (_is_group, _GROUP_SAID),
    "message_deduplication_id": (_is_group, _GROUP_SAID),
}


def signatures(value: Any, what: str) -> tuple[Json, ...]:
    """Return link options as a tuple of JSON signatures."""
    if value is None:
        return ()
    several = value if isinstance(value, list | tuple) else [value]
    for each in several:
        if fault := signature_fault(each):
            raise InvalidOption(f"{what}={each!r:.200}: {fault}, such as task.s(...)")
    return tuple(several)
