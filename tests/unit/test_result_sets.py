"""Results of many tasks at once: sets, groups, and what a task has led to."""

from __future__ import annotations

import asyncio
import io
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from caraway import AsyncResult, GroupResult, ResultSet, result_from_tuple
from caraway.core.waiting import WINDOW
from caraway.exceptions import (
    EndpointUnreachable,
    IncompleteStream,
    InvalidOption,
    RemoteError,
    TimeoutError,  # noqa: A004 - Celery's name
    TrailTooLong,
    UnknownOption,
)
from caraway.requests.dynamodb import BatchGetItem
from caraway.result import DerivedResults
from tests.stage import Stage

if TYPE_CHECKING:
    from caraway.core.revoke import Revocation


@pytest.fixture
def stage() -> Stage:
    stage = Stage()

    @stage.app.task(name="give")
    def give(value: Any) -> Any:
        return value

    @stage.app.task(name="fail")
    def fail(value: Any) -> Any:
        raise ValueError(value)

    return stage


def give(stage: Stage, *values: Any) -> list[AsyncResult[Any]]:
    return [stage.app.send_task("give", (value,)) for value in values]


def derived(stage: Stage, size: int, id: str = "g") -> DerivedResults:
    return DerivedResults(stage.app, id, size)


def sent_for(stage: Stage, results: DerivedResults, *places: int) -> None:
    for place in places:
        stage.app.send_task("give", (place,), task_id=results[place].id)


def looks(stage: Stage) -> list[int]:
    """Return of how many tasks each request has asked."""
    asked = [each for each in stage.memory.requests if isinstance(each, BatchGetItem)]
    return [len(each.ids) for each in asked]


# -- how far they are -----------------------------------------------------------------------------


def test_a_set_says_how_far_its_tasks_are(stage: Stage) -> None:
    several = stage.app.ResultSet(give(stage, 1, 2))
    assert (several.waiting(), several.ready(), several.completed_count()) == (True, False, 0)
    stage.work_once()
    assert (several.ready(), several.successful(), several.completed_count()) == (False, False, 1)
    stage.work()
    assert (several.ready(), several.successful(), several.failed()) == (True, True, False)
    several.add(stage.app.send_task("fail", (3,)))
    stage.work()
    assert (several.ready(), several.successful(), several.failed()) == (True, False, True)
    with pytest.raises(ValueError, match="3"):
        several.maybe_throw()


def test_a_set_asks_for_a_hundred_tasks_with_one_request(stage: Stage) -> None:
    several = ResultSet([stage.app.AsyncResult(f"t{number}") for number in range(250)])
    assert several.completed_count() == 0
    assert looks(stage) == [100, 100, 50]


def test_a_set_is_changed_as_a_set_is(stage: Stage) -> None:
    one, two = give(stage, 1, 2)
    several = ResultSet([one])
    several.update([one, two])
    several.add(two)
    assert (list(several), len(several), several[1]) == ([one, two], 2, two)
    several.discard("unheard-of")
    several.remove(one)
    assert several == ResultSet([two])
    with pytest.raises(KeyError):
        several.remove(one)
    several.clear()
    assert (several.results, several.get()) == ([], [])
    assert "ResultSet" in repr(ResultSet(give(stage, *range(12))))


def test_forgetting_a_set_hides_the_results_of_all(stage: Stage) -> None:
    several = ResultSet(give(stage, 1, 2))
    stage.work()
    several.forget()
    assert [stage.app.AsyncResult(each.id).state for each in several] == ["PENDING", "PENDING"]
    asyncio.run(several.aforget())


# -- revoking -------------------------------------------------------------------------------------


def happened(answers: list[Revocation]) -> list[str]:
    return [each.happened for each in answers]


def test_revoking_a_set_revokes_what_waits_in_it_and_in_sets_within_it(stage: Stage) -> None:
    over, first, second = give(stage, 1, 2, 3)
    stage.work_once()
    several = ResultSet([over, GroupResult("g", [first, second]), over])
    answers = several.revoke(terminate=True, signal="SIGINT", wait=True, timeout=1)
    assert [each.id for each in answers] == [over.id, first.id, second.id, over.id]
    assert happened(answers) == ["ended", "revoked", "revoked", "ended"]
    assert (over.state, first.state, second.state) == ("SUCCESS", "REVOKED", "REVOKED")
    assert happened(asyncio.run(several.arevoke())) == ["ended", "revoked", "revoked", "ended"]


