"""What may happen in an exploration, and how often."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final


@dataclass(frozen=True)
class Config:
    """What may happen, and how often."""

    name: str
    fifo: bool = False
    idempotent: bool = False
    retry: int = 0
    reject: int = 0
    failure: int = 0
    ghost: int = 0
    """Deliveries of messages that were deleted before."""
    repeat: int = 0
    """Requests whose answer is lost, and which the SDK therefore makes twice."""
    revoke: int = 0
    terminate: int = 0
    """Revokes that fence off what runs; a worker may notice, and stop its run."""
    redrive: int = 0
    replay: int = 0
    requeue: int = 0
    drain: int = 0
    """Workers that release a running claim and go away."""
    late: bool = False
    """Whether it is an occurrence of a schedule that comes too late."""
    worn: int = 0
    """Deliveries of messages that have been received so often that they are to be copied."""
    ahead: int = 0
    """Deliveries that are claimed ahead of their run, and may be given back before it."""
    late_heartbeat: int = 0
    max_deliveries: int | None = None
    """None leaves lost workers uncounted."""

    def budget(self) -> dict[str, int]:
        """Return how often each of these may happen."""
        counted = [each.name for each in fields(self) if each.type == "int"]
        return {name: getattr(self, name) for name in counted}


SMALL: Final = (
    Config("crashes", failure=1),
    Config("retry", retry=1),
    Config("retry, ghost", retry=1, ghost=1),
    Config("retry, repeat", retry=1, repeat=1),
    Config("retry, revoke", retry=1, revoke=1),
    Config("retry, terminate", retry=1, terminate=1),
    Config("terminate, ghost, repeat", terminate=1, ghost=1, repeat=1),
    Config("reject, redrive", reject=1, redrive=1),
    Config("reject, redrive, ghost", reject=1, redrive=1, ghost=1),
    Config("failure, replay", failure=1, replay=2),
    Config("failure, replay, ghost", failure=1, replay=1, ghost=1),
    Config("failure, replay, revoke", failure=1, replay=1, revoke=1),
    Config("reject, replay, redrive", reject=1, replay=1, redrive=1),
    Config("fifo: failure, replay", fifo=True, failure=1, replay=1, ghost=1),
    Config("idempotent: failure, replay", idempotent=True, failure=1, replay=1),
    Config("late, ghost, repeat", late=True, ghost=1, repeat=1),
    Config("late, revoke", late=True, ghost=1, revoke=1),
    Config("worn, ghost", worn=1, ghost=1),
    Config("requeue, drain, ghost", requeue=1, drain=1, ghost=1),
    Config("ahead, ghost", ahead=2, ghost=1),
    Config("ahead, retry", ahead=1, retry=1),
    Config("ahead, revoke", ahead=1, revoke=1),
    Config("ahead, terminate", ahead=1, terminate=1),
    Config("late heartbeat", late_heartbeat=1, failure=1),
    Config("quarantine", redrive=1, max_deliveries=2),
    Config("ahead, quarantine", ahead=1, max_deliveries=2),
    Config("fifo: ahead, retry", fifo=True, ahead=1, retry=1),
    Config("fifo: retry, ghost", fifo=True, retry=1, ghost=1),
    Config("fifo: reject, redrive", fifo=True, reject=1, redrive=1),
    Config("fifo: retry, requeue", fifo=True, retry=1, requeue=1),
    Config("fifo: retry, terminate", fifo=True, retry=1, terminate=1),
    Config("idempotent: failure, retry", idempotent=True, failure=1, retry=1),
    Config("idempotent: reject, redrive", idempotent=True, reject=1, redrive=1, ghost=1),
    Config("idempotent: worn, retry, ghost", idempotent=True, worn=1, retry=1, ghost=1),
    Config("idempotent: worn, reject", idempotent=True, worn=1, reject=1, redrive=1),
)
LARGE: Final = (
    Config("two retries, ghost", retry=2, ghost=1),
    Config("retry, ghost, repeat, revoke", retry=1, ghost=1, repeat=1, revoke=1),
    Config("retry, requeue, drain, revoke", retry=1, requeue=1, drain=1, revoke=1, ghost=1),
    Config("fifo: all", fifo=True, retry=1, reject=1, redrive=1, ghost=1, repeat=1, revoke=1),
    Config("idempotent: all", idempotent=True, retry=1, reject=1, redrive=1, ghost=1, revoke=1),
    Config("all", retry=1, reject=1, redrive=1, ghost=1, repeat=1, revoke=1),
)
"""These take minutes, and the last one 3.5 GB."""
CONFIGS: Final = {config.name: config for config in (*SMALL, *LARGE)}
