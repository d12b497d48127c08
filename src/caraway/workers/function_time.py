"""The time that a Lambda function needs."""

from __future__ import annotations

from typing import Final

MARGIN_S: Final = 5.0
"""With less time than this left no further message is begun; the lease outlasts the function by as
much, so that an attempt that AWS cut off is never overlapped."""
ADVISED_S: Final = 30
"""A timeout that leaves room for a task, and for the app's imports in a first invocation."""


def shortage(timeout_s: float) -> str | None:
    """Return why a function with so much time runs no task, None when it is enough."""
    if timeout_s > MARGIN_S:
        return None
    return f"it has {timeout_s:.3g} s, and no task is begun with {MARGIN_S:g} s or less left"
