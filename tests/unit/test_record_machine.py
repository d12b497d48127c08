"""Random interleavings of two workers, crashes, lost answers, ghosts, retries and redrives.

What runs here is the executor itself, over an account in memory. Each execution stands still
before every request; hypothesis decides who goes on, and what becomes of the request.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from caraway import states
from caraway.aws.memory import Fate
from caraway.core.context import Context, Replacement
from caraway.core.disposition import Delivery
from caraway.core.ids import derived_id
from caraway.core.message import Message
from caraway.core.port import run_now
from caraway.core.record import DONE, FAILED, LAMBDA, RETRY, RUNNING
from caraway.core.replay import replay
from caraway.core.revoke import revoke
from caraway.core.routing import Queue
from caraway.exceptions import EndpointUnreachable, Ignore, NotReplayable, Reject, Retry
from caraway.requests.dynamodb import ConditionFailed, UpdateItem
from caraway.requests.items import Item
from caraway.requests.sqs import ReceivedMessage
from tests.depth import examples
from tests.stepping import Execution, SteppedAws, UserCode
from tests.support import FakeTask, World, signature

pytestmark = pytest.mark.usefixtures("unmeasured")

LEASE_S = 30
GRACE_S = 60
MOST_WORKERS = 2
MOST_TASKS = 2
ENOUGH_DELIVERIES = 300
FATES: tuple[Literal[Fate, "crash"], ...] = (*("ok",) * 7, "repeat", "lose", "fail", "crash")
Outcome = Literal[
    "return",
    "raise",
    "retry",
    "retry later",
    "reject",
    "requeue",
    "ignore",
    "replace",
    "replace by a chain",
]
OUTCOMES: tuple[Outcome, ...] = (
    *("return", "raise", "retry", "retry", "retry later"),
    *("reject", "reject", "requeue", "ignore", "replace", "replace by a chain"),
)


@dataclass(eq=False)
class Worker:
    """A worker that executes one delivery; ``received`` is None where the message is gone."""

    execution: Execution
    id: str
    received: ReceivedMessage | None
    claimed_after_revoke: bool = False

    def __repr__(self) -> str:
        before = type(self.execution.next).__name__
        return f"<{'a ghost' if self.received is None else 'a worker'} of {self.id}, at {before}>"


class RecordMachine(RuleBasedStateMachine):
    """Two workers, one queue, some tasks; the callbacks' queues are only looked at."""

    fifo: ClassVar[bool] = False
    idempotent: ClassVar[bool] = False
    door: ClassVar[str] = "ecs"

    @initialize()
    def begin(self) -> None:
        self.task = FakeTask("task", self.run, idempotent=self.idempotent)
        self.world = World(
            self.task,
            FakeTask("step"),
            FakeTask("errback"),
            queues=[
                Queue("default", fifo=self.fifo, visibility_timeout_s=LEASE_S),
                *("callbacks", "errbacks"),
            ],
            max_deliveries=3,
        )
        self.stepped = self.world.worker(SteppedAws(self.world.aws), self.door)
        self.sent: list[str] = []
        self.bodies: list[str] = []
        self.workers: list[Worker] = []
        self.outcome: Outcome = "return"
        self.outcomes = 0
        self.before: dict[str, Item] = {}
        self.failures: dict[str, set[str]] = {}
        self.attempts: dict[tuple[str | None, int], tuple[Any, ...]] = {}
        self.differing: list[tuple[Any, ...]] = []
        self.run_again: list[str] = []
        self.claims: list[tuple[str, str]] = []
        self.revoke_asked = False
        self.revoked: set[str] = set()
        self.due: dict[str, datetime] = {}

    def run(self, request: Context) -> str:
        """End as the rule says that let this run begin; no two outcomes are alike."""
        self._note(request)
        self.outcomes += 1
        if self.outcome in ("replace", "replace by a chain"):
            self._replace(request)
        match self.outcome:
            case "return":
                return f"value {self.outcomes}"
            case "raise":
                raise ValueError(f"error {self.outcomes}")
            case "retry":
                raise Retry(args=[f"retried {self.outcomes}"])
            case "retry later":
                raise Retry(when=40)
            case "reject":
                raise Reject(f"rejected {self.outcomes}")
            case "requeue":
                raise Reject("busy", requeue=True)
        raise Ignore

    def _note(self, request: Context) -> None:
        """Remember a run under a claim, and what it was asked for."""
        if request.token is not None and request.id is not None:
            self.claims.append((request.id, request.token))
            assert not self._began_late(request.id), "an occurrence runs that began too late"
            # The first call of a task has a number; what has replaced it, or is retried, a text.
            if self.world.record(request.id).replaced and isinstance(request.args[0], int):
                self.run_again.append(request.id)
            asked_for = (tuple(request.args), request.retries)
            known = self.attempts.setdefault((request.id, request.attempt), asked_for)
            if known != asked_for:  # said later: what a function raises is its task's failure
                self.differing.append((request.id, known, asked_for))

    def _began_late(self, id: str) -> bool:
        begun_at = self.world.record(id).begun_at
        return begun_at is not None and begun_at - self.due[id].timestamp() > GRACE_S

    def _replace(self, request: Context) -> None:
        """Let another call of the task take its place, at once or after a step."""
        other = {**signature("task", f"other {self.outcomes}"), "immutable": True}
        id = derived_id("replaced", request.id, request.attempt)
        steps = [signature("step", task_id=id), other][self.outcome == "replace" :]
        request.replacement = Replacement(steps)

    # -- what happens -----------------------------------------------------------------------

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        """One rule, so that what is likely in a real queue is likely here."""
        idle = len(self.workers) < MOST_WORKERS
        possible: list[tuple[int, bool, Callable[[st.DataObject], None]]] = [
            (12, bool(self.workers), self.go_on),
            (6, idle and self._something_is_visible(), self.receive),
            (1, idle and bool(self.bodies), self.receive_what_was_received_before),
            (2, True, self.time_passes),
            (2, bool(self.world.dead_letters()), self.redrive),
            (2, bool(self.failures), self.replay),
            (1, len(self.sent) < MOST_TASKS, self.send),
            (1, len(self.sent) == MOST_TASKS and not self.revoke_asked, self.revoke),
            (1, bool(self.claims), self.heartbeat),
        ]
        likely = [event for weight, enabled, event in possible if enabled for _ in range(weight)]
        event = data.draw(st.sampled_from(likely))
        note(event.__name__)
        event(data)

    def send(self, data: st.DataObject) -> None:
        number = len(self.sent)
        message = self.world.send(
            "task",
            number,
            expires=200 if data.draw(st.booleans()) else None,
            message_group_id=str(number) if self.fifo else None,
            link=signature("callback", queue="callbacks"),
            link_error=signature("errback", queue="errbacks"),
        )
        self.sent.append(message.id)
        as_sent = message
        if data.draw(st.booleans()):  # early, as one whose delay SQS did not take
            message = message.changed({"eta": "2026-01-01T00:00:50Z"})
        if data.draw(st.booleans()):
            self.due[message.id] = due = self.world.aws.now()
            when = {"every_s": 3_600, "grace_s": GRACE_S}
            message = replace(message, schedule="entry", scheduled_time=due, when=when)
        if message != as_sent:
            self.world.aws.queues[self.world.queue("default")].pop()
            self.world.put(message)

    def _something_is_visible(self) -> bool:
        at = self.world.aws.next_visible_at(self.world.queue("default"))
        return at is not None and at <= self.world.aws.now()

    def receive(self, _data: st.DataObject) -> None:
        received = self.world.receive()
        assert received is not None
        self.bodies.append(received.body)
        self._execute(self.world.delivery(received), received)

    def receive_what_was_received_before(self, data: st.DataObject) -> None:
        body = data.draw(st.sampled_from(self.bodies))
        queue = self.world.site.router.queue("default")
        self._execute(Delivery(body, queue, LEASE_S), None)

    def _execute(self, delivery: Delivery, received: ReceivedMessage | None) -> None:
        execution = Execution(self.stepped, self.world.aws, delivery)
        worker = Worker(execution, json.loads(delivery.body)["id"], received)
        self.workers.append(worker)
        self._end(worker)

    def go_on(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        before = worker.execution.next
        self.outcome = data.draw(st.sampled_from(OUTCOMES))
        fate = data.draw(st.sampled_from(FATES))
        if fate == "crash":
            self.workers.remove(worker)
            worker.execution.crash()
            return
        if isinstance(before, UpdateItem) and before.change.assign.get("phase") == RUNNING:
            worker.claimed_after_revoke = worker.id in self.revoked
        if isinstance(before, UserCode) and before.function == self.task.runner:
            assert not worker.claimed_after_revoke, "a revoked task runs"
        try:
            worker.execution.step(fate)
        except EndpointUnreachable:
            self.workers.remove(worker)  # the door leaves the message
        else:
            self._end(worker)

    def _end(self, worker: Worker) -> None:
        """Do what a door does when an execution has ended."""
        if worker.execution.disposition is not None:
            self.workers.remove(worker)
            if worker.received is not None:
                self.world.apply(worker.execution.disposition, worker.received)

    def time_passes(self, data: st.DataObject) -> None:
        self.world.aws.pass_time(data.draw(st.sampled_from([5, LEASE_S, LEASE_S, 100])))

    def redrive(self, _data: st.DataObject) -> None:
        self.world.redrive()

    def replay(self, data: st.DataObject) -> None:
        """Run a failure again, or be interrupted before any of the requests."""
        id = data.draw(st.sampled_from(sorted(self.failures)))
        left = iter(range(data.draw(st.integers(0, 6))))
        aws, fate = self.world.aws, self.world.aws.fate
        aws.fate = lambda _request: "fail" if next(left, None) is None else "ok"
        try:
            with suppress(NotReplayable, EndpointUnreachable):
                run_now(replay(aws, self.world.site, self.world.tasks, id))
        finally:
            aws.fate = fate

    def revoke(self, data: st.DataObject) -> None:
        self.revoke_asked, id = True, self.sent[-1]
        signal = data.draw(st.sampled_from([None, "SIGTERM"]))
        answer = run_now(revoke(self.world.aws, self.world.site, id, signal))
        if answer.happened in ("flagged", "terminating"):
            self.revoked.add(id)

    def heartbeat(self, data: st.DataObject) -> None:
        """Renew a lease, or come too late: a heartbeat is on its way while its task ends."""
        id, token = data.draw(st.sampled_from(self.claims))
        beat = self.world.site.records.heartbeat(
            id, token, self.world.aws.now().timestamp(), LEASE_S
        )
        with suppress(ConditionFailed):
            run_now(self.world.aws.perform(beat))

    # -- what must hold at every moment -------------------------------------------------------

    @invariant()
    def the_records_hold(self) -> None:
        if not hasattr(self, "world"):
            return
        # Without a claim nobody records a retry: beside it a replay asks for the same attempt anew.
        assert self.idempotent or not self.run_again, "a task that was replaced runs again"
        asked_alike = self.idempotent or not self.differing
        assert asked_alike, "two runs of one attempt were asked for differently"
        for id in self.sent:
            before, after = self.before.get(id), self.world.aws.item("tasks", id)
            if after is not None:
                self.before[id] = dict(after)
                self._goes_on_as_it_may(id, before or {}, after)
                if after["state"] == states.FAILURE:
                    self.failures.setdefault(id, set()).add(after["result"])
        self._follow_ups_say_what_the_record_says()

    def _goes_on_as_it_may(self, id: str, before: Item, after: Item) -> None:
        replayed = before.get("state") == states.FAILURE and after["phase"] == RETRY
        if before.get("phase") == DONE:
            assert after == before or replayed, "a final record has changed"
        assert after.get("attempt", 0) >= before.get("attempt", 0), "the attempts go backwards"
        now = self.world.aws.now().timestamp()
        if before.get("phase") == RUNNING and after["phase"] == RUNNING and before["open_at"] > now:
            assert after["token"] == before["token"], "a living claim was taken over"
        if replayed:
            self.revoked.discard(id)
        if replayed or (before.get("phase") == FAILED and after["attempt"] == before["attempt"]):
            attempt = before["attempt"] - (before["phase"] == FAILED)
            errback = derived_id(f"link_error:0:{attempt}", id)
            # Without a claim, a retry that nobody recorded may do what a redrive does.
            again = replayed or (after["phase"] != FAILED and not self.idempotent)
            assert not again or errback in ids(self.world.messages("errbacks"))

    def _follow_ups_say_what_the_record_says(self) -> None:
        meanings: dict[str, str] = {}
        callbacks, errbacks = self.world.messages("callbacks"), self.world.messages("errbacks")
        for message in (*callbacks, *errbacks):
            known = meanings.setdefault(message.id, message.digest)
            assert known == message.digest, "two follow-ups of one id differ"
        for callback in callbacks:
            item = self.before[callback.parent_id or ""]
            assert (item["phase"], item["state"]) == (DONE, states.SUCCESS)
            assert callback.args == (json.loads(item["result"]),)
        for errback in errbacks:
            _id, error, _traceback = errback.args
            failures = self.failures[errback.parent_id or ""]
            assert error in [json.loads(failure) for failure in failures]

    # -- and what must hold in the end --------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        for worker in self.workers:
            worker.execution.crash()
        self.outcome = "return"
        self._drain()
        for id in self.sent:
            if self.world.record(id).is_reopened:  # whoever was interrupted tries again
                run_now(replay(self.world.aws, self.world.site, self.world.tasks, id))
        self._drain()
        for id in self.sent:
            self._has_ended_with_its_follow_ups(id)
        self.world.redrive()
        self._drain()
        for id in self.sent:
            assert self.world.record(id).phase == DONE, "a redrive changes nothing"
            self._has_ended_with_its_follow_ups(id)

    def _drain(self) -> None:
        aws = self.world.aws
        for _ in range(ENOUGH_DELIVERIES):
            at = aws.next_visible_at(self.world.queue("default"))
            if at is None:
                return
            aws.time = max(aws.time, at)
            self.world.deliver()
            self.the_records_hold()
        raise AssertionError("messages go round and round")

    def _has_ended_with_its_follow_ups(self, id: str) -> None:
        record = self.world.record(id)
        assert record.phase in (DONE, FAILED), f"stuck: {record}"
        if record.state == states.MISSED:
            assert self._began_late(id), "an occurrence is missed that began in time"
        if record.state == states.SUCCESS:
            assert derived_id("link:0", id) in ids(self.world.messages("callbacks"))
        if record.state == states.FAILURE:
            attempt = record.attempt - (record.phase == FAILED)
            errback = derived_id(f"link_error:0:{attempt}", id)
            assert errback in ids(self.world.messages("errbacks"))
        if record.phase == FAILED and not record.is_unsent:  # else the step's before it is there
            letters = [json.loads(each.body) for each in self.world.dead_letters()]
            assert (id, record.attempt) in [(each["id"], each["attempt"]) for each in letters]


def ids(messages: list[Message]) -> set[str]:
    return {message.id for message in messages}


class FifoMachine(RecordMachine):
    """The same on a FIFO queue, each task in a group of its own."""

    fifo = True


class IdempotentMachine(RecordMachine):
    """The same with a task that takes no claim."""

    idempotent = True


class LambdaMachine(RecordMachine):
    """The same on Lambda, where a revoke fences off what runs."""

    door = LAMBDA


SETTINGS = settings(max_examples=examples(30), stateful_step_count=60, deadline=None)
TestRecordMachine = RecordMachine.TestCase
TestRecordMachine.settings = SETTINGS
TestFifoMachine = FifoMachine.TestCase
TestFifoMachine.settings = SETTINGS
TestIdempotentMachine = IdempotentMachine.TestCase
TestIdempotentMachine.settings = SETTINGS
TestLambdaMachine = LambdaMachine.TestCase
TestLambdaMachine.settings = SETTINGS
