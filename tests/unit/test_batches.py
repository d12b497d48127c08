"""A batch: calls of a block that are sent together."""

from __future__ import annotations

import asyncio
import itertools
import threading
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Caraway, Middleware, chain, group
from caraway.core.publish import AT_A_TIME
from caraway.exceptions import BatchError, EndpointUnreachable, ImproperlyConfigured
from caraway.requests.sqs import SendMessage
from tests.stage import Stage
from tests.unit.test_sharing import Sqs, port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caraway import Publication
    from caraway.aws.memory import Fate
    from caraway.requests.base import Request


@pytest.fixture
def stage() -> Stage:
    return Stage()


def doubling(stage: Stage, **options: Any) -> Any:
    return stage.app.task(name="shop.double", **options)(lambda number: 2 * number)


def numbers(stage: Stage) -> list[Any]:
    """Return the first arguments of the messages that are durable."""
    return [message.args[0] for message in stage.sent()]


# -- the end of the block ---------------------------------------------------------------------


def test_the_calls_of_a_block_are_durable_at_its_end(stage: Stage) -> None:
    double = doubling(stage)
    with stage.app.batch():
        results = [double.delay(number) for number in range(25)]
        assert stage.sent() == []
    assert [message.id for message in stage.sent()] == [each.id for each in results]
    stage.work()
    assert [each.get() for each in results] == [2 * number for number in range(25)]


def test_ten_messages_are_one_request() -> None:
    wire = Sqs()
    app = Caraway("shop", set_as_current=False)
    app._blocking = port(wire)
    double = app.task(name="shop.double")(lambda number: 2 * number)
    with app.batch():
        for number in range(1_000):
            double.delay(number)
    assert [len(each) for each in wire.sent] == [10] * 100
    assert wire.addresses == 1


def test_a_block_of_any_length_holds_a_hundred_calls(stage: Stage) -> None:
    double = doubling(stage)
    with stage.app.batch():
        for number in range(2 * AT_A_TIME + 1):
            double.delay(number)
            assert number - len(stage.sent()) < AT_A_TIME
    assert numbers(stage) == list(range(2 * AT_A_TIME + 1))


def test_a_block_of_asynchronous_code_is_a_batch_too(stage: Stage) -> None:
    double = doubling(stage)

    async def producer() -> None:
        async with stage.app.batch():
            await asyncio.gather(*(double.adelay(number) for number in range(150)))
            assert len(stage.sent()) <= AT_A_TIME
        assert sorted(numbers(stage)) == list(range(150))
        await double.adelay(150)
        assert len(stage.sent()) == 151

    asyncio.run(producer())


def test_a_call_by_name_and_a_call_with_options_are_collected(stage: Stage) -> None:
    double = doubling(stage)
    with stage.app.batch():
        stage.app.send_task("elsewhere.add", [1])
        double.apply_async((2,), countdown=60)
        assert stage.sent() == []
    assert stage.delays() == [0, 60]


def test_canvases_are_collected(stage: Stage) -> None:
    double = doubling(stage)
    with stage.app.batch():
        chained = chain(double.s(1), double.s()).delay()
        grouped = group(double.s(number) for number in range(3)).delay()
        assert stage.sent() == []
    stage.work()
    assert chained.get() == 4
    assert grouped.get() == [0, 2, 4]


def test_an_exception_in_the_block_takes_back_nothing(stage: Stage) -> None:
    double = doubling(stage)
    with suppress(LookupError), stage.app.batch():
        double.delay(1)
        raise LookupError
    assert numbers(stage) == [1]


def test_a_call_that_cannot_work_is_told_where_it_is_made(stage: Stage) -> None:
    double = doubling(stage)
    with stage.app.batch():
        double.delay(1)
        with pytest.raises(TypeError):
            double.delay(1, 2, 3)
        double.delay(2)
    assert numbers(stage) == [1, 2]


def test_an_empty_block_asks_for_nothing(stage: Stage) -> None:
    with stage.app.batch():
        pass
    assert stage.memory.requests == []


