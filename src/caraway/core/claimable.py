"""When a record can be claimed, as a condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caraway.core.record import RETRY, RUNNING
from caraway.lean import dataclass
from caraway.requests.items import Absent, AtMost, Condition, Equals, OneOf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.requests.items import Names


@dataclass(frozen=True)
class Claimable(Condition):
    """CLAIM: nobody holds it, nothing later was asked for, and it is the same call.

    Most claims meet no record, and are made without a look at what is said of one: so that is put
    together only where somebody looks.
    """

    attempt: int
    digest: str
    now: float
    fifo: bool = False
    may_create: bool = True

    def render(self, names: Names) -> str:
        """Return DynamoDB's text for it."""
        return self._whole().render(names)

    def holds(self, item: Mapping[str, Any]) -> bool:
        """Say whether it holds of an item; an absent item is the empty one."""
        return self._whole().holds(item) if item else self.may_create

    def _whole(self) -> Condition:
        free: Condition = AtMost("open_at", self.now)
        not_overtaken: Condition = AtMost("attempt", self.attempt)
        if self.fifo:
            # On FIFO the one message stays through all attempts, so the record counts them. A
            # replay sends another: what runs must have a message on the queue, to be delivered
            # again.
            stays = OneOf("phase", (RUNNING, RETRY)) & Absent("message")
            is_its = Absent("replaced") | AtMost("replaced", self.attempt)
            not_overtaken = (stays & is_its) | not_overtaken
        same_call = Absent("digest") | Equals("digest", self.digest)
        existing = free & not_overtaken & same_call
        return Absent("id") | existing if self.may_create else existing
