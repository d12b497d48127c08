"""Where the canvases of the semantics suite are played: on a yard, as Caraway's."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, TypeAlias

from caraway import Caraway, Signature, chain, chord, chunks, group, xmap, xstarmap
from caraway.core.port import run_now
from caraway.exceptions import Ignore
from caraway.requests.sqs import SendMessage
from tests.unit.canvas.canvases import (
    Canvas,
    Chain,
    Group,
    Task,
    parts_of,
    tasks_of,
    without_errbacks,
)
from tests.unit.canvas.oracle import NOTHING, Told, Value, shown, value_of
from tests.yard import Yard

_LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)
_DERIVED = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_PATIENCE_S = 1.0
"""By the yard's clock, which nobody waits for."""

Runs: TypeAlias = "Counter[tuple[str, Any]]"
"""How often each task has run with which argument."""


@dataclass
class Seen:
    """What came out of a canvas that was played."""

    value: Any
    error: str | None
    ran: Runs
    states: dict[str, str]
    """Those of the tasks whose ids are known."""


class Script:
    """Canvases as signatures of an app, and what has run of them.

    Parameters
    ----------
    named
        Whether each task has its name as its id. Else ids are derived, and nobody knows them; so
        they are in errbacks, which may be those of several tasks.
    """

    def __init__(self, app: Caraway, *, named: bool) -> None:
        self.app = app
        self.named = named
        self.runs: list[tuple[str, Any]] = []
        self.stamped: list[tuple[str, dict[str, Any]]] = []
        noted, stamped = self.runs.append, self.stamped.append  # also from several threads

        @app.task(name="say", bind=True, max_retries=None, default_retry_delay=0)
        def say(self: Any, given: Any = NOTHING, *, name: str, does: str, by: Any = None) -> str:
            noted((name, shown(given)))
            stamped((name, dict(self.request.stamps or {})))
            if does == "fails":
                raise ValueError(name)
            if does == "ignored":
                raise Ignore(name)
            if does == "retries" and self.request.retries < 2:
                raise self.retry()
            if does == "gives up":
                raise self.retry(exc=ValueError(name), max_retries=1)
            if by is not None:
                raise self.replace(Signature.from_dict(by, app))
            return value_of(name, given)

        self.say = say

    @property
    def ran(self) -> Runs:
        """How often each task has run with which argument."""
        return Counter(self.runs)

    # -- from plain data to signatures ------------------------------------------------------------

    def built(self, canvas: Canvas, *, piped: bool = False) -> Signature[Any]:
        """Return a canvas as a signature; ``piped`` writes its chains with ``|``."""
        return self._built(canvas, piped, self.named)

    def _built(self, canvas: Canvas, piped: bool, named: bool) -> Signature[Any]:
        parts = [self._built(each, piped, named) for each in parts_of(canvas)]
        if isinstance(canvas, Task):
            signature: Signature[Any] = self._task(canvas, named)
        elif isinstance(canvas, Chain):
            signature = _piped(parts) if piped else chain(*parts, app=self.app)
        elif isinstance(canvas, Group):
            signature = self._chunks(canvas) if canvas.chunked else group(parts, app=self.app)
        else:
            signature = chord(parts[:-1], parts[-1], app=self.app)
        for each in canvas.link:
            signature.link(self._built(each, piped, named))
        for each in canvas.link_error:
            signature.link_error(self._built(each, piped, named=False))
        return signature

    def _chunks(self, canvas: Group) -> Signature[Any]:
        members = list(tasks_of(Group(canvas.members)))
        items = [[item] for each in members for item in each.items or ()]
        called = self.say.s(name=members[0].name, does=members[0].does)
        return self._with_options(chunks(called, items, canvas.chunked, app=self.app), members[0])

    def _task(self, task: Task, named: bool) -> Signature[Any]:
        signature: Signature[Any] = self.say.s(name=task.name, does=task.does)
        if task.by is not None:
            signature.kwargs["by"] = self._built(task.by, piped=False, named=False).to_dict()
        if task.items is not None and task.star:
            signature = xstarmap(signature, [[item] for item in task.items])
        elif task.items is not None:
            signature = xmap(signature, task.items)
        signature.set(immutable=task.closed)
        if named or task.does == "revoked":
            signature.set(task_id=task.name)
        return self._with_options(signature, task)

    @staticmethod
    def _with_options(signature: Signature[Any], task: Task) -> Signature[Any]:
        if task.does == "silent":
            signature.set(ignore_result=True)
        if task.does == "expired":
            signature.set(expires=_LONG_AGO)
        return signature


class Stage(Script):
    """A yard on which a canvas is played."""

    def __init__(self, *, named: bool = True, copies: int = 1, seed: int | None = None) -> None:
        self.yard = Yard(copies=copies, seed=seed)
        super().__init__(self.yard.app, named=named)

    def play(self, canvas: Canvas, signature: Signature[Any], *given: Any) -> Seen:
        """Send a canvas, let a worker run it, and look."""
        for task in tasks_of(canvas):
            if task.does == "revoked":
                self.app.AsyncResult(task.name).revoke()
        result = signature.delay(*given)
        self.yard.work()
        return self.look(canvas, result)

    def look(self, canvas: Canvas, result: Any) -> Seen:
        """Return what there is to be seen of a canvas."""
        names = [each.name for each in without_errbacks(canvas)] if self.named else []
        known = {name: self.app.AsyncResult(name).state for name in names}
        return Seen(*got(result), self.ran, known)

    def deliver_all_again(self) -> None:
        """Put every message that was ever sent on its queue once more, and let a worker have it."""
        sent = [each for each in self.yard.aws.requests if isinstance(each, SendMessage)]
        for each in sent:
            run_now(self.yard.aws.perform(replace(each, deduplication_id=None)))
        self.yard.work()


def _piped(steps: list[Signature[Any]]) -> Signature[Any]:
    first, *others = steps
    for each in others:
        first = first | each
    return first


def got(result: Any) -> tuple[Any, str | None]:
    """Return what a result shows: its value, or the name of its error."""
    try:
        return result.get(timeout=_PATIENCE_S), None
    except Exception as error:
        return None, type(error).__name__


def assert_as_foretold(seen: Seen, told: Told, *, eager: bool = False) -> None:
    """Compare what has come out of a canvas with what had to."""
    end = told.end
    if isinstance(end, Value) or not end.errors:
        assert seen.error is None
        assert seen.value == (end.handed if eager and isinstance(end, Value) else end.shown)
    else:
        assert seen.error in end.errors
    # An errback takes an id. Where that is derived, nobody knows it.
    vague = {name for name, given in seen.ran if _DERIVED.search(given or "")}
    assert _without_arguments(seen.ran, vague) == _without_arguments(told.ran, vague)
    if not eager:  # their records are gone
        assert seen.states == {name: told.states.get(name, "PENDING") for name in seen.states}


def _without_arguments(ran: Runs, names: set[str]) -> Runs:
    """Return runs, without the arguments of some tasks."""
    plain: Runs = Counter()
    for (name, given), times in ran.items():
        plain[name, None if name in names else given] += times
    return plain
