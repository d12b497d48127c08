"""Dead letters that can be worked with: looked through, sent again, deleted.

SQS has no index: whoever looks for a message receives it, which hides it from others and counts as
a receive. So a sweep receives all of a dead-letter queue, ten at a time, judges each letter, and
makes what it leaves visible again at its end. A letter is sent before it is deleted: a crash in
between leaves both, and the task's record tells that they are one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from caraway.core.envelope import parse_envelope
from caraway.core.options import GROUP
from caraway.exceptions import InvalidMessage
from caraway.lean import dataclass
from caraway.requests.sqs import (
    VISIBILITY_LIMIT_S,
    ChangeMessageVisibility,
    DeleteMessage,
    GetQueueUrl,
    ReceivedMessage,
    ReceiveMessages,
    SendMessage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from caraway.core.port import Aws
    from caraway.core.routing import Queue, Router

WAIT_S: Final = 1
"""Long poll of a sweep: from 1 second on SQS asks all of its servers, so that an empty answer means
an empty queue ("Amazon SQS short and long polling")."""
HOLD_S: Final = 60.0
HOLD_EACH_S: Final = 0.05
"""How long a sweep keeps letters from others, at most: it takes about as long."""
SKEW_S: Final = 2.0
"""Letters that came later than this after a sweep's begin are none of its: a worker may dead-letter
again what is redriven, as fast as it is sent. Clocks disagree by less."""
NO_REASON: Final = "none given: SQS moved it, after too many receives"
_NOTES: Final = frozenset({"reason", "queue", "task", "id"})
"""Attributes that the dead-lettering wrote."""

Deed: TypeAlias = Literal["look", "redrive", "purge"]


@dataclass(frozen=True)
class Pile:
    """A dead-letter queue.

    Attributes
    ----------
    queues
        Those whose dead letters it takes: queues may share one.
    wanted
        The names of those whose letters are asked for.
    """

    sqs_name: str
    queues: tuple[Queue, ...]
    wanted: frozenset[str]

    @property
    def fifo(self) -> bool:
        """Whether it keeps order: a queue and its dead-letter queue are of one kind."""
        return self.queues[0].fifo


def piles(router: Router, prefix: str, names: Iterable[str] = ()) -> list[Pile]:
    """Return the dead-letter queues of the queues that are named, or of all.

    Raises
    ------
    QueueNotFound
        If a name is not declared.
    """
    chosen = [router.queue(name) for name in names] or list(router.queues.values())
    wanted = frozenset(queue.name for queue in chosen)
    shared: dict[str, list[Queue]] = {}
    for queue in router.queues.values():
        shared.setdefault(queue.dead_letter_sqs_name(prefix), []).append(queue)
    return [
        Pile(name, tuple(queues), wanted)
        for name, queues in shared.items()
        if wanted & {queue.name for queue in queues}
    ]


@dataclass(frozen=True)
class DeadLetter:
    """One dead letter, as far as it can be read.

    Attributes
    ----------
    queue
        Where it came from; None when several queues share the pile and the letter does not say.
    id, task, attempt
        The task's, None where the body says nothing of it.
    """

    received: ReceivedMessage
    queue: Queue | None
    reason: str
    id: str | None = None
    task: str | None = None
    attempt: int | None = None
    group_id: str | None = None

    @classmethod
    def read(cls, received: ReceivedMessage, pile: Pile) -> DeadLetter:
        """Read what the dead-lettering noted and, behind that, what the body says."""
        envelope: Mapping[str, Any] = {}
        with suppress(InvalidMessage):
            envelope = parse_envelope(received.body)
        notes = received.attributes
        by_name = {queue.name: queue for queue in pile.queues}
        only = pile.queues[0] if len(pile.queues) == 1 else None
        attempt = envelope.get("attempt", 0 if envelope else None)
        group_id = received.group_id or _text(envelope.get("group_id"))
        return cls(
            received,
            by_name.get(notes.get("queue", ""), only),
            notes.get("reason", NO_REASON),
            _text(envelope.get("id")) or notes.get("id"),
            _text(envelope.get("task")) or notes.get("task"),
            attempt if isinstance(attempt, int) else None,
            group_id if group_id and GROUP.fullmatch(group_id) else None,
        )

    def request(self, url: str, *, fifo: bool) -> SendMessage:
        """Return the request that sends it to a queue: the same body, and with it the same id."""
        others = {k: v for k, v in self.received.attributes.items() if k not in _NOTES}
        return SendMessage(
            url,
            self.received.body,
            attributes=others,
            group_id=self.group_id,
            # Of this letter: SQS may still know the id of the attempt that was dead-lettered, and
            # would drop a message of that id in silence.
            deduplication_id=f"redrive-{self.received.message_id}" if fifo else None,
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


@dataclass(frozen=True)
class Selection:
    """Which dead letters are meant; all by default.

    Attributes
    ----------
    task
        A pattern of names, such as ``shop.*``.
    reason
        Text that the reason contains, in any case.
    older_than_s, newer_than_s
        Of the time since it became a dead letter.
    """

    task: str | None = None
    reason: str | None = None
    ids: frozenset[str] = frozenset()
    older_than_s: float | None = None
    newer_than_s: float | None = None

    def takes(self, letter: DeadLetter, now_s: float) -> bool:
        """Say whether a letter is meant."""
        age_s = now_s - letter.received.sent_at_s
        return (
            (self.task is None or fnmatchcase(letter.task or "", self.task))
            and (self.reason is None or self.reason.casefold() in letter.reason.casefold())
            and (not self.ids or letter.id in self.ids)
            and (self.older_than_s is None or age_s >= self.older_than_s)
            and (self.newer_than_s is None or age_s <= self.newer_than_s)
        )


@dataclass
class Swept:
    """What a sweep has come to so far.

    Attributes
    ----------
    seen, matched, done
        Letters received, meant, and redriven or purged.
    homeless
        Letters that were meant and stay: nobody says which queue they came from.
    """

    seen: int = 0
    matched: int = 0
    done: int = 0
    homeless: int = 0


def hold_s(letters: int) -> int:
    """Return for how long a sweep over about so many letters hides them from others, at most."""
    return min(int(HOLD_S + HOLD_EACH_S * letters), VISIBILITY_LIMIT_S)


@dataclass
class Sweep:
    """One pass over a dead-letter queue.

    Attributes
    ----------
    to
        The queue that letters are sent to, None for the one that each came from.
    limit
        How many letters are taken at most.
    found, progress
        Are told of each letter that is meant, and of the sweep after each receive.
    """

    aws: Aws
    prefix: str
    pile: Pile
    selection: Selection = field(default_factory=Selection)
    deed: Deed = "look"
    to: Queue | None = None
    limit: int | None = None
    hold_s: int = int(HOLD_S)
    found: Callable[[DeadLetter], None] = lambda _letter: None
    progress: Callable[[Swept], None] = lambda _swept: None

    async def run(self) -> Swept:
        """Go through the letters; what stays is visible again at the end, come what may.

        On a FIFO queue SQS shows the first ten letters of a group: those behind them can be had
        when these are gone.

        Raises
        ------
        OperationalError
            If AWS did not take a letter or did not delete it; running it again goes on.
        """
        url = await self.aws.perform(GetQueueUrl(self.pile.sqs_name))
        swept, known, held = Swept(), set[str](), dict[str, ReceivedMessage]()
        latest_s = self.aws.now().timestamp() + SKEW_S
        receive = ReceiveMessages(url, wait_s=WAIT_S, visibility_timeout_s=self.hold_s)
        try:
            while self.limit is None or swept.matched < self.limit:
                received = await self.aws.perform(receive)
                held.update({each.message_id: each for each in received})
                fresh = [each for each in received if each.message_id not in known]
                if not fresh:
                    break  # all were seen: the queue is at its end, or begins again
                known.update(each.message_id for each in fresh)
                swept.seen += len(fresh)
                letters = self._meant([each for each in fresh if each.sent_at_s <= latest_s], swept)
                await self._do(url, letters, swept, held)
                self.progress(swept)
        finally:
            # One that cannot be released is none of ours any more: it was hidden for too long.
            await self.aws.perform_all(
                [ChangeMessageVisibility(url, each.receipt_handle, 0) for each in held.values()]
            )
        return swept

    def _meant(self, received: Sequence[ReceivedMessage], swept: Swept) -> list[DeadLetter]:
        now_s = self.aws.now().timestamp()
        letters = [
            letter
            for letter in (DeadLetter.read(each, self.pile) for each in received)
            if (letter.queue is None or letter.queue.name in self.pile.wanted)
            and self.selection.takes(letter, now_s)
        ]
        if self.limit is not None:
            letters = letters[: self.limit - swept.matched]
        swept.matched += len(letters)
        for letter in letters:
            self.found(letter)
        return letters

    async def _do(
        self,
        url: str,
        letters: Sequence[DeadLetter],
        swept: Swept,
        held: dict[str, ReceivedMessage],
    ) -> None:
        """Send the letters, and delete those that were; or delete them."""
        failure: Exception | None = None
        if self.deed == "redrive":
            homes = [letter for letter in letters if self.to or letter.queue]
            swept.homeless += len(letters) - len(homes)
            letters, failure = await self._send(homes)
        if self.deed != "look":
            deletes = [DeleteMessage(url, each.received.receipt_handle) for each in letters]
            for letter, answer in zip(letters, await self.aws.perform_all(deletes), strict=True):
                if isinstance(answer, Exception):
                    failure = failure or answer
                    continue
                del held[letter.received.message_id]
                swept.done += 1
        if failure is not None:
            raise failure

    async def _send(
        self, letters: Sequence[DeadLetter]
    ) -> tuple[list[DeadLetter], Exception | None]:
        """Return the letters that their queues took, and the first failure."""
        requests = [await self._request(letter) for letter in letters]
        # On FIFO one by one, up to the first failure: nothing may overtake within a group.
        turns = [requests]
        if self.pile.fifo:
            turns = [[request] for request in requests]
        answers: list[str | Exception] = []
        for turn in turns:
            answers += await self.aws.perform_all(turn)
            if self.pile.fifo and isinstance(answers[-1], Exception):
                break
        sent = [
            letter
            for letter, answer in zip(letters, answers, strict=False)
            if not isinstance(answer, Exception)
        ]
        return sent, next((each for each in answers if isinstance(each, Exception)), None)

    async def _request(self, letter: DeadLetter) -> SendMessage:
        queue = self.to or letter.queue
        assert queue is not None
        url = await self.aws.perform(GetQueueUrl(queue.sqs_name(self.prefix)))
        return letter.request(url, fifo=queue.fifo)
