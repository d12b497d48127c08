"""What canvases mean, example by example, written down by hand: read this to learn the semantics.

A task ``a`` returns its name and what it was given: ``"b(a)"`` is what ``b`` makes of the value of
``a``. ``ran`` names the tasks that have run, with the times where that is not once. The oracle that
the other tests of this folder rely on must say the same as this page, and so must Caraway.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.unit.canvas.canvases import Canvas, Chain, Chord, Group, Task
from tests.unit.canvas.oracle import Told, Value, foretold
from tests.unit.canvas.stage import Stage, assert_as_foretold

if TYPE_CHECKING:
    from tests.unit.canvas.canvases import Behaviour

a, b, c, d = (Task(name) for name in "abcd")
callback, errback = Task("callback"), Task("errback")
fails, revoked, expired = Task("fails", "fails"), Task("revoked", "revoked"), Task("old", "expired")
ignored, silent, retries = (
    Task("ignored", "ignored"),
    Task("silent", "silent"),
    Task("r", "retries"),
)
closed = Task("closed", closed=True)


@dataclass(frozen=True)
class Example:
    """A canvas, and what comes out of it.

    Attributes
    ----------
    value
        What ``get`` returns.
    error
        The name of what it raises instead.
    ran
        The tasks that have run, in no order.
    states
        Those that are not SUCCESS; a task that is not named and has not run is PENDING.
    """

    canvas: Canvas
    value: Any = None
    error: str | None = None
    ran: str = ""
    states: dict[str, str] = field(default_factory=dict)


EXAMPLES: Final = {
    # -- values -----------------------------------------------------------------------------------
    "a task": Example(a, "a", ran="a"),
    "a chain hands each value to the next task": Example(Chain((a, b, c)), "c(b(a))", ran="a b c"),
    "an immutable task takes no value": Example(
        Chain((a, closed, b)), "b(closed)", ran="a closed b"
    ),
    "a chain in a chain is part of it": Example(Chain((Chain((a, b)), c)), "c(b(a))", ran="a b c"),
    "a group has the list of its values": Example(Group((a, b)), ["a", "b"], ran="a b"),
    "a group of one has a list of one": Example(Group((a,)), ["a"], ran="a"),
    "a group of none has a list of none": Example(Group(), []),
    "a group in a group is part of it": Example(
        Group((a, Group((b, c)))), ["a", "b", "c"], ran="a b c"
    ),
    "a group after a task gives its value to each": Example(
        Chain((a, Group((b, c)))), ["b(a)", "c(a)"], ran="a b c"
    ),
    "a group before a task is the header of a chord": Example(
        Chain((Group((a, b)), c)), "c([a, b])", ran="a b c"
    ),
    "a chord": Example(Chord((a, b), c), "c([a, b])", ran="a b c"),
    "a chord of one has a list of one": Example(Chord((a,), b), "b([a])", ran="a b"),
    "a chord of none runs its body": Example(Chord((), a), "a([])", ran="a"),
    "a group before a group": Example(
        Chain((Group((a, b)), Group((c, d)))), ["c([a, b])", "d([a, b])"], ran="a b c d"
    ),
    "a chord in a header": Example(Chord((Chord((a,), b), c), d), "d([b([a]), c])", ran="a b c d"),
    "a chord as a body": Example(Chord((a,), Chord((b,), c)), "c([b([a])])", ran="a b c"),
    "a group at the end of a member is one value, a list": Example(
        Chord((Chain((a, Group((b, c)))),), d), "d([[b(a), c(a)]])", ran="a b c d"
    ),
    "a task that retries gives its value once": Example(Chain((retries, a)), "a(r)", ran="r*3 a"),
    "a result that is ignored is handed on": Example(
        Chain((silent, a)), "a(silent)", ran="silent a"
    ),
    "a result that is ignored is not kept at the end": Example(
        Chain((a, silent)), None, ran="a silent"
    ),
    "a group of none is not waited for": Example(
        Chain((revoked, Group())), [], states={"revoked": "REVOKED"}
    ),
    # -- failures ---------------------------------------------------------------------------------
    "a task that fails in a chain fails those after it": Example(
        Chain((a, fails, b, c)),
        error="ValueError",
        ran="a fails",
        states={"fails": "FAILURE", "b": "FAILURE", "c": "FAILURE"},
    ),
    "a task that is revoked leaves those after it unknown": Example(
        Chain((a, revoked, b)), error="TaskRevokedError", ran="a", states={"revoked": "REVOKED"}
    ),
    "a member that fails leaves the others alone": Example(
        Group((a, fails, b)), error="ValueError", ran="a fails b", states={"fails": "FAILURE"}
    ),
    "a member that fails fails the body": Example(
        Chord((a, fails), b),
        error="ChordError",
        ran="a fails",
        states={"fails": "FAILURE", "b": "FAILURE"},
    ),
    "a failure inside a header fails the body": Example(
        Chord((Chain((fails, a)), b), c),
        error="ChordError",
        ran="fails b",
        states={"fails": "FAILURE", "a": "FAILURE", "c": "FAILURE"},
    ),
    "a body that is a chain fails": Example(
        Chord((fails,), Chain((a, b))),
        error="ChordError",
        ran="fails",
        states={"fails": "FAILURE", "a": "FAILURE", "b": "FAILURE"},
    ),
    "a body that is a group fails in each of its tasks": Example(
        Chord((fails,), Group((a, b))),
        error="ChordError",
        ran="fails",
        states={"fails": "FAILURE", "a": "FAILURE", "b": "FAILURE"},
    ),
    "a failure climbs from chord to chord": Example(
        Chord((Chord((fails,), a), b), c),
        error="ChordError",
        ran="fails b",
        states={"fails": "FAILURE", "a": "FAILURE", "c": "FAILURE"},
    ),
    "a member that is revoked fails the body": Example(
        Chord((revoked, a), b),
        error="ChordError",
        ran="a",
        states={"revoked": "REVOKED", "b": "FAILURE"},
    ),
    "a member that expires fails the body": Example(
        Chord((expired, a), b),
        error="ChordError",
        ran="a",
        states={"old": "REVOKED", "b": "FAILURE"},
    ),
    "a member that is ignored fails the body": Example(
        Chord((ignored, a), b),
        error="ChordError",
        ran="ignored a",
        states={"ignored": "IGNORED", "b": "FAILURE"},
    ),
    "a task that is ignored has no value": Example(
        ignored, None, ran="ignored", states={"ignored": "IGNORED"}
    ),
    "a task that is ignored ends its chain": Example(
        Chain((a, ignored, b)), error="ChainStopped", ran="a ignored", states={"ignored": "IGNORED"}
    ),
    # -- callbacks --------------------------------------------------------------------------------
    "a callback takes the value": Example(Task("a", link=(callback,)), "a", ran="a callback"),
    "a callback that fails is no matter of the task": Example(
        Task("a", link=(fails,)), "a", ran="a fails", states={"fails": "FAILURE"}
    ),
    "the callback of a chain is its last task's": Example(
        Chain((a, b), link=(callback,)), "b(a)", ran="a b callback"
    ),
    "the callback of a group is its first task's": Example(
        Group((a, b), link=(callback,)), ["a", "b"], ran="a b callback"
    ),
    "the callback of a chord is its body's": Example(
        Chord((a,), b, link=(callback,)), "b([a])", ran="a b callback"
    ),
    # -- errbacks ---------------------------------------------------------------------------------
    "the errback of a chain runs once, for the task that fails": Example(
        Chain((a, fails, b), link_error=(errback,)),
        error="ValueError",
        ran="a fails errback",
        states={"fails": "FAILURE", "b": "FAILURE"},
    ),
    "the errback of a chain hears of a group before a task by that task, and runs once": Example(
        Chain((Group((fails, Task("too", "fails"))), a), link_error=(errback,)),
        error="ChordError",
        ran="fails too errback",
        states={"fails": "FAILURE", "too": "FAILURE", "a": "FAILURE"},
    ),
    "the errback of a chain that ends with a group is every member's": Example(
        Chain((a, Group((fails, Task("too", "fails")))), link_error=(errback,)),
        error="ValueError",
        ran="a fails too errback*2",
        states={"fails": "FAILURE", "too": "FAILURE"},
    ),
    "the errback of a group is every member's": Example(
        Group((fails, Task("too", "fails")), link_error=(errback,)),
        error="ValueError",
        ran="fails too errback*2",
        states={"fails": "FAILURE", "too": "FAILURE"},
    ),
    "the errback of a chord is its body's, and runs once": Example(
        Chord((fails, Task("too", "fails")), a, link_error=(errback,)),
        error="ChordError",
        ran="fails too errback",
        states={"fails": "FAILURE", "too": "FAILURE", "a": "FAILURE"},
    ),
    "no errback runs for a task that is revoked": Example(
        Task("revoked", "revoked", link_error=(errback,)),
        error="TaskRevokedError",
        states={"revoked": "REVOKED"},
    ),
    "an errback may be a canvas": Example(
        Task("fails", "fails", link_error=(Chain((Group((a, b)), errback)),)),
        error="ValueError",
        ran="fails a b errback",
        states={"fails": "FAILURE"},
    ),
}


def _times(ran: str) -> Counter[str]:
    times: Counter[str] = Counter()
    for each in ran.split():
        name, _, several = each.partition("*")
        times[name] = int(several or 1)
    return times


def _told_times(told: Told) -> Counter[str]:
    times: Counter[str] = Counter()
    for (name, _), several in told.ran.items():
        times[name] += several
    return times


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_oracle_says_what_is_written_down(name: str) -> None:
    example = EXAMPLES[name]
    told = foretold(example.canvas)
    errors = set() if isinstance(told.end, Value) else set(told.end.errors)
    assert errors == ({example.error} if example.error else set())
    assert errors or told.end.shown == example.value
    assert _told_times(told) == _times(example.ran)
    assert {name: state for name, state in told.states.items() if state != "SUCCESS"} == (
        example.states
    )


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_canvas_means_what_is_written_down(name: str, copies: int) -> None:
    canvas, stage = EXAMPLES[name].canvas, Stage(copies=copies, seed=copies)
    assert_as_foretold(stage.play(canvas, stage.built(canvas)), foretold(canvas))


def test_an_errback_takes_the_id_of_the_task_that_has_failed() -> None:
    told = foretold(Chain((a, fails), link_error=(errback,)))
    assert told.ran["errback", "fails"] == 1


@pytest.mark.parametrize("does", ["returns", "retries"])
def test_a_canvas_gives_its_arguments_to_what_it_begins_with(does: Behaviour) -> None:
    canvas = Chain((Group((Task("a", does), closed)), Chord((b, c), d)))
    stage = Stage()
    seen = stage.play(canvas, stage.built(canvas), "x")
    assert seen.value == "d([b([a(x), closed]), c([a(x), closed])])"
    assert_as_foretold(seen, foretold(canvas, "x"))
