"""Turns: how the deliveries of one door share its place, its claims and its endings."""

from __future__ import annotations

from typing import Protocol

from caraway.lean import dataclass


@dataclass(frozen=True)
class Terms:
    """On what terms a task is claimed.

    Attributes
    ----------
    lease_s
        As of :attr:`caraway.core.disposition.Delivery.lease_s`.
    counts
        Whether a claim that ends without a finish is one of a lost worker. Not so of one that is
        made ahead of the run: if its worker is lost, nobody knows whether it began.
    """

    lease_s: float
    counts: bool = True


class Turn(Protocol):
    """The turn of one delivery, at a door where several wait for each other."""

    async def admit(self, task: str, *, alone: bool) -> Terms:
        """Wait until the task is to be claimed; ``alone`` is one that may not be with others.

        Raises
        ------
        Decided
            If it is too late for that.
        """
        ...

    async def comes(self) -> bool:
        """Wait until the function may begin; False if that does not come soon after the claim."""
        ...

    async def is_over(self, *, hooked: bool = False) -> None:
        """Let the next one begin; wait until the ending is to be written.

        ``hooked``: hooks of the task follow its ending.
        """
        ...