# -- failures ---------------------------------------------------------------------------------


def fail_odd(request: Request[Any]) -> Any:
    is_odd = isinstance(request, SendMessage) and '"args":[1]' in request.body.replace(" ", "")
    return "fail" if is_odd else "ok"


def failure_of(block: Callable[[], None]) -> BatchError:
    with pytest.raises(BatchError) as raised:
        block()
    return raised.value


def test_each_failure_is_told_and_the_others_are_sent(stage: Stage) -> None:
    double = doubling(stage)
    stage.memory.fate = fail_odd
    results: list[Any] = []

    def block() -> None:
        with stage.app.batch():
            results.extend(double.apply_async((number % 3,), retry=False) for number in range(6))

    error = failure_of(block)
    assert "2 of 6 calls of the batch were not sent" in str(error)
    assert set(error.failures) == {results[1].id, results[4].id}
    assert {type(each) for each in error.failures.values()} == {EndpointUnreachable}
    assert error.sent == 4
    assert numbers(stage) == [0, 2, 0, 2]


def test_what_is_too_large_fails_alone(stage: Stage) -> None:
    echo = stage.app.task(name="shop.echo")(lambda text: text)

    def block() -> None:
        with stage.app.batch():
            echo.delay("small")
            echo.apply_async(("x" * 1_100_000,), task_id="large")
            echo.delay("small too")

    failures = failure_of(block).failures
    assert {id: type(each) for id, each in failures.items()} == {"large": ImproperlyConfigured}
    assert numbers(stage) == ["small", "small too"]


def test_a_failure_that_is_known_already_is_told_by_the_next_call(stage: Stage) -> None:
    double = doubling(stage)
    stage.memory.fate = fail_odd
    with stage.app.batch():
        for number in range(AT_A_TIME):
            double.apply_async((number,), retry=False)
        error = failure_of(lambda: double.delay(AT_A_TIME))
        double.delay(AT_A_TIME + 1)
    assert len(error.failures) == 1
    assert error.sent == AT_A_TIME - 1
    assert numbers(stage) == [0, *range(2, AT_A_TIME), AT_A_TIME + 1]


def test_a_failure_after_an_exception_in_the_block_hides_neither(stage: Stage) -> None:
    double = doubling(stage)
    stage.memory.fate = fail_odd

    def block() -> None:
        with stage.app.batch():
            double.apply_async((1,), retry=False)
            raise LookupError("mine")

    error = failure_of(block)
    assert isinstance(error.__cause__, EndpointUnreachable)
    assert isinstance(error.__context__, LookupError)


# -- whose calls they are ---------------------------------------------------------------------


def test_a_block_within_a_block_is_a_batch_of_its_own(stage: Stage) -> None:
    double = doubling(stage)
    with stage.app.batch():
        double.delay(1)
        with stage.app.batch():
            double.delay(2)
        assert numbers(stage) == [2]
        double.delay(3)
        assert numbers(stage) == [2]
    assert numbers(stage) == [2, 1, 3]


def test_another_app_and_another_thread_send_at_once(stage: Stage) -> None:
    other = Stage("other")
    double, others = doubling(stage), doubling(other)
    with stage.app.batch():
        others.delay(1)
        thread = threading.Thread(target=double.delay, args=(2,))
        thread.start()
        thread.join()
        assert (numbers(other), numbers(stage)) == ([1], [2])


def test_what_outlives_the_block_sends_at_once(stage: Stage) -> None:
    double = doubling(stage)
    with stage.app.batch():
        context = copy_context()
        context.run(double.delay, 1)
        assert stage.sent() == []
    assert numbers(stage) == [1]
    context.run(double.delay, 2)
    assert numbers(stage) == [1, 2]


def test_the_children_of_a_task_have_the_ids_that_they_have_without_a_batch() -> None:
    def children(*, together: bool) -> list[str]:
        stage = Stage()
        double = doubling(stage)

        @stage.app.task(name="shop.parent")
        def parent() -> None:
            if not together:
                double.delay(1)
                double.delay(2)
                return
            with stage.app.batch():
                double.delay(1)
                double.delay(2)

        result = parent.apply_async(task_id="the-parent")
        stage.work()
        return [each.id for each in result.children or ()]

    assert children(together=True) == children(together=False)
    assert len(children(together=True)) == 2


