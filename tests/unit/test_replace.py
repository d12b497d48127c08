"""A task that lets others take its place: ``self.replace``."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Signature, chain, chord, group
from caraway.core.events import Ended
from caraway.core.message import read_message
from caraway.core.port import run_now
from caraway.core.replacing import is_replaced
from caraway.core.settle import Replaced
from caraway.exceptions import ChordError, Ignore, InvalidOption, InvalidTaskError
from caraway.requests.sqs import ReceiveMessages, SendMessage
from tests.yard import Yard

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.aws.memory import Fate
    from caraway.requests.base import Request


class Place(Yard):
    """A yard with tasks that are replaced: ``by(name)`` is one, by the canvas of that name."""

    def _declare(self) -> None:
        super()._declare()

        self.others: dict[str, Callable[[Place], Any]] = {}

        @self.app.task(name="replaced", bind=True)
        def replaced(task: Any, name: str) -> Any:
            self.runs.append(("replaced", name))
            make = self.others.get(name) or REPLACEMENTS[name][0]
            return task.replace(make(self))

        self.replaced = replaced

    def by(self, name: str) -> Any:
        return self.replaced.si(name)


REPLACEMENTS: dict[str, tuple[Callable[[Place], Signature[Any]], Any]] = {
    "a task": (lambda y: y.add.s(1, 2), 3),
    "an immutable task": (lambda y: y.add.si(1, 2), 3),
    "a task with an id of its own": (lambda y: y.add.s(1, 2).set(task_id="mine"), 3),
    "a chain": (lambda y: y.add.s(1, 2) | y.add.s(10) | y.add.s(100), 113),
    "a group": (lambda y: group(y.add.s(n, n) for n in range(3)), [0, 2, 4]),
    "a group of one": (lambda y: group(y.ident.s(1)), [1]),
    "a group of none": (lambda y: group([], app=y.app), []),
    "a chord": (lambda y: chord([y.add.s(1, 2), y.ident.s(3)], y.total.s()), 6),
    "a chord whose body is a chain": (
        lambda y: chord([y.ident.s(1), y.ident.s(3)], y.total.s() | y.add.s(5)),
        9,
    ),
    "a chain with a group at its end": (
        lambda y: y.ident.s(1) | group(y.add.s(1), y.add.s(2)),
        [2, 3],
    ),
    "a chord in a chord": (
        lambda y: chord(
            [chord([y.ident.s(1)], y.total.s()), y.ident.s(1) | y.add.s(1)], y.total.s()
        ),
        3,
    ),
    "chunks": (lambda y: y.add.chunks([(1, 1), (2, 2), (3, 3)], 2), [[2, 4], [6]]),
    "a map": (lambda y: y.ident.map([1, 2]), [1, 2]),
    "a task that is replaced": (lambda y: y.by("a task"), 3),
    "a chain of tasks that are replaced": (lambda y: y.by("a task") | y.by("a task"), 3),
    "a group of tasks that are replaced": (
        lambda y: group(y.by("a chord"), y.by("a task that is replaced")),
        [6, 3],
    ),
}
AROUND: dict[str, tuple[Callable[[Place, str], Signature[Any]], Callable[[Any], Any]]] = {
    "alone": (lambda y, name: y.by(name), lambda value: value),
    "in a chain": (lambda y, name: y.ident.s(0) | y.by(name) | y.ident.s(), lambda value: value),
    "at the end of a chain": (lambda y, name: y.ident.s(0) | y.by(name), lambda value: value),
    "in a group": (lambda y, name: group(y.ident.s(7), y.by(name)), lambda value: [7, value]),
    "in a chord": (
        lambda y, name: chord([y.ident.s(7), y.by(name)], y.ident.s()),
        lambda value: [7, value],
    ),
    "in a chain in a chord": (
        lambda y, name: chord([y.by(name) | y.ident.s(), y.ident.s(7)], y.ident.s()),
        lambda value: [value, 7],
    ),
    "as the body of a chord": (
        lambda y, name: chord([y.ident.s(7)], y.by(name) | y.ident.s()),
        lambda value: value,
    ),
}
everywhere = pytest.mark.parametrize(
    ("name", "around"), [(name, around) for name in REPLACEMENTS for around in AROUND]
)


@everywhere
@pytest.mark.parametrize("copies", [1, 2])
def test_what_waits_for_a_task_waits_for_what_takes_its_place(
    name: str, around: str, copies: int
) -> None:
    make, value_of = AROUND[around]
    yard = Place(copies=copies, seed=copies)
    result = make(yard, name).delay()
    yard.work()
    assert result.get(timeout=1) == value_of(REPLACEMENTS[name][1])
    once = Place()
    make(once, name).delay()
    once.work()
    assert sorted(map(repr, yard.runs)) == sorted(map(repr, once.runs))
    assert yard.aws.bodies("default-dlq") == []


@everywhere
def test_an_eager_task_is_replaced_as_any_other_is(name: str, around: str) -> None:
    make, value_of = AROUND[around]
    assert make(Place(), name).apply().get() == value_of(REPLACEMENTS[name][1])


@pytest.mark.parametrize("name", ["a task", "a chain", "a group", "a chord"])
def test_a_crash_before_or_after_any_request_loses_nothing(name: str) -> None:
    for fate in ("fail", "lose"):
        asked = _requests_of_a_run(name, None, "ok")
        for number in range(1, asked):
            _requests_of_a_run(name, number, fate)


def _requests_of_a_run(name: str, number: int | None, fate: Fate) -> int:
    """Run a replaced task in a chord; the request of that number meets its fate."""
    yard, asked = Place(), 0
    result = chord([yard.by(name), yard.ident.s(7)], yard.ident.s()).delay()
    expected = [REPLACEMENTS[name][1], 7]

    def decide(request: Request[Any]) -> Fate:
        nonlocal asked
        asked += not isinstance(request, ReceiveMessages)
        return fate if asked == number and not isinstance(request, ReceiveMessages) else "ok"

    yard.aws.fate = decide
    yard.work()
    assert result.get(timeout=1) == expected
    assert yard.aws.bodies("default-dlq") == []
    return asked


def test_a_replaced_task_is_not_run_again_by_its_message_whatever_its_place_is_at() -> None:
    yard = Place()
    result = yard.by("a chain").delay()
    (first,) = yard.aws.bodies("default")
    for _ in range(4):
        run_now(yard.aws.perform(SendMessage("memory://default", first)))
        yard.work()
    assert result.get(timeout=1) == 113
    assert (yard.ran("replaced"), yard.ran("add")) == (1, 3)


def test_what_takes_a_tasks_place_is_found_where_the_task_was() -> None:
    yard = Place()
    seen: list[Any] = []

    @yard.app.task(bind=True, max_retries=1)
    def look(self: Any) -> Any:
        request = self.request
        seen.append((request.id, request.parent_id, request.root_id))
        seen.append((request.retries, request.attempt, request.replaced_task_nesting))
        if request.retries == 0:
            raise self.retry(countdown=0)
        return "done"

    @yard.app.task(bind=True, max_retries=1)
    def twice(self: Any, left: int) -> Any:
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        raise self.replace(twice.s(left - 1) if left else look.s())

    result = twice.delay(1)
    yard.work()
    assert result.get(timeout=1) == "done"
    same = (result.id, None, result.id)
    # Two attempts of each of two tasks before it: its first one is number 4.
    assert seen == [same, (0, 4, 2), same, (1, 5, 2)]


def test_a_task_that_is_replaced_has_ended_so_for_who_listens() -> None:
    yard = Place()
    yard.by("a task").delay()
    yard.work()
    ending = next(each.ending for each in yard.events if isinstance(each, Ended))
    assert isinstance(ending, Replaced)
    assert [each["task"] for each in ending.by.steps] == ["add"]


def test_callbacks_are_those_of_what_takes_the_place() -> None:
    yard = Place()

    def linked(y: Place) -> Signature[Any]:
        task: Signature[Any] = y.add.s(1, 2)
        task.link(y.ident.s())
        return task

    yard.others["linked"] = linked
    yard.by("linked").set(link=yard.told.s(), link_error=yard.fail.s()).delay()
    yard.work()
    assert sorted(yard.runs[2:]) == [("ident", 3), ("told", 3)]


def test_what_takes_the_place_of_a_stamped_task_has_its_stamps() -> None:
    yard = Place()

    @yard.app.task(bind=True)
    def look(self: Any) -> Any:
        return dict(self.request.stamps)

    yard.others["stamped"] = lambda _: look.s()
    stamped = yard.by("stamped")
    stamped.stamp(order="7")
    result = stamped.delay()
    yard.work()
    assert "order" in result.get(timeout=1)


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize(
    "make",
    [
        lambda y: y.fail.s("no"),
        lambda y: y.fail.s("no") | y.ident.s(),
        lambda y: y.ident.s("no") | y.fail.s() | y.ident.s() | y.ident.s(),
        lambda y: y.ident.s("no") | y.fail.s() | group(y.ident.s(), y.ident.s()),
    ],
)
def test_where_a_task_that_takes_its_place_fails_so_does_its_id(
    make: Callable[[Place], Signature[Any]], copies: int
) -> None:
    yard = Place(copies=copies)
    yard.others["failing"] = make
    result = yard.by("failing").on_error(yard.told.s()).delay()
    yard.work()
    with pytest.raises(ValueError, match="no"):
        result.get(timeout=1)
    assert yard.runs[-1] == ("told", result.id)
    assert yard.ran("told") == 1
    body = yard.total.s().on_error(yard.told.s())
    result = chord([yard.by("failing"), yard.ident.s(1)], body).delay()
    yard.work()
    with pytest.raises(ChordError, match=r"raised ValueError\('no'\)"):
        result.get(timeout=1)
    assert yard.ran("told") == 2
    assert yard.ran("total") == 0


@pytest.mark.parametrize("copies", [1, 3])
def test_a_failed_member_of_a_chord_in_its_place_fails_its_id(copies: int) -> None:
    yard = Place(copies=copies)
    yard.others["failing"] = lambda y: chord(
        [y.ident.s(1), y.fail.s("no")], y.total.s() | y.add.s(1)
    )
    result = (yard.by("failing") | yard.ident.s()).on_error(yard.told.s()).delay()
    yard.work()
    with pytest.raises(ChordError, match=r"raised ValueError\('no'\)"):
        result.parent.get(timeout=1)
    assert yard.ran("told") == 1
    assert yard.ran("total") == 0


def test_a_task_that_is_ignored_in_its_place_fails_its_id() -> None:
    yard = Place()

    @yard.app.task
    def ignored() -> None:
        raise Ignore

    yard.others["ignoring"] = lambda y: ignored.s() | y.ident.s()
    result = yard.by("ignoring").delay()
    yard.work()
    with pytest.raises(ChordError, match="is IGNORED"):
        result.get(timeout=1)


def test_a_replaced_task_that_was_revoked_meanwhile_ends_so() -> None:
    yard = Place()
    yard.others["late"] = lambda y: y.ident.s(1).set(countdown=60) | y.ident.s()
    result = yard.by("late").delay()
    yard.work(rounds=2)
    result.revoke()
    yard.work()
    assert result.state == "REVOKED"
    assert yard.ran("ident") == 1


@pytest.mark.parametrize("options", [{"idempotent": True}, {"at_most_once": True}])
@pytest.mark.parametrize("copies", [1, 3])
def test_idempotent_tasks_and_those_that_run_at_most_once_can_be_replaced(
    options: dict[str, bool], copies: int
) -> None:
    yard = Place(copies=copies)
    given: Any = options

    def replaced(self: Any, x: int) -> Any:
        return self.replace(yard.add.s(x, 1) | other.s())

    def taken(x: int) -> int:
        return x * 2

    first = yard.app.task(name="first", bind=True, **given)(replaced)
    other = yard.app.task(name="other", ignore_result=True, **given)(taken)
    results = [first.delay(1), (first.s(1) | yard.ident.s()).delay()]
    yard.work()
    assert results[1].get(timeout=1) == 4
    assert results[0].state == "SUCCESS"


def test_what_is_done_after_it_changes_nothing() -> None:
    yard = Place()

    @yard.app.task(bind=True)
    def stubborn(self: Any) -> Any:
        with suppress(Ignore):
            self.replace(yard.add.s(1, 2))
        return "its own value"

    result = stubborn.delay()
    yard.work()
    assert result.get(timeout=1) == 3


def test_a_replacement_that_cannot_be_sent_fails_the_task() -> None:
    yard = Place()
    yard.others["nowhere"] = lambda y: y.ident.s(1).set(queue="nowhere")
    result = yard.by("nowhere").delay()
    yard.work()
    assert result.state == "FAILURE"
    assert "no queue named 'nowhere'" in str(result.result)


def test_a_last_step_that_cannot_be_sent_fails_the_id() -> None:
    yard = Place()
    yard.others["nowhere"] = lambda y: y.ident.s(1) | y.ident.s().set(queue="nowhere")
    result = yard.by("nowhere").on_error(yard.told.s()).delay()
    yard.work()
    assert "no queue named 'nowhere'" in str(result.result)
    assert yard.ran("told") == 1


def test_arguments_of_a_sensitive_task_are_not_kept_in_the_record() -> None:
    yard = Place()

    @yard.app.task(sensitive=True)
    def secret(word: str) -> str:
        return word

    yard.others["secret"] = lambda _: secret.s("sesame")
    result = yard.by("secret").delay()
    yard.work()
    assert result.state == "FAILURE"
    assert "set payload_bucket" in str(result.result)
    assert "sesame" not in repr(yard.aws.items)
    yard.app.conf.payload_bucket = "bucket"
    result = yard.by("secret").delay()
    yard.work()
    assert result.get(timeout=1) == "sesame"


def test_what_cannot_take_a_tasks_place_is_refused() -> None:
    yard = Place()
    with pytest.raises(InvalidTaskError, match="called directly"):
        yard.replaced("a task")
    yard.others["nothing"] = lambda y: chain(app=y.app)
    yard.others["no signature"] = lambda _: 5
    results = [yard.by(name).apply() for name in ("nothing", "no signature")]
    assert [type(each.result) for each in results] == [InvalidOption] * 2


def test_a_subclass_may_change_what_takes_its_place() -> None:
    yard = Place()

    class Louder(yard.app.Task):  # type: ignore[name-defined, misc]
        def on_replace(self, sig: Signature[Any]) -> None:
            super().on_replace(sig | yard.add.s(100))

    @yard.app.task(base=Louder, bind=True)
    def replaced(self: Any) -> Any:
        return self.replace(yard.add.s(1, 2))

    result = replaced.delay()
    yard.work()
    assert result.get(timeout=1) == 103


def test_a_failure_in_its_place_is_replayed_as_what_it_is() -> None:
    yard = Place()
    yard.others["failing"] = lambda y: y.fail.s("no")
    result = yard.by("failing").delay()
    yard.work()
    assert result.state == "FAILURE"
    result.replay()
    yard.work()
    assert (yard.ran("replaced"), yard.ran("fail")) == (1, 2)


def test_a_signature_that_says_wrongly_what_it_replaces_is_no_message() -> None:
    from caraway.exceptions import InvalidMessage

    for replaces in (5, {"digest": "d"}, {"digest": "d", "attempt": -1, "nesting": 0}):
        step = {"task": "t", "replaces": replaces}
        with pytest.raises(InvalidMessage, match="replaces"):
            read_message({"caraway": 1, "id": "i", "task": "t", "chain": [step]})


def test_a_message_is_of_a_replaced_task_by_its_attempt() -> None:
    from caraway.core.message import Message
    from caraway.core.record import Record

    message = Message("i", "t", attempt=1)
    known = [Record(replaced=replaced) for replaced in (None, 1, 2)]
    assert [is_replaced(message, record) for record in known] == [False, False, True]
    sent = json.loads(Message("i", "t", replaced_at=2, replaced_task_nesting=1).to_body())
    assert (sent["replaced_at"], sent["replaced_task_nesting"]) == (2, 1)
