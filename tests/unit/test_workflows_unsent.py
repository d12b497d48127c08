"""Calls of a workflow that cannot be sent, and bodies that wait in vain: nothing waits for ever."""

from __future__ import annotations

from typing import Any

import pytest

from caraway import Queue, Signature, chain, chord, group
from caraway.exceptions import (
    ChordError,
    ImproperlyConfigured,
    NotReplayable,
    QueueNotFound,
    Reject,
)
from caraway.result import AsyncResult
from tests.yard import Yard


def _lost(signature: Signature[Any]) -> Signature[Any]:
    """Return a signature for a queue that no worker knows."""
    return signature.set(queue="nowhere")


@pytest.mark.parametrize("copies", [1, 3])
def test_a_next_step_that_cannot_be_sent_has_failed(copies: int) -> None:
    yard = Yard(copies=copies)
    last = yard.ident.s().on_error(yard.told.s())
    result = (yard.ident.s(1) | _lost(yard.ident.s()).on_error(yard.told.s()) | last).delay()
    yard.work()
    with pytest.raises(QueueNotFound, match="nowhere"):
        result.get(timeout=1)
    assert result.parent.parent.get(timeout=1) == 1
    assert [run[0] for run in yard.runs] == ["ident", "told"]
    assert yard.runs[-1] == ("told", result.parent.id)


@pytest.mark.parametrize("copies", [1, 3])
def test_a_step_of_a_member_that_cannot_be_sent_fails_the_body(copies: int) -> None:
    yard = Yard(copies=copies)
    body = yard.total.s().on_error(yard.told.s())
    result = chord([yard.ident.s(1) | _lost(yard.ident.s()), yard.ident.s(2)], body).delay()
    yard.work()
    with pytest.raises(ChordError, match=r"raised QueueNotFound\(.*nowhere"):
        result.get(timeout=1)
    assert (yard.ran("total"), yard.ran("told")) == (0, 1)


def test_a_body_that_cannot_be_sent_has_failed_and_so_has_the_chord_around_it() -> None:
    yard = Yard()
    inner = chord([yard.ident.s(1)], _lost(yard.total.s()))
    result = chord([inner, yard.ident.s(2)], yard.total.s()).delay()
    yard.work()
    with pytest.raises(ChordError, match="nowhere"):
        result.get(timeout=1)


def test_a_body_that_cannot_be_sent_fails_with_its_chord_all_the_same() -> None:
    yard = Yard()
    inner = chord([yard.fail.s("no")], _lost(yard.total.s()))
    result = chord([inner, yard.ident.s(2)], yard.total.s()).delay()
    yard.work()
    with pytest.raises(ChordError, match=r"raised ChordError.*ValueError\('no'\)"):
        result.get(timeout=1)


def test_a_member_that_cannot_be_sent_fails_its_group_and_what_waits_for_it() -> None:
    yard = Yard()
    members = group(yard.ident.s(), _lost(yard.ident.s()))
    alone, awaited = (
        (yard.ident.s(1) | members).delay(),
        chain(yard.ident.s(1), members, yard.total.s()).delay(),
    )
    yard.work()
    with pytest.raises(QueueNotFound, match="nowhere"):
        alone.get(timeout=1)
    with pytest.raises(ChordError, match="nowhere"):
        awaited.get(timeout=1)


def test_a_step_that_is_too_large_to_send_has_failed() -> None:
    yard = Yard()

    @yard.app.task(name="much")
    def much() -> str:
        return "x" * 150_000

    result = (much.s() | yard.add.s("y" * 150_000) | yard.ident.s()).delay()
    yard.work()
    with pytest.raises(ImproperlyConfigured, match="payload_bucket"):
        result.get(timeout=1)


def test_a_callback_that_cannot_be_sent_has_failed() -> None:
    yard = Yard()
    result = yard.ident.s(1).set(link=[_lost(yard.ident.s())]).delay()
    yard.work()
    (callback,) = result.children or []
    with pytest.raises(QueueNotFound, match="nowhere"):
        callback.get(timeout=1)
    assert result.get(timeout=1) == 1


def test_what_could_not_be_sent_runs_when_the_dead_letter_of_the_task_before_is_redriven() -> None:
    yard = Yard()
    body = yard.total.s().on_error(yard.told.s())
    result = chord([yard.ident.s(1) | _lost(yard.ident.s()), yard.ident.s(2)], body).delay()
    yard.work()
    assert result.state == "FAILURE"
    yard.app.conf.update(task_queues=[Queue("default"), Queue("nowhere")])
    yard.redrive()
    yard.work()
    assert result.get(timeout=1) == 3


# -- the rest of a chain that has failed -----------------------------------------------------------


@pytest.mark.parametrize("copies", [1, 3])
def test_the_end_of_a_chain_whose_task_has_failed_has_failed_with_it(copies: int) -> None:
    yard = Yard(copies=copies)
    canvas = chain(yard.fail.s("no"), yard.ident.s(), group(yard.ident.s()), yard.total.s())
    result = canvas.on_error(yard.told.s()).delay()
    yard.work()
    end = AsyncResult(result.id, yard.app)
    assert end.state == "FAILURE"
    with pytest.raises(ValueError, match="no"):
        end.get(timeout=1)
    assert [run[0] for run in yard.runs if run[0] == "told"] == ["told"]


