"""Workflows as they run: chains, groups and chords, their values, and what a failure does."""

from __future__ import annotations

from json import loads
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Middleware, Signature, chain, chord, group
from caraway.core.publish import AT_A_TIME
from caraway.core.workflow import steps_of
from caraway.exceptions import ChordError, EndpointUnreachable, InvalidOption
from caraway.requests.dynamodb import UpdateItem
from caraway.requests.sqs import SendMessage
from tests.yard import Yard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caraway import Publication
    from caraway.aws.memory import Fate
    from caraway.requests.base import Request


WORKFLOWS: dict[str, tuple[Callable[[Yard], Signature[Any]], Any]] = {
    "a chain": (lambda y: y.add.s(1, 2) | y.add.s(10) | y.add.s(100), 113),
    "a chain with an immutable task": (lambda y: y.add.s(1, 2) | y.add.si(5, 6), 11),
    "a chain of chains": (lambda y: chain(y.add.s(1, 2) | y.add.s(3), y.add.s(4)), 10),
    "a group": (lambda y: group(y.add.s(n, n) for n in range(4)), [0, 2, 4, 6]),
    "a group of one": (lambda y: group(y.add.s(1, 1)), [2]),
    "a group of none": (lambda y: group([], app=y.app), []),
    "a group in a group is part of it": (
        lambda y: group(y.ident.s(1), group(y.ident.s(2), y.ident.s(3))),
        [1, 2, 3],
    ),
    "a group of chains": (
        lambda y: group(y.add.s(n, 1) | y.add.s(10) for n in range(3)),
        [11, 12, 13],
    ),
    "a chord": (lambda y: chord([y.add.s(n, n) for n in range(5)], y.total.s()), 20),
    "a chord without members": (lambda y: chord([], y.total.s()), 0),
    "a chord of one": (lambda y: chord([y.ident.s(7)], y.ident.s()), [7]),
    "a chord with an immutable body": (lambda y: chord([y.ident.s(7)], y.add.si(1, 2)), 3),
    "a chord with arguments of its body": (
        lambda y: chord([y.ident.s(1), y.ident.s(2)], y.total.s(more=10)),
        13,
    ),
    "a group before a task": (lambda y: group(y.ident.s(1), y.ident.s(2)) | y.total.s(), 3),
    "a group between tasks": (
        lambda y: y.ident.s(5) | group(y.add.s(1), y.add.s(2)) | y.total.s() | y.add.s(100),
        113,
    ),
    "a group at the end of a chain": (
        lambda y: y.ident.s(5) | group(y.add.s(1), y.add.s(2)),
        [6, 7],
    ),
    "a group before a group": (
        lambda y: group(y.ident.s(1), y.ident.s(2)) | group(y.total.s(), y.ident.s()),
        [3, [1, 2]],
    ),
    "a group at the end of a chain in a chord": (
        lambda y: chord([y.ident.s(42) | group(y.ident.s(), y.ident.s())], y.ident.s()),
        [[42, 42]],
    ),
    "a group without members at the end of a chain in a chord": (
        lambda y: chord([y.ident.s(1) | group([]), y.ident.s(2)], y.ident.s()),
        [[], 2],
    ),
    "a chord in a chord": (
        lambda y: chord(
            [chord([y.ident.s(1), y.ident.s(2)], y.total.s()), y.ident.s(4)], y.total.s()
        ),
        7,
    ),
    "a chord whose body is a chain": (
        lambda y: chord([y.ident.s(1), y.ident.s(2)], y.total.s() | y.add.s(10)),
        13,
    ),
    "a chord whose body is a chord": (
        lambda y: chord(
            [y.ident.s(1)], chord([y.total.s(), y.total.s(more=5)], y.total.s(more=100))
        ),
        107,
    ),
    "None, falsy and nested values": (
        lambda y: chord([y.ident.s(None), y.ident.s(0), y.ident.s([]), y.ident.s("")], y.ident.s()),
        [None, 0, [], ""],
    ),
    "a chord of more members than a node holds": (
        lambda y: chord([y.ident.s(n) for n in range(205)], y.total.s()),
        20_910,
    ),
}


