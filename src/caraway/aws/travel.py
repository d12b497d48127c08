"""One batch, from its requests to an outcome for each: written once, for every port."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from caraway.aws.coalesce import Alone
from caraway.aws.failures import translate
from caraway.aws.lanes import keeps_order, lane_of
from caraway.exceptions import (
    AccessDenied,
    CredentialsMissing,
    EndpointUnreachable,
    RegionMissing,
    RequestFailed,
    ResourceMissing,
    Throttled,
)
from caraway.utils.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from caraway.aws.coalesce import Batch
    from caraway.aws.lanes import Lane
    from caraway.requests.base import Request

logger = get_logger("aws")

PAUSES_S: Final = (0.1, 0.4)
"""Longest pauses before the entries that AWS had no room for are asked again, with jitter: three
tries in all, as the SDK has for a whole request."""
REFUSED_S: Final = 300.0
"""How long a batch operation that this place or role does not take is not asked for again."""
DOUBTED_S: Final = 2.0
"""How long it is not after a refusal that may have been of one request; twice as long after each
that follows, up to :data:`REFUSED_S`."""
_UNKNOWN: Final = frozenset(
    {"InvalidAction", "NotImplemented", "UnknownOperation", "UnknownOperationException", "501"}
)
"""Codes of a place that does not know an operation."""
_PASSING: Final = (Throttled, EndpointUnreachable)
_UNSETTLED: Final = (Alone, *_PASSING)
"""What a batch says of an entry that is not its last word."""
_REFUSALS: Final = (AccessDenied, RequestFailed)


class Carrier(Protocol):
    """What a port does for a batch."""

    async def respond(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Put one operation to the SDK."""
        ...

    async def alone(self, requests: Sequence[Request[Any]]) -> list[Any]:
        """Perform each request by itself; return its answer or its exception."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Travel:
    """Sends batches, and knows which of them this place, or this role, does not take.

    What it does not take is found out by asking: then each request is put by itself, which means
    the same, and for a while that lane is not tried.
    """

    def __init__(self, carrier: Carrier, clock: Callable[[], float] = time.monotonic) -> None:
        self._carrier = carrier
        self._clock = clock
        self._refused_until: dict[Lane, float] = {}
        self._doubts_s: dict[Lane, float] = {}

    def lane_of(self, request: Request[Any]) -> Lane | None:
        """Return the lane in which a request travels, None if it goes alone."""
        lane = lane_of(request)
        if lane is None or not self._refused_until:  # as it nearly always is
            return lane
        until = self._refused_until.get(lane)
        if until is None:
            return lane
        if self._clock() < until:
            return None
        self._refused_until.pop(lane, None)  # another thread may have seen it, too
        return lane

    async def go(self, lane: Lane, requests: Sequence[Request[Any]]) -> list[Any]:
        """Perform requests together; return the answer or the exception of each, in its place."""
        if len(requests) == 1:
            return await self._carrier.alone(requests)
        outcomes, is_answered = await self._ask(lane[0], requests)
        if not any(isinstance(each, _UNSETTLED) for each in outcomes):  # as it nearly always is
            self._doubts_s.pop(lane, None)
            return outcomes
        # An entry that is sent again comes after those that were behind it.
        for pause_s in () if keeps_order(lane) else PAUSES_S:
            left = [place for place, each in enumerate(outcomes) if isinstance(each, _PASSING)]
            if not left or not is_answered:
                break
            # Other workers are told the same at the same time.
            await self._carrier.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311
            answers, is_answered = await self._ask(lane[0], [requests[place] for place in left])
            for place, answer in zip(left, answers, strict=True):
                outcomes[place] = answer
        await self._those_alone(lane, requests, outcomes)
        return outcomes

    async def _ask(self, batch: Batch, requests: Sequence[Request[Any]]) -> tuple[list[Any], bool]:
        """Return what a batch says of each request, and whether AWS answered it at all.

        What was not answered has been tried three times by the SDK already.
        """
        try:
            response = await self._carrier.respond(
                batch.service, batch.operation, batch.params(requests)
            )
            return batch.outcomes(requests, response), True
        except Exception as error:  # noqa: BLE001 - it is the outcome of each
            refusal = translate(error, requests[0])
            if batch.optional and _is_refusal(refusal):
                alone = Alone(refused=True, is_certain=_is_certain(refusal))
                return [alone] * len(requests), True
            return [translate(error, request) for request in requests], False

    async def _those_alone(
        self, lane: Lane, requests: Sequence[Request[Any]], outcomes: list[Any]
    ) -> None:
        """Put by itself what the batch could not tell; remember what it does not take."""
        told = {place: each for place, each in enumerate(outcomes) if isinstance(each, Alone)}
        refused = {place: each for place, each in told.items() if each.refused}
        if not refused and not any(isinstance(each, _PASSING) for each in outcomes):
            self._doubts_s.pop(lane, None)
        if not told:
            return
        answers = await self._carrier.alone([requests[place] for place in told])
        for place, answer in zip(told, answers, strict=True):
            outcomes[place] = answer
        # What nothing takes, alone or not, says nothing of the batch.
        telling = [
            each
            for place, each in refused.items()
            if not isinstance(outcomes[place], (*_REFUSALS, *_PASSING))
        ]
        if telling:
            self._refuse(lane, is_certain=any(each.is_certain for each in telling))

    def _refuse(self, lane: Lane, *, is_certain: bool) -> None:
        """Let the requests of a lane travel one by one for a while."""
        doubt_s = min(2 * self._doubts_s.get(lane, DOUBTED_S / 2), REFUSED_S)
        self._doubts_s[lane] = for_s = REFUSED_S if is_certain else doubt_s
        self._refused_until[lane] = self._clock() + for_s
        logger.info(
            "%s was refused: for %g s requests travel one by one, which costs more of them",
            lane[0].operation,
            for_s,
        )


def _is_refusal(error: Exception) -> bool:
    """Say whether AWS, or what stands for it, answered that it does not do this."""
    if isinstance(error, EndpointUnreachable):
        # An engine that stumbles over what it does not know says so with a number only.
        response = getattr(error.__cause__, "response", None)
        return isinstance(response, dict) and response.get("Error", {}).get("Code") == "500"
    return not isinstance(error, CredentialsMissing | RegionMissing | ResourceMissing | Throttled)


def _is_certain(refusal: Exception) -> bool:
    """Say whether a refusal is of the operation itself, not of what one request asks for."""
    return isinstance(refusal, AccessDenied) or (
        isinstance(refusal, RequestFailed) and refusal.code in _UNKNOWN
    )