def test_revoking_many_asks_for_a_hundred_at_a_time(stage: Stage) -> None:
    group = GroupResult("g", derived(stage, 250))
    assert happened(group.revoke()) == ["revoked"] * 250
    assert looks(stage) == [100, 100, 50]


def test_what_is_known_to_have_ended_is_not_asked_again(stage: Stage) -> None:
    several = ResultSet(give(stage, 1, 2))
    stage.work()
    several.get(timeout=1)
    stage.memory.requests.clear()
    assert happened(several.revoke()) == ["ended", "ended"]
    assert stage.memory.requests == []


def test_revoking_a_set_raises_when_all_have_been_asked_for(stage: Stage) -> None:
    one, two = give(stage, 1, 2)
    stage.memory.fate = lambda request: "fail" if getattr(request, "id", "") == one.id else "ok"
    with pytest.raises(EndpointUnreachable):
        ResultSet([one, two]).revoke()
    assert two.state == "REVOKED"


def test_revoking_a_set_takes_what_revoking_a_task_takes(stage: Stage) -> None:
    several = ResultSet(give(stage, 1))
    with pytest.raises(UnknownOption, match="takes no connection"):
        several.revoke(connection=object())  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="did you mean 'SIGTERM'"):
        several.revoke(terminate=True, signal="SIGTREM")
    assert several[0].state == "PENDING"


# -- waiting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", ["get", "join", "join_native"])
def test_values_come_in_the_order_of_the_results(stage: Stage, wait: str) -> None:
    several = ResultSet(give(stage, 3, None, [], 0, "x"))
    stage.work()
    assert getattr(several, wait)(timeout=1) == [3, None, [], 0, "x"]
    assert asyncio.run(getattr(several, f"a{wait}")(timeout=1)) == [3, None, [], 0, "x"]


def test_each_look_asks_only_for_what_has_not_ended(stage: Stage) -> None:
    several = ResultSet(give(stage, *range(5)))

    async def sleep(seconds: float) -> None:
        stage.memory.pass_time(seconds)
        stage.work_once()

    stage.memory.sleep = sleep  # type: ignore[method-assign]
    assert several.join(timeout=60) == [0, 1, 2, 3, 4]
    assert looks(stage) == [5, 5, 4, 3, 2, 1]


def test_values_of_sets_in_sets_keep_their_shape(stage: Stage) -> None:
    one, two, three = give(stage, 1, 2, 3)
    nested = ResultSet([one, GroupResult("g", [two, ResultSet([three])])])
    stage.work()
    assert nested.get(timeout=1) == [1, [2, [3]]]
    assert nested.completed_count() == 3


def test_values_may_be_handed_to_a_callback(stage: Stage) -> None:
    several = ResultSet(give(stage, 1, 2))
    stage.work()
    told: list[Any] = []
    assert several.join(callback=lambda id, value: told.append((id, value))) == []
    assert told == [(several[0].id, 1), (several[1].id, 2)]
    told.clear()
    several.join_native(on_message=told.append)
    assert [(each["status"], each["result"]) for each in told] == [("SUCCESS", 1), ("SUCCESS", 2)]


def test_a_failure_is_raised_or_takes_its_place(stage: Stage) -> None:
    several = ResultSet([*give(stage, 1), stage.app.send_task("fail", ("no",))])
    stage.work()
    for wait in (several.join, several.join_native):
        with pytest.raises(ValueError, match="no") as caught:
            wait(timeout=1)
        assert "in fail" in str(caught.value.__cause__)  # where it was raised, in the worker
        first, second = wait(timeout=1, propagate=False)
        assert (first, type(second)) == (1, ValueError)


