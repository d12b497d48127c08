"""Message groups: whatever happens to workers and messages, a group's tasks run in their order."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from caraway.core.disposition import Leave
from caraway.core.port import run_now
from caraway.core.record import DONE, FAILED
from caraway.core.routing import Queue
from caraway.exceptions import EndpointUnreachable, Reject, Retry
from caraway.requests.dynamodb import ConditionFailed
from caraway.requests.sqs import ReceivedMessage, ReceiveMessages
from tests.depth import examples
from tests.stepping import Execution, SteppedAws
from tests.support import FakeTask, World

if TYPE_CHECKING:
    from caraway.core.context import Context
    from caraway.core.message import Message

pytestmark = pytest.mark.usefixtures("unmeasured")

LEASE_S = 30
GROUPS = ("a", "b")
MOST_OF_A_GROUP = 4
MOST_JOBS = 2
ENOUGH_DELIVERIES = 300
Outcome = Literal["return", "raise", "retry", "retry later", "reject", "requeue"]
OUTCOMES: tuple[Outcome, ...] = (
    *("return", "return", "raise"),
    *("retry", "retry later", "reject", "requeue"),
)


@dataclass(eq=False)
class Job:
    """What a worker does with the messages of one group that it received together."""

    received: list[ReceivedMessage]
    execution: Execution
    places: list[int] = field(default_factory=list)


class GroupMachine(RuleBasedStateMachine):
    """Two workers on one FIFO queue; each does with a group's messages what the doors do."""

    @initialize(idempotent=st.booleans())
    def begin(self, idempotent: bool) -> None:
        self.task = FakeTask("task", self.run, idempotent=idempotent)
        queue = Queue("default", fifo=True, visibility_timeout_s=LEASE_S)
        self.world = World(self.task, queues=[queue], max_deliveries=3)
        self.stepped = self.world.worker(SteppedAws(self.world.aws))
        self.sent: dict[str, list[Message]] = {group: [] for group in GROUPS}
        self.jobs: list[Job] = []
        self.outcome: Outcome = "return"
        self.too_early: list[str] = []
        for group in GROUPS * 2:
            self.send(group)

    def run(self, request: Context) -> str:
        """Note what begins before all that came before it in its group has ended."""
        group, number = request.args
        phases = [self.world.record(earlier).phase for earlier in self.sent[group][:number]]
        if any(phase not in (DONE, FAILED) for phase in phases):
            self.too_early.append(f"{group}{number} begins, and those before are {phases}")
        match self.outcome:
            case "return":
                return f"{group}{number}"
            case "raise":
                raise ValueError(number)
            case "retry":
                raise Retry
            case "retry later":
                raise Retry(when=40)
            case "reject":
                raise Reject("refused")
            case "requeue":
                raise Reject("busy", requeue=True)

    # -- what happens -----------------------------------------------------------------------

    @rule(group=st.sampled_from(GROUPS))
    def another_is_sent(self, group: str) -> None:
        self.send(group)

    def send(self, group: str) -> None:
        number = len(self.sent[group])
        if number < MOST_OF_A_GROUP:
            message = self.world.send("task", group, number, message_group_id=group)
            self.sent[group].append(message)

    @precondition(lambda self: len(self.jobs) < MOST_JOBS)
    @rule(limit=st.sampled_from([10, 10, 3, 1]))
    def receive(self, limit: int) -> None:
        request = ReceiveMessages(
            self.world.url("default"), limit=limit, visibility_timeout_s=LEASE_S
        )
        groups: dict[str | None, list[ReceivedMessage]] = {}
        for each in run_now(self.world.aws.perform(request)):
            groups.setdefault(each.group_id, []).append(each)
        for received in groups.values():
            job = Job(received, self._execution(received[0]))
            self.jobs.append(job)
            self._go_on_with(job)

    def _execution(self, received: ReceivedMessage) -> Execution:
        return Execution(self.stepped, self.world.aws, self.world.delivery(received))

    def _go_on_with(self, job: Job) -> None:
        """Do what a door does when one message of a group has been worked on."""
        while (disposition := job.execution.disposition) is not None:
            decided = job.received if isinstance(disposition, Leave) else job.received[:1]
            for received in decided:
                self.world.apply(disposition, received)
            job.received = job.received[len(decided) :]
            if not job.received:
                self.jobs.remove(job)
                return
            job.execution = self._execution(job.received[0])

    @precondition(lambda self: self.jobs)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(OUTCOMES),
        fate=st.sampled_from(["ok"] * 8 + ["fail", "lose"]),
    )
    def go_on(self, data: st.DataObject, outcome: Outcome, fate: Any) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        self.outcome = outcome
        try:
            job.execution.step(fate)
        except EndpointUnreachable:
            self._leave(job)
        else:
            self._go_on_with(job)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def a_message_is_worked_through(self, data: st.DataObject, outcome: Outcome) -> None:
        """Most of them are, without a disturbance."""
        job = data.draw(st.sampled_from(self.jobs))
        self.outcome = outcome
        while job.execution.disposition is None:
            job.execution.step()
        self._go_on_with(job)

    def _leave(self, job: Job) -> None:
        """Leave what a door leaves when AWS does not answer."""
        self.jobs.remove(job)
        for received in job.received:
            self.world.apply(Leave(1, "AWS does not answer"), received)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def a_worker_dies(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        self.jobs.remove(job)
        job.execution.crash()

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def a_worker_drains(self, data: st.DataObject) -> None:
        """Release the claim, then the messages, as a shutdown does."""
        job = data.draw(st.sampled_from(self.jobs))
        self.jobs.remove(job)
        job.execution.crash()
        records, now = self.world.site.records, self.world.aws.now().timestamp()
        id = json.loads(job.received[0].body)["id"]
        token = self.world.record(id).token
        if token is not None:
            with suppress(ConditionFailed):
                run_now(self.world.aws.perform(records.release(id, token, now)))
        for received in job.received:
            self.world.apply(Leave(0, "the worker stops"), received)

    @rule(seconds=st.sampled_from([1, LEASE_S + 5, 100]))
    def time_passes(self, seconds: int) -> None:
        self.world.aws.pass_time(seconds)

    @invariant()
    def nothing_begins_before_its_turn(self) -> None:
        # Not in the function itself: what it raises is the task's failure.
        assert not getattr(self, "too_early", None)

    # -- and what must hold in the end --------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        for job in self.jobs:
            job.execution.crash()
        self.outcome = "return"
        self.world.drain(ENOUGH_DELIVERIES)
        for messages in self.sent.values():
            ended = [self.world.aws.item("tasks", each.id) or {} for each in messages]
            assert all(each.get("phase") in (DONE, FAILED) for each in ended), "one is stuck"
            at = [each["done_at"] for each in ended]
            assert at == sorted(at), "the endings are out of order"


TestGroups = GroupMachine.TestCase
TestGroups.settings = settings(max_examples=examples(50), stateful_step_count=50, deadline=None)


# -- one sentence each ------------------------------------------------------------------------


def groups_world(*fates: BaseException | None) -> tuple[World, list[str]]:
    """Return a world whose first runs end so, and what has been done in it."""
    done: list[str] = []
    outcomes = list(fates)

    def run(request: Context) -> None:
        outcome = outcomes.pop(0) if outcomes else None
        if outcome is not None:
            raise outcome
        done.append(str(request.args[0]))

    return World(FakeTask("task", run), queues=[Queue("default", fifo=True)]), done


def test_a_retry_in_time_holds_back_its_own_group_only() -> None:
    world, done = groups_world(Retry(when=60))
    for step, group in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        world.send("task", step, message_group_id=group)
    began = world.aws.now()
    world.deliver()
    world.deliver()
    assert done == ["b1"]
    assert world.receive() is None
    world.drain()
    assert done == ["b1", "a1", "a2"]
    assert (world.aws.now() - began).total_seconds() >= 60


def test_a_dead_letter_lets_its_group_go_on_and_keeps_the_group_for_a_redrive() -> None:
    world, done = groups_world(Reject("refused"))
    world.send("task", "a1", message_group_id="a")
    world.send("task", "a2", message_group_id="a")
    world.drain()
    assert done == ["a2"]
    assert [each.group_id for each in world.dead_letters()] == ["a"]


def test_the_record_counts_the_attempts_of_the_one_message() -> None:
    world, done = groups_world(Retry(), Retry())
    sent = world.send("task", "a1", message_group_id="a")
    world.drain()
    assert done == ["a1"]
    assert world.record(sent).attempt == 2
    assert len(world.asked(ReceiveMessages)) == 3


def test_an_older_message_that_takes_a_redrive_over_counts_its_retries_from_nothing() -> None:
    asked_for: list[tuple[int, int]] = []
    outcomes: list[BaseException | None] = [Retry(), Reject("refused"), None, None]

    def run(request: Context) -> None:
        asked_for.append((request.attempt, request.retries))
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    world = World(FakeTask("task", run), queues=[Queue("default", fifo=True)])
    first = world.send("task", 1, message_group_id="a")
    world.drain()
    world.redrive()
    received = world.receive()
    assert received is not None
    stepped = world.worker(SteppedAws(world.aws))
    redriven = Execution(stepped, world.aws, world.delivery(received))
    redriven.step()  # it has the claim,
    redriven.step()  # has run the function,
    redriven.crash()  # and dies
    world.aws.pass_time(1_000)
    world.redeliver(first)  # whose delete was lost
    assert asked_for == [(0, 0), (1, 1), (2, 0), (2, 0)]
