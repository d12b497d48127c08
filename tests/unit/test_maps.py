"""Maps and chunks: a task over many arguments within one run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Caraway, Queue, Signature, chain, chord, chunks, group, xmap, xstarmap
from caraway.contrib.celery import canvas as celerys
from caraway.core.events import Ended
from caraway.core.port import run_now
from caraway.exceptions import InvalidArguments, InvalidOption, NotRegistered
from caraway.requests.sqs import SendMessage
from tests.yard import Yard

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS = [(n, n) for n in range(5)]


@dataclass(frozen=True)
class Parcel:
    weight: int


MAPS: dict[str, tuple[Callable[[Yard], Signature[Any]], Any]] = {
    "a map": (lambda y: y.ident.map(range(3)), [0, 1, 2]),
    "a map of nothing": (lambda y: y.ident.map([]), []),
    "a starmap": (lambda y: y.add.starmap(PAIRS), [0, 2, 4, 6, 8]),
    "a signature's own arguments come after the item": (
        lambda y: xmap(y.add.s(y=10), [1, 2]),
        [11, 12],
    ),
    "a task's own arguments in a starmap": (lambda y: xstarmap(y.add.s(5), [(1,), [2]]), [6, 7]),
    "a map in a chain takes no value": (lambda y: y.ident.s(9) | y.ident.map([1, 2]), [1, 2]),
    "a map before a task": (lambda y: y.ident.map([1, 2]) | y.total.s(), 3),
    "maps in a group": (lambda y: group(y.ident.map([1]), y.ident.map([2])), [[1], [2]]),
    "maps in a chord": (lambda y: chord([y.ident.map([1]), y.ident.s(2)], y.ident.s()), [[1], 2]),
    "chunks": (lambda y: y.add.chunks(PAIRS, 2), [[0, 2], [4, 6], [8]]),
    "chunks of nothing": (lambda y: y.add.chunks([], 2), []),
    "chunks of a generator": (lambda y: y.add.chunks(iter(PAIRS), 2), [[0, 2], [4, 6], [8]]),
    "the group of chunks": (lambda y: y.add.chunks(PAIRS, 3).group(), [[0, 2, 4], [6, 8]]),
    "chunks one after another": (
        lambda y: y.add.chunks(PAIRS, 3).group().skew(start=1, stop=10),
        [[0, 2, 4], [6, 8]],
    ),
    "chunks before a task": (lambda y: y.add.chunks(PAIRS, 3) | y.ident.s(), [[0, 2, 4], [6, 8]]),
    "chunks after a task": (lambda y: y.ident.s(1) | y.add.chunks(PAIRS, 4), [[0, 2, 4, 6], [8]]),
    "chunks as the header of a chord": (
        lambda y: chord(y.add.chunks(PAIRS, 4), y.ident.s()),
        [[0, 2, 4, 6], [8]],
    ),
    "chunks in a group are part of it": (
        lambda y: group(y.ident.s(1), y.add.chunks(PAIRS, 4)),
        [1, [0, 2, 4, 6], [8]],
    ),
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("copies", [1, 3])
def test_a_map_has_its_value_however_often_its_messages_come(name: str, copies: int) -> None:
    make, expected = MAPS[name]
    yard = Yard(copies=copies, seed=copies)
    result = make(yard).delay()
    yard.work()
    assert result.get(timeout=1) == expected


@pytest.mark.parametrize("name", MAPS)
def test_a_map_has_the_same_value_when_it_is_run_in_the_callers_process(name: str) -> None:
    make, expected = MAPS[name]
    assert make(Yard()).apply().get() == expected


@pytest.mark.parametrize("name", MAPS)
def test_a_map_survives_its_json(name: str) -> None:
    make, expected = MAPS[name]
    yard = Yard()
    wire = json.loads(json.dumps(make(yard).to_dict()))
    again = Signature.from_dict(wire, yard.app)
    assert again.to_dict() == wire
    result = again.delay()
    yard.work()
    assert result.get(timeout=1) == expected


def test_a_map_is_one_run_with_one_record() -> None:
    yard = Yard(copies=2)
    yard.add.starmap(PAIRS).delay()
    yard.work()
    ended = [each.message.task for each in yard.events if isinstance(each, Ended)]
    assert ended == ["caraway.starmap"]
    assert yard.ran("add") == len(PAIRS)


def test_chunks_of_a_generator_are_sent_while_it_runs() -> None:
    yard = Yard()
    sent_before: list[int] = []

    def pairs() -> Any:
        for n in range(400):
            sent_before.append(len(yard.aws.bodies("default")))
            yield n, n

    result = yard.add.chunks(pairs(), 2).delay()
    assert (sent_before[0], sent_before[399]) == (0, 100)
    yard.work()
    assert result.get(timeout=1)[199] == [796, 798]


def test_chunks_of_a_generator_cannot_be_sent_twice() -> None:
    yard = Yard()
    once = yard.add.chunks(iter(PAIRS), 2)
    once.delay()
    with pytest.raises(InvalidOption, match="make the group again"):
        once.delay()


def test_chunks_of_a_list_can_be_sent_twice_and_frozen() -> None:
    yard = Yard()
    several = yard.add.chunks(PAIRS, 2)
    frozen = several.freeze()
    sent = several.delay()
    assert (sent.id, [each.id for each in sent]) == (frozen.id, [each.id for each in frozen])
    several.delay()
    yard.work()
    assert yard.ran("add") == len(PAIRS)


def test_a_map_goes_to_the_queue_of_the_mapped_task() -> None:
    app = Caraway("maps", set_as_current=False)
    app.conf.update(
        task_queues=[Queue("default"), Queue("own"), Queue("routed"), Queue("called")],
        task_routes={"routed.*": "routed"},
    )

    @app.task(queue="own", serializer="pickle", compression="zlib")
    def own(x: int) -> int:
        return x

    @app.task(name="routed.task")
    def routed(x: int) -> int:
        return x

    def queue_of(signature: Signature[Any]) -> str:
        return app.site.router.route(
            signature.task, (), signature.to_dict()["kwargs"], signature.options
        ).name

    assert queue_of(own.map([1])) == "own"
    assert own.map([1]).to_dict()["options"]["compression"] == "zlib"
    assert queue_of(routed.starmap([(1,)])) == "routed"
    assert queue_of(routed.map([1]).set(queue="called")) == "called"
    assert queue_of(app.signature("routed.elsewhere").clone()) == "routed"
    assert queue_of(xmap(app.signature("routed.elsewhere"), [1])) == "routed"


def test_items_are_checked_when_they_are_sent_and_rebuilt_when_they_are_run() -> None:
    yard = Yard()
    seen: list[Any] = []

    @yard.app.task
    def weigh(parcel: Parcel, times: int = 1) -> int:
        seen.append(parcel)
        return parcel.weight * times

    with pytest.raises(InvalidArguments, match="argument parcel"):
        weigh.map([Parcel(1), "no parcel"]).delay()
    with pytest.raises(InvalidArguments, match="expected a list of arguments"):
        weigh.starmap([Parcel(1)]).delay()  # type: ignore[list-item]
    with pytest.raises(InvalidArguments, match=r"weigh\(\)"):
        weigh.starmap([(Parcel(1), 2, 3)]).delay()
    results = [weigh.map([Parcel(2)]).delay(), weigh.starmap([(Parcel(2), 3)]).delay()]
    yard.work()
    assert [each.get(timeout=1) for each in results] == [[2], [6]]
    assert seen == [Parcel(2), Parcel(2)]


def test_an_asynchronous_task_can_be_mapped() -> None:
    yard = Yard()

    @yard.app.task
    async def double(n: int) -> int:
        return 2 * n

    result = double.map([1, 2]).delay()
    yard.work()
    assert result.get(timeout=1) == [2, 4]


def test_a_mapped_call_is_direct_and_its_children_are_the_maps() -> None:
    yard = Yard(copies=2)

    @yard.app.task(bind=True)
    def send(self: Any, n: int) -> bool:
        yard.ident.delay(n)
        return bool(self.request.called_directly)

    result = send.map([1, 1, 2]).delay()
    yard.work()
    assert result.get(timeout=1) == [True] * 3
    assert len(result.children or []) == yard.ran("ident") == 3


def test_a_failing_item_fails_the_map_and_it_can_be_retried_by_hand() -> None:
    yard = Yard()
    result = yard.fail.map([1]).on_error(yard.told.s()).delay()
    yard.work()
    with pytest.raises(ValueError, match="1"):
        result.get(timeout=1)
    assert yard.ran("told") == 1
    result.replay()
    yard.work()
    assert yard.ran("fail") == 2


@pytest.mark.parametrize("promise", ["at_most_once", "sensitive"])
def test_a_task_of_which_more_is_promised_is_not_mapped(promise: str) -> None:
    yard = Yard()

    def returned(x: int) -> int:
        return x

    options: Any = {promise: True}
    special = yard.app.task(name="special", **options)(returned)
    with pytest.raises(InvalidOption, match=f"special is declared {promise}"):
        special.map([1]).delay()
    yard.app.send_task("caraway.map", (), {"task": yard.ident.s(), "it": [1]}, task_id="forged")
    (body,) = yard.aws.bodies("default")
    forged = body.replace("ident", "special")
    yard.aws.queues["default"].clear()
    run_now(yard.aws.perform(SendMessage("memory://default", forged)))
    yard.work()
    assert yard.app.AsyncResult("forged").state == "FAILURE"
    assert "declared" in str(yard.app.AsyncResult("forged").result)


def test_a_map_of_a_task_that_is_not_here_is_a_dead_letter() -> None:
    yard = Yard()
    result = xmap(yard.app.signature("elsewhere"), [1]).delay()
    yard.work()
    assert isinstance(result.result, NotRegistered)
    assert len(yard.aws.bodies("default-dlq")) == 1


def test_what_cannot_be_mapped_is_refused() -> None:
    yard = Yard()
    with pytest.raises(InvalidOption, match="no canvas"):
        xmap(chain(yard.ident.s()), [1])
    with pytest.raises(InvalidOption, match="expected a whole number"):
        yard.add.chunks(PAIRS, 0)
    with pytest.raises(InvalidOption, match="expected a signature"):
        xmap(5, [1])


def test_maps_are_found_by_name_and_not_listed() -> None:
    yard = Yard()
    assert "caraway.map" in yard.app.tasks
    assert "caraway.map" not in list(yard.app.tasks)
    assert yard.app.tasks["caraway.starmap"].name == "caraway.starmap"
    assert Caraway("other", set_as_current=False).task_named("caraway.map") is not (
        yard.app.task_named("caraway.map")
    )


def test_maps_say_what_they_are_and_have_celerys_names() -> None:
    yard = Yard()
    assert repr(yard.ident.map([1, 2])) == "[ident(x) for x in [1, 2]]"
    assert repr(yard.add.starmap([(1, 2)])) == "[add(*x) for x in [(1, 2)]]"
    assert repr(yard.add.chunks([(1, 2)], 1)).startswith("chunks(group([[add(*x)")
    assert (celerys.chunks, celerys.xmap, celerys.xstarmap) == (chunks, xmap, xstarmap)
    assert xmap(yard.ident, [1]) == yard.ident.map([1])
    assert yard.ident.map([1])() == [1]
