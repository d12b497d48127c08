"""What the executor is handed, and what it tells the door to do with it."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.core.routing import Queue
    from caraway.core.turns import Turn


@dataclass(frozen=True)
class Delivery:
    """One message as a door received it.

    Attributes
    ----------
    lease_s
        How long the door promises to run it before somebody else may: on ECS the queue's
        visibility timeout, which a heartbeat renews; on Lambda the remaining time and a margin.
    receive_count
        How often SQS handed it out. Never a count of failures.
    sent_at_s
        When SQS took it, in seconds since the epoch; 0 when unknown.
    turn
        When it is claimed, begun and told to have ended; None is at once.
    """

    body: str
    queue: Queue
    lease_s: float
    receive_count: int = 1
    sent_at_s: float = 0.0
    group_id: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    turn: Turn | None = None


@dataclass(frozen=True)
class Delete:
    """All that the message caused is durable: delete it.

    Attributes
    ----------
    undeliverable
        Whether the reason is a fault of the message, a copy of which is in the dead-letter queue.
    """

    why: str
    undeliverable: bool = False


@dataclass(frozen=True)
class Leave:
    """Make the message visible again after ``visible_in_s`` seconds (0 to 43,200)."""

    visible_in_s: int
    why: str


Disposition: TypeAlias = "Delete | Leave"
"""The door owns acknowledgement and knows these two. Retries and dead letters are sends, which the
executor makes durable through its port before it says Delete."""
