"""Waiting for workflows: a wait ends when what is waited for never comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from caraway import chain, chord, group
from caraway.exceptions import (
    ChainStopped,
    Ignore,
    TaskRevokedError,
)
from caraway.requests.dynamodb import BatchGetItem
from tests.yard import Yard

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway import Signature


def ignored(yard: Yard) -> Signature[Any]:
    def ignored(_value: Any = None) -> None:
        raise Ignore

    if "ignored" not in yard.app.tasks:
        yard.app.task(name="ignored")(ignored)
    return yard.app.signature("ignored")


MEMBERS: dict[str, Callable[[Yard], Signature[Any]]] = {
    "whose first task fails": lambda y: y.fail.s("no") | y.ident.s(),
    "whose middle task fails": lambda y: y.ident.s("no") | y.fail.s() | y.ident.s() | y.ident.s(),
    "with a group at its end": lambda y: y.fail.s("no") | group(y.ident.s(), y.ident.s()),
    "with a chord at its end": lambda y: chain(y.fail.s("no"), group(y.ident.s()), y.total.s()),
    "of chains": lambda y: group(y.fail.s("no") | y.ident.s(), y.ident.s(1)),
}


@pytest.mark.parametrize("join", ["get", "join", "join_native"])
@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_whose_chain_has_failed_ends_the_wait_for_its_group(name: str, join: str) -> None:
    yard = Yard()
    result = group(yard.ident.s(1), MEMBERS[name](yard), yard.ident.s(2)).delay()
    yard.work()
    with pytest.raises(ValueError, match="no"):
        getattr(result, join)()


def test_the_error_of_a_members_chain_is_in_the_members_place_without_propagation() -> None:
    yard = Yard()
    result = group(
        yard.ident.s(1), yard.fail.s("no") | group(yard.ident.s(), yard.ident.s()), yard.ident.s(2)
    ).delay()
    yard.work()
    first, (one, other), last = result.get(propagate=False)
    assert (first, repr(one), repr(other), last) == (1, "ValueError('no')", "ValueError('no')", 2)


def test_a_member_that_was_redriven_is_seen_again() -> None:
    yard = Yard()
    broken = [True]

    @yard.app.task(name="sometimes")
    def sometimes() -> int:
        if broken:
            raise ValueError("not yet")
        return 1

    result = group(sometimes.s() | yard.ident.s(), yard.ident.s(2)).delay()
    yard.work()
    with pytest.raises(ValueError, match="not yet"):
        result.get()
    broken.clear()
    result[0].parent.replay()
    yard.work()
    assert result.get() == [1, 2]


def test_looks_for_chains_ask_for_one_task_before_each_member_at_a_time() -> None:
    yard = Yard()
    late = yard.ident.s(5).set(countdown=60)
    long = chain(*[yard.ident.si(n) for n in range(20)])
    result = group(*[long.clone() for _ in range(10)], late).delay()
    yard.work()
    before = len(yard.aws.requests)
    assert result.get() == [19] * 10 + [5]
    looks = [each for each in yard.aws.requests[before:] if isinstance(each, BatchGetItem)]
    assert [len(each.ids) for each in looks] == [11]


@pytest.mark.parametrize("grouped", [False, True])
def test_a_chain_that_is_ignored_ends_the_wait_for_what_comes_after(grouped: bool) -> None:
    yard = Yard()
    workflow = yard.ident.s(1) | ignored(yard) | yard.ident.s() | yard.ident.s()
    result = (group(workflow, yard.ident.s(1)) if grouped else workflow).delay()
    yard.work()
    with pytest.raises(ChainStopped, match="IGNORED"):
        result.get()


@pytest.mark.parametrize("grouped", [False, True])
def test_a_link_that_expires_ends_the_wait_for_what_comes_after(grouped: bool) -> None:
    yard = Yard()
    late = yard.ident.s().set(expires=yard.aws.now(), countdown=5)
    workflow = yard.ident.s(1) | late | yard.ident.s() | yard.ident.s()
    result = (group(workflow, yard.ident.s(1)) if grouped else workflow).delay()
    yard.work()
    with pytest.raises(TaskRevokedError, match="expired"):
        result.get()


@pytest.mark.parametrize("grouped", [False, True])
def test_a_link_that_is_revoked_ends_the_wait_for_what_comes_after(grouped: bool) -> None:
    yard = Yard()
    workflow = yard.ident.s(1) | yard.ident.s() | yard.ident.s() | yard.ident.s()
    result: Any = (group(workflow, yard.ident.s(1)) if grouped else workflow).delay()
    (result[0] if grouped else result).parent.parent.revoke()
    yard.work()
    with pytest.raises(TaskRevokedError, match="revoked"):
        result.get()


def test_without_propagation_an_ignored_chain_gives_why_nothing_comes() -> None:
    yard = Yard()
    result = (ignored(yard) | yard.ident.s()).delay()
    yard.work()
    assert isinstance(result.get(propagate=False), ChainStopped)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("stopper", ["fail", "ignored"])
def test_a_chain_that_is_run_in_the_callers_process_stops_there(
    stopper: str, grouped: bool
) -> None:
    yard = Yard()
    first = yard.fail.s("no") if stopper == "fail" else ignored(yard)
    workflow = first | yard.ident.s()
    result = (group(workflow, yard.ident.s(1)) if grouped else workflow).apply(throw=False)
    with pytest.raises(ValueError if stopper == "fail" else ChainStopped):
        result.get()


def test_a_generated_member_whose_chain_has_failed_ends_the_wait_for_its_group() -> None:
    yard = Yard()
    result = group(yard.fail.s(n) | yard.ident.s() for n in range(3)).delay()
    yard.work()
    with pytest.raises(ValueError, match="0"):
        result.get()


QUIET: dict[str, Callable[[Any, Yard], Signature[Any]]] = {
    "a chain": lambda quiet, y: y.ident.s(1) | quiet.s(),
    "a group": lambda quiet, y: group(quiet.s(1), y.ident.s(2)),
    "a generated group": lambda quiet, y: group(each for each in (quiet.s(1), y.ident.s(2))),
    "a body": lambda quiet, y: chord([quiet.s(1)], quiet.s()),
    "a group at the end of a chain": lambda quiet, y: y.ident.s(2) | group(quiet.s(), y.ident.s()),
}


@pytest.mark.parametrize("name", QUIET)
def test_nobody_waits_for_a_task_that_leaves_no_record(name: str) -> None:
    yard = Yard()
    quiet = yard.app.task(name="quiet", idempotent=True, ignore_result=True)(lambda x: x)
    result: Any = QUIET[name](quiet, yard).delay()
    yard.work()
    expected = [None, 2] if "group" in name else None
    assert result.get() == expected
    if name == "a body":
        assert result.parent.get() == [1]


def test_a_task_of_a_group_is_not_waited_for_when_the_chain_before_the_group_has_stopped() -> None:
    yard = Yard()
    member = group(yard.ident.s() | yard.ident.s(), group(yard.ident.s()))
    result = chain(yard.fail.s("no"), yard.ident.s(), member).delay()
    yard.work()
    for each in (result, *result, result[0].parent):
        with pytest.raises(ValueError, match="no"):
            each.get()
    assert result[1].parent is None


def test_a_group_without_members_hides_nothing_of_what_comes_before_it() -> None:
    yard = Yard()
    result = chain(yard.fail.s("no"), group([]), group(yard.ident.s(), yard.ident.s())).delay()
    yard.work()
    assert result.parent
    assert result.as_tuple()[0][1][0][1] == ((result.parent.parent.id, None), None)
    for each in (result, *result):
        with pytest.raises(ValueError, match="no"):
            each.get()
