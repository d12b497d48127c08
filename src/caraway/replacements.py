"""What takes the place of a running task in its workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from caraway.core.context import Replacement
from caraway.core.ids import derived_id
from caraway.core.workflow import Call, Group, Steps, calls_of, decided, steps_to_json
from caraway.exceptions import InvalidOption
from caraway.signatures import Signature
from caraway.workflows import call_as_json

if TYPE_CHECKING:
    from caraway.base import AppBase
    from caraway.core.context import Context

ACCUMULATE: Final = "caraway.accumulate"
"""The task that comes after a group that takes the place of a task."""


def replacement_of(app: AppBase, canvas: Signature[Any], request: Context) -> Replacement:
    """Return what takes the place of a running task, with ids that derive from its attempt.

    Raises
    ------
    InvalidOption
        If it has no tasks.
    """
    steps: Steps[Signature[Any]] = canvas.part().steps()
    if not steps:
        raise InvalidOption(f"{request.task} cannot be replaced with a chain without tasks")
    if isinstance(steps[-1], Group):
        home = {"queue": request.delivery_info["queue"]}
        steps = (*steps, Call(Signature[Any](ACCUMULATE, options=home, app=app)))
    steps = decided(steps, derived_id("replaced", request.id, request.attempt))
    called = (app.tasks.get(each.task) for each in calls_of(steps))
    sensitive = any(task is not None and bool(task.sensitive) for task in called)
    return Replacement(steps_to_json(steps, call_as_json), sensitive)
