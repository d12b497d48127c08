"""What a canvas means, after Celery's documentation: a small interpreter that runs nothing.

It is written from "Canvas: Designing Work-flows", "Calling Tasks" and "Results", with the
differences that ``docs/canvas.md`` names. It does not call Caraway.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from tests.unit.canvas.canvases import Canvas, Chain, Chord, Group, Task, tasks_of

STATES: Final = {
    "returns": "SUCCESS",
    "retries": "SUCCESS",
    "silent": "SUCCESS",
    "fails": "FAILURE",
    "gives up": "FAILURE",
    "ignored": "IGNORED",
    "revoked": "REVOKED",
    "expired": "REVOKED",
}
RUNS: Final = {"retries": 3, "gives up": 2, "revoked": 0, "expired": 0}
"""How often the function runs, where that is not once."""
ERRORS: Final = {
    "fails": "ValueError",
    "gives up": "ValueError",
    "revoked": "TaskRevokedError",
    "expired": "TaskRevokedError",
}
NOTHING: Final = object()
"""What a task is given that nobody gives a value."""


@dataclass(frozen=True)
class Value:
    """An end with a value.

    Attributes
    ----------
    handed
        What the next step takes.
    shown
        What ``get`` returns: None for a task whose result is ignored.
    """

    handed: Any
    shown: Any


@dataclass(frozen=True)
class Broken:
    """An end without a value for the next step.

    Attributes
    ----------
    errors
        ``get`` raises one of these.
    shown
        What ``get`` returns when there is none: a task was ignored.
    """

    errors: frozenset[str] = frozenset()
    shown: Any = None


End: TypeAlias = "Value | Broken"


@dataclass
class Told:
    """What comes out of a canvas.

    Attributes
    ----------
    end
        What its result shows.
    ran
        How often each task ran with which argument.
    states
        Those of the tasks of which anything is known.
    """

    end: End
    ran: Counter[tuple[str, Any]] = field(default_factory=Counter)
    states: dict[str, str] = field(default_factory=dict)


def foretold(canvas: Canvas, given: Any = NOTHING) -> Told:
    """Return what must come out of a canvas that is sent with an argument."""
    world = _World()
    # Revoked tasks are so from the start, whether their messages come or not.
    world.states |= {each.name: "REVOKED" for each in tasks_of(canvas) if each.does == "revoked"}
    end = world.run(settled(canvas), given)
    if isinstance(canvas, Task) and canvas.does == "silent":
        end = Value(canvas.name, None)  # whoever has sent it knows that nothing is to be had
    return Told(end, world.ran, world.states)


# -- shapes: what is written in several ways means one thing -------------------------------------


def settled(canvas: Canvas) -> Canvas:
    """Return a canvas in its plainest shape, with each callback at the task that it belongs to.

    A chain in a chain is part of it, and so is a group in a group; a chain of one is the one; a
    group with something after it is a chord.
    """
    link, link_error = _all(canvas.link), _all(canvas.link_error)
    if isinstance(canvas, Task):
        by = canvas.by and settled(canvas.by)
        return replace(canvas, link=link, link_error=link_error, by=by)
    if isinstance(canvas, Chord):  # its callbacks are its body's
        body = settled(_linked(canvas.body, link, link_error))
        return _chained([Group(_members(canvas.header)), body])
    if isinstance(canvas, Group):  # its callback is its first member's, its errback everybody's
        linked = [
            _linked(each, () if place else link, link_error)
            for place, each in enumerate(canvas.members)
        ]
        return Group(_members(tuple(linked)))
    *before, last = canvas.steps  # the callback of a chain is its last task's
    steps = [settled(step) for step in (*before, _linked(last, link, ()))]
    return _with_errbacks(_chained(steps), link_error)


def _with_errbacks(canvas: Canvas, link_error: tuple[Canvas, ...]) -> Canvas:
    """Give a chain errbacks: each task's, but not a group's that has a step after it."""
    if isinstance(canvas, Task):
        return _linked(canvas, (), link_error)
    if isinstance(canvas, Group):
        return Group(tuple(_with_errbacks(each, link_error) for each in canvas.members))
    assert isinstance(canvas, Chain)
    *before, last = canvas.steps
    linked = [
        each if isinstance(each, Group) else _with_errbacks(each, link_error) for each in before
    ]
    return Chain((*linked, _with_errbacks(last, link_error)))


def _all(canvases: tuple[Canvas, ...]) -> tuple[Canvas, ...]:
    return tuple(map(settled, canvases))


def _linked(canvas: Canvas, link: tuple[Canvas, ...], link_error: tuple[Canvas, ...]) -> Canvas:
    """Return a canvas with callbacks after its own."""
    return replace(canvas, link=(*canvas.link, *link), link_error=(*canvas.link_error, *link_error))


def _members(canvases: tuple[Canvas, ...]) -> tuple[Canvas, ...]:
    """Return the members of a group, with those of the groups among them in their place.

    A member that calls nothing, such as a chain of empty groups, is none.
    """
    members: list[Canvas] = []
    for each in map(settled, canvases):
        members += each.members if isinstance(each, Group) else [each]
    members = [each for each in members if next(tasks_of(each), None) is not None]
    return tuple(members)


def _chained(canvases: list[Canvas]) -> Canvas:
    steps: list[Canvas] = []
    for each in canvases:
        steps += each.steps if isinstance(each, Chain) else [each]
    return steps[0] if len(steps) == 1 else Chain(tuple(steps))


# -- running ---------------------------------------------------------------------------------


class _World:
    """Where a canvas in its plainest shape is run."""

    def __init__(self) -> None:
        self.ran: Counter[tuple[str, Any]] = Counter()
        self.states: dict[str, str] = {}

    def run(self, canvas: Canvas, given: Any) -> End:
        if isinstance(canvas, Task):
            return self._task(canvas, given)
        if isinstance(canvas, Group):
            return _together([self.run(each, given) for each in canvas.members])
        assert isinstance(canvas, Chain)  # no chord is left in the plainest shape
        return self._chain(canvas, self.run(canvas.steps[0], given))

    def _chain(self, chain: Chain, end: End) -> End:
        """Go on after the first step of a chain, to its end."""
        end = self._steps(chain, end)
        if isinstance(end, Broken) and chain.steps[-1] == Group():
            return Broken(shown=[])  # nobody waits for it: it has no task
        return end

    def _steps(self, canvas: Chain, end: End) -> End:
        for before, step in zip(canvas.steps, canvas.steps[1:], strict=False):
            if isinstance(end, Value):
                end = self.run(step, end.handed)
            elif isinstance(before, Group):  # the step is the body of a chord
                end = self.fail(step)
            else:  # the steps that are left are never sent, and show the failure before them
                left = canvas.steps[canvas.steps.index(step) :]
                if isinstance(before, Task) and self.states[before.name] == "FAILURE":
                    self._fail_with_it(left)
                return Broken((end.errors or frozenset(["ChainStopped"])) | _of_revoked(left))
        return end

    def _fail_with_it(self, steps: tuple[Canvas, ...]) -> None:
        """Fail the tasks that come after one that has failed; their errbacks are not called."""
        for step in steps:
            if isinstance(step, Task):
                self.states.setdefault(step.name, "FAILURE")

    def _task(self, task: Task, given: Any) -> End:
        given = NOTHING if task.closed else given
        self._count(task, given)
        self.states[task.name] = STATES[task.does]
        if self.states[task.name] != "SUCCESS":
            return self._broken(task, ERRORS.get(task.does))
        if task.by is not None:
            return self._replaced(task, task.by)
        return self._succeeded(task, _returned(task, given))

    def _count(self, task: Task, given: Any) -> None:
        """Note how often the function of a task runs; a map stops at the first item that fails."""
        runs = RUNS.get(task.does, 1)
        fails = STATES[task.does] != "SUCCESS"
        items = (given,) if task.items is None else task.items[:1] if fails else task.items
        for item in items if runs else ():
            self.ran[task.name, shown(item)] += runs

    def _replaced(self, task: Task, by: Canvas) -> End:
        """End a task as the last of what takes its place; a group's values are gathered there."""
        end = self.run(by, NOTHING)
        if isinstance(end, Value):
            return self._succeeded(task, end.handed)
        last = by.steps[-1] if isinstance(by, Chain) else by
        assert isinstance(last, Task | Group)
        if isinstance(last, Group) or last.name not in self.states:  # nothing is said of it
            return self.fail(task)
        self.states[task.name] = self.states[last.name]
        self._broken(task, None)
        return end

    def _succeeded(self, task: Task, value: Any) -> End:
        for callback in task.link:
            self.run(callback, value)
        # What a callback takes is kept, whatever ignore_result says.
        return Value(value, None if task.does == "silent" and not task.link else value)

    def _broken(self, task: Task, error: str | None) -> End:
        if self.states[task.name] == "FAILURE":
            for errback in task.link_error:
                self.run(errback, task.name)
        return Broken(frozenset() if error is None else frozenset([error]))

    def fail(self, canvas: Canvas) -> End:
        """Fail a canvas that waits for a chord's header, a member of which has no value."""
        if isinstance(canvas, Group):
            ends = [self.fail(each) for each in canvas.members]
            return _together(ends) if ends else Broken(shown=[])
        if isinstance(canvas, Chain):
            return self._chain(canvas, self.fail(canvas.steps[0]))
        assert isinstance(canvas, Task)
        if canvas.does == "revoked":
            self.states[canvas.name] = "REVOKED"
            return self._broken(canvas, "TaskRevokedError")
        self.states[canvas.name] = "FAILURE"
        return self._broken(canvas, "ChordError")


def _of_revoked(canvases: tuple[Canvas, ...]) -> frozenset[str]:
    return frozenset(
        "TaskRevokedError"
        for canvas in canvases
        for task in tasks_of(canvas)
        if task.does == "revoked"
    )


def _together(ends: list[End]) -> End:
    """Return the end of a group."""
    show = [end.shown for end in ends]
    broken = [end for end in ends if isinstance(end, Broken)]
    if broken:
        return Broken(frozenset().union(*(end.errors for end in broken)), show)
    return Value([end.handed for end in ends if isinstance(end, Value)], show)


def _returned(task: Task, given: Any) -> Any:
    """Return the value of a task; that of a map is the list of its calls' values."""
    if task.items is None:
        return value_of(task.name, given)
    return [value_of(task.name, item) for item in task.items]


def value_of(name: str, given: Any) -> str:
    """Return what a task returns that was given something."""
    return name if given is NOTHING else f"{name}({shown(given)})"


def shown(given: Any) -> str | None:
    """Return a value as text; None stands for none."""
    if given is NOTHING:
        return None
    if isinstance(given, list):
        return f"[{', '.join(str(shown(each)) for each in given)}]"
    return str(given)
