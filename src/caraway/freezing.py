"""Freezing: the ids of a workflow are written into the signatures that it is made of."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from caraway.canvas import chain, chord, group
from caraway.core.workflow import Group, Steps, flattened, is_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.signatures import Signature


class Freezing:
    """Writes ids into signatures; one that is there twice is two tasks, and so is copied."""

    def __init__(self) -> None:
        self._seen: dict[int, Signature[Any]] = {}

    def keep(self, signature: Signature[Any], steps: Steps[Signature[Any]]) -> Signature[Any]:
        """Write the ids of steps into the signature that they come from; return it."""
        if id(signature) in self._seen:
            signature = signature.clone()
        self._seen[id(signature)] = signature
        if isinstance(signature, chord):
            self._keep_chord(signature, steps)
        elif isinstance(signature, chain):
            self._keep_chain(signature, steps)
        elif isinstance(signature, group):
            self._keep_group(signature, steps)
        elif steps[-1].id is not None:
            signature.options["task_id"] = steps[-1].id
        return signature

    def _keep_chord(self, canvas: chord[Any], steps: Steps[Signature[Any]]) -> None:
        self._keep_group(canvas.header, steps[:1])
        if canvas.body is not None:
            canvas.body = self.keep(canvas.body, steps[1:])

    def _keep_chain(self, canvas: chain[Any], steps: Steps[Signature[Any]]) -> None:
        for place, task in enumerate(canvas.tasks):
            own = len(task.steps())
            canvas.tasks[place] = self.keep(task, steps[:own])
            steps = steps[own:]

    def _keep_group(self, canvas: group[Any], steps: Steps[Signature[Any]]) -> None:
        members: Iterator[Steps[Signature[Any]]] = iter(())
        for step in steps:
            assert isinstance(step, Group)
            members = iter(step.members)
            if step.id is not None:  # a group that is part of another has none
                canvas.options["task_id"] = step.id
        tasks = canvas.tasks
        for place, task in enumerate(tasks):
            tasks[place] = self._keep_member(task, members)

    def _keep_member(
        self, task: Signature[Any], members: Iterator[Steps[Signature[Any]]]
    ) -> Signature[Any]:
        """Write the ids of a group's member: it is several where it is a group, or none."""
        steps = task.steps()
        own = list(islice(members, len(list(flattened([steps])))))
        if is_group(steps):
            return self.keep(task, (Group(own),))
        return self.keep(task, own[0] if own else ())
