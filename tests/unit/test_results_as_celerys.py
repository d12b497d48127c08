"""Results answer as Celery's do: each value here was seen with Celery 5.7, on its memory broker.

Where a result of Caraway answers otherwise, on purpose, both answers stand side by side.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from caraway import chain, chord, group
from caraway.result import AsyncResult, GroupResult, ResultSet, result_from_tuple
from tests.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def made() -> SimpleNamespace:
    """Return the results of tasks and workflows that have ended."""
    stage = Stage("sums")
    task = stage.app.task

    @task(name="add")
    def add(x: Any, y: Any = 0) -> Any:
        return x + y

    @task(name="fail")
    def fail(x: Any) -> Any:
        raise ValueError(x)

    @task(name="none")
    def none() -> None: ...

    @task(name="total")
    def total(values: list[Any]) -> Any:
        return sum(values)

    results = SimpleNamespace(
        app=stage.app,
        good=add.delay(1, 2),
        bad=fail.delay("no"),
        none=none.delay(),
        chain=chain(add.s(1, 1), add.s(1), add.s(1)).apply_async(),
        group=group(add.s(i, i) for i in range(4)).apply_async(),
        mixed=group(add.s(1, 1), fail.s("bad"), add.s(2, 2)).apply_async(),
        chord=chord([add.s(1, 1), add.s(2, 2)])(total.s()),
        failed_chord=chord([add.s(1, 1), fail.s("z")])(total.s()),
        failed_chain=chain(fail.s("q"), add.s(1)).apply_async(),
        empty=group([]).apply_async(),
        unknown=AsyncResult("nope", app=stage.app),
        eager=add.apply((1, 2)),
        eager_bad=fail.apply(("e",)),
    )
    stage.work()
    return results


def _saved(r: SimpleNamespace) -> Any:
    r.group.save()
    restored: Any = GroupResult.restore(r.group.id, app=r.app)
    values = restored.join(timeout=1)
    r.group.delete()
    return restored == r.group, values, GroupResult.restore(r.group.id, app=r.app)


def _set(r: SimpleNamespace) -> Any:
    results = ResultSet([r.good])
    results.add(r.none)
    results.add(r.good)
    sizes = [len(results)]
    values = results.get(timeout=1)
    results.remove(r.none)
    results.discard("nobody")
    sizes.append(len(results))
    results.update([r.none, r.good])
    sizes.append(len(results))
    results.clear()
    sizes.append(len(results))
    return sizes, values, (results.ready(), results.successful(), results.get(timeout=1))


def _called_back(r: SimpleNamespace) -> Any:
    told: list[Any] = []
    return r.good.get(timeout=1, callback=lambda id, value: told.append((id, value))), len(told)


SAME: dict[str, tuple[Callable[[SimpleNamespace], Any], str]] = {
    "value": (lambda r: (r.good.state, r.good.get(timeout=1), r.good.info), "('SUCCESS', 3, 3)"),
    "place": (lambda r: (r.good.children, r.good.parent, r.good.ignored), "([], None, False)"),
    "data": (lambda r: result_from_tuple(r.good.as_tuple(), r.app) == r.good, "True"),
    "text": (lambda r: (repr(r.good) == f"<AsyncResult: {r.good.id}>", r.good == r.good.id),
        "(True, True)"),
    "throw": (lambda r: r.good.maybe_throw(), "3"),
    "callback": (_called_back, "(3, 1)"),
    "none": (lambda r: (r.none.get(timeout=1), r.none.state), "(None, 'SUCCESS')"),
    "failure": (lambda r: r.bad.get(timeout=1), "raises ValueError: no"),
    "failure as value": (lambda r: (r.bad.get(timeout=1, propagate=False), r.bad.info),
        "(ValueError('no'), ValueError('no'))"),
    "failure told": (lambda r: (r.bad.failed(), r.bad.successful(), r.bad.ready()),
        "(True, False, True)"),
    "failure thrown": (lambda r: r.bad.maybe_throw(), "raises ValueError: no"),
    "traceback": (lambda r: "ValueError: no" in r.bad.traceback, "True"),
    "chain": (lambda r: (r.chain.get(timeout=1), len(r.chain.as_list())), "(4, 3)"),
    "parents": (lambda r: (r.chain.parent.get(timeout=1), r.chain.parent.parent.parent),
        "(3, None)"),
    "collect": (lambda r: [v for _, v in r.chain.parent.parent.collect()], "[2, 3, 4]"),
    "graph": (lambda r: (len(list(r.chain.parent.parent.graph)), r.chain.parent.parent.get_leaf()),
        "(3, 4)"),
    "group": (lambda r: (r.group.get(timeout=1), r.group.join(timeout=1)),
        "([0, 2, 4, 6], [0, 2, 4, 6])"),
    "group told": (
        lambda r: (r.group.ready(), r.group.successful(), r.group.failed(), r.group.waiting()),
        "(True, True, False, False)"),
    "group counted": (lambda r: (r.group.completed_count(), len(r.group), r.group[1].get()),
        "(4, 4, 2)"),
    "iter_native": (lambda r: sorted((m["status"], m["result"]) for _, m in r.group.iter_native()),
        "[('SUCCESS', 0), ('SUCCESS', 2), ('SUCCESS', 4), ('SUCCESS', 6)]"),
    "saved": (_saved, "(True, [0, 2, 4, 6], None)"),
    "mixed": (lambda r: r.mixed.get(timeout=1), "raises ValueError: bad"),
    "mixed as values": (lambda r: r.mixed.join(timeout=1, propagate=False),
        "[2, ValueError('bad'), 4]"),
    "mixed told": (lambda r: (r.mixed.ready(), r.mixed.failed(), r.mixed.completed_count()),
        "(True, True, 2)"),
    "mixed thrown": (lambda r: r.mixed.maybe_throw(), "raises ValueError: bad"),
    "set": (_set, "([2, 1, 2, 0], [3, None], (True, True, []))"),
    "chord": (lambda r: (r.chord.get(timeout=1), r.chord.parent.get(timeout=1)), "(6, [2, 4])"),
    "failed chord": (lambda r: r.failed_chord.state, "'FAILURE'"),
    "failed chain": (lambda r: r.failed_chain.get(timeout=1), "raises ValueError: q"),
    "failed chain's end": (lambda r: AsyncResult(r.failed_chain.id, app=r.app).state, "'FAILURE'"),
    "unknown": (lambda r: (r.unknown.state, r.unknown.info), "('PENDING', None)"),
    "empty": (lambda r: (r.empty.get(timeout=1), r.empty.ready(), r.empty.completed_count()),
        "([], True, 0)"),
    "eager": (lambda r: (r.eager.get(), r.eager.state, r.eager.ready()), "(3, 'SUCCESS', True)"),
    "eager failure": (lambda r: r.eager_bad.get(), "raises ValueError: e"),
    "eager failure as value": (lambda r: (r.eager_bad.get(propagate=False), r.eager_bad.state),
        "(ValueError('e'), 'FAILURE')"),
}  # fmt: skip
OTHERWISE: dict[str, tuple[Callable[[SimpleNamespace], Any], str, str]] = {
    # Celery's documentation has the ChordError, its memory backend raises what the member has.
    "failed chord": (lambda r: r.failed_chord.get(timeout=1), "raises ValueError: z",
        "raises ChordError: Dependency"),
    "timeout": (lambda r: r.unknown.get(timeout=0),
        "raises TimeoutError: The operation timed out.", "raises TimeoutError: task nope is"),
    "no children of an eager task": (lambda r: r.eager.children, "None", "[]"),
    "retries without result_extended": (lambda r: r.good.retries, "None", "0"),
    "removing what is not there": (lambda r: ResultSet([r.good]).remove("xx"),
        "raises KeyError: <AsyncResult: xx>", "raises KeyError: 'xx'"),
}  # fmt: skip


def _answer(ask: Callable[[SimpleNamespace], Any], made: SimpleNamespace) -> str:
    try:
        return repr(ask(made))
    except Exception as error:  # it is the answer
        return f"raises {type(error).__name__}: {error}"


@pytest.mark.parametrize("name", SAME)
def test_a_result_answers_as_celerys(made: SimpleNamespace, name: str) -> None:
    ask, celerys = SAME[name]
    assert _answer(ask, made) == celerys


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_a_result_answers_otherwise(made: SimpleNamespace, name: str) -> None:
    ask, celerys, ours = OTHERWISE[name]
    assert _answer(ask, made).startswith(ours)
    assert not celerys.startswith(ours)
