"""What ``caraway dlq`` shows of a dead letter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caraway.cli.output import duration, shortened
from caraway.core.claim_check import unpack
from caraway.core.port import run_now
from caraway.core.results import look
from caraway.core.sensitive import FILTERED
from caraway.exceptions import InvalidMessage, PayloadMissing

if TYPE_CHECKING:
    from caraway.app import Caraway
    from caraway.core.dead_letters import DeadLetter


def as_json(letter: DeadLetter, now_s: float) -> dict[str, Any]:
    """Return a letter for machines."""
    received = letter.received
    return {
        "id": letter.id,
        "task": letter.task,
        "queue": letter.queue and letter.queue.name,
        "reason": letter.reason,
        "attempt": letter.attempt,
        "age_s": round(max(0.0, now_s - received.sent_at_s), 3),
        "receives": received.receive_count,
        "group_id": letter.group_id,
        "message_id": received.message_id,
    }


def cells(row: dict[str, Any]) -> list[str]:
    """Return a letter's line in a table."""
    names = [row["id"] or "-", row["task"] or "-", row["queue"] or "-"]
    return [*names, duration(row["age_s"]), shortened(row["reason"])]


def in_full(app: Caraway, letter: DeadLetter) -> dict[str, Any]:
    """Return a letter with its arguments, and what the record says now."""
    shown = as_json(letter, app.aws.now().timestamp())
    task = app.tasks.get(letter.task or "")
    try:
        message = run_now(unpack(app.aws, app.site.store, letter.received.body, app.site.signing))
    except (InvalidMessage, PayloadMissing) as error:
        hidden = task is not None and task.sensitive
        body = FILTERED if hidden else letter.received.body
        return {**shown, "unreadable": str(error), "body": body}
    args, kwargs = list(message.args), dict(message.kwargs)
    if (task := app.tasks.get(message.task)) is not None:
        args, kwargs = task.shown(args, kwargs)
    now = run_now(look(app.aws, app.site, message.id))
    return {
        **shown,
        "args": args,
        "kwargs": kwargs,
        "sent_at": message.sent_at,
        "expires": message.expires,
        "state_now": now.state,
        "traceback": now.record.traceback,
    }
