"""A delivery that waits for its turn: claimed ahead of it, begun when it comes, or given back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from caraway import states
from caraway.core.disposition import Delete, Leave
from caraway.core.events import Ended
from caraway.core.job import Decided
from caraway.core.port import run_now
from caraway.core.record import DONE, RETRY, RUNNING
from caraway.core.turns import Terms
from caraway.exceptions import EndpointUnreachable
from caraway.requests.dynamodb import UpdateItem
from tests.support import FakeTask, Fates, World, doing, to_phase

if TYPE_CHECKING:
    from caraway.core.disposition import Disposition
    from caraway.core.message import Message


@dataclass
class FakeTurn:
    """A turn of which a test says how it goes."""

    terms: Terms = field(default_factory=lambda: Terms(60.0, counts=False))
    is_too_late: bool = False
    has_come: bool = True
    asked: list[tuple[str, bool]] = field(default_factory=list)
    is_told: bool = False

    async def admit(self, task: str, *, alone: bool) -> Terms:
        self.asked.append((task, alone))
        if self.is_too_late:
            raise Decided(Leave(0, "too late"))
        return self.terms

    async def comes(self) -> bool:
        return self.has_come

    async def is_over(self, *, hooked: bool = False) -> None:
        self.is_told = True


def deliver(world: World, turn: FakeTurn) -> Disposition:
    """Deliver a message that has such a turn."""
    received = world.receive()
    assert received is not None
    delivery = replace(world.delivery(received), turn=turn)
    disposition = run_now(world.executor.execute(delivery))
    world.apply(disposition, received)
    return disposition


def world_of(
    *outcomes: object, at_most_once: bool = False, fate: Fates | None = None
) -> tuple[World, Message]:
    task = FakeTask("task", doing(*outcomes), at_most_once=at_most_once)
    world = World(task, fate=fate or Fates(), max_deliveries=2)
    return world, world.send("task")


def test_its_terms_are_those_of_the_claim() -> None:
    world, sent = world_of(5)
    before = world.aws.now().timestamp()
    turn = FakeTurn(Terms(7.0, counts=False))
    assert deliver(world, turn) == Delete(states.SUCCESS)
    claim = world.asked(UpdateItem)[0].change.assign
    assert (claim["held"], claim["open_at"]) == (0, before + 7)
    assert turn.is_told
    assert world.result(sent) == 5


def test_what_a_task_waited_for_its_turn_is_not_what_its_function_took() -> None:
    world, _ = world_of(5)

    class Later(FakeTurn):
        async def comes(self) -> bool:
            world.aws.pass_time(1.5)
            return True

    assert deliver(world, Later()) == Delete(states.SUCCESS)
    assert [event.runtime_s for event in world.events_of(Ended)] == [0.0]


def test_a_task_that_may_be_with_others_asks_so() -> None:
    world, _ = world_of(5)
    turn = FakeTurn()
    deliver(world, turn)
    assert turn.asked == [("task", False)]


def test_a_message_that_comes_back_and_a_task_that_runs_once_ask_to_be_alone() -> None:
    world, _ = world_of(5)
    world.receive()
    world.aws.pass_time(400)
    again = FakeTurn()
    deliver(world, again)
    world, _ = world_of(5, at_most_once=True)
    once = FakeTurn()
    deliver(world, once)
    assert again.asked == once.asked == [("task", True)]


def test_what_is_too_late_to_be_claimed_leaves_no_record() -> None:
    world, sent = world_of(5)
    assert deliver(world, FakeTurn(is_too_late=True)) == Leave(0, "too late")
    assert world.record(sent).phase is None


def test_a_claim_whose_turn_does_not_come_is_given_back_with_its_message() -> None:
    world, sent = world_of(5)
    turn = FakeTurn(has_come=False)
    assert deliver(world, turn) == Leave(0, "those before it take longer than expected")
    record = world.record(sent)
    assert (record.phase, record.attempt, record.open_at, record.lost) == (RETRY, 0, 0, 0)
    assert not turn.is_told
    assert world.deliver() == Delete(states.SUCCESS)
    assert (world.record(sent).phase, world.record(sent).lost) == (DONE, 0)


@pytest.mark.parametrize("counts", [True, False])
def test_of_the_claims_that_a_lost_worker_had_those_made_ahead_do_not_count(counts: bool) -> None:
    fates = Fates()
    world, sent = world_of(5, fate=fates)
    fates.on(UpdateItem, "fail", where=to_phase(DONE))
    with pytest.raises(EndpointUnreachable):
        deliver(world, FakeTurn(Terms(60.0, counts=counts)))
    assert world.record(sent).phase == RUNNING
    world.aws.pass_time(400)
    assert world.deliver() == Delete(states.SUCCESS)
    assert world.record(sent).lost == counts
