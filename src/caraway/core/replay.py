"""A replay: a task that failed is run again, from the message that its record keeps.

The failure's errbacks are sent first, then the record is reopened for its next attempt, then that
attempt is sent. So what follows from the failure is durable before the record forgets it: the
message of the attempt that failed may be on its queue still, and from then on it finds that it is
overtaken. A crash after the second step leaves a record that waits and still keeps the message: to
replay it again sends the attempt again, which changes nothing where it was sent.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from caraway import states
from caraway.core.claim_check import keep_text, load_text
from caraway.core.codec import dumps
from caraway.core.endings import Recorded
from caraway.core.envelope import parse_envelope
from caraway.core.errors import error_from_json
from caraway.core.following import lead_on
from caraway.core.ids import new_token
from caraway.core.message import read_message
from caraway.core.publish import Outgoing
from caraway.core.record import RETRY, RUNNING, Record
from caraway.core.sending import request_to_send
from caraway.exceptions import InvalidMessage, NotReplayable, PayloadMissing
from caraway.lean import dataclass
from caraway.requests.dynamodb import ConditionFailed, GetItem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.routing import Queue
    from caraway.core.settle import Definition


@dataclass(frozen=True)
class Replay:
    """A task that failed, and its next attempt.

    Attributes
    ----------
    record
        As it was read: of a failure, or of one that was reopened.
    failed
        The message of the attempt that failed.
    message, queue
        Of the attempt to come, and where it goes.
    """

    record: Record
    failed: Message
    message: Message
    queue: Queue


async def planned(
    aws: Aws, site: Site, tasks: Mapping[str, Definition], id: str, queue: str | None = None
) -> Replay:
    """Return what a replay of a task would do; nothing is changed.

    Parameters
    ----------
    queue
        Where the attempt goes; None for the queue that the task ran from.

    Raises
    ------
    NotReplayable
        If the task has not failed, or its message is not to be had.
    QueueNotFound
        If the queue is not declared.
    """
    item = await aws.perform(GetItem(site.records.table, id))
    record = Record.read(item or {})
    if not record.is_reopened:
        _refuse_unless_failed(id, record)
    failed = await _kept(aws, site, id, record)
    message = replace(failed, attempt=failed.attempt + 1, retries=0, eta=None, expires=None)
    home = _queue(site, tasks, record, message, queue)
    return Replay(record, failed, message, home)


async def replay(
    aws: Aws, site: Site, tasks: Mapping[str, Definition], id: str, queue: str | None = None
) -> Replay:
    """Run a task that failed again, under its id; parameters and errors as :func:`planned`."""
    plan = await planned(aws, site, tasks, id, queue)
    # Prepared first: once the record is reopened nothing may fail but AWS.
    request = await request_to_send(aws, site, Outgoing(plan.message, plan.queue))
    if not plan.record.is_reopened:
        await _send_errbacks(aws, site, tasks, plan)
        await _reopen(aws, site, plan)
    await aws.perform(request)
    return plan


def _refuse_unless_failed(id: str, record: Record) -> None:
    if record.phase is None:
        raise NotReplayable(
            f"nothing is known of task {id}: it was never run, keeps no result, or its record has "
            "expired; a message that could not be run is in a dead-letter queue (caraway dlq)"
        )
    if record.phase in (RUNNING, RETRY):
        what = "runs" if record.phase == RUNNING else "waits for its next attempt"
        raise NotReplayable(f"task {id} {what}: only one that has failed can be run again")
    if record.state != states.FAILURE:
        raise NotReplayable(f"task {id} is {record.state}: only one that has failed is run again")


async def _kept(aws: Aws, site: Site, id: str, record: Record) -> Message:
    """Return the message that a record keeps."""
    if record.is_unsent:
        error = json.loads(await load_text(aws, site.store, record.result or "null"))
        raise NotReplayable(
            f"task {id} never ran, as what it waited for has failed, or it could not be sent: "
            f"{error_from_json(error)!r}; run the task before it again, or redrive the dead letter "
            "of that one (caraway dlq), and this one follows"
        )
    if record.sensitive:
        raise NotReplayable(
            f"the record of task {id} keeps no message, as the task is declared sensitive: send it "
            "anew, or redrive its dead letter (caraway dlq) if there is one"
        )
    if record.message is None:
        raise NotReplayable(
            f"the record of task {id} keeps no message, as it was too large for an item and no "
            "payload_bucket is set: send the task anew"
        )
    try:
        return read_message(parse_envelope(await load_text(aws, site.store, record.message)))
    except (InvalidMessage, PayloadMissing) as error:
        raise NotReplayable(
            f"the message of task {id} is not to be had any more, send the task anew: {error}"
        ) from error


def _queue(
    site: Site,
    tasks: Mapping[str, Definition],
    record: Record,
    message: Message,
    queue: str | None,
) -> Queue:
    """Return where the attempt goes; a task that takes no claim has not noted where it ran."""
    if queue or record.queue:
        home = site.router.queue(queue or record.queue or "")
    else:
        task = tasks.get(message.task)
        own = {"queue": task.queue} if task is not None and task.queue else {}
        home = site.router.route(message.task, message.args, message.kwargs, own)
    if home.fifo and message.group_id is None:
        raise NotReplayable(
            f"task {message.id} has no message group, which the FIFO queue {home.name!r} wants: "
            "name a standard queue"
        )
    return home


async def _send_errbacks(
    aws: Aws, site: Site, tasks: Mapping[str, Definition], plan: Replay
) -> None:
    """Complete the failure: whoever recorded it may have died before it sent them."""
    failed = plan.failed
    if not failed.link_error and failed.chord is None:
        return
    if failed.task not in tasks:
        # What an errback takes is known where it is registered; sent twice, it must not differ.
        raise NotReplayable(
            f"task {failed.id} has errbacks, and {failed.task} is not registered here: replay it "
            "with the app that its workers run"
        )
    try:
        done = await Recorded.read(aws, site, failed, plan.record)
    except (InvalidMessage, PayloadMissing) as error:
        raise NotReplayable(
            f"task {failed.id} has errbacks, and its error is not to be had any more: {error}"
        ) from error
    faults = await lead_on(aws, site, tasks, done)
    if faults:
        raise NotReplayable(f"task {failed.id} has failed, but {'; '.join(faults)}")


async def _reopen(aws: Aws, site: Site, plan: Replay) -> None:
    """Hand the record to the attempt; somebody else may have done so meanwhile."""
    id, message = plan.message.id, plan.message
    changes = await keep_text(
        aws, site.store, id, new_token(), dumps(message.changeable()), "retry"
    )
    write = site.records.reopen(id, aws.now().timestamp(), plan.record, changes=changes)
    try:
        await aws.perform(write)
    except ConditionFailed as failed:
        # The same again where an answer was lost, and the SDK asked twice.
        record = Record.read(failed.item)
        if not (record.is_reopened and record.attempt == message.attempt):
            _refuse_unless_failed(id, record)
            raise NotReplayable(f"task {id} was run again meanwhile, and has failed") from failed
