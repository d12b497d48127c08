"""Workflows through both doors of the deployed template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from caraway import AsyncResult, chord, group
from caraway.exceptions import ChordError, TaskRevokedError
from tests.e2e.conftest import PATIENCE_S, wait_until
from tests.e2e.corridor import aadd, add, app, fail, grows, keys, mark, replaced, same, total

if TYPE_CHECKING:
    from caraway import Signature

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("producer", "ecs_worker")]


@pytest.fixture(params=[("default", "default"), ("large", "large"), ("default", "large")])
def doors(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The queues of the odd and of the even tasks: Lambda's, the ECS worker's, and both."""
    first, second = request.param
    return first, second


@pytest.fixture
def folder() -> str:
    """Where a test's objects are."""
    return uuid4().hex


def at(signature: Signature[Any], queue: str) -> Signature[Any]:
    return signature.set(queue=queue)


def test_a_chain_runs_through_its_doors(doors: tuple[str, str]) -> None:
    odd, even = doors
    result = (at(add.s(1, 2), odd) | at(add.s(10), even) | at(add.s(100), odd)).delay()
    assert result.get(timeout=PATIENCE_S) == 113
    assert isinstance(result.parent, AsyncResult)
    assert result.parent.get(timeout=PATIENCE_S) == 13


def test_a_chord_takes_the_values_of_its_members_in_order(doors: tuple[str, str]) -> None:
    odd, even = doors
    members = [at(same.s(n), doors[n % 2]) for n in range(12)]
    result = chord(members, at(same.s(), odd) | at(total.s(), even)).delay()
    assert result.parent.get(timeout=PATIENCE_S) == list(range(12))
    assert result.get(timeout=PATIENCE_S) == 66


def test_a_chord_in_a_chord_between_tasks(doors: tuple[str, str]) -> None:
    odd, even = doors
    inner = chord([at(add.s(1), odd), at(add.s(2), even)], at(total.s(), odd))
    result = (at(add.s(1, 1), even) | group(inner, at(add.s(3), odd)) | at(total.s(), even)).delay()
    assert result.get(timeout=PATIENCE_S) == (3 + 4) + 5


def test_a_failed_member_fails_the_body_and_tells_the_errback_once(
    doors: tuple[str, str], folder: str
) -> None:
    odd, even = doors
    body = at(total.s(), odd).on_error(at(mark.si(folder), even))
    result = chord([at(same.s(1), odd), at(fail.s("x"), even)], body).delay()
    with pytest.raises(ChordError, match="Dependency"):
        result.get(timeout=PATIENCE_S)
    assert wait_until(lambda: len(keys(folder)) == 1)


def test_a_workflow_is_revoked_by_its_stamp_and_another_is_not(doors: tuple[str, str]) -> None:
    odd, even = doors
    run = uuid4().hex

    def chords(of: str) -> Any:
        members = [at(same.s(n), doors[n % 2]) for n in range(4)]
        return chord(members, at(total.s(), odd)).stamp(run=of).apply_async()

    assert chords(run).get(timeout=PATIENCE_S) == 6
    app.control.revoke_by_stamped_headers({"run": run})

    def is_known(queue: str) -> bool:
        """Say whether what begins at a door is revoked: that takes it some seconds to know."""
        result = at(same.s(1), queue).stamp(run=run).apply_async()
        try:
            result.get(timeout=PATIENCE_S)
        except TaskRevokedError:
            return True
        return False

    for queue in {odd, even}:
        assert wait_until(lambda queue=queue: is_known(queue))  # type: ignore[misc]
    with pytest.raises(ChordError, match="revoked"):
        chords(run).get(timeout=PATIENCE_S)
    assert chords("another").get(timeout=PATIENCE_S) == 6


def test_chunks_run_side_by_side_and_a_map_in_one_run(doors: tuple[str, str]) -> None:
    odd, even = doors
    pairs = [(n, n) for n in range(25)]
    parts = add.chunks(pairs, 10).group()
    for place, part in enumerate(parts.tasks):
        at(part, doors[place % 2])
    result: Any = (parts | at(same.map([1, 2]), even)).delay()
    assert result.get(timeout=PATIENCE_S) == [1, 2]
    assert result.parent.get(timeout=PATIENCE_S) == [
        [2 * n for n in range(10)],
        [2 * n for n in range(10, 20)],
        [2 * n for n in range(20, 25)],
    ]
    starmap: Any = aadd.starmap(pairs[:3])
    assert at(starmap, odd).delay().get(timeout=PATIENCE_S) == [0, 2, 4]


def test_a_chord_grows_while_it_runs(doors: tuple[str, str]) -> None:
    odd, even = doors
    members = [at(grows.s(3, even), odd), at(same.s(10), even)]
    result = chord(members, at(same.s(), odd)).delay()
    assert result.get(timeout=PATIENCE_S) == [3, 10, 2, 1, 0]


def test_what_takes_a_tasks_place_has_its_id_and_its_chain(
    doors: tuple[str, str], folder: str
) -> None:
    odd, even = doors
    first = at(replaced.s(folder, even), odd)
    result: Any = (first | at(add.s(100), even)).delay()
    assert result.get(timeout=PATIENCE_S) == 103
    assert result.parent.get(timeout=PATIENCE_S) == 3
    assert len(keys(folder)) == 1


def test_a_group_of_a_hundred_and_more(doors: tuple[str, str]) -> None:
    result = chord([at(same.s(n), doors[n % 2]) for n in range(120)], at(total.s(), doors[0]))()
    assert result.get(timeout=2 * PATIENCE_S) == 7_140