def test_native_waiting_raises_a_failure_although_others_have_not_ended(stage: Stage) -> None:
    never = stage.app.AsyncResult("unheard-of")
    failed = stage.app.send_task("fail", ("no",))
    stage.work()
    with pytest.raises(ValueError, match="no"):
        ResultSet([never, failed]).join_native(timeout=5)
    with pytest.raises(TimeoutError, match="unheard-of has not after 5 s"):
        ResultSet([never, failed]).join(timeout=5)


def test_native_iteration_gives_each_as_it_ends(stage: Stage) -> None:
    first, second = give(stage, 1, 2)
    never = stage.app.AsyncResult("unheard-of")
    several = ResultSet([never, second, first])

    async def sleep(seconds: float) -> None:
        stage.memory.pass_time(seconds)
        stage.work_once()

    stage.memory.sleep = sleep  # type: ignore[method-assign]
    given = several.iter_native(timeout=60)
    assert [next(given)[0], next(given)[0]] == [first.id, second.id]
    with pytest.raises(TimeoutError, match="2 tasks have ended"):
        next(given)

    async def ended() -> list[Any]:
        arrived = ResultSet([first, second]).aiter_native(timeout=1)
        return [meta["result"] async for _, meta in arrived]

    assert sorted(asyncio.run(ended())) == [1, 2]


def test_nobody_waits_for_a_result_that_is_ignored(stage: Stage) -> None:
    ignored = stage.app.send_task("give", (1,), ignore_result=True)
    assert ResultSet([ignored]).get(timeout=0) == [None]
    assert stage.memory.requests[-1].operation == "send_message"


def test_large_values_are_read_from_s3_after_their_tasks_have_ended(stage: Stage) -> None:
    stage.app.conf.update(payload_bucket="bucket", result_inline_limit_bytes=10)
    several = ResultSet(give(stage, "x" * 99, "y" * 99))
    stage.work()
    stage.memory.requests.clear()
    assert several.ready()
    assert [each.operation for each in stage.memory.requests] == ["batch_get_item"]
    assert several.get(timeout=1) == ["x" * 99, "y" * 99]


def test_waiting_in_a_task_is_refused_for_many_as_for_one(stage: Stage) -> None:
    @stage.app.task(name="wait")
    def wait() -> Any:
        return ResultSet([stage.app.AsyncResult("x")]).get(timeout=0)

    result = wait.delay()
    stage.work()
    with pytest.raises(RuntimeError, match="never call"):
        result.get()


# -- large groups ---------------------------------------------------------------------------------


def test_the_results_of_a_large_group_are_made_when_they_are_asked_for(stage: Stage) -> None:
    members = derived(stage, 10**9)
    group = GroupResult("g", members)
    assert (len(group), group[5].id, group[-1].id) == (10**9, members[5].id, members[-1].id)
    assert [each.id for each in members[1:3]] == [members[1].id, members[2].id]
    assert group.as_tuple() == (("g", None), 10**9)
    assert not group.ready()
    assert looks(stage) == [100] * 8  # and no more, once one has not ended
    assert result_from_tuple([["g", None], 10**9], stage.app) == group


