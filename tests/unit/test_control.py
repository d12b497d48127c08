"""``app.control`` and ``AsyncResult.revoke``: Celery's calls, over an account in memory."""

from __future__ import annotations

import asyncio

import pytest

from caraway import states
from caraway.core.revoke import Revocation
from caraway.exceptions import EndpointUnreachable, InvalidOption, TaskRevokedError, UnknownOption
from tests.stage import Stage


class Scene(Stage):
    """A stage with a task."""

    def __init__(self) -> None:
        super().__init__()
        self.add = self.app.task(name="add")(_add)


def _add(x: int, y: int) -> int:
    return x + y


@pytest.fixture
def stage() -> Scene:
    return Scene()


def test_a_result_revokes_its_task(stage: Scene) -> None:
    result = stage.add.delay(1, 2)
    answer = result.revoke()
    assert (answer.happened, result.state) == ("revoked", states.REVOKED)
    with pytest.raises(TaskRevokedError, match="revoked"):
        result.get(timeout=1)


def test_an_app_revokes_one_or_many(stage: Scene) -> None:
    one, two, three = (stage.add.delay(1, number) for number in range(3))
    assert stage.app.control.revoke(one.id) == [Revocation(one.id, "revoked", "REVOKED")]
    answers = stage.app.control.terminate([two.id, three.id], signal="SIGKILL", reply=True)
    assert [each.id for each in answers] == [two.id, three.id]


def test_both_can_be_awaited(stage: Scene) -> None:
    one, two = stage.add.delay(1, 2), stage.add.delay(3, 4)

    async def scene() -> list[Revocation]:
        return [await one.arevoke(terminate=True), *await stage.app.control.arevoke(two.id)]

    assert [each.happened for each in asyncio.run(scene())] == ["revoked", "revoked"]


def test_the_first_failure_is_raised_when_all_have_been_asked_for(stage: Scene) -> None:
    one, two = stage.add.delay(1, 2), stage.add.delay(3, 4)
    stage.memory.fate = lambda request: "fail" if getattr(request, "id", "") == one.id else "ok"
    with pytest.raises(EndpointUnreachable):
        stage.app.control.revoke([one.id, two.id])
    assert stage.record(two.id).state == states.REVOKED


def test_what_a_call_has_no_meaning_for_is_refused_with_a_sentence(stage: Scene) -> None:
    control, result = stage.app.control, stage.add.delay(1, 2)
    with pytest.raises(UnknownOption, match="'destination' has no meaning here"):
        control.revoke(result.id, destination=["w1@here"])  # type: ignore[arg-type]
    with pytest.raises(UnknownOption, match="did you mean 'terminate'"):
        control.revoke(result.id, terminat=True)
    with pytest.raises(UnknownOption, match="takes no connection"):
        result.revoke(connection=object())  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="did you mean 'SIGTERM'"):
        result.revoke(terminate=True, signal="SIGTREM")
    assert result.state == states.PENDING


@pytest.mark.parametrize("name", ["ping", "inspect", "rate_limit", "shutdown"])
def test_what_only_a_broadcast_could_do_says_what_takes_its_place(stage: Scene, name: str) -> None:
    with pytest.raises(AttributeError, match=rf"app.control.{name} has no meaning here: "):
        getattr(stage.app.control, name)()


def test_a_misspelt_method_is_answered_with_the_nearest(stage: Scene) -> None:
    with pytest.raises(AttributeError, match="did you mean 'revoke'"):
        _ = stage.app.control.revok
