"""Chords that grow: a running member adds tasks to the chord that it is a member of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caraway.core.group_tree import ADDED_LIMIT
from caraway.core.workflow import Group, Place
from caraway.exceptions import InvalidOption
from caraway.workflows import freeze

if TYPE_CHECKING:
    from caraway.core.context import Context
    from caraway.signatures import Signature


def added_to(request: Context, canvas: Signature[Any]) -> Signature[Any]:
    """Return a canvas with its ids and its place in the chord of a running task.

    Raises
    ------
    InvalidOption
        If the task is no member of a chord, or not the last one of its chain, has added too many,
        or the canvas has no task at its end.
    """
    if request.chord is None:
        raise InvalidOption(f"{request.task} is not member of any chord, so it can add to none")
    if request.chain:
        raise InvalidOption(
            f"{request.task} is not the last task of its chain: what counts in the chord is that "
            "one, which may add to it"
        )
    if len(request.added) >= ADDED_LIMIT:
        raise InvalidOption(f"{request.task} has added {ADDED_LIMIT:,} tasks, the limit of a place")
    whole = canvas.part().clone()
    freeze(whole.app, whole, None)
    last = whole.steps()[-1:]
    if not last or isinstance(last[0], Group):
        raise InvalidOption(
            f"{whole!r:.200} has no task at its end, whose value could be the member's: add a "
            "group's tasks one by one"
        )
    place = Place((), request.group, request.group_index, request.chord, last[0].id)
    whole.place = place
    return whole
