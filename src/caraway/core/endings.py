"""Endings as the record has them: written down, and read again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from caraway import states
from caraway.core.claim_check import keep_text, load_text
from caraway.core.codec import dumps
from caraway.core.envelope import parse_envelope
from caraway.core.errors import error_to_json
from caraway.core.message import read_message
from caraway.core.record import FAILED, Written
from caraway.core.settle import Failed, Rejected, Succeeded
from caraway.exceptions import ImproperlyConfigured, TaskError
from caraway.lean import dataclass

if TYPE_CHECKING:
    from caraway.core.job import Claimed
    from caraway.core.message import Message
    from caraway.core.port import Aws
    from caraway.core.publish import Site
    from caraway.core.record import Record
    from caraway.core.settle import Ending
    from caraway.requests.base import Json

TRACEBACK_LIMIT: Final = 4_000
"""Characters kept of a traceback, its end: every write of a record bills the whole item."""


@dataclass(frozen=True)
class Recorded:
    """An ending as the record has it.

    Attributes
    ----------
    message
        The message of the attempt that ended.
    result
        The result, or the error of a failure, as JSON.
    dead_lettered
        Whether the message goes to the dead-letter queue.
    added
        Ids of what the task has added to its place in a chord.
    """

    message: Message
    state: str
    result: Json = None
    traceback: str | None = None
    dead_lettered: bool = False
    added: tuple[str, ...] = ()

    @classmethod
    def of(cls, message: Message, ending: Ending) -> Recorded:
        """Return an ending as the record will have it."""
        if isinstance(ending, Succeeded):
            return cls(message, ending.state, ending.product.wire)
        error: BaseException | None = getattr(ending, "error", None)
        traceback: str | None = getattr(ending, "traceback", None)
        if traceback is not None:
            # Text of the operating system, such as a file's name, need not be Unicode.
            traceback = traceback[-TRACEBACK_LIMIT:].encode(errors="backslashreplace").decode()
        return cls(
            message,
            ending.state,
            None if error is None else error_to_json(error),
            traceback,
            isinstance(ending, Rejected),
        )

    @classmethod
    async def read(cls, aws: Aws, site: Site, message: Message, record: Record) -> Recorded:
        """Return the ending that a record holds, as far as the message leads to something.

        Raises
        ------
        PayloadMissing, InvalidMessage
            If a part of it should be in S3 and is not to be had.
        """
        failed = record.phase == FAILED
        added = tuple(json.loads(await load_text(aws, site.store, record.added or "[]")))
        if not failed and not leads_on(message, record.state):
            return cls(message, record.state, added=added)
        result = await load_text(aws, site.store, record.result) if record.result else "null"
        if record.message:
            message = read_message(parse_envelope(await load_text(aws, site.store, record.message)))
        else:
            message = replace(message, attempt=record.attempt - failed)
        value, traceback = json.loads(result), record.traceback
        return cls(message, record.state, value, traceback, failed, added)


def keeps_value(site: Site, claimed: Claimed) -> bool:
    """Say whether the value is kept: a callback takes it, whatever ignore_result says."""
    wanted = site.keeps_results and not claimed.context.ignore_result
    message = claimed.message
    return wanted or bool(message.link or message.chain or message.chord)


def has_record(claimed: Claimed, ending: Ending) -> bool:
    """Say whether an idempotent task without a result has a record all the same.

    An errback needs one, as another run of the task may end otherwise; so does a dead letter.
    """
    if isinstance(ending, Failed) and claimed.job.task.store_errors_even_if_ignored:
        return True
    message = claimed.message
    waited_for = message.link_error or message.chord or goes_on_as_another(message)
    # The record of a task that was replaced says that another one is to end.
    return isinstance(ending, Rejected) or bool(waited_for) or message.replaced_at is not None


async def write_down(
    aws: Aws,
    site: Site,
    message: Message,
    ending: Ending,
    *,
    token: str,
    keeps: bool,
    sensitive: bool = False,
) -> tuple[Ending, Recorded, Written]:
    """Return an ending and what the record keeps of it; large parts are stored in S3 first.

    ``keeps`` says whether a success keeps its value, ``sensitive`` that a failure does not keep its
    message. A value that cannot be kept anywhere turns the ending into a failure with that reason.
    """
    recorded = Recorded.of(message, ending)
    how = {"keeps": keeps, "sensitive": sensitive}
    try:
        return ending, recorded, await _written(aws, site, recorded, token, **how)
    except (ImproperlyConfigured, TaskError) as refused:
        failed = Failed(refused)
        recorded = Recorded.of(message, failed)
        return failed, recorded, await _written(aws, site, recorded, token, **how)


async def _written(
    aws: Aws, site: Site, recorded: Recorded, token: str, *, keeps: bool, sensitive: bool
) -> Written:
    message, state, result = recorded.message, recorded.state, recorded.result
    if state == states.SUCCESS and not keeps:
        return Written(state)
    if result is None and state != states.SUCCESS:
        return Written(state)
    text = await keep_text(aws, site.store, message.id, token, dumps(result))
    if state != states.FAILURE:
        return Written(state, text, recorded.traceback)
    if sensitive:
        return Written(state, text, recorded.traceback, sensitive=True)
    kept = await _kept_message(aws, site, message, token)
    return Written(state, text, recorded.traceback, kept)


async def _kept_message(aws: Aws, site: Site, message: Message, token: str) -> str | None:
    """Return what the record keeps of the message of a failure, None when it is too large."""
    try:
        return await keep_text(aws, site.store, message.id, token, message.to_body(), "message")
    except ImproperlyConfigured:
        return None


def callbacks(message: Message, state: str) -> tuple[Json, ...]:
    """Return the signatures that an ending in this state leads to."""
    if state == states.SUCCESS:
        return message.link
    return message.link_error if state == states.FAILURE else ()


def leads_on(message: Message, state: str) -> bool:
    """Say whether what comes after an ending in this state depends on its value or its error."""
    if callbacks(message, state):
        return True
    if state == states.SUCCESS:
        return bool(message.chain)
    if state == states.FAILURE and message.chain:
        return True
    return bool(message.chord) or goes_on_as_another(message)


def goes_on_as_another(message: Message) -> bool:
    """Say whether a task comes in a chain at whose end another one's id is waited for."""
    return any(wire.get("replaces") for wire in message.chain)
