"""The moments of an exploration, and what may happen in each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from caraway import states
from caraway.core.disposition import Delete
from caraway.core.record import RUNNING, Written
from caraway.requests.dynamodb import GetItem, UpdateItem
from caraway.requests.sqs import SendMessage
from tests.model.program import ID, LEASE_S, REPLAY, Execution, Program
from tests.stepping import TurnToCome, UserCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.requests.items import Item
    from tests.model.config import Config
    from tests.model.program import Answer, Frozen

NOBODY: Final = -1
"""The token of a claim whose worker has gone, as seen from outside."""
ENOUGH: Final = 2
"""Copies of one message that are told apart on a queue."""


class State(NamedTuple):
    """All that matters of a moment.

    A token in the record is the number of the worker that holds it, or NOBODY.
    """

    record: Frozen | None
    queue: tuple[tuple[str, int], ...]
    letters: frozenset[str]
    sent: frozenset[str]
    failures: frozenset[str]
    workers: tuple[Execution | None, Execution | None]
    received: frozenset[str]
    left: tuple[int, ...]


class Steps:
    """What may happen next, by a configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.program = Program(config)
        self._places = {name: place for place, name in enumerate(config.budget())}

    def first(self) -> State:
        """Return the moment after the task was sent."""
        nothing: frozenset[str] = frozenset()
        queue = ((self.program.first_message(), 1),)
        budget = tuple(self.config.budget().values())
        return State(None, queue, nothing, nothing, nothing, (None, None), nothing, budget)

    def of(self, state: State) -> Iterator[tuple[str, State]]:
        """Give what may happen next, by name, and what is then."""
        yield from self._environment(state)
        idle = state.workers.index(None) if None in state.workers else None
        if idle is not None:
            yield from self._receives(state, idle)
            if self.may(state, "replay") and state.record is not None:
                begun = self._works(self._spend(state, "replay"), idle, Execution(REPLAY))
                yield "a replay begins", begun
        for number, execution in enumerate(state.workers):
            if execution is not None:
                yield "a worker crashes", self._ends(state, number)
                yield from self._goes_on(state, number, execution)

    def _environment(self, state: State) -> Iterator[tuple[str, State]]:
        record = dict(state.record or ())
        if record.get("phase") == RUNNING and record["open_at"]:
            yield "the lease ends", state._replace(record=_frozen({**record, "open_at": 0}))
        if self.may(state, "redrive"):
            for letter in state.letters:
                redriven = self._spend(state, "redrive")._replace(
                    letters=state.letters - {letter}, queue=_more(state.queue, letter)
                )
                yield "a dead letter is redriven", redriven
        if self.may(state, "revoke"):
            yield "the task is revoked", self._revoked(self._spend(state, "revoke"))
        if self.may(state, "terminate"):
            yield "the task is terminated", self._terminated(self._spend(state, "terminate"))

    def _revoked(self, state: State) -> State:
        records, now = self.program.site.records, self.program.now.timestamp()
        item = dict(state.record or ())
        revoke = records.revoke(ID, now, "revoke", Written(states.REVOKED), None)
        if not revoke.condition.holds(item):
            revoke = records.flag_revoked(ID, now, "terminate")
        if not revoke.condition.holds(item):
            return state
        return state._replace(record=_frozen({"id": ID, **revoke.change.apply(item)}))

    def _terminated(self, state: State) -> State:
        records, now = self.program.site.records, self.program.now.timestamp()
        if dict(state.record or ()).get("phase") != RUNNING:
            return self._revoked(state)
        item = {**dict(state.record or ()), "token": "seen"}
        written = Written(states.REVOKED)
        fence = records.fence_off(ID, "seen", "fresh", now, "terminate:SIGTERM", written, None)
        after = fence.change.apply(item)
        owner = NOBODY if after["token"] == "fresh" else _owner(state.record)
        return state._replace(record=_frozen({**after, "token": owner}))

    def _receives(self, state: State, idle: int) -> Iterator[tuple[str, State]]:
        for body, _count in state.queue:
            attempt = json.loads(body).get("attempt", 0)
            began = self._works(state, idle, Execution(body))
            seen = state.received | {body} if self.may(state, "ghost") else state.received
            yield f"attempt {attempt} is received", began._replace(received=seen)
            if self.may(state, "worn"):
                worn = self._works(self._spend(state, "worn"), idle, Execution(body, worn=True))
                yield f"attempt {attempt} is received, worn", worn
            if self.may(state, "ahead"):
                ahead = self._works(self._spend(state, "ahead"), idle, Execution(body, ahead=True))
                yield f"attempt {attempt} is received, to be claimed ahead", ahead
        if self.may(state, "ghost"):
            for body in state.received:
                ghost = self._works(self._spend(state, "ghost"), idle, Execution(body))
                yield "what was received before is received again", ghost

    def _goes_on(
        self, state: State, number: int, execution: Execution
    ) -> Iterator[tuple[str, State]]:
        if self.may(state, "late_heartbeat") and execution.answers:
            yield "a heartbeat comes late", self._heartbeat(state, number)
        match self.program.next(execution):
            case UpdateItem() as request:
                phase = request.change.assign.get("phase")
                yield f"writes {phase}", self._write(state, number, execution, request)
                if self.may(state, "repeat"):
                    once = self._write(state, number, execution, request)
                    again = once._replace(workers=state.workers)
                    again = self._write(self._spend(again, "repeat"), number, execution, request)
                    yield f"writes {phase} twice", again
            case GetItem() | SendMessage() as request:
                yield self._asked(state, number, execution, request)
            case UserCode():
                yield from self._user_code(state, number, execution)
            case TurnToCome():
                yield "its turn comes", self._answered(state, number, execution, "comes")
                yield "its turn is late", self._answered(state, number, execution, "late")
            case Delete():
                yield (
                    "deletes",
                    self._ends(state._replace(queue=_fewer(state.queue, execution.body)), number),
                )
            case _:
                yield "leaves", self._ends(state, number)

    def _asked(
        self, state: State, number: int, execution: Execution, request: GetItem | SendMessage
    ) -> tuple[str, State]:
        if isinstance(request, GetItem):
            return "reads the record", self._answered(state, number, execution, _read(state))
        sent = self._send(state, request)
        return f"sends to {request.queue_url}", self._answered(sent, number, execution, "sent")

    def _user_code(
        self, state: State, number: int, execution: Execution
    ) -> Iterator[tuple[str, State]]:
        yield "returns", self._answered(state, number, execution, "return")
        if self.config.terminate and _owner(state.record) != number:
            yield (
                "is stopped, as it was overtaken",
                self._answered(state, number, execution, "stop"),
            )
        if self.may(state, "drain"):
            yield "is drained", self._drained(self._spend(state, "drain"), number)
        for outcome in ("retry", "reject", "requeue", "failure"):
            if self.may(state, outcome):
                spent = self._spend(state, outcome)
                yield outcome, self._answered(spent, number, execution, outcome)

    def _write(self, state: State, number: int, execution: Execution, request: UpdateItem) -> State:
        item = _seen_by(number, state.record)
        if not request.condition.holds(item):
            return self._answered(state, number, execution, ("refused", _frozen(item)))
        after = {"id": ID, **request.change.apply(item)}
        # It counts without end; more than quarantines a task make no difference.
        after["lost"] = min(after.get("lost", 0), self.config.max_deliveries or 0)
        failures = state.failures
        if after.get("state") == states.FAILURE:
            failures |= {json.dumps(json.loads(after["result"]))}
        owner = number if after.get("token") == "mine" else _owner(state.record)
        written = state._replace(record=_frozen({**after, "token": owner}), failures=failures)
        return self._answered(written, number, execution, ("written", _frozen(after)))

    def _heartbeat(self, state: State, number: int) -> State:
        beat = self.program.site.records.heartbeat(
            ID, "mine", self.program.now.timestamp(), LEASE_S
        )
        item = _seen_by(number, state.record)
        spent = self._spend(state, "late_heartbeat")
        if not beat.condition.holds(item):
            return spent
        after = beat.change.apply(item)
        return spent._replace(record=_frozen({**after, "token": number}))

    def _drained(self, state: State, number: int) -> State:
        """Let a worker release its claim and go away, while its function may still run."""
        release = self.program.site.records.release(ID, "mine", self.program.now.timestamp())
        item = _seen_by(number, state.record)
        if release.condition.holds(item):
            after = release.change.apply(item)
            state = state._replace(record=_frozen({**after, "token": number}))
        return self._ends(state, number)

    def _send(self, state: State, request: SendMessage) -> State:
        match request.queue_url.removesuffix(".fifo"):
            case "default":
                return state._replace(queue=_more(state.queue, request.body))
            case "default-dlq":
                return state._replace(letters=state.letters | {request.body})
            case _:
                return state._replace(sent=state.sent | {request.body})

    # -- the parts of a state -----------------------------------------------------------------

    def may(self, state: State, name: str) -> bool:
        """Say whether something may still happen."""
        return state.left[self._places[name]] > 0

    def _spend(self, state: State, name: str) -> State:
        place = self._places[name]
        left = (*state.left[:place], state.left[place] - 1, *state.left[place + 1 :])
        return state._replace(left=left)

    def _works(self, state: State, number: int, execution: Execution | None) -> State:
        record, queue, letters, sent, failures, (first, second), received, left = state
        workers = (execution, second) if number == 0 else (first, execution)
        # Most steps come here: ``_replace`` takes three times as long.
        return State(record, queue, letters, sent, failures, workers, received, left)

    def _answered(self, state: State, number: int, execution: Execution, answer: Answer) -> State:
        body, worn, ahead, answers = execution
        return self._works(state, number, Execution(body, worn, ahead, (*answers, answer)))

    def _ends(self, state: State, number: int) -> State:
        """Let a worker go; the token that it may have left in the record is nobody's then."""
        record, ended = state.record, self._works(state, number, None)
        if record is None or _owner(record) != number:
            return ended
        return ended._replace(record=_frozen({**dict(record), "token": NOBODY}))

    def canonical(self, state: State) -> State:
        """Return the one state that stands for it: workers are alike, and spent budgets are."""
        if state.received and not self.may(state, "ghost"):
            state = state._replace(received=frozenset())
        first, second = state.workers
        if _order(first) <= _order(second):
            return state
        record = state.record
        if record is not None and (owner := _owner(record)) != NOBODY:
            record = _frozen({**dict(record), "token": 1 - owner})
        return state._replace(record=record, workers=(second, first))