def test_what_comes_after_the_body_of_a_failed_chord_has_failed() -> None:
    yard = Yard()
    result = (chord([yard.fail.s("no")], yard.total.s()) | yard.ident.s()).delay()
    yard.work()
    with pytest.raises(ChordError, match="no"):
        AsyncResult(result.id, yard.app).get(timeout=1)


def test_the_rest_of_a_chain_runs_when_its_failed_task_is_redriven_and_succeeds() -> None:
    yard = Yard()
    broken = [True]

    @yard.app.task(name="sometimes")
    def sometimes() -> int:
        if broken:
            raise Reject("not yet", requeue=False)
        return 1

    result = chain(sometimes.s(), yard.add.s(1), yard.ident.s()).delay()
    yard.work()
    assert AsyncResult(result.id, yard.app).state == "FAILURE"
    broken.clear()
    yard.redrive()
    yard.work()
    assert AsyncResult(result.id, yard.app).get(timeout=1) == 2


def test_the_rest_of_a_chain_keeps_no_copies_of_a_long_error() -> None:
    yard = Yard()
    result = (yard.fail.s("x" * 10_000) | yard.ident.s()).delay()
    yard.work()
    end = AsyncResult(result.id, yard.app)
    assert (end.state, end.result) == ("FAILURE", None)
    with pytest.raises(ValueError, match="xxx"):
        result.parent.get(timeout=1)


# -- bodies that wait in vain ----------------------------------------------------------------------


def test_a_body_that_fails_itself_after_its_chord_was_mended_has_an_errback_of_its_own() -> None:
    yard = Yard(copies=2)
    broken = [True]

    @yard.app.task(name="sometimes")
    def sometimes() -> int:
        if broken:
            raise ValueError("not yet")
        return 1

    result = chord([sometimes.s()], yard.fail.s().on_error(yard.told.s())).delay()
    yard.work()
    assert (yard.ran("fail"), yard.ran("told")) == (0, 1)
    broken.clear()
    (member,) = result.parent
    member.replay()
    yard.work()
    assert (yard.ran("fail"), yard.ran("told")) == (1, 2)


def test_a_body_that_waits_in_vain_says_why_it_cannot_be_replayed() -> None:
    yard = Yard()
    result = chord([yard.fail.s("no")], yard.total.s()).delay()
    yard.work()
    with pytest.raises(NotReplayable, match=r"never ran.*Dependency .* raised ValueError\('no'\)"):
        result.replay()


# -- errbacks and callbacks that go wrong ----------------------------------------------------------


def test_an_errback_that_no_worker_knows_is_a_dead_letter_and_stops_no_failure() -> None:
    yard = Yard()
    stranger = yard.app.signature("stranger")
    body = yard.total.s().on_error(stranger).on_error(yard.told.s())
    result = chord([yard.fail.s("no").on_error(stranger), yard.ident.s(1)], body).delay()
    yard.work()
    with pytest.raises(ChordError, match=r"ValueError\('no'\)"):
        result.get(timeout=1)
    assert yard.runs[-1] == ("told", result.id)
    letters = [each.request.attributes for each in yard.aws.queues["default-dlq"]]
    assert [each["task"] for each in letters] == ["stranger", "stranger"]
    assert all("no task named 'stranger'" in each["reason"] for each in letters)


@pytest.mark.parametrize("copies", [1, 3])
def test_an_errback_that_cannot_be_sent_keeps_nobody_waiting(copies: int) -> None:
    yard = Yard(copies=copies)
    failing = yard.fail.s("no").on_error(_lost(yard.told.s())).on_error(yard.told.s())
    result = chord([failing, yard.ident.s(1)], yard.total.s()).delay()
    yard.work()
    with pytest.raises(ChordError, match=r"ValueError\('no'\)"):
        result.get(timeout=1)
    assert yard.ran("told") == 1
    assert "nowhere" in yard.aws.queues["default-dlq"][0].request.attributes["reason"]


def test_a_body_whose_errback_cannot_be_sent_fails_the_chord_around_it() -> None:
    yard = Yard()
    inner = chord([yard.fail.s("no")], yard.total.s().on_error(_lost(yard.told.s())))
    result = chord([inner, yard.ident.s(1)], yard.total.s()).delay()
    yard.work()
    with pytest.raises(ChordError, match="Dependency"):
        result.get(timeout=1)


def test_a_callback_that_fails_changes_nothing_of_the_workflow() -> None:
    yard = Yard()
    linked = yard.ident.s(1).set(link=[yard.fail.s(), _lost(yard.ident.s())])
    result = chord([linked, yard.ident.s(2)], yard.total.s()).delay()
    yard.work()
    assert result.get(timeout=1) == 3
