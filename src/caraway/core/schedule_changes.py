"""Changing what AWS stores of the schedule at run time: paused, edited, made, deleted, run now.

What an entry of the code is changed to lasts until the next sync, but for a pause, which lasts
until it is taken back. Each change may be repeated. It changes all that is stored of the entry: in
Scheduler one that was cut short leaves the old schedule beside the new one, until the next change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from caraway.core.beat import Entry, entries, schedules
from caraway.core.envelope import parse_envelope
from caraway.core.ids import new_id
from caraway.core.outcomes import all_done
from caraway.core.policies import fields_of
from caraway.core.publish import Outgoing
from caraway.core.routing import Queue
from caraway.core.schedule_entries import arguments_in, message_in, policy_in, timing_in
from caraway.core.sending import send
from caraway.core.stored import Held, Put
from caraway.core.stores import queue_arns
from caraway.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime, tzinfo

    from caraway.core.beat import ToWire
    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.stored import Stored
    from caraway.core.stores import Store, Stores
    from caraway.requests.base import Json


async def switch(aws: Aws, stores: Stores, held: Sequence[Held], *, on: bool) -> Held:
    """Let an entry fire, or pause it; return it as it is then.

    Parameters
    ----------
    held
        What is stored of it.

    Raises
    ------
    ImproperlyConfigured
        If it is to fire and is off, which is no pause.
    OperationalError
        If AWS refused.
    """
    changed = [each for each in held if each.is_on != on]
    if on and any(not each.stored.enabled for each in changed):
        whose = "beat_schedule" if held[0].stored.origin == "code" else "its maker"
        raise ImproperlyConfigured(
            f"{held[0].stored.entry!r} is not paused, it is off: {whose} says so (enabled=False); "
            "edit it with enabled=True, or change it there"
        )
    for store, its in _in_stores(stores, changed):
        all_done(await store.switch(aws, its, on=on))
    return replace(held[0], is_on=on)


async def write(aws: Aws, stores: Stores, stored: Stored, before: Sequence[Held] = ()) -> Held:
    """Store an entry; return it as it is then.

    What is new is there before the old is deleted. It is paused if it was, unless ``enabled``
    changes.

    Parameters
    ----------
    before
        What it takes the place of: all that is stored of the entry.

    Raises
    ------
    ImproperlyConfigured, ResourceMissing
        If its queue cannot be sent to, or nothing more fits; nothing has been changed then.
    OperationalError
        If AWS refused.
    """
    store = stores.current
    arns = await queue_arns(aws, [stored.queue])
    is_on, place = stored.enabled, (store.kind, store.name_of(stored))
    if not before:
        await store.admit(aws, [stored])
    elif before[0].stored.enabled == stored.enabled:
        is_on = all(each.is_on for each in before)
    replaced = next((each for each in before if each.kind == store.kind), None)
    there = next((each for each in before if (each.kind, each.name) == place), replaced)
    all_done(await store.put(aws, [Put(stored, arns[stored.queue], is_on, there)]))
    await remove(aws, stores, [each for each in before if (each.kind, each.name) != place])
    return Held(*place, stored, is_on)


async def remove(aws: Aws, stores: Stores, held: Sequence[Held]) -> None:
    """Delete what is stored of an entry; what is gone already is no failure."""
    for store, its in _in_stores(stores, held):
        all_done(await store.remove(aws, its))


def _in_stores(stores: Stores, held: Sequence[Held]) -> Iterator[tuple[Store, list[Held]]]:
    """Yield each store that keeps any of these, with those that it keeps."""
    for store in (stores.current, stores.other):
        its = [each for each in held if each.kind == store.kind]
        if its:
            yield store, its


def edited(
    site: Site,
    store: Store,
    stored: Stored,
    changes: Mapping[str, Any],
    *,
    zone: tzinfo,
    now: datetime,
    to_wire: ToWire,
) -> Stored:
    """Return what is to be stored of an entry that is changed; what is not named stays.

    Parameters
    ----------
    store
        Which is to take it.
    changes
        By the keys of ``beat_schedule``; None takes one back to its default. Of ``options`` only
        those named are changed.
    zone, now, to_wire
        As :func:`caraway.core.beat.schedules` takes them.

    Raises
    ------
    InvalidMessage
        If what is stored cannot be read, or its signature does not hold.
    UnknownOption, ImproperlyConfigured
        If there is no such change, or what comes of it cannot be stored.
    """
    _check_signature(site, stored, now)
    before = entry_in(site, stored)
    said = {**_fields_of(before), **changes}
    said["options"] = {**before.options, **(changes.get("options") or {})}
    calls_otherwise = not changes.keys().isdisjoint({"args", "kwargs"})
    if calls_otherwise:
        args, kwargs = arguments_in(site, message_in(stored))
        said |= {"args": changes.get("args", args), "kwargs": changes.get("kwargs", kwargs)}
    made = schedules(
        site,
        store,
        entries({before.name: said}, stored.origin),
        zone=zone,
        now=now,
        to_wire=to_wire if calls_otherwise else _as_they_travel,
        origin=stored.origin,
    )
    if not made:
        raise never_due(before.name)
    return replace(made[0], edited=stored.origin == "code")


def never_due(name: str) -> ImproperlyConfigured:
    """Return what is raised for an entry whose time is past."""
    return ImproperlyConfigured(f"schedule[{name!r}]: it is never due again, its time is past")


def entry_in(site: Site, stored: Stored) -> Entry:
    """Return the entry that a stored message is of, its arguments as they travel.

    Raises
    ------
    InvalidMessage
        If it cannot be read.
    """
    message = message_in(stored)
    timing, policy = timing_in(message), policy_in(message)
    options = {
        "queue": stored.queue.removeprefix(site.queue_prefix),
        "headers": dict(message.headers),
        "stamps": dict(message.stamps),
        "link": list(message.link),
        "link_error": list(message.link_error),
        "ignore_result": message.ignore_result,
        "soft_time_limit": message.soft_time_limit,
        "time_limit": message.time_limit,
        "serializer": message.serializer,
        "compression": message.compression,
        "message_group_id": stored.group_id,
        "expires": policy.expires_s,
    }
    return Entry(
        name=stored.entry,
        task=message.task,
        schedule=timing.when,
        args=message.args,
        kwargs=message.kwargs,
        options={name: value for name, value in options.items() if value not in (None, [], {})},
        enabled=stored.enabled,
        start=timing.start,
        end=timing.end,
        policy=replace(policy, expires_s=None),
    )


def _fields_of(entry: Entry) -> dict[str, Any]:
    said = {name: value for name, value in vars(entry).items() if name not in ("name", "policy")}
    return {**said, **fields_of(entry.policy)}


def _as_they_travel(entry: Entry) -> tuple[list[Json], dict[str, Json]]:
    return list(entry.args), dict(entry.kwargs)


async def send_now(aws: Aws, site: Site, stored: Stored) -> Message:
    """Send the message of an entry at once, as a task of its own, and return it.

    Its id is a fresh one and its ``scheduled_time`` is now: it is none of the entry's occurrences,
    and neither a guard, nor the policies, nor a pause keep it from running, as it keeps no
    occurrence from running. A signature that the
    stored message has is looked at, as a worker would, and the message that is sent is signed anew.

    Raises
    ------
    InvalidMessage
        If the message cannot be read, or its signature does not hold.
    ImproperlyConfigured
        If workers want a signature, and this app has no key that signs.
    OperationalError
        If SQS did not take it.
    """
    now = aws.now()
    _check_signature(site, stored, now)
    id = new_id()
    message = replace(
        message_in(stored), id=id, root_id=id, sent_at=now, scheduled_time=now, when=None
    )
    await send(aws, site, Outgoing(message, _queue(site, stored)))
    return message


def _check_signature(site: Site, stored: Stored, now: datetime) -> None:
    """See that a stored message can be signed anew: nobody without a key has changed it."""
    if site.signing is None:
        return
    site.signing.verify(parse_envelope(stored.text), now)
    if site.signing.required and site.signing.key_id is None:
        raise ImproperlyConfigured(
            "a message must be signed (task_require_signature), and this app has no key to sign "
            "with: set task_signing_key_id, or do it where that is set"
        )


def _queue(site: Site, stored: Stored) -> Queue:
    """Return the queue that an entry sends to, whether or not the app's settings name it."""
    for queue in site.router.queues.values():
        if queue.sqs_name(site.queue_prefix) == stored.queue:
            return queue
    return Queue(stored.queue.removeprefix(site.queue_prefix))