@pytest.mark.parametrize("name", WORKFLOWS)
@pytest.mark.parametrize("copies", [1, 3])
def test_a_workflow_has_its_value_however_often_its_messages_come(name: str, copies: int) -> None:
    make, expected = WORKFLOWS[name]
    yard = Yard(copies=copies, seed=copies)
    result = make(yard).delay()
    yard.work()
    assert result.get(timeout=1) == expected


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_the_same_value_when_it_is_run_in_the_callers_process(name: str) -> None:
    make, expected = WORKFLOWS[name]
    assert make(Yard()).apply().get() == expected


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_survives_its_json(name: str) -> None:
    make, expected = WORKFLOWS[name]
    yard = Yard()
    wire = make(yard).to_dict()
    again = Signature.from_dict(wire, yard.app)
    assert again.to_dict() == wire
    result = again.delay()
    yard.work()
    assert result.get(timeout=1) == expected


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_be_a_callback(name: str) -> None:
    make, _ = WORKFLOWS[name]
    yard, twice = Yard(), Yard(copies=2)
    for each in (yard, twice):
        canvas = make(each)
        if isinstance(canvas, group):
            canvas.make_tasks()
        each.app.signature("ident", immutable=True, link=_closed(canvas)).delay()
        each.work()
    assert sorted(map(repr, yard.runs)) == sorted(map(repr, twice.runs))
    assert yard.runs


def _closed(canvas: Signature[Any]) -> Signature[Any]:
    """Return a canvas that takes no argument from outside."""
    canvas.set_immutable(True)
    return canvas


def test_the_body_of_a_chord_runs_once_however_often_messages_come() -> None:
    yard = Yard(copies=3, seed=1)
    chord([yard.ident.s(n) for n in range(20)], yard.total.s()).delay()
    yard.work()
    assert yard.ran("total") == 1
    assert yard.ran("ident") == 20


# -- results ---------------------------------------------------------------------------------------


def test_the_result_of_a_chain_has_the_results_before_it_as_parents() -> None:
    yard = Yard()
    result = (yard.add.s(1, 1) | group(yard.add.s(1), yard.add.s(2)) | yard.total.s()).delay()
    yard.work()
    assert result.get(timeout=1) == 7
    assert result.parent.get(timeout=1) == [3, 4]
    assert result.parent.parent.get(timeout=1) == 2
    assert result.parent.parent.parent is None


def test_freezing_decides_the_ids_that_sending_uses() -> None:
    yard = Yard()
    workflow = yard.add.s(1, 1) | group(yard.add.s(1), yard.add.s(2)) | yard.total.s()
    frozen = workflow.freeze()
    sent = workflow.delay()
    assert (sent.id, sent.parent.id) == (frozen.id, frozen.parent.id)
    assert [each.id for each in sent.parent] == [each.id for each in frozen.parent]
    yard.work()
    assert frozen.get(timeout=1) == 7


def test_a_workflow_that_is_sent_twice_with_its_ids_takes_effect_once() -> None:
    yard = Yard()
    workflow = chord([yard.ident.s(1), yard.ident.s(2)], yard.total.s())
    workflow.freeze()
    workflow.delay()
    workflow.delay()
    yard.work()
    assert (yard.ran("ident"), yard.ran("total")) == (2, 1)


def test_a_generator_is_sent_while_it_runs_and_its_result_holds_no_members() -> None:
    yard = Yard()
    ahead: list[int] = []

    def tasks() -> Iterator[Signature[Any]]:
        for n in range(1_050):
            ahead.append(n - len(yard.aws.bodies("default")))
            yield yard.ident.s(n)

    result = group(tasks()).delay()
    assert max(ahead) < 2 * AT_A_TIME
    assert len(result) == 1_050
    yard.work()
    assert result.get(timeout=1) == list(range(1_050))


def test_nothing_is_sent_behind_calls_of_a_group_that_have_failed() -> None:
    yard = Yard()
    told: list[str] = []

    class Telling(Middleware):
        def publish(self, publication: Publication) -> Iterator[None]:
            try:
                yield
            except EndpointUnreachable:
                told.append(publication.args[0])
                raise

    def refuse_the_sixth(request: Request[Any]) -> Fate:
        is_it = isinstance(request, SendMessage) and '"args":[5]' in request.body
        return "fail" if is_it else "ok"

    yard.app.add_middleware(Telling())
    yard.aws.fate = refuse_the_sixth
    numbers = iter(range(1_000))
    with pytest.raises(EndpointUnreachable):
        group(yard.ident.s(n) for n in numbers).apply_async(retry=False)
    assert len(yard.aws.bodies("default")) == AT_A_TIME - 1
    assert next(numbers) == 2 * AT_A_TIME
    assert told == [5, *range(AT_A_TIME, 2 * AT_A_TIME)]


