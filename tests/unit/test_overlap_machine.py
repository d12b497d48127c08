"""Three occurrences of one entry, of which one may run at a time, in any order of things."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from caraway import states
from caraway.aws.memory import Fate
from caraway.core.context import Context
from caraway.core.disposition import Delete, Delivery
from caraway.core.port import run_now
from caraway.core.record import DONE, FAILED, RETRY, RUNNING
from caraway.exceptions import EndpointUnreachable, Reject, Retry
from caraway.requests.base import Request
from caraway.requests.dynamodb import GetItem
from caraway.requests.sqs import DeleteMessage, ReceivedMessage, ReceiveMessages
from caraway.schedules import crontab
from tests.clockwork import MONDAY, Clockwork
from tests.depth import examples
from tests.stepping import Execution, StandStill, SteppedAws

pytestmark = pytest.mark.usefixtures("unmeasured")

HOUR = timedelta(hours=1)


class EveryRequest(SteppedAws):
    """A port that stands still before look-ups, too: between two of them much can happen."""

    async def perform(self, request: Request[Any]) -> Any:
        if isinstance(request, GetItem):
            await StandStill(request)
        return await super().perform(request)


FATES: tuple[Literal[Fate, "crash"], ...] = (*("ok",) * 9, "repeat", "lose", "fail", "crash")
OUTCOMES: tuple[BaseException | None, ...] = (
    *(None, None, ValueError("no"), Retry(), Retry(when=40)),
    *(Reject("never"), Reject("busy", requeue=True)),
)
MOST_WORKERS = 3
TIMES = (MONDAY, MONDAY + HOUR, MONDAY + 2 * HOUR)


@dataclass(eq=False)
class Worker:
    """A worker that executes one delivery."""

    execution: Execution
    received: ReceivedMessage


class OverlapMachine(RuleBasedStateMachine):
    """Three occurrences that come together, and workers that crash, retry and lose answers."""

    @initialize()
    def begin(self) -> None:
        self.work = Clockwork(crontab(minute=0), overlap="skip")
        self.work.executor._aws = EveryRequest(self.work.aws)
        self.work.run = self.run
        self.work.put(*TIMES)
        self.url = f"memory://{self.work.queue.sqs_name('')}"
        self.workers: list[Worker] = []
        self.outcome: BaseException | None = None
        self.begun: set[datetime] = set()
        self.together: list[tuple[datetime, datetime]] = []

    def run(self, request: Context) -> None:
        """Look who runs beside it, and end as the rule says that let this run begin."""
        time = request.scheduled_time
        assert time is not None
        if self.work.record(time).token == request.token:  # else it was overtaken, and is nobody
            others = [each for each in self.begun - {time} if self._goes_on(each)]
            self.together += [(time, other) for other in others]
            self.begun.add(time)
        if self.outcome is not None:
            raise self.outcome

    def _goes_on(self, time: datetime) -> bool:
        return self.work.record(time).phase in (RUNNING, RETRY)

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        possible: list[tuple[int, bool, Callable[[st.DataObject], None]]] = [
            (12, bool(self.workers), self.go_on),
            (6, len(self.workers) < MOST_WORKERS and self._is_waited_for(), self.receive),
            (1, True, self.time_passes),
        ]
        likely = [event for weight, enabled, event in possible if enabled for _ in range(weight)]
        event = data.draw(st.sampled_from(likely))
        note(event.__name__)
        event(data)
        assert self.together == [], "two occurrences ran at a time"

    def _is_waited_for(self) -> bool:
        at = self.work.aws.next_visible_at(self.work.queue.sqs_name(""))
        return at is not None and at <= self.work.aws.now()

    def receive(self, _data: st.DataObject | None = None) -> None:
        request = ReceiveMessages(self.url, limit=1, visibility_timeout_s=30)
        (received,) = run_now(self.work.aws.perform(request))
        delivery = Delivery(received.body, self.work.queue, 30.0, received.receive_count)
        execution = Execution(self.work.executor, self.work.aws, delivery)
        self.workers.append(Worker(execution, received))

    def go_on(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        self.outcome = data.draw(st.sampled_from(OUTCOMES))
        self._step(worker, data.draw(st.sampled_from(FATES)))

    def _step(self, worker: Worker, fate: Literal[Fate, "crash"] = "ok") -> None:
        if fate == "crash":
            self.workers.remove(worker)
            worker.execution.crash()
            return
        try:
            worker.execution.step(fate)
        except EndpointUnreachable:
            self.workers.remove(worker)  # the door leaves the message
            return
        if worker.execution.disposition is not None:
            self.workers.remove(worker)
            if isinstance(worker.execution.disposition, Delete):
                handle = worker.received.receipt_handle
                run_now(self.work.aws.perform(DeleteMessage(self.url, handle)))

    def time_passes(self, data: st.DataObject) -> None:
        self.work.aws.pass_time(data.draw(st.sampled_from([5, 30, 31, 60])))

    def teardown(self) -> None:
        if not hasattr(self, "work"):
            return
        for worker in [*self.workers]:
            self._step(worker, "crash")
        self.outcome = None
        while (at := self.work.aws.next_visible_at(self.work.queue.sqs_name(""))) is not None:
            self.work.aws.time = max(self.work.aws.time, at)
            self.receive()
            while self.workers:
                self._step(self.workers[0])
        assert self.together == []
        ended = {time: self.work.record(time) for time in TIMES}
        assert all(record.phase in (DONE, FAILED) for record in ended.values())
        missed = {time for time, record in ended.items() if record.state == states.MISSED}
        assert missed.isdisjoint(self.begun), "a run that had begun was missed"
        # One whose workers were lost too often is a dead letter, and need not have begun.
        lost = {time for time, record in ended.items() if record.phase == FAILED}
        assert missed | self.begun | lost == set(TIMES)
        assert missed != set(TIMES), "each was missed because of another"


TestOverlapMachine = OverlapMachine.TestCase
TestOverlapMachine.settings = settings(
    max_examples=examples(40), stateful_step_count=60, deadline=None
)
