"""Every interleaving of the executor's requests, breadth first, over one task's record."""

from __future__ import annotations

import gc
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from caraway import states
from caraway.core.ids import derived_id
from caraway.core.record import DONE, FAILED, RETRY
from tests.model.program import ID
from tests.model.steps import State, Steps, shown
from tests.stepping import UserCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.requests.items import Item
    from tests.model.config import Config


@dataclass
class Findings:
    """What an exploration has found."""

    config: Config
    states: int = 0
    transitions: int = 0
    seconds: float = 0.0
    ends: set[tuple[str, str]] = field(default_factory=set)
    """The phases and states in which the task is at rest."""
    faults: dict[str, list[str]] = field(default_factory=dict)
    """A shortest way to each kind of fault, as the names of its steps."""

    def __str__(self) -> str:
        verdict = "sound" if not self.faults else "UNSOUND"
        lines = [
            f"{self.config.name:30} {self.states:>9,} states {self.transitions:>10,} transitions"
        ]
        lines[0] += f" {self.seconds:6.1f} s  {verdict}"
        for fault, way in self.faults.items():
            lines += [
                f"  {fault}:",
                *(f"    {number}. {step}" for number, step in enumerate(way, 1)),
            ]
        return "\n".join(lines)


@contextmanager
def uncollected() -> Iterator[None]:
    """Let the millions of states, none of which is part of a cycle, not be gone through for one."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Explorer:
    """Explores one configuration.

    Parameters
    ----------
    looking_for
        A kind of fault with which it is enough.
    """

    def __init__(self, config: Config, looking_for: str = "") -> None:
        self.config = config
        self._looking_for = looking_for
        self._steps = Steps(config)
        self.findings = Findings(config)
        # A state is long, and so is its hash: it is made once, and then the state is its number.
        self._numbers: dict[State, int] = {}
        self._states: list[State] = []
        self._came: list[tuple[int, str] | None] = []
        self._back: list[list[int]] = []

    # -- breadth first ------------------------------------------------------------------------

    def explore(self) -> Findings:
        """Visit every state that can be reached, or those up to the fault that is looked for."""
        began = time.perf_counter()
        with (
            uncollected(),
            patch("caraway.core.executor.new_token", lambda: "mine"),
            patch("caraway.core.claiming.new_token", lambda: "mine"),
            patch("caraway.core.replay.new_token", lambda: "mine"),
        ):
            self._visit_all()
        self.findings.states = len(self._states)
        self.findings.seconds = time.perf_counter() - began
        return self.findings

    def _visit_all(self) -> None:
        self._number(self._steps.first(), None)
        at_rest = []
        for number, state in enumerate(self._states):  # which grows meanwhile
            self._check(state)
            if self._is_at_rest(state):
                at_rest.append(number)
            for name, after in self._steps.of(state):
                self.findings.transitions += 1
                following = self._steps.canonical(after)
                self._check_step(state, following, name)
                self._back[self._number(following, (number, name))].append(number)
            if self._looking_for in self.findings.faults:
                return
        self._check_that_all_can_end(at_rest)

    def _number(self, state: State, came: tuple[int, str] | None) -> int:
        """Return the number of a state; a new one came from that state, by that step."""
        number = self._numbers.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
            self._came.append(came)
            self._back.append([])
        return number

    def _fault(self, kind: str, state: State, last: str = "") -> None:
        if kind in self.findings.faults:
            return
        way = [last] if last else []
        at = self._numbers[state]
        while (came := self._came[at]) is not None:
            at, name = came
            way.append(name)
        self.findings.faults[kind] = way[::-1]

    # -- what must hold -----------------------------------------------------------------------

    def _check(self, state: State) -> None:
        for execution in filter(None, state.workers):
            if not isinstance(self._steps.program.next(execution), UserCode):
                continue
            items = [dict(each[1]) for each in execution.answers if isinstance(each, tuple)]
            if any("revoked" in item for item in items):
                self._fault("a revoked task runs", state)

    def _check_step(self, state: State, after: State, name: str) -> None:
        if after.record is state.record and after.sent is state.sent:
            return
        before, now = dict(state.record or ()), dict(after.record or ())
        replayed = before.get("state") == states.FAILURE and now.get("phase") == RETRY
        if before.get("phase") == DONE and shown(before) != shown(now) and not replayed:
            self._fault("a final record has changed", state, name)
        if now.get("attempt", 0) < before.get("attempt", 0):
            self._fault("the attempts have gone backwards", state, name)
        if replayed or (before.get("phase") == FAILED and now["phase"] != FAILED):
            attempt = before["attempt"] - (before["phase"] == FAILED)
            errback = derived_id(f"link_error:0:{attempt}", ID)
            # Without a claim, a retry that nobody recorded may do what a redrive does.
            unseen = self.config.idempotent and not replayed
            if errback not in _ids(state.sent) and not unseen:
                self._fault("a failure was run again before its errback was sent", state, name)
        for body in after.sent - state.sent:
            if not self._says_what_the_record_says(json.loads(body), now, after.failures):
                self._fault("a follow-up does not say what the record says", state, name)

    def _says_what_the_record_says(
        self, message: dict[str, Any], record: Item, failures: frozenset[str]
    ) -> bool:
        if message["task"] == "errback":
            return json.dumps(message["args"][1]) in failures
        final = record.get("phase") == DONE and record["state"] == states.SUCCESS
        return final and message["args"] == [json.loads(record["result"])]

    def _is_at_rest(self, state: State) -> bool:
        """Say whether nothing goes on; then the task must have ended, with all that follows."""
        if state.workers != (None, None) or state.queue:
            return False
        record = dict(state.record or ())
        sent = _ids(state.sent)
        errback = derived_id(f"link_error:0:{record.get('attempt', 0)}", ID)
        match record.get("phase"), record.get("state"):
            case "done", states.SUCCESS:
                ended = derived_id("link:0", ID) in sent
            case "done", states.FAILURE:
                ended = errback in sent
            case "done", _:
                ended = True
            case "failed", _:
                errback = derived_id(f"link_error:0:{record['attempt'] - 1}", ID)
                letters = [json.loads(letter)["attempt"] for letter in state.letters]
                ended = errback in sent and record["attempt"] in letters
            case "retry", _:  # a replay was interrupted, and whoever asked for it knows
                ended = "message" in record
            case _:
                ended = False
        if not ended:
            self._fault("the task, or what follows from its ending, is lost", state)
        self.findings.ends.add((record.get("phase", ""), record.get("state", "")))
        return True

    def _check_that_all_can_end(self, at_rest: list[int]) -> None:
        ending = self._from_where_one_reaches(at_rest)
        finals = [each for each in at_rest if self._record(each)["phase"] == DONE]
        finishing = self._from_where_one_reaches(finals)
        successes = [each for each in finals if self._record(each)["state"] == "SUCCESS"]
        succeeding = self._from_where_one_reaches(successes)
        for number, state in enumerate(self._states):
            if number not in ending:
                self._fault("there is no way to an end", state)
            elif self._steps.may(state, "redrive") and number not in finishing:
                self._fault("a redrive changes nothing", state)
            elif self._can_be_replayed(state) and number not in succeeding:
                self._fault("a replay changes nothing", state)

    def _record(self, number: int) -> Item:
        return dict(self._states[number].record or ())

    def _can_be_replayed(self, state: State) -> bool:
        record = dict(state.record or ())
        interrupted = record.get("phase") == RETRY and "message" in record
        failed = record.get("phase") == DONE and record["state"] == states.FAILURE
        return self._steps.may(state, "replay") and (interrupted or failed)

    def _from_where_one_reaches(self, goals: list[int]) -> set[int]:
        reaching, waiting = set(goals), list(goals)
        while waiting:
            for before in self._back[waiting.pop()]:
                if before not in reaching:
                    reaching.add(before)
                    waiting.append(before)
        return reaching


def _ids(bodies: frozenset[str]) -> set[str]:
    return {json.loads(body)["id"] for body in bodies}
