"""Members that are added to a chord at run time: ``self.add_to_chord``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from caraway import Signature, chord, group
from caraway.core.message import Message, read_message
from caraway.core.workflow import Place
from caraway.exceptions import ChordError, InvalidMessage, InvalidOption, InvalidTaskError
from caraway.requests.sqs import ReceiveMessages
from tests.yard import Yard

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.aws.memory import Fate
    from caraway.requests.base import Request


class Growing(Yard):
    """A yard with a task that adds what ``others`` make, and returns a value."""

    def _declare(self) -> None:
        super()._declare()
        self.others: list[Callable[[Growing], Any]] = [
            lambda y: y.ident.s(1),
            lambda y: y.ident.s(2),
        ]

        @self.app.task(name="adder", bind=True)
        def adder(task: Any, value: Any = "adder") -> Any:
            for make in self.others:
                task.add_to_chord(make(self))
            return value

        self.adder = adder


@pytest.mark.parametrize("copies", [1, 3])
def test_the_body_waits_for_what_was_added_and_its_values_come_last(copies: int) -> None:
    yard = Growing(copies=copies, seed=copies)
    members = [yard.ident.s("first"), yard.adder.s(), yard.ident.s("last")]
    result = chord(members, yard.ident.s()).delay()
    yard.work()
    assert result.get(timeout=1) == ["first", "adder", "last", 1, 2]
    assert yard.ran("ident") == 2 + 2 + 1


def test_what_was_added_is_added_in_a_process_of_its_own_when_it_is_eager() -> None:
    yard = Growing()
    result = chord([yard.adder.s(), yard.ident.s(0)], yard.ident.s()).apply()
    assert result.get() == ["adder", 0, 1, 2]
    yard.app.conf.task_always_eager = True
    assert chord([yard.adder.s(), yard.ident.s(0)], yard.ident.s()).delay().get() == [
        *("adder", 0, 1, 2)
    ]
    assert yard.aws.requests == []


@pytest.mark.parametrize("fate", ["fail", "lose"])
def test_a_crash_before_or_after_any_request_loses_nothing(fate: Fate) -> None:
    number, asked = 0, 1
    while number < asked:
        number, asked = number + 1, _requests_of_a_run(number + 1, fate)


def _requests_of_a_run(number: int, chosen: Fate) -> int:
    """Run a chord that grows; the request of that number meets its fate."""
    yard, asked = Growing(), 0
    result = chord([yard.adder.s(), yard.ident.s(0)], yard.ident.s()).delay()

    def fate(request: Request[Any]) -> Fate:
        nonlocal asked
        if isinstance(request, ReceiveMessages):
            return "ok"
        asked += 1
        return chosen if asked == number else "ok"

    yard.aws.fate = fate
    yard.work()
    yard.aws.fate = lambda _request: "ok"
    if result.state == "FAILURE":  # a send within the task was refused, and it failed with that
        assert "arrive" in str(result.result) or "lost" in str(result.result)
        return asked
    assert result.get(timeout=1) == ["adder", 0, 1, 2]
    return asked


def test_a_chain_and_a_chord_may_be_added_and_what_is_added_may_add() -> None:
    yard = Growing()

    @yard.app.task(bind=True)
    def again(self: Any) -> str:
        self.add_to_chord(yard.ident.s("once more"))
        return "added"

    yard.others = [
        lambda y: y.add.s(1, 1) | y.add.s(10),
        lambda y: chord([y.ident.s(1), y.ident.s(2)], y.total.s()),
        lambda _: again.s(),
        lambda y: y.ident.map([1, 2]),
    ]
    result = chord([yard.adder.s()], yard.ident.s()).delay()
    yard.work()
    assert result.get(timeout=1) == ["adder", 12, 3, "added", "once more", [1, 2]]


def test_what_is_added_may_be_retried_and_replaced() -> None:
    yard = Growing()

    @yard.app.task(bind=True, max_retries=1)
    def slow(self: Any) -> Any:
        if self.request.retries == 0:
            raise self.retry(countdown=5)
        return self.replace(yard.ident.s("at last"))

    yard.others = [lambda _: slow.s()]
    result = chord([yard.adder.s(), yard.ident.s(0)], yard.ident.s()).delay()
    yard.work()
    assert result.get(timeout=1) == ["adder", 0, "at last"]


def test_what_an_attempt_has_added_that_is_retried_is_not_waited_for() -> None:
    yard = Growing()

    @yard.app.task(bind=True, max_retries=1)
    def twice(self: Any) -> str:
        self.add_to_chord(yard.ident.s(self.request.retries))
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return "twice"

    result = chord([twice.s(), yard.ident.s("other")], yard.ident.s()).delay()
    yard.work()
    assert result.get(timeout=1) == ["twice", "other", 1]


def test_what_is_added_lazily_is_sent_by_its_own_delay() -> None:
    yard = Growing()

    @yard.app.task(bind=True)
    def lazy(self: Any) -> str:
        added = self.add_to_chord(yard.ident.s("late"), lazy=True)
        for misuse in (added.to_dict, lambda: group([added]), lambda: yard.ident.s() | added):
            with pytest.raises(InvalidOption, match="send it as it is"):
                misuse()
        added.delay()
        return "lazy"

    result = chord([lazy.s(), yard.ident.s(0)], yard.ident.s()).delay()
    yard.work()
    assert result.get(timeout=1) == ["lazy", 0, "late"]


def test_an_asynchronous_task_may_add() -> None:
    yard = Growing()

    @yard.app.task(bind=True)
    async def adding(self: Any) -> str:
        await self.aadd_to_chord(yard.ident.s(1))
        (await self.aadd_to_chord(yard.ident.s(2), lazy=True)).apply_async()
        return "adding"

    assert chord([adding.s()], yard.ident.s()).apply().get() == ["adding", 1, 2]


def test_a_failure_of_what_was_added_fails_the_body() -> None:
    yard = Growing()
    yard.others = [lambda y: y.fail.s("no")]
    result = chord([yard.adder.s(), yard.ident.s(0)], yard.total.s()).delay()
    yard.work()
    with pytest.raises(ChordError, match=r"raised ValueError\('no'\)"):
        result.get(timeout=1)
    assert yard.ran("total") == 0


def test_a_group_in_a_chord_grows_in_its_own_place() -> None:
    yard = Growing()
    inner = chord([yard.adder.s(), yard.ident.s(0)], yard.ident.s())
    ending = yard.ident.s(7) | group(yard.adder.si("a"), yard.ident.s())
    result = chord([inner, ending], yard.ident.s()).delay()
    yard.work()
    assert result.get(timeout=1) == [["adder", 0, 1, 2], ["a", 7, 1, 2]]


def _refusal(yard: Growing, make: Callable[[Growing], Signature[Any]]) -> Any:
    """Return why the task of a canvas that adds has failed."""
    result: Any = make(yard).delay()
    yard.work()
    return (result.parent or result).result if hasattr(result, "result") else None


def test_who_is_in_no_chord_adds_to_none() -> None:
    for make, said in (
        (lambda y: y.adder.s(), "is not member of any chord"),
        (lambda y: y.adder.s() | y.ident.s(), "is not member of any chord"),
        (lambda y: group([y.adder.s()]), None),
    ):
        refused = _refusal(Growing(), make)
        assert isinstance(refused, InvalidOption | ValueError) or said is None
        assert said is None or said in str(refused)
    with pytest.raises(ValueError, match="is not member of any chord"):
        Growing().adder()


def test_what_cannot_be_added_is_refused() -> None:
    yard = Growing()

    @yard.app.task(bind=True)
    def trying(self: Any) -> str:
        with pytest.raises(InvalidOption, match="no task at its end"):
            self.add_to_chord(group(yard.ident.s(1), yard.ident.s(2)))
        with pytest.raises(InvalidOption, match="expected a signature"):
            self.add_to_chord(5)
        self.request.added += ["id"] * 1_000
        with pytest.raises(InvalidOption, match="the limit"):
            self.add_to_chord(yard.ident.s(1))
        with pytest.raises(InvalidTaskError, match="would not be waited for"):
            self.replace(yard.ident.s(1))
        self.request.added.clear()
        return "tried"

    result = chord([trying.s()], yard.ident.s()).delay()
    before = chord([yard.adder.si() | yard.ident.s()], yard.ident.s()).delay()
    yard.work()
    assert result.get(timeout=1) == ["tried"]
    with pytest.raises(ChordError, match="not the last task of its chain"):
        before.get(timeout=1)


def test_a_place_says_what_was_added_and_a_message_too() -> None:
    place = Place((), "g", 1, {"size": 2, "then": []}, "x")
    assert Place.read(place.up) == place
    message = Message("i", "t", group="g", group_index=1, chord={"size": 2, "then": []}, added="x")
    assert Place.of(read_message(message.to_json())) == place
    wrong = {"size": 1, "then": [], "up": {**place.up, "added": 5}}
    with pytest.raises(InvalidMessage, match="added"):
        read_message({**message.to_json(), "group_index": 0, "chord": wrong})
