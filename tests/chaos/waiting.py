"""Waiting for a run's end: until all has ended, or nothing moves any more, and what that was."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from caraway.core.record import DONE, FAILED
from tests.chaos.lying import lying
from tests.chaos.stage import slowness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from tests.chaos.history import Write
    from tests.chaos.lying import Lying
    from tests.chaos.proxy import Noted
    from tests.chaos.stage import Stage

PATIENCE_S: Final = 90.0
"""How long nothing may move before a run is judged as it is, on a machine that has time for it."""
_LOOK_S: Final = 0.5
_SAY_S: Final = 10.0
_OF_FUNCTIONS: Final = {
    "started": "Lambda worker spawned",
    "were cut off": "killing worker",
    "died": "Worker process died",
    "failed with a batch": "failed processing SQS batch",
    "worked on a batch": "SQS messages from",
}


class Patience:
    """How long nothing has moved, in seconds of a machine that has time for it."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        slowness: Callable[[], float] = slowness,
    ) -> None:
        self._clock = clock
        self._slowness = slowness
        self._state: object = None
        self._looked_at = clock()
        self._waited_s = 0.0

    def ends(self, state: object) -> bool:
        """Look at what should move; say whether it has not for too long."""
        now = self._clock()
        self._waited_s += (now - self._looked_at) / self._slowness()
        self._looked_at = now
        if state != self._state:
            self._state, self._waited_s = state, 0.0
        return self._waited_s >= PATIENCE_S


def wait(stage: Stage, ids: set[str], busy: Callable[[], bool], say: Callable[[str], None]) -> bool:
    """Wait until every task has ended and the queues are empty; False if nothing moves any more.

    Parameters
    ----------
    busy
        Says whether more is to come.
    """
    writes, sqs = stage.proxy.noted.writes, stage.engine.client("sqs")
    urls = [sqs.get_queue_url(QueueName=queue)["QueueUrl"] for queue in stage.queues]
    ended: set[str] = set()
    patience, seen, spoken = Patience(), 0, time.monotonic()
    while True:
        new, seen = writes[seen:], len(writes)
        ended |= {write.id for write in new if write.phase in (DONE, FAILED)}
        depth = sum(_depth(sqs, url) for url in urls)
        if ids <= ended and not depth and not busy():
            return True
        if patience.ends((len(ended), depth)):
            return False
        if time.monotonic() - spoken > _SAY_S:
            spoken = time.monotonic()
            name = stage.scenario.name
            say(f"{name}: {len(ended):,} of {len(ids):,} have ended, {depth} messages are left")
        time.sleep(_LOOK_S)


def _depth(sqs: Any, url: str) -> int:
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return sum(
        int(count)
        for name, count in answer["Attributes"].items()
        if name.startswith("ApproximateNumberOfMessages")
    )


# -- what was waited for ---------------------------------------------------------------------


def unmoved(stage: Stage, ids: set[str], workers: Iterable[str]) -> list[str]:
    """Say where everything stands, for who has to find out why nothing moves.

    Parameters
    ----------
    workers
        How each worker is.
    """
    last: dict[str, Write] = {write.id: write for write in stage.proxy.noted.writes}
    messages: dict[str, list[Lying]] = defaultdict(list)
    for each in lying(stage.engine, stage.queues):
        messages[each.id].append(each)
    return [
        f"nothing moves; the machine's load is {os.getloadavg()[0]:.1f}",
        *_of_queues(stage, messages),
        *workers,
        *_of_functions(stage.engine.log),
        *_under_way(stage.proxy.noted),
        *_of_tasks(ids, last, messages),
    ]


def _of_queues(stage: Stage, messages: Mapping[str, list[Lying]]) -> Iterator[str]:
    for queue in stage.queues:
        its = [each for several in messages.values() for each in several if each.queue == queue]
        hidden = [each.hidden_s for each in its if each.hidden_s]
        received = sum(each.receives > 0 for each in its)
        until = f", for {max(hidden):.0f} s at most" if hidden else ""
        yield (
            f"{queue}: {len(its)} messages, {received} of them received before, "
            f"{len(hidden)} hidden{until}"
        )


def _of_functions(log: Path) -> Iterator[str]:
    """Count what the engine says of functions: while they start it says nothing."""
    text = log.read_text(errors="replace")
    yield "functions: " + ", ".join(
        f"{text.count(words)} {what}" for what, words in _OF_FUNCTIONS.items()
    )


def _under_way(noted: Noted) -> Iterator[str]:
    now = time.monotonic()
    for operation, since in list(noted.under_way.values()):
        yield f"under way: {operation}, for {now - since:.1f} s"


def _of_tasks(
    ids: set[str], last: Mapping[str, Write], messages: Mapping[str, list[Lying]]
) -> Iterator[str]:
    now = time.time()
    for id in sorted(ids | messages.keys()):
        write, its = last.get(id), messages.get(id, [])
        if write is not None and write.is_ending and not its:
            continue
        record = "no record" if write is None else f"{write.phase} since {now - write.at:.0f} s"
        if write is not None and write.open_at:
            record += f", open in {write.open_at - now:.0f} s"
        places = [
            (f"hidden for {each.hidden_s:.0f} s" if each.hidden_s else "visible")
            + f" on {each.queue}, received {each.receives} times"
            for each in its
        ]
        yield f"{id}: {record}; {', '.join(places) or 'no message'}"
