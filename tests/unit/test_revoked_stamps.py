"""Revoking by stamps: which tasks do not run, from when on, and what it costs to know."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Queue, chord, states
from caraway.core.events import Ended
from caraway.core.port import run_now
from caraway.core.record import HORIZON_S
from caraway.core.revoked_stamps import (
    FRESH_S,
    KEY,
    MOST,
    RevokedStamps,
    revoke_stamps,
    wanted,
)
from caraway.core.settle import Revoked
from caraway.exceptions import (
    AccessDenied,
    ChordError,
    EndpointUnreachable,
    InvalidOption,
    TaskRevokedError,
    UnknownOption,
)
from caraway.requests.dynamodb import GetItem, UpdateItem
from tests.stage import Stage
from tests.yard import Yard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.requests.base import Request


class Scene(Yard):
    """A yard that says which of its tasks have run."""

    @property
    def names(self) -> list[str]:
        return [run[0] for run in self.runs]

    def revoke(self, headers: Mapping[str, Any], **options: Any) -> Any:
        return self.app.control.revoke_by_stamped_headers(headers, **options)

    def looks(self) -> int:
        """Return how often the list was read."""
        return sum(isinstance(each, GetItem) and each.id == KEY for each in self.aws.requests)

    def later(self, seconds: float) -> None:
        self.aws.time += timedelta(seconds=seconds)


@pytest.fixture(name="scene")
def a_scene() -> Scene:
    return Scene()


# -- what is revoked ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamps", "revoked", "runs"),
    [
        ({"customer": 17}, {"customer": 17}, False),
        ({"customer": 17}, {"customer": [16, 17]}, False),
        ({"customer": [17, 18]}, {"customer": 17}, False),
        ({"customer": 17, "region": "eu"}, {"customer": 1, "region": "eu"}, False),
        ({"customer": {"id": 1, "of": 2}}, {"customer": {"of": 2, "id": 1}}, False),
        ({"customer": None}, {"customer": None}, False),
        ({"customer": 17}, {"customer": "17"}, True),
        ({"customer": 17}, {"region": 17}, True),
        ({"customer": True}, {"customer": 1}, True),
        ({}, {"customer": 17}, True),
    ],
    ids=str,
)
def test_a_task_does_not_run_that_has_one_of_the_stamps(
    scene: Scene, stamps: dict[str, Any], revoked: dict[str, Any], runs: bool
) -> None:
    result = scene.ident.apply_async((1,), stamps=stamps)
    scene.revoke(revoked)
    scene.work()
    assert scene.ran("ident") == runs
    assert result.state == (states.SUCCESS if runs else states.REVOKED)


def test_who_waits_for_it_is_told_and_so_are_signals(scene: Scene) -> None:
    result = scene.ident.apply_async((1,), stamps={"customer": 17})
    scene.revoke({"customer": 17})
    scene.work()
    with pytest.raises(TaskRevokedError, match="revoked"):
        result.get(timeout=1)
    (ended,) = [each for each in scene.events if isinstance(each, Ended)]
    assert ended.ending == Revoked("revoked")


def test_a_task_that_is_sent_after_it_is_revoked_as_well(scene: Scene) -> None:
    scene.revoke({"customer": 17})
    scene.later(HORIZON_S - 60)
    result = scene.ident.apply_async((1,), stamps={"customer": 17})
    scene.work()
    assert (scene.runs, result.state) == ([], states.REVOKED)


def test_it_is_over_after_as_long_as_a_message_lives(scene: Scene) -> None:
    scene.revoke({"customer": 17})
    scene.later(HORIZON_S)
    scene.ident.apply_async((1,), stamps={"customer": 17})
    scene.work()
    assert scene.names == ["ident"]
    assert scene.app.control.revoked_stamped_headers() == []


def test_it_can_be_taken_back(scene: Scene) -> None:
    scene.revoke({"customer": [16, 17], "region": "eu"})
    scene.app.control.allow_stamped_headers({"customer": 17})
    scene.ident.apply_async((1,), stamps={"customer": 17})
    scene.ident.apply_async((2,), stamps={"customer": 16})
    scene.work()
    assert scene.runs == [("ident", 1)]
    listed = [(each.header, each.value) for each in scene.app.control.revoked_stamped_headers()]
    assert sorted(listed) == [("customer", 16), ("region", "eu")]


def test_a_member_that_is_revoked_fails_its_chord(scene: Scene) -> None:
    header = [scene.ident.s(1), scene.ident.s(2).stamp(customer=17)]
    body = chord(header, scene.total.s()).apply_async()
    scene.revoke({"customer": 17})
    scene.work()
    with pytest.raises(ChordError, match="revoked"):
        body.get(timeout=1)
    assert scene.runs == [("ident", 1)]


def test_the_next_step_of_a_chain_is_revoked_though_it_is_sent_later(scene: Scene) -> None:
    steps = scene.ident.s(1) | scene.add.s(1).stamp(customer=17) | scene.add.s(1)
    result = steps.apply_async()
    scene.revoke({"customer": 17})
    scene.work()
    assert scene.names == ["ident"]
    assert (result.parent.state, result.state) == (states.REVOKED, states.PENDING)


def test_a_retry_does_not_begin(scene: Scene) -> None:
    tries: list[int] = []

    @scene.app.task(name="again", bind=True, default_retry_delay=60)
    def again(self: Any) -> None:
        tries.append(self.request.retries)
        scene.revoke({"customer": 17})
        raise self.retry()

    result = again.apply_async(stamps={"customer": 17})
    scene.work()
    assert (tries, result.state) == ([0], states.REVOKED)


def test_nor_does_it_on_a_fifo_queue_whose_next_message_runs() -> None:
    stage = Stage(task_queues=[Queue("orders.fifo")])
    ran: list[int] = []
    task = stage.app.task(name="note", queue="orders.fifo")(ran.append)
    results = [task.apply_async((n,), stamps={"customer": n}) for n in (17, 18)]
    stage.app.control.revoke_by_stamped_headers({"customer": 17})
    stage.work()
    assert (ran, [each.state for each in results]) == ([18], [states.REVOKED, states.SUCCESS])


def test_an_idempotent_task_does_not_run_either(scene: Scene) -> None:
    ran: list[int] = []
    task = scene.app.task(name="idempotent", idempotent=True)(lambda: ran.append(1))
    result = task.apply_async(stamps={"customer": 17})
    scene.revoke({"customer": 17})
    scene.work()
    assert (ran, result.state) == ([], states.REVOKED)


def test_what_has_ended_stays_as_it_is(scene: Scene) -> None:
    result = scene.ident.apply_async((1,), stamps={"customer": 17})
    scene.work()
    scene.revoke({"customer": 17}, terminate=True)
    assert result.state == states.SUCCESS


# -- what it costs, and when it is known -----------------------------------------------------------


def test_tasks_without_stamps_cost_nothing(scene: Scene) -> None:
    for number in range(3):
        scene.ident.delay(number)
    scene.work()
    assert scene.looks() == 0


def test_many_stamped_tasks_cost_one_read(scene: Scene) -> None:
    for number in range(30):
        scene.ident.apply_async((number,), stamps={"customer": number})
    scene.aws.requests.clear()
    scene.work()
    assert (scene.ran("ident"), scene.looks()) == (30, 1)
    kinds = [type(each).__name__ for each in scene.aws.requests]
    assert kinds.count("UpdateItem") == 60  # a claim and an ending for each, as without stamps


def test_a_revoke_is_known_when_what_was_read_is_old() -> None:
    scene = Scene()
    known = RevokedStamps(scene.aws, scene.app.site.records.table)
    stamps = {"customer": 17}

    def revoked() -> str | None:
        run_now(known.look(stamps))
        return known.mode_for(stamps)

    assert revoked() is None
    scene.revoke(stamps)
    scene.later(FRESH_S - 0.1)
    assert revoked() is None
    scene.later(0.1)
    assert (revoked(), scene.looks()) == ("revoke", 3)  # one read is that of the revoke


def test_one_reads_the_list_while_others_go_by_the_one_before_or_wait() -> None:
    class Slow:
        """A port whose reads wait until they are let go."""

        def __init__(self) -> None:
            self.seconds = 100.0
            self.reads: list[asyncio.Future[None]] = []

        def now(self) -> Any:
            return yard.aws.time + timedelta(seconds=self.seconds)

        async def sleep(self, _seconds: float) -> None:
            await asyncio.sleep(0)

        async def perform(self, request: Request[Any]) -> Any:
            waiting = asyncio.get_running_loop().create_future()
            self.reads.append(waiting)
            await waiting
            return await yard.aws.perform(request)

    yard, stamps = Scene(), {"customer": 17}

    async def play() -> list[int]:
        slow: Any = Slow()
        known = RevokedStamps(slow, yard.app.site.records.table)
        counted: list[int] = []

        async def looking(seconds: float) -> list[asyncio.Task[None]]:
            slow.seconds += seconds
            looks = [asyncio.ensure_future(known.look(stamps)) for _ in range(5)]
            await asyncio.sleep(0)
            counted.append(len(slow.reads))
            for each in slow.reads:
                each.set_result(None)
            slow.reads.clear()
            return looks

        for after_s in (0, FRESH_S - 1, 1, 2 * FRESH_S):
            await asyncio.gather(*await looking(after_s))
        return counted

    # Nobody knows anything, and all wait for one; all know; one reads and the others go on; what is
    # known is too old for anybody.
    assert asyncio.run(play()) == [1, 0, 1, 1]


def test_who_waits_for_a_read_that_fails_reads_itself(scene: Scene) -> None:
    known, stamps = RevokedStamps(scene.aws, scene.app.site.records.table), {"customer": 17}
    scene.aws.fate = lambda _request: "fail"
    for _ in range(2):
        with pytest.raises(EndpointUnreachable):
            run_now(known.look(stamps))
    scene.aws.fate = lambda _request: "ok"
    run_now(known.look(stamps))
    assert known.mode_for(stamps) is None


def test_a_list_that_cannot_be_read_leaves_the_message_without_a_claim(scene: Scene) -> None:
    result = scene.ident.apply_async((1,), stamps={"customer": 17})
    scene.aws.fate = lambda request: "fail" if getattr(request, "id", "") == KEY else "ok"
    scene.work(rounds=3)
    assert scene.looks() == 0, "none was answered"
    assert result.id not in {id for _table, id in scene.aws.items}
    assert scene.names == []
    scene.aws.fate = lambda _request: "ok"
    scene.later(60)
    scene.work()
    assert scene.names == ["ident"]


# -- the list -------------------------------------------------------------------------------------


def test_to_revoke_is_one_read_and_one_write_and_can_be_repeated(scene: Scene) -> None:
    first = scene.revoke({"customer": [17, 18]})
    scene.later(60)
    assert [type(each) for each in scene.aws.requests] == [GetItem, UpdateItem]
    again = scene.revoke({"customer": 17}, terminate=True, signal="SIGINT")
    assert [(each.value, each.mode) for each in first + again] == [
        (17, "revoke"),
        (18, "revoke"),
        (17, "terminate:SIGINT"),
    ]
    listed = scene.app.control.revoked_stamped_headers()
    assert [(each.value, each.mode) for each in listed] == [
        (18, "revoke"),
        (17, "terminate:SIGINT"),
    ]


def test_what_is_over_leaves_the_list_unless_it_is_revoked_again_meanwhile(scene: Scene) -> None:
    scene.revoke({"customer": [1, 2]})
    scene.later(HORIZON_S)
    seen: list[Any] = []

    def meddle(request: Request[Any]) -> Any:
        if isinstance(request, UpdateItem) and request.id == KEY and not seen:
            seen.append(request)
            scene.revoke({"customer": 2})
        return "ok"

    scene.aws.fate = meddle
    scene.revoke({"customer": 3})
    listed = scene.app.control.revoked_stamped_headers()
    assert sorted(each.value for each in listed) == [2, 3]
    ((_, item),) = [(id, item) for (_, id), item in scene.aws.items.items() if id == KEY]
    assert len([name for name in item if name.startswith("stamp_")]) == 2


def test_a_list_that_would_be_too_long_is_refused(scene: Scene) -> None:
    scene.revoke({"customer": list(range(MOST))})
    scene.revoke({"customer": 1})
    with pytest.raises(InvalidOption, match="allow those that are done with"):
        scene.revoke({"customer": MOST})
    scene.app.control.allow_stamped_headers({"customer": 1})
    scene.revoke({"customer": MOST})


def test_a_task_that_ends_runs_too_says_more_than_one_that_does_not(scene: Scene) -> None:
    scene.revoke({"a": 1})
    scene.revoke({"b": 1}, terminate=True)
    known = RevokedStamps(scene.aws, scene.app.site.records.table)
    stamps = {"a": 1, "b": 1}
    run_now(known.look(stamps))
    assert known.mode_for(stamps) == "terminate:SIGTERM"
    assert known.mode_for({"a": 1}) == "revoke"


@pytest.mark.parametrize("verb", ["revoke_by_stamped_headers", "allow_stamped_headers"])
def test_a_role_that_may_not_write_is_told_what_would_allow_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    perform = scene.aws.perform

    async def refuse(request: Any) -> Any:
        if isinstance(request, UpdateItem):
            raise AccessDenied("no UpdateItem for you")
        return await perform(request)

    monkeypatch.setattr(scene.aws, "perform", refuse)
    with pytest.raises(AccessDenied, match="RevokerPolicyArn"):
        getattr(scene.app.control, verb)({"customer": 17})


@pytest.mark.parametrize("headers", [{}, "customer", ["customer"], {1: 2}, {"": 1}], ids=str)
def test_what_is_no_stamp_is_refused(headers: Any) -> None:
    with pytest.raises(InvalidOption, match="expected stamps"):
        wanted(headers)


def test_a_value_that_is_too_long_to_be_listed_is_refused() -> None:
    with pytest.raises(InvalidOption, match="more than 500 characters"):
        wanted({"customer": ["short", "x" * 600]})


# -- Celery's names --------------------------------------------------------------------------------


def test_a_result_revokes_by_stamps_whichever_task_has_them() -> None:
    stage = Stage()
    add = stage.app.task(name="add")(lambda x: x)
    one, two = add.apply_async((1,), stamps={"customer": 17}), add.delay(2)
    two.revoke_by_stamped_headers({"customer": 17}, wait=True)
    stage.work()
    assert (one.state, two.state) == (states.REVOKED, states.SUCCESS)


def test_it_can_be_awaited_terminated_and_takes_celerys_options() -> None:
    stage = Stage()
    control = stage.app.control

    async def play() -> list[str]:
        await control.arevoke_by_stamped_headers({"customer": 17}, reply=True, timeout=1)
        await control.arevoke_by_stamped_headers({"customer": 18})
        await control.aallow_stamped_headers({"customer": 18})
        return [each.mode for each in await control.arevoked_stamped_headers()]

    assert asyncio.run(play()) == ["revoke"]
    (ended,) = control.terminate_by_stamped_headers({"customer": 17}, signal="SIGKILL")
    assert ended.mode == "terminate:SIGKILL"
    with pytest.raises(UnknownOption, match="destination"):
        control.revoke_by_stamped_headers({"customer": 17}, destination=["box"])  # type: ignore[arg-type]
    result: Any = stage.app.task(name="add")(lambda x: x).delay(1)
    with pytest.raises(UnknownOption, match="connection"):
        result.revoke_by_stamped_headers({"customer": 17}, connection=1)


def test_nothing_is_sent_for_a_signal_that_there_is_not(scene: Scene) -> None:
    with pytest.raises(InvalidOption, match="no signal"):
        scene.revoke({"customer": 17}, terminate=True, signal="SIGNO")
    assert scene.aws.requests == []


def test_a_stamp_that_json_has_no_word_for_is_found_as_well(scene: Scene) -> None:
    from uuid import UUID

    scene.ident.apply_async((1,), stamps={"run": UUID(int=5)})
    scene.revoke({"run": UUID(int=5)})
    scene.work()
    assert scene.runs == []
    run_now(revoke_stamps(scene.aws, scene.app.site.records.table, {}, None))