def test_a_failure_that_all_calls_share_is_raised_once() -> None:
    def raised_for(calls: int) -> list[str]:
        yard = Yard()
        yard.aws.fate = lambda _request: "fail"
        with pytest.raises(EndpointUnreachable) as raised:
            group(yard.ident.s(n) for n in range(calls)).apply_async(retry=False)
        return [each.name for each in raised.traceback]

    assert raised_for(90) == raised_for(2)


def test_a_generator_that_fails_takes_back_nothing_of_what_it_gave() -> None:
    yard = Yard()

    def tasks() -> Iterator[Signature[Any]]:
        yield from (yard.ident.s(n) for n in range(AT_A_TIME))
        raise LookupError

    with pytest.raises(LookupError):
        group(tasks()).delay()
    assert len(yard.aws.bodies("default")) == AT_A_TIME


def test_a_generator_cannot_be_sent_twice() -> None:
    yard = Yard()
    once = group(yard.ident.s(n) for n in range(3))
    once.delay()
    with pytest.raises(InvalidOption, match="make the group again"):
        once.delay()


def test_a_generator_may_change_what_it_gave_and_give_it_again() -> None:
    yard = Yard()
    one = yard.add.s(0, y=0).set(headers={})

    def tasks() -> Iterator[Signature[Any]]:
        for n in range(AT_A_TIME + 2):
            one.args = (n,)
            one.kwargs["y"] = one.options["headers"]["turn"] = n
            yield one

    result = group(tasks()).delay()
    headers = [loads(body)["headers"]["turn"] for body in yard.aws.bodies("default")]
    yard.work()
    assert result.get(timeout=1) == [2 * n for n in range(AT_A_TIME + 2)]
    assert headers == list(range(AT_A_TIME + 2))


@pytest.mark.parametrize("immutable", [False, True])
@pytest.mark.parametrize("generated", [False, True])
@pytest.mark.parametrize("kind", ["group", "chain", "chord"])
def test_sending_changes_nothing_of_what_a_canvas_was_made_of(
    kind: str, generated: bool, immutable: bool
) -> None:
    class Scribbling(Middleware):
        def publish(self, publication: Publication) -> Iterator[None]:
            publication.options.setdefault("headers", {})["seen"] = True
            publication.options.setdefault("link", []).append(yard.ident.s())
            kwargs: Any = publication.kwargs
            kwargs["y"] = 5
            yield

    yard = Yard()
    yard.app.add_middleware(Scribbling())
    same = yard.add.s(1).set(link=[yard.ident.s()], headers={"own": 1})
    parts = [same, same, yard.add.s(2) | yard.add.s(3)]
    before = [each.to_dict() for each in parts]
    of = iter(parts) if generated else parts
    makes: dict[str, Callable[[], Signature[Any]]] = {
        "group": lambda: group(of),
        "chain": lambda: chain(*of),
        "chord": lambda: chord(of, yard.total.s()),
    }
    canvas = makes[kind]()
    canvas.immutable = immutable
    canvas.apply_async(
        (), {"y": 4}, countdown=7, headers={"more": 2}, link_error=[yard.ident.si(0)]
    )
    assert [each.to_dict() for each in parts] == before


def test_a_task_that_is_in_a_group_twice_is_two_tasks() -> None:
    yard = Yard()
    same = yard.ident.s(7)
    both = group([same, same])
    first, second = both.delay(), both.delay()
    yard.work()
    assert [each.get(timeout=1) for each in (first, second)] == [[7, 7], [7, 7]]
    assert len({each.id for each in (*first, *second)}) == 4