def test_what_lies_behind_the_window_is_looked_at_as_those_before_it_end(stage: Stage) -> None:
    size = WINDOW + 5
    members = derived(stage, size)
    sent_for(stage, members, 0, 1, WINDOW, WINDOW + 1)
    stage.work()
    stage.memory.requests.clear()
    given = GroupResult("g", members).iter_native(timeout=0)
    ended = [next(given)[0] for _ in range(4)]
    with pytest.raises(TimeoutError, match="4 tasks have ended"):
        next(given)
    assert ended == [members[place].id for place in (0, 1, WINDOW, WINDOW + 1)]
    assert looks(stage) == [100] * (WINDOW // 100) + [2, 2]


# -- groups ---------------------------------------------------------------------------------------


def test_a_group_can_be_saved_and_found_again(stage: Stage) -> None:
    group = stage.app.GroupResult("g", give(stage, 1, 2), parent=stage.app.AsyncResult("before"))
    assert stage.app.GroupResult.restore("g") is None
    group.save()
    restored = stage.app.GroupResult.restore("g")
    assert restored == group
    assert restored is not None
    assert restored.parent == group.parent
    stage.work()
    assert restored.get(timeout=1) == [1, 2]
    group.delete()
    assert stage.app.GroupResult.restore("g") is None
    group.delete()
    asyncio.run(group.asave())
    assert asyncio.run(GroupResult.arestore("g", stage.app)) == group
    asyncio.run(group.adelete())
    assert asyncio.run(GroupResult.arestore("g", stage.app)) is None


def test_a_saved_group_expires_with_its_results(stage: Stage) -> None:
    stage.app.conf.result_expires = 60
    GroupResult("g", derived(stage, 3), app=stage.app).save()
    assert GroupResult.restore("g", stage.app) == GroupResult("g", derived(stage, 3))
    stage.memory.pass_time(61)
    assert GroupResult.restore("g", stage.app) is None


def test_groups_are_known_by_their_ids_and_members(stage: Stage) -> None:
    one, two = give(stage, 1, 2)
    assert GroupResult("g", [one]) == GroupResult("g", [one])
    assert GroupResult("g", [one]) != GroupResult("g", [two])
    assert GroupResult("g", [one]) == "g"
    assert len({GroupResult("g", [one]), GroupResult("g", [one])}) == 1
    assert str(GroupResult("g", [one])) == "g(1 results)"
    assert "GroupResult: g [" in repr(GroupResult("g", [one]))
    assert GroupResult(results=[one]).id != GroupResult(results=[one]).id


def test_a_result_survives_its_way_as_plain_data(stage: Stage) -> None:
    first = stage.app.AsyncResult("first")
    chain = AsyncResult("last", stage.app, parent=GroupResult("g", [first], parent=first))
    told = chain.as_tuple()
    again = result_from_tuple(told, stage.app)
    assert (again.as_tuple(), again.root, again.parent) == (told, first, chain.parent)
    assert chain.as_list() == ["last", "g", "first"]
    assert result_from_tuple(again) is again


def test_a_result_after_a_group_without_members_is_plain_data(stage: Stage) -> None:
    empty = GroupResult("g", [], app=stage.app)
    assert AsyncResult("t", stage.app, parent=empty).as_tuple() == (("t", (("g", None), [])), None)


# -- chains: a result and those before it ---------------------------------------------------------


def test_a_chain_that_has_failed_is_not_waited_for(stage: Stage) -> None:
    first = stage.app.send_task("fail", ("no",))
    second = AsyncResult("second", stage.app, parent=first)
    third = AsyncResult("third", stage.app, parent=second)
    stage.work()
    with pytest.raises(ValueError, match="no"):
        third.get(timeout=5)
    failed: Any = third.get(timeout=5, propagate=False)
    assert isinstance(failed, ValueError)
    with pytest.raises(TimeoutError):
        third.get(timeout=1, follow_parents=False)
    group = GroupResult("g", [third], parent=first)
    with pytest.raises(ValueError, match="no"):
        group.get(timeout=5)
    assert isinstance(group.get(timeout=5, propagate=False)[0], ValueError)


def test_a_parent_that_fails_while_its_child_is_waited_for_ends_the_wait(stage: Stage) -> None:
    first, second = stage.app.send_task("give", (1,)), stage.app.send_task("fail", ("no",))
    second.parent = first
    third = AsyncResult("third", stage.app, parent=second)

    async def sleep(seconds: float) -> None:
        stage.memory.pass_time(seconds)
        stage.work_once()

    stage.memory.sleep = sleep  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="no"):
        third.get(timeout=60)
    assert looks(stage) == [3, 3, 2]  # what has succeeded is not asked for again


# -- what a task has led to -----------------------------------------------------------------------


def tree(stage: Stage) -> AsyncResult[Any]:
    """Send a task that sends two more, of which one has a callback."""

    @stage.app.task(name="parent")
    def parent() -> str:
        give = stage.app.tasks["give"]
        give.delay(1)
        give.apply_async((2,), link=stage.app.signature("give", immutable=True, args=(3,)))
        return "parent"

    result: AsyncResult[Any] = parent.delay()
    return result


