"""The time of a Lambda function, and what a task gets of it."""

from __future__ import annotations

from typing import Any, Final

from caraway.lean import dataclass

MARGIN_S: Final = 5.0
"""With less time than this left no further message is begun; the lease outlasts the function by as
much, so that an attempt that AWS cut off is never overlapped."""
ADVISED_S: Final = 30
"""A timeout that leaves room for a task, and for the app's imports in a first invocation."""
LAST_S: Final = 2.0
"""What is kept of the function's time to record that a task did not end in it."""
CHANCE: Final = 0.8
CHANCE_S: Final = 8.0
"""A task fails for not ending in its function's time if it had this share of it, and so many
seconds; one that had less comes back."""


def shortage(timeout_s: float) -> str | None:
    """Return why a function with so much time runs no task, None when it is enough."""
    if timeout_s > MARGIN_S:
        return None
    return f"it has {timeout_s:.3g} s, and no task is begun with {MARGIN_S:g} s or less left"


def left_s(context: Any) -> float:
    """Return the seconds that are left of an invocation."""
    left_ms: int = context.get_remaining_time_in_millis()
    return left_ms / 1000


@dataclass(frozen=True)
class Share:
    """What a task gets of an invocation.

    Attributes
    ----------
    hard_s
        The limit of its run.
    is_the_functions
        Whether that is the function's end, and not a limit of the task's own.
    is_a_chance
        Whether it is most of the function's time: then the task fails if that is not enough.
    """

    hard_s: float
    is_the_functions: bool
    is_a_chance: bool

    @classmethod
    def of(cls, budget_s: float, until_the_end_s: float, own_s: float | None) -> Share:
        """Return what a task gets that begins now.

        Parameters
        ----------
        budget_s
            What the invocation had when it began.
        own_s
            The task's own limit.
        """
        most_s = max(0.0, until_the_end_s - LAST_S)
        is_a_chance = until_the_end_s >= max(CHANCE * budget_s, CHANCE_S)
        if own_s is not None and own_s < most_s:
            return cls(own_s, is_the_functions=False, is_a_chance=is_a_chance)
        return cls(most_s, is_the_functions=True, is_a_chance=is_a_chance)
