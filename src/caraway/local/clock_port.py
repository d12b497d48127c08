"""The blocking port with a clock that somebody moves: what has a delay waits for that clock."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from caraway.aws.blocking_aws import BlockingAws
from caraway.core.port import run_now
from caraway.requests.sqs import ChangeMessageVisibility, SendMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from caraway.aws.clients import ClientSettings
    from caraway.requests.base import Request

R = TypeVar("R")

LONGEST_S: Final = 43_200
"""Longest visibility timeout ("Amazon SQS visibility timeout", SQS Developer Guide)."""


@dataclass(frozen=True, order=True)
class _Held:
    due: datetime
    number: int
    request: Request[Any] = field(compare=False)


class ClockPort(BlockingAws):
    """Performs each request at once, except that delayed messages are sent when they are due.

    Parameters
    ----------
    settings
        How clients are made.
    now
        Tells the time.
    """

    def __init__(self, settings: ClientSettings, now: Callable[[], datetime]) -> None:
        super().__init__(settings)
        self._now = now
        self._held: list[_Held] = []
        self._number = 0

    def now(self) -> datetime:
        """Return where the clock stands."""
        return self._now()

    @property
    def next_due(self) -> datetime | None:
        """When the first of those that wait is due; None if none waits."""
        return self._held[0].due if self._held else None

    async def perform(self, request: Request[R]) -> R:
        """Perform one request; a message with a delay is kept until it is due."""
        if isinstance(request, SendMessage) and request.delay_s:
            return cast("R", self._hold(replace(request, delay_s=0), request.delay_s))
        return await super().perform(request)

    async def perform_all(self, requests: Sequence[Request[R]]) -> list[R | Exception]:
        """Perform many requests, of which messages with a delay are kept until they are due."""
        answers: dict[int, R | Exception] = {}
        at_once: list[int] = []
        for place, request in enumerate(requests):
            if isinstance(request, SendMessage) and request.delay_s:
                held = self._hold(replace(request, delay_s=0), request.delay_s)
                answers[place] = cast("R", held)
            else:
                at_once.append(place)
        performed = await super().perform_all([requests[place] for place in at_once])
        answers |= dict(zip(at_once, performed, strict=True))
        return [answers[place] for place in range(len(requests))]

    def hide(self, url: str, receipt: str, seconds: int) -> None:
        """Let a message come back after so long, that was received for :data:`LONGEST_S`."""
        shown = ChangeMessageVisibility(url, receipt, 0)
        if seconds:
            self._hold(shown, seconds)
        else:
            run_now(self.perform(shown))

    def release(self) -> bool:
        """Let go of what is due by now; say whether there was any."""
        released = False
        while self._held and self._held[0].due <= self._now():
            run_now(self.perform(heapq.heappop(self._held).request))
            released = True
        return released

    def _hold(self, request: Request[Any], seconds: int) -> str:
        self._number += 1
        due = self._now() + timedelta(seconds=seconds)
        heapq.heappush(self._held, _Held(due, self._number, request))
        return f"held-{self._number}"
