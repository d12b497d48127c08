"""From a call to a message for its queue: options, id, queue and delay are decided."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Final

from caraway.core.claim_check import Store
from caraway.core.ids import new_id
from caraway.core.message import UNSENT, Message, digest_of
from caraway.core.options import (
    check_within_horizon,
    deduplication_id,
    delay_for,
    signatures,
)
from caraway.core.serializers import Contents
from caraway.core.terms import terms_of
from caraway.core.transitions import Records
from caraway.core.workflow import NOWHERE, Call, Place, Values
from caraway.lean import dataclass, made
from caraway.requests.sqs import DELAY_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from caraway.core.routing import Queue, Router
    from caraway.core.scheduling import Scheduling
    from caraway.core.signing import Signing
    from caraway.core.terms import Terms
    from caraway.requests.base import Json

AT_A_TIME: Final = 100
"""Calls of a group that are described before they are sent. As many may be on their way meanwhile,
so a large one holds twice as many in memory."""
DEFAULT_GROUP: Final = "default"
"""Message group of a FIFO task that names none: the whole queue keeps one order."""


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
    keeps_calls
        Whether records keep what a task was called with, and who runs it.
    carried_headers
        Names of the headers that callbacks take over from the message that leads to them.
    signing
        How messages are signed and verified, None for neither.
    scheduling
        Where schedules go in EventBridge Scheduler; None where the app has no role for it.
    delay_limit_s
        For how long a queue can delay a message.
    """

    router: Router
    records: Records = field(default_factory=lambda: Records("caraway-tasks"))
    store: Store = field(default_factory=Store)
    queue_prefix: str = ""
    result_expires_s: float | None = 86_400
    max_deliveries: int = 5
    keeps_results: bool = True
    keeps_calls: bool = False
    contents: Contents = field(default_factory=Contents)
    compression: str | None = None
    carried_headers: frozenset[str] = frozenset()
    signing: Signing | None = None
    scheduling: Scheduling | None = None
    delay_limit_s: int = DELAY_LIMIT_S


