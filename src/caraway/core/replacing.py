"""Replacing: a running task hands its id, and its place in its workflow, to other tasks.

The last of them has the task's id. Its first attempt is the one after that of the replaced task,
whose digest it carries: to everybody else it is the same task, whose record goes on. The record
keeps what is to be sent, as that of a retry does, so that a redelivery of the replaced task's
message can finish a replacement. It never runs that task again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caraway import states
from caraway.core.attempts import REPLACED, Handover, keep_changes, kept_changes
from caraway.core.canvas_options import given
from caraway.core.disposition import Delete
from caraway.core.publish import from_call
from caraway.core.record import RETRY, Written
from caraway.core.sending import request_to_send, send_all
from caraway.core.workflow import Place, all_steps_of, call_to_json, heads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.core.context import Replacement
    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.record import Record
    from caraway.core.sending import Sending
    from caraway.requests.base import Json


async def replace_by(
    aws: Aws, site: Site, message: Message, by: Replacement, *, token: str | None, sensitive: bool
) -> Handover:
    """Prepare a replacement; what is large is in S3 by then, so that nothing can fail but AWS.

    Raises
    ------
    ImproperlyConfigured, TaskError
        If what takes its place cannot be sent or recorded.
    """
    steps = _in_its_place(message, by.steps)
    sends = await _requests(aws, site, message, steps)
    after = Delete("another task takes its place")
    if token is None:
        return Handover(None, sends, after)
    kept = await keep_changes(
        aws, site, message, token, {REPLACED: steps}, sensitive=sensitive or by.sensitive
    )
    write = site.records.replace(
        message.id,
        token,
        aws.now().timestamp(),
        attempt=message.attempt + 1,
        changes=kept,
        written=Written(states.PENDING),
    )
    return Handover(write, sends, after)


def is_replaced(message: Message, record: Record) -> bool:
    """Say whether a message asks for a task whose id is another one's now."""
    return record.replaced is not None and message.attempt < record.replaced


async def complete(aws: Aws, site: Site, message: Message, record: Record) -> Delete:
    """Let go of the message of a replaced task, when what takes its place is sent for sure."""
    if record.phase == RETRY and record.attempt == record.replaced:
        # The replacement was recorded, but it may never have been sent.
        steps: Sequence[Json] = (await kept_changes(aws, site, record)).get(REPLACED) or ()
        await send_all(aws, await _requests(aws, site, message, steps))
    return Delete("another task has taken its place")


def _in_its_place(message: Message, steps: Sequence[Json]) -> list[Json]:
    """Return steps whose last call goes on with a message's id, and with what follows from it."""
    *before, last = steps
    kept = {
        "link": list(message.link),
        "link_error": list(message.link_error),
        "stamps": dict(message.stamps),
    }
    inherited = {name: value for name, value in kept.items() if value}
    last = given(last, {"task_id": message.id, **inherited})
    replaces = {
        "attempt": message.attempt + 1,
        "digest": message.digest,
        "nesting": message.replaced_task_nesting + 1,
    }
    return [*before, {**last, "replaces": replaces}]


async def _requests(
    aws: Aws, site: Site, message: Message, steps: Sequence[Json]
) -> tuple[Sending, ...]:
    """Return what sends the calls that steps begin with, in the place of a message's task."""
    now = aws.now()
    outgoings = [
        from_call(site, call, message, now, place=place)
        for call, place in heads(all_steps_of(steps), Place.of(message), call_to_json)
    ]
    return tuple([await request_to_send(aws, site, outgoing) for outgoing in outgoings])
