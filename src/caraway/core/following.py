"""What a recorded ending leads to: callbacks, errbacks, and the dead-letter queue last.

Everything here is a function of the message and the record, so a redelivery of the message of a
finished task can complete what an earlier delivery did not.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from caraway import states
from caraway.core.claim_check import load_text
from caraway.core.codec import dumps
from caraway.core.dead_lettering import dead_letter, reason_of
from caraway.core.endings import Recorded, callbacks, goes_on_as_another
from caraway.core.errors import error_from_json, error_to_json
from caraway.core.ids import derived_id, member_id
from caraway.core.joins import Member, arrive_added, arrive_with
from caraway.core.lots import lots
from caraway.core.outcomes import all_written
from caraway.core.publish import AT_A_TIME, from_call, unsent
from caraway.core.record import DONE, HORIZON_S, Record, Written
from caraway.core.sending import request_to_send, send_all
from caraway.core.workflow import (
    NOWHERE,
    Call,
    Place,
    Values,
    call_to_json,
    chain_of,
    decided,
    heads,
    prepended,
    steps_of,
    steps_to_json,
    then_of,
)
from caraway.exceptions import ChordError, ImproperlyConfigured, TaskError
from caraway.requests.dynamodb import ConditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from caraway.core.disposition import Delivery
    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.sending import Sending
    from caraway.core.settle import Definition
    from caraway.requests.base import Json

    Placed: TypeAlias = tuple[Call[Json], Place]

_ERROR_LIMIT: Final = 4_096
"""Characters of an error that tasks keep which failed with another: that one keeps all of it."""


async def follow_up(
    aws: Aws, site: Site, tasks: Mapping[str, Definition], delivery: Delivery, done: Recorded
) -> str | None:
    """Send what an ending leads to; its dead letter last, so that a crash repeats all of it.

    Returns
    -------
    str | None
        Why the message went to the dead-letter queue although the ending does not ask for it: a
        callback that nobody could send as it is. A redrive tries again.
    """
    faults = await lead_on(aws, site, tasks, done)
    message, said = done.message, "; ".join(faults)
    if done.dead_lettered:
        reason = "; ".join([reason_of(done.result), *faults])
        again = replace(message.next_attempt(), retries=0)
        await dead_letter(aws, site, delivery, again, reason)
    elif faults:
        await dead_letter(aws, site, delivery, message, said)
    return said or None


async def lead_on(
    aws: Aws, site: Site, tasks: Mapping[str, Definition], done: Recorded
) -> list[str]:
    """Send callbacks and the next steps of the workflow, or fail it; says what cannot be sent."""
    message = done.message
    if not (message.link or message.link_error or message.chain or message.chord):
        return []
    faults: list[str] = []
    is_waited_for_as_another = done.state != states.SUCCESS and goes_on_as_another(message)
    if is_waited_for_as_another:
        faults += await _fail_what_replaces(aws, site, tasks, done)
    if done.state == states.FAILURE and message.chain:
        await _fail_rest(aws, site, done)
    faults += await _send(aws, site, tasks, message, _callbacks(done, tasks))
    if done.state == states.SUCCESS:
        return faults + await _go_on(aws, site, tasks, done)
    if message.chord is None or is_waited_for_as_another:
        return faults
    return faults + await _fail(aws, site, tasks, message, Place.of(message), chord_error(done))


def _callbacks(done: Recorded, tasks: Mapping[str, Definition]) -> Iterator[Placed]:
    """Give the calls that callbacks begin with: errbacks take what their function asks for."""
    message = done.message
    for index, wire in enumerate(callbacks(message, done.state)):
        role, arguments = f"link:{index}", [done.result]
        if done.state != states.SUCCESS:
            errback = tasks.get(wire["task"])
            arguments = [message.id]
            if errback is not None:
                arguments = errback.errback_arguments(message, done.result, done.traceback)
            # A redrive may fail once more, and that failure has an errback of its own.
            role = f"link_error:{index}:{message.attempt}"
        steps = decided(steps_of(wire), derived_id(role, message.id))
        yield from heads(prepended(steps, *arguments), NOWHERE, call_to_json)


async def _send(
    aws: Aws,
    site: Site,
    tasks: Mapping[str, Definition],
    message: Message,
    calls: Iterable[Placed],
) -> list[str]:
    """Send calls that a task leads to, some at a time; those that cannot be sent have failed."""
    faults: list[str] = []
    for several in lots(calls, AT_A_TIME):
        requests: list[Sending] = []
        refused: list[tuple[Placed, Exception]] = []
        for call, place in several:
            try:
                outgoing = from_call(site, call, message, aws.now(), place=place)
                requests.append(await request_to_send(aws, site, outgoing))
            except (ImproperlyConfigured, TaskError) as error:  # noqa: PERF203 - the others go
                refused.append(((call, place), error))
        await send_all(aws, requests)
        for each, why in refused:
            faults.append(f"its callback {each[0].what['task']} cannot be sent: {why}")
            faults += await _fail_unsent(aws, site, tasks, message, each, error_to_json(why))
    return faults


async def _go_on(
    aws: Aws, site: Site, tasks: Mapping[str, Definition], done: Recorded
) -> list[str]:
    """Send the next step of a workflow, and count the task in its group when it was the last."""
    message, added = done.message, done.added
    if not message.chain and message.chord is None:
        return []
    place = replace(Place.of(message), chain=())
    steps = prepended(chain_of(message), done.result) if message.chain else ()
    at, nested = message.id, None
    while True:
        if calls := list(heads(steps, place, call_to_json)):
            return await _send(aws, site, tasks, message, calls)
        if steps:  # groups without members
            at, nested = steps[-1].id or at, 0
        if place.chord is None:
            return []
        member = _member(place, at, nested)
        if not await _arrive(aws, site, member, place.added, added):
            return []
        added = ()
        steps = prepended(then_of(place), Values(member.group, member.size or 0))
        at, nested, place = member.group, member.size, Place.read(place.chord.get("up") or {})


async def _arrive(
    aws: Aws, site: Site, member: Member, added_as: str | None, added: tuple[str, ...]
) -> bool:
    """Count a member, or what one has added; True if that was seen to complete the group."""
    until = aws.now().timestamp() + HORIZON_S
    if added_as is None:
        return await arrive_with(aws, site, member, added, until)
    adder = Member(member.group, member.index, member.size)
    at = None if member.at == added_as else member.at
    return await arrive_added(aws, site, adder, added_as, until, added=added, at=at)


def _member(place: Place, at: str, nested: int | None) -> Member:
    """Return a place in a group, and where its value is."""
    assert place.chord is not None
    group, index = place.group or "", place.group_index or 0
    derived = nested is None and at == member_id(group, index)
    return Member(group, index, place.chord["size"], None if derived else at, nested)


async def _fail(
    aws: Aws,
    site: Site,
    tasks: Mapping[str, Definition],
    message: Message,
    place: Place,
    error: Json,
) -> list[str]:
    """Fail what waits for the group of a place: a record of its own, and all that leads to.

    Every member that fails comes here, and so does every redelivery of one: the first record
    decides, and what follows from it has decided ids.
    """
    if place.chord is None:
        return []
    up, then = Place.read(place.chord.get("up") or {}), then_of(place)
    values = Values(place.group or "", place.chord["size"])
    calls = list(heads(prepended(then, values), up, call_to_json))
    if not calls:  # the group itself is the last step of its workflow, or what follows is empty
        return await _fail(aws, site, tasks, message, up, error)
    faults: list[str] = []
    for each in calls:
        faults += await _fail_unsent(aws, site, tasks, message, each, error)
    return faults


async def _fail_what_replaces(
    aws: Aws, site: Site, tasks: Mapping[str, Definition], done: Recorded
) -> list[str]:
    """Fail the task that a chain was to end with in the place of another one.

    Who waits for that one knows nothing of the chain: it fails with the error of what has failed.
    """
    message, steps = done.message, chain_of(done.message)
    index, call = next(
        (index, step)
        for index, step in enumerate(steps)
        if isinstance(step, Call) and step.what.get("replaces")
    )
    place = replace(Place.of(message), chain=tuple(steps_to_json(steps[index + 1 :], call_to_json)))
    error = done.result if done.state == states.FAILURE else chord_error(done)
    return await _fail_unsent(aws, site, tasks, message, (call, place), error)


async def _fail_unsent(
    aws: Aws,
    site: Site,
    tasks: Mapping[str, Definition],
    parent: Message,
    placed: Placed,
    error: Json,
) -> list[str]:
    """Fail a call that is not sent, and all that waits for it."""
    call, place = placed
    failed = await _failed(aws, site, unsent(site, call, parent, place), error)
    return [] if failed is None else await lead_on(aws, site, tasks, failed)


async def _fail_rest(aws: Aws, site: Site, done: Recorded) -> None:
    """Record that the tasks after one in its chain have failed with it: they are never sent.

    As in Celery, so that one who knows a workflow by the id of its end only hears of the failure.
    Errbacks are the failed task's own. If that is redriven and succeeds, they run after all.
    """
    message, steps = done.message, chain_of(done.message)
    text = dumps(done.result)
    kept = Written(states.FAILURE, text if len(text) <= _ERROR_LIMIT else None)
    now, place = aws.now().timestamp(), replace(Place.of(message), chain=())
    writes = [
        site.records.fail_unsent(unsent(site, call, message, its_place), now, kept, whole=False)
        for at, step in enumerate(steps)
        if isinstance(step, Call)
        for call, its_place in heads(steps[at:], place, call_to_json)
    ]
    all_written(await aws.perform_all(writes))  # those that have a record have gone on


async def _failed(aws: Aws, site: Site, message: Message, error: Json) -> Recorded | None:
    """Record that a task has failed without being sent; None when it has gone on."""
    kept = Written(states.FAILURE, dumps(error))
    write = site.records.fail_unsent(message, aws.now().timestamp(), kept)
    try:
        await aws.perform(write)
    except ConditionFailed as present:
        record = Record.read(present.item)
        if record.phase == DONE and record.state == states.REVOKED:
            return Recorded(message, states.REVOKED)  # its message would have told this
        if not record.is_unsent:
            return None
        error = json.loads(await load_text(aws, site.store, record.result or "null"))
    return Recorded(message, states.FAILURE, error)


def chord_error(done: Recorded) -> Json:
    """Return what a chord fails with when one of its members has ended otherwise than well."""
    member = f"Dependency {done.message.id}"
    if done.result is None:
        return error_to_json(ChordError(f"{member} is {done.state}"))
    return error_to_json(ChordError(f"{member} raised {error_from_json(done.result)!r}"))