@pytest.mark.parametrize("eager", [False, True])
def test_a_generator_inside_a_workflow_has_its_results(eager: bool) -> None:
    yard = Yard()
    generated = group(yard.add.s(n) for n in range(3))
    workflow = yard.ident.s(1) | generated
    header = chord((yard.ident.s(n) for n in range(3)), yard.total.s())
    results = [each.apply() if eager else each.delay() for each in (workflow, header)]
    yard.work()
    assert [each.get(timeout=1) for each in results] == [[1, 2, 3], 3]


# -- options ---------------------------------------------------------------------------------------


def test_a_chains_errback_is_every_tasks_and_its_callback_the_last_ones() -> None:
    yard = Yard()
    workflow = yard.ident.s(1) | yard.ident.s()
    workflow.link(yard.told.s())
    workflow.link_error(yard.told.s())
    first, last = (step.what for step in steps_of(workflow.to_dict()))  # type: ignore[union-attr]
    assert "link" not in first["options"]
    assert len(first["options"]["link_error"]) == len(last["options"]["link_error"]) == 1
    assert len(last["options"]["link"]) == 1


def test_partial_arguments_go_to_what_a_workflow_begins_with() -> None:
    yard = Yard()
    results = [
        (yard.add.s(1) | yard.add.s(10)).delay(5),
        group(yard.add.s(1), yard.add.s(2)).delay(5),
        chord([yard.add.s(1), yard.add.s(2)], yard.total.s()).delay(5),
    ]
    yard.work()
    assert [each.get(timeout=1) for each in results] == [16, [6, 7], 13]


def test_a_request_knows_its_group_and_its_place_in_it() -> None:
    yard = Yard()
    seen = []

    @yard.app.task(bind=True)
    def look(self: Any) -> None:
        seen.append((self.request.group, self.request.group_index))

    result = group(look.s(), look.s()).delay()
    yard.work()
    assert seen == [(result.id, 0), (result.id, 1)]


def test_a_retry_of_a_body_gathers_its_values_again() -> None:
    yard = Yard()
    seen = []

    @yard.app.task(bind=True)
    def body(self: Any, values: list[int]) -> Any:
        seen.append(values)
        if self.request.retries < 2:
            raise self.retry(countdown=0, args=(values,) if self.request.retries else None)
        return values

    result = chord([yard.ident.s(1), yard.ident.s(2)], body.s()).delay()
    yard.work()
    assert result.get(timeout=1) == [1, 2]
    assert seen == [[1, 2]] * 3


def test_a_member_whose_result_is_ignored_has_a_value_for_the_body() -> None:
    yard = Yard()
    members = [yard.ident.s(n).set(ignore_result=True) for n in (1, 2)]
    result = chord(members, yard.total.s()).delay()
    yard.work()
    assert result.get(timeout=1) == 3


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", [1, 3])
def test_a_failed_member_fails_the_body_and_its_errback_runs_once(copies: int) -> None:
    yard = Yard(copies=copies)
    body = yard.total.s().on_error(yard.told.s())
    result = chord([yard.ident.s(1), yard.fail.s("no"), yard.fail.s("no, too")], body).delay()
    yard.work()
    with pytest.raises(ChordError, match=r"^Dependency .* raised ValueError\('no'\)$"):
        result.get(timeout=1)
    assert (yard.ran("total"), yard.ran("told")) == (0, 1)
    assert yard.runs[-1] == ("told", result.id)


def test_a_failure_anywhere_in_a_header_reaches_the_body_of_the_outermost_chord() -> None:
    yard = Yard()
    inner = chord([yard.ident.s(1) | yard.fail.s() | yard.ident.s()], yard.total.s())
    result = chord([inner, yard.ident.s(2)], yard.total.s() | yard.add.s(1)).delay()
    yard.work()
    with pytest.raises(ChordError, match="raised ChordError"):
        result.parent.get(timeout=1)
    assert yard.ran("total") == 0


def test_a_failed_task_ends_its_chain_and_its_errback_runs() -> None:
    yard = Yard()
    (yard.fail.s() | yard.ident.s()).on_error(yard.told.s()).delay()
    yard.work()
    assert [run[0] for run in yard.runs] == ["fail", "told"]