@dataclass(frozen=True)
class Outgoing:
    """A message on its way to a queue.

    Attributes
    ----------
    delay_s
        How long it is to be held, in seconds. What SQS cannot delay for so long waits in a
        schedule, or comes early and is sent on (:mod:`caraway.core.sending`).
    deduplication_id
        By which a FIFO queue knows it again for five minutes; None for the attempt's own.
    """

    message: Message
    queue: Queue
    delay_s: int = 0
    deduplication_id: str | None = None


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
    place: Place = NOWHERE,
    values: Mapping[str, Json] | None = None,
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
    place
        Where it stands in its workflow.
    values
        The group whose results come before its arguments.

    Raises
    ------
    UnknownOption, InvalidOption, QueueNotFound
        If the call cannot work; nothing has been sent then.
    """
    terms = terms_of(task, options, site.router, site.compression)
    return describe_on(
        site,
        terms,
        args,
        kwargs,
        now=now,
        id=terms.options.get("task_id"),
        new_id=new_id,
        parent=parent,
        digest=digest,
        place=place,
        values=values,
    )


def describe_on(
    site: Site,
    terms: Terms,
    args: Sequence[Json],
    kwargs: Mapping[str, Json],
    *,
    now: datetime,
    id: str | None,
    new_id: Callable[[str], str],
    parent: Message | None = None,
    digest: str | None = None,
    place: Place = NOWHERE,
    values: Mapping[str, Json] | None = None,
) -> Outgoing:
    """Decide the rest about a call whose options have been looked at; as :func:`describe`.

    Parameters
    ----------
    id
        The task's id, where the options name it or it is derived.
    """
    task, options, queue = terms.task, terms.options, terms.queue
    if queue is None:
        asked = options if id is None else {**options, "task_id": id}
        queue = site.router.route(task, args, kwargs, asked)
    times = terms.times(now)
    eta = times.get("eta")
    if place.chord is not None or values is not None:
        check_within_horizon(eta, now)
    group_id = options.get("message_group_id")
    if group_id is None and queue.fifo:  # what a task of a group leads to stays in the group
        group_id = (parent.group_id if parent else None) or DEFAULT_GROUP
    digest = digest or digest_of(task, args, kwargs)
    id = id or new_id(digest)
    fields = {
        "id": id,
        "task": task,
        "args": tuple(args),
        "kwargs": dict(kwargs),
        "root_id": (parent.root_id or parent.id) if parent else id,
        "parent_id": parent.id if parent else None,
        "headers": {},
        "stamps": {},
        "values": values,
        "group_id": group_id,
        **times,
        **terms.fields,
        **_fields_of(place),
        "digest": digest,
    }
    message = made(Message, fields)
    return Outgoing(
        message,
        queue,
        delay_for(eta, queue, now),
        deduplication_id(options.get("message_deduplication_id"), queue),
    )


def _fields_of(place: Place) -> Mapping[str, Any]:
    """Return the fields of a message that say where its task stands."""
    if place is NOWHERE:
        return {}
    return {**vars(place), "chain": signatures(place.chain, "chain")}


def from_call(
    site: Site,
    call: Call[Json],
    parent: Message,
    now: datetime,
    *,
    place: Place = NOWHERE,
) -> Outgoing:
    """Decide everything about a call that a task leads to: a signature as JSON, with its id."""
    wire = call.what
    values, args = _arguments(call)
    options = {
        name: value for name, value in (wire.get("options") or {}).items() if value is not None
    }
    if headers := _headers(site, options, parent):
        options["headers"] = headers
    replaces = wire.get("replaces")
    outgoing = describe(
        site,
        wire["task"],
        args,
        wire.get("kwargs") or {},
        {**options, "task_id": call.id},
        now=now,
        new_id=lambda _digest: call.id or new_id(),
        parent=parent,
        digest=replaces["digest"] if replaces else None,
        place=place,
        values=values,
    )
    if replaces:
        outgoing = replace(outgoing, message=_going_on(outgoing.message, replaces, parent))
    return outgoing


def _going_on(message: Message, replaces: Mapping[str, Json], parent: Message) -> Message:
    """Return the message that goes on with the id of a task that it has replaced."""
    return replace(
        message,
        attempt=replaces["attempt"],
        digest=replaces["digest"],
        replaced_at=replaces["attempt"],
        replaced_task_nesting=replaces["nesting"],
        # It is no child of itself.
        parent_id=parent.parent_id if parent.id == message.id else parent.id,
    )


def unsent(site: Site, call: Call[Json], parent: Message, place: Place) -> Message:
    """Return the message of a call that is not sent: who it is, and what waits for it.

    Nothing is checked, as it is also that of a call which cannot be sent.
    """
    wire = call.what
    _, args = _arguments(call)
    options = wire.get("options") or {}
    message = Message(
        id=call.id or new_id(),
        task=wire["task"],
        args=tuple(args),
        kwargs=wire.get("kwargs") or {},
        attempt=UNSENT,
        root_id=parent.root_id or parent.id,
        parent_id=parent.id,
        headers=_headers(site, options, parent),
        link_error=signatures(options.get("link_error"), "link_error"),
        chain=place.chain,
        group=place.group,
        group_index=place.group_index,
        chord=place.chord,
        added=place.added,
        group_id=parent.group_id,
    )
    if replaces := wire.get("replaces"):
        message = _going_on(message, replaces, parent)
        message = replace(message, attempt=message.attempt - 1)
    return message


def _arguments(call: Call[Json]) -> tuple[Mapping[str, Json] | None, list[Json]]:
    """Return the group whose results come first, if any, and the arguments."""
    wire = call.what
    values, before = split(() if wire.get("immutable") else call.prepended)
    return values, [*before, *(wire.get("args") or ())]


def _headers(site: Site, options: Mapping[str, Any], parent: Message) -> Mapping[str, Json]:
    """Return the headers of a call, and those that it takes over."""
    carried = {name: parent.headers[name] for name in site.carried_headers & parent.headers.keys()}
    return {**carried, **(options.get("headers") or {})}


def split(prepended: Sequence[Any]) -> tuple[Mapping[str, Json] | None, Sequence[Any]]:
    """Return the group whose results come first of all, as a message names it, and the rest."""
    if prepended and isinstance(prepended[0], Values):
        return prepended[0].to_json(), prepended[1:]
    return None, prepended