def test_a_task_knows_what_it_has_sent_and_what_its_success_led_to(stage: Stage) -> None:
    result = tree(stage)
    assert result.children is None
    with pytest.raises(IncompleteStream):
        list(result.iterdeps())
    assert [each for _, each in result.iterdeps(intermediate=True)] == [result]
    stage.work()
    children: Any = AsyncResult(result.id, stage.app).children
    assert len(children) == 2
    values = [value for each, value in result.collect() if isinstance(each, AsyncResult)]
    assert values == ["parent", 1, 2, 3]
    assert result.get_leaf() == 3
    assert [parent for parent, _ in result.iterdeps()] == [None, result, result, children[1]]


def test_the_tree_of_a_task_is_a_graph(stage: Stage) -> None:
    result = tree(stage)
    stage.work()
    graph = result.graph
    assert (len(graph), result in graph, len(graph.edges())) == (4, True, 2)
    assert graph[result] == result.children
    assert next(iter(graph)) == next(iter(graph.items()))[0] == result
    written = io.StringIO()
    graph.to_dot(written)
    assert written.getvalue().count("->") == 3


def test_asynchronous_code_walks_the_tree_too(stage: Stage) -> None:
    result = tree(stage)
    stage.work()

    async def walk() -> None:
        assert len(await result.achildren() or []) == 2
        assert [value async for _, value in result.acollect()] == ["parent", 1, 2, 3]
        assert len(await result.agraph()) == 4
        assert await result.aget_leaf() == 3
        assert (await result.aready(), await result.asuccessful()) == (True, True)
        assert not await result.afailed()
        several = ResultSet([result])
        assert (await several.aready(), await several.awaiting()) == (True, False)
        assert (await several.afailed(), await several.asuccessful()) == (False, True)
        assert await several.acompleted_count() == 1
        assert await several.aget() == ["parent"]

    asyncio.run(walk())


def test_children_cost_no_request(stage: Stage) -> None:
    give(stage, 1)
    stage.work()
    alone = len(stage.memory.requests)
    stage.memory.requests.clear()
    stage.app.send_task("give", (1,), link=stage.app.signature("give"))
    stage.work()
    assert len(stage.memory.requests) == 2 * alone


def test_a_record_lists_a_hundred_children_and_says_so(stage: Stage) -> None:
    @stage.app.task(name="many")
    def many(count: int) -> None:
        for number in range(count):
            stage.app.tasks["give"].delay(number)

    hundred, more = many.delay(100), many.delay(101)
    stage.work(limit=300)
    assert len(hundred.children or []) == 100
    with pytest.raises(TrailTooLong, match="101 tasks"):
        _ = more.children


def test_a_task_without_a_trail_has_no_children(stage: Stage) -> None:
    @stage.app.task(name="quiet", trail=False)
    def quiet() -> None:
        stage.app.tasks["give"].delay(1)

    result = quiet.delay()
    stage.work()
    assert result.children == []


def test_another_attempt_has_children_of_its_own(stage: Stage) -> None:
    @stage.app.task(name="again", bind=True)
    def again(self: Any) -> None:
        stage.app.tasks["give"].delay(self.request.retries)
        if self.request.retries == 0:
            raise self.retry(countdown=0)

    result = again.delay()
    stage.work()
    assert [child.get() for child in result.children or []] == [1]


def test_eager_results_have_children_too(stage: Stage) -> None:
    result = stage.app.tasks["give"].apply((1,), link=stage.app.signature("give"))
    assert [child.get() for child in result.children or []] == [1]
    assert ResultSet([result, result]).get() == [1, 1]


# -- exceptions -----------------------------------------------------------------------------------


def test_a_stand_in_for_a_foreign_exception_survives_a_pickle() -> None:
    error = RemoteError("Broken", "far.away", 1, "two")
    again = pickle.loads(pickle.dumps(error))
    assert (again.exc_type, again.exc_module, again.args) == ("Broken", "far.away", (1, "two"))
    assert repr(again) == "<RemoteError: far.away.Broken(1, 'two')>"
