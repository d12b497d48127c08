"""Canvases on their way: their ids are decided, and the calls they begin with are sent or run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

from caraway.batches import Ahead, Departure, collecting, give_up, send_departures
from caraway.calls import departures_alike
from caraway.canvas import Canvas
from caraway.core.context import current
from caraway.core.ids import new_id
from caraway.core.lots import lots_in_turn
from caraway.core.message import digest_of
from caraway.core.outcomes import all_done
from caraway.core.publish import AT_A_TIME
from caraway.core.trail import of_group, of_step
from caraway.core.workflow import (
    NOWHERE,
    Call,
    Group,
    Place,
    Steps,
    decided,
    heads,
)
from caraway.eager_result import stopped_by
from caraway.freezing import Freezing
from caraway.result import AsyncResult, DerivedResults, EagerResult, GroupResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from caraway.base import AppBase
    from caraway.core.port import Aws
    from caraway.requests.base import Json
    from caraway.signatures import Signature

    Placed: TypeAlias = tuple[Call[Signature[Any]], Place]
    Workflow: TypeAlias = Steps[Signature[Any]]
    Make: TypeAlias = Callable[[Call[Signature[Any]], Any, Any, bool], AsyncResult[Any]]


def send_workflow(app: AppBase, canvas: Signature[Any]) -> Any:
    """Send what a canvas begins with; returns when that is durable."""
    memory = _memory_of(canvas)
    if app.conf.task_always_eager and memory is None:
        return run_workflow(app, canvas, None)
    aws, site = (app.aws, app.site) if memory is None else (memory, app.eager_site)
    outline = Outline(app, canvas)
    batch = None if memory is not None else collecting(app)
    with Ahead(aws, site) as ahead:
        for calls in lots_in_turn(outline.calls(), AT_A_TIME):
            if batch is not None:
                batch.make_room()
            several = departures(app, calls, aws.now)
            if batch is None or not batch.put(several):
                ahead.send(several)
    return outline.sent()


async def asend_workflow(app: AppBase, canvas: Signature[Any]) -> Any:
    """Send what a canvas begins with, from asynchronous code."""
    memory = _memory_of(canvas)
    if app.conf.task_always_eager and memory is None:
        return run_workflow(app, canvas, None)
    aws, site = (app.aio, app.site) if memory is None else (memory, app.eager_site)
    outline = Outline(app, canvas)
    batch = None if memory is not None else collecting(app)
    for calls in lots_in_turn(outline.calls(), AT_A_TIME):
        if batch is not None:
            await batch.amake_room()
        several = departures(app, calls, aws.now)
        if batch is None or not batch.put(several):
            all_done(await send_departures(aws, site, several))
    return outline.sent()


def _memory_of(canvas: Signature[Any]) -> Aws | None:
    """Return the account in memory where what is added to the chord of an eager task is run."""
    context = current.get()
    return None if canvas.place is NOWHERE or context is None else context.port


def run_workflow(app: AppBase, canvas: Signature[Any], throw: bool | None) -> Any:
    """Run all of a canvas in this process, through the executor."""
    from caraway import eager  # here: a producer needs no executor

    now, outline = datetime.now(timezone.utc), Outline(app, canvas, streamed=False)
    several = departures(app, outline.calls(), lambda: now)
    all_done([each.end() for each in several])
    memory, errors = eager.run(app, [each.outgoing for each in several], now)

    def ran(
        call: Call[Signature[Any]], parent: Any, above: Any, _is_taken: bool
    ) -> AsyncResult[Any]:
        id, stopped = call.id or "", stopped_by(parent) or stopped_by(above)
        error = errors.get(id)
        return EagerResult(id, app, call.what.task, memory, error, parent=parent, stopped=stopped)

    result = outline.result(ran)
    if errors and (app.conf.task_eager_propagates if throw is None else throw):
        raise next(iter(errors.values()))
    return result


def freeze(app: AppBase, signature: Signature[Any], id: str | None) -> Any:
    """Decide the ids of a signature, in place; returns the result that it will have."""
    outline = Outline(app, signature, id, streamed=False)
    Freezing().keep(signature, outline.steps)
    return outline.result()


class Outline:
    """A canvas whose ids are decided.

    Parameters
    ----------
    id
        That of its end; None: the one it names itself, or a new one.
    streamed
        Let a generator run while its tasks are sent; False: now.
    """

    def __init__(
        self,
        app: AppBase,
        canvas: Signature[Any],
        id: str | None = None,
        *,
        streamed: bool = True,
    ) -> None:
        self._app = app
        self._place = canvas.place
        canvas = canvas if streamed else canvas.part()
        self.steps: Workflow = decided(canvas.steps(), id or self._place.added or _new_id(canvas))
        self._generated: _Noted | None = None
        first = self.steps[0] if len(self.steps) == 1 else None
        if isinstance(first, Group) and not isinstance(first.members, Sequence):
            self._generated = _Noted(app, first.id or "", first.members)
            self.steps = (replace(first, members=self._generated),)

    def calls(self) -> Iterator[Placed]:
        """Give the calls that it begins with."""
        return heads(self.steps, self._place, call_as_json)

    def sent(self) -> Any:
        """Return its result, and note it as a child of the task that has sent it.

        None where it has no steps: an empty chain.
        """
        if not self.steps:
            return None
        context = current.get()
        running = context.running() if context is not None else None
        if running is not None:
            id, noted = self.steps[-1].id or "", self._generated
            running.trail.add(
                of_step(self.steps[-1]) if noted is None else of_group(id, len(noted))
            )
        return self.result()

    def result(self, make: Make | None = None) -> Any:
        """Return its result.

        ``make`` makes that of a call from its parent, the result before the group that it lies in,
        and whether something takes its value.
        """
        if self._generated is not None:
            return GroupResult(self.steps[0].id, self._generated.results(), app=self._app)
        return _result(self._app, self.steps, make or _maker(self._app))


def _maker(app: AppBase) -> Make:
    def sent(
        call: Call[Signature[Any]], parent: Any, _above: Any, is_taken: bool
    ) -> AsyncResult[Any]:
        ignored = not is_taken and _leaves_nothing(app, call.what)
        return AsyncResult(call.id or "", app, call.what.task, parent=parent, ignored=ignored)

    return sent


def _leaves_nothing(app: AppBase, signature: Signature[Any]) -> bool:
    """Say whether a task whose value nobody takes ends without a record: nobody can wait for it."""
    task, options = app.tasks.get(signature.task), signature.options
    if task is None or not task.idempotent or options.get("link"):
        return False
    ignored = options.get("ignore_result")
    return bool(task.ignore_result if ignored is None else ignored)


def _result(
    app: AppBase, steps: Workflow, make: Make, above: Any = None, *, is_taken: bool = False
) -> Any:
    """Return the result of the last step; each has the one before it as its parent."""
    parent: Any = None
    for place, step in enumerate(steps, start=1):
        taken = is_taken or place < len(steps)
        if isinstance(step, Call):
            parent = make(step, parent, above, taken)
        else:
            before = parent or above
            members = [_result(app, each, make, before, is_taken=taken) for each in step.members]
            parent = GroupResult(step.id, members, app=app, parent=parent)
        if place == 1:
            parent.above = above
    return parent


class _Noted:
    """The members of a generated group, of which those that are one plain task leave no trace."""

    def __init__(self, app: AppBase, id: str, members: Iterable[Workflow]) -> None:
        self._app, self._id, self._members = app, id, iter(members)
        self._size = 0
        self._others: dict[int, Any] = {}

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Workflow]:
        for member in self._members:
            if not self._derives(member):
                self._others[self._size] = _result(self._app, member, _maker(self._app))
            self._size += 1
            yield member

    def _derives(self, member: Workflow) -> bool:
        """Say whether a member's result is no more than an id, which follows from the group's."""
        first = member[0]
        return (
            len(member) == 1
            and isinstance(first, Call)
            and first.what.id is None  # it names none: the one that it has now is derived
            and not _leaves_nothing(self._app, first.what)
        )

    def results(self) -> Any:
        """Return the results of the members so far: derived ones are no objects yet."""
        derived = DerivedResults(self._app, self._id, self._size)
        if not self._others:
            return derived
        return [self._others.get(place, each) for place, each in enumerate(derived)]


def _new_id(canvas: Signature[Any]) -> str:
    """Return the id of the end of a canvas; inside a task it derives from the task's."""
    context = current.get()
    if context is None or context.running() is None:
        return new_id()
    generated = isinstance(canvas, Canvas) and canvas.is_generated
    return context.child_id(digest_of(canvas.task, [] if generated else [canvas.to_dict()], {}))


def call_as_json(call: Call[Signature[Any]]) -> Json:
    """Return a call as a JSON signature with its id."""
    return call.what.clone(call.prepended, task_id=call.id).to_dict()


def departures(
    app: AppBase, calls: Iterable[Placed], now: Callable[[], datetime]
) -> list[Departure]:
    """Describe calls that are sent together, each inside its middleware.

    Each is described before the next one is asked for: what gives them may have one signature that
    it changes for each, and may take its time.
    """
    described: list[Departure] = []
    try:
        for (task, options), several in groupby(calls, key=_what_is_called):
            made = (
                (call.what.whole_args(call.prepended), {**call.what.kwargs}, call.id, place)
                for call, place in several
            )
            for each in departures_alike(app, app.tasks.get(task, task), options, made, now):
                described.append(each)  # noqa: PERF402 - those before one that fails are given up
    except BaseException as error:
        give_up(described, error)
        raise
    return described


def _what_is_called(placed: Placed) -> tuple[str, Mapping[str, Any]]:
    signature = placed[0].what
    return signature.task, signature.copied_options()