def test_an_eager_task_runs_at_once(stage: Stage) -> None:
    double = doubling(stage)
    stage.app.conf.task_always_eager = True
    with stage.app.batch():
        assert double.delay(2).get() == 4


# -- middleware -------------------------------------------------------------------------------

seen: ContextVar[str] = ContextVar("seen", default="nothing")


class Watching(Middleware):
    """Notes when a send begins and what came of it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.notes: list[str] = []

    def publish(self, publication: Publication) -> Iterator[None]:
        (number,) = publication.args
        token = seen.set(f"in {number}")
        try:
            yield
        except BaseException as error:
            self.notes.append(f"{number}: {type(error).__name__}")
            raise
        else:
            is_there = number in numbers(self.stage)
            self.notes.append(f"{number}: {'durable' if is_there else 'not there'}")
        finally:
            seen.reset(token)


def test_middleware_surrounds_each_call_until_it_is_durable(stage: Stage) -> None:
    watching = Watching(stage)
    stage.app.add_middleware(watching)
    double = doubling(stage)
    stage.memory.fate = fail_odd
    with suppress(BatchError), stage.app.batch():
        for number in range(3):
            double.apply_async((number,), retry=False)
            assert seen.get() == "nothing"
        assert watching.notes == []
    assert watching.notes == ["0: durable", "1: EndpointUnreachable", "2: durable"]
    assert seen.get() == "nothing"


def test_middleware_hears_of_an_interruption(stage: Stage) -> None:
    watching = Watching(stage)
    stage.app.add_middleware(watching)
    double = doubling(stage)

    def interrupt(request: Request[Any]) -> Any:
        if isinstance(request, SendMessage):
            raise KeyboardInterrupt
        return "ok"

    stage.memory.fate = interrupt
    with pytest.raises(KeyboardInterrupt), stage.app.batch():
        double.delay(1)
    assert watching.notes == ["1: KeyboardInterrupt"]


# -- the order of a group ----------------------------------------------------------------------


def test_what_stands_behind_one_of_its_group_that_was_not_taken_is_sent_after_it() -> None:
    stage = Stage(task_queues=["orders.fifo"])
    note = stage.app.task(name="shop.note", queue="orders")(lambda number: number)
    sends = itertools.count()

    def fate(request: Request[Any]) -> Fate:
        return "fail" if isinstance(request, SendMessage) and next(sends) == 4 else "ok"

    stage.memory.fate = fate
    with stage.app.batch():
        for number in range(25):
            note.apply_async((number,), message_group_id="one")
    # Those of its own batch are there: SQS has answered for each of them.
    sent = [message.args[0] for message in stage.sent("orders")]
    assert sent == [0, 1, 2, 3, 5, 6, 7, 8, 9, 4, *range(10, 25)]


def test_groups_do_not_wait_for_each_other_and_those_that_are_given_up_say_why() -> None:
    stage = Stage(task_queues=["orders.fifo"], task_publish_retry=False)
    note = stage.app.task(name="shop.note", queue="orders")(lambda number: number)

    def fate(request: Request[Any]) -> Fate:
        is_first = isinstance(request, SendMessage) and '"args":[0]' in request.body
        return "fail" if is_first else "ok"

    def send() -> None:
        with stage.app.batch():
            for number in range(25):
                note.apply_async((number,), message_group_id=f"{number % 2}")

    stage.memory.fate = fate
    with pytest.raises(BatchError) as raised:
        send()
    sent = [message.args[0] for message in stage.sent("orders")]
    assert sent == [1, 2, 3, 4, 5, 6, 7, 8, 9, *range(11, 25, 2)]
    failures = list(raised.value.failures.values())
    assert len(failures) == 9
    assert all("one before it in its group was not sent" in str(each) for each in failures[1:])