def test_a_member_that_expires_fails_the_body() -> None:
    yard = Yard()
    late = yard.ident.s(1).set(expires=yard.aws.now(), countdown=5)
    result = chord([late, yard.ident.s(2)], yard.total.s()).delay()
    yard.work()
    with pytest.raises(ChordError, match="expired"):
        result.get(timeout=1)


def test_members_that_are_revoked_fail_the_body() -> None:
    yard = Yard()
    body = yard.total.s().on_error(yard.told.s())
    result = chord([yard.ident.s(n) for n in range(3)], body).delay()
    assert {each.happened for each in result.parent.revoke()} == {"revoked"}
    yard.work()
    with pytest.raises(ChordError, match="revoked"):
        result.get(timeout=1)
    assert [run[0] for run in yard.runs] == ["told"]


def test_a_member_that_is_ignored_fails_the_body() -> None:
    from caraway.exceptions import Ignore

    yard = Yard()

    @yard.app.task
    def ignored() -> None:
        raise Ignore

    result = chord([ignored.s(), yard.ident.s(2)], yard.total.s()).delay()
    yard.work()
    with pytest.raises(ChordError, match="is IGNORED"):
        result.get(timeout=1)


def test_a_value_without_json_is_not_nothing_to_the_next_step() -> None:
    yard = Yard()

    @yard.app.task(ignore_result=True)
    def odd() -> Any:
        return object()

    result = (odd.s() | yard.ident.s()).delay()
    yard.work()
    assert result.parent.state == "FAILURE"
    assert yard.ran("ident") == 0


# -- requests --------------------------------------------------------------------------------------


def test_the_requests_of_a_chord_per_member_are_the_same_however_many_there_are() -> None:
    def requests(size: int) -> dict[str, int]:
        yard = Yard()
        chord([yard.ident.s(n) for n in range(size)], yard.total.s()).delay()
        yard.work()
        writes = [each for each in yard.aws.requests if isinstance(each, UpdateItem)]
        sends = [each for each in yard.aws.requests if isinstance(each, SendMessage)]
        return {"writes": len(writes), "sends": len(sends)}

    # A claim, an ending and an element for each member, a node's for each hundred, two for the body
    assert requests(100) == {"writes": 100 * 3 + 2, "sends": 101}
    assert requests(1_000) == {"writes": 1_000 * 3 + 10 + 2, "sends": 1_001}


@pytest.mark.parametrize("place", ["first", "in the middle", "last", "body", "member"])
def test_a_workflow_in_the_callers_process_keeps_what_would_be_ignored(place: str) -> None:
    yard = Yard()

    @yard.app.task(name="quiet", ignore_result=True)
    def quiet(x: Any) -> Any:
        return x

    workflows = {
        "first": quiet.s(1) | yard.ident.s(),
        "in the middle": yard.ident.s(1) | quiet.s() | yard.ident.s(),
        "last": yard.ident.s(1) | quiet.s() | yard.ident.s().set(ignore_result=True),
        "body": chord([yard.ident.s(1)], quiet.s()) | yard.total.s().set(ignore_result=True),
        "member": yard.ident.s(1) | group(quiet.s(), quiet.s()) | quiet.s(),
    }
    expected = [1, 1] if place == "member" else 1
    assert workflows[place].apply().get() == expected


def test_a_member_that_is_forgotten_lives_as_long_as_its_group() -> None:
    yard = Yard()
    result = chord([yard.ident.s(1), yard.ident.s(2).set(countdown=60)], yard.total.s()).delay()
    (first, _) = result.parent
    yard.work()
    key = (yard.app.site.records.table, first.id)
    until = yard.aws.items[key]["ttl"]
    first.forget()
    assert yard.aws.items[key]["ttl"] == until


def test_those_after_a_failure_keep_its_error_also_when_a_redelivery_tells_them() -> None:
    yard = Yard()
    result = (yard.fail.s("no") | yard.ident.s() | yard.ident.s()).delay()
    last = {result.id, result.parent.id}
    left = [True]

    def fate(request: Any) -> Any:
        # The record of the failure is written; the first delivery fails at what it leads to.
        return "fail" if getattr(request, "id", None) in last and left and left.pop() else "ok"

    yard.aws.fate = fate
    yard.work()
    assert not left
    for each in (result, result.parent):
        assert each.state == "FAILURE"
        assert repr(each.result) == "ValueError('no')"