def _read(state: State) -> Answer:
    return "read", _frozen(_seen_by(NOBODY, state.record))


def _order(execution: Execution | None) -> int:
    return 0 if execution is None else hash(execution)


def _frozen(item: Item) -> Frozen:
    return tuple(sorted(item.items()))


def shown(item: Item) -> Item:
    """Return a record without its token, which the explorer itself changes."""
    return {name: value for name, value in item.items() if name != "token"}


def _owner(record: Frozen | None) -> int:
    return int(dict(record or ()).get("token", NOBODY))


def _seen_by(number: int, record: Frozen | None) -> Item:
    """Return the record as a worker sees it: its own token is "mine", any other is another's."""
    item = dict(record or ())
    if "token" in item:
        item["token"] = "mine" if item["token"] == number else "another's"
    return item


def _more(queue: tuple[tuple[str, int], ...], body: str) -> tuple[tuple[str, int], ...]:
    counts = dict(queue)
    counts[body] = min(ENOUGH, counts.get(body, 0) + 1)
    return tuple(sorted(counts.items()))


def _fewer(queue: tuple[tuple[str, int], ...], body: str) -> tuple[tuple[str, int], ...]:
    counts = dict(queue)
    counts[body] = counts.get(body, 0) - 1
    return tuple(sorted((body, count) for body, count in counts.items() if count > 0))
