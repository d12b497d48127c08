"""Workflows as data: steps one after another, each a call or a group of workflows.

A chain is its steps, a group is one step, and a chord is a group with a step after it. The same
model serves signatures (what a producer holds) and their JSON (what a message carries): ``T`` is
what a call is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from caraway.core.canvas_options import (
    given,
    options_of,
    options_of_chain,
    options_of_chord,
    options_of_group,
)
from caraway.core.ids import derived_id, member_id
from caraway.lean import dataclass

if TYPE_CHECKING:
    from typing import TypeGuard

    from caraway.core.message import Message
    from caraway.requests.base import Json

T = TypeVar("T")

CHAIN: Final = "chain"
GROUP: Final = "group"
CHORD: Final = "chord"


@dataclass(frozen=True)
class Call(Generic[T]):
    """One task to call.

    Attributes
    ----------
    id
        The task's id, None until :func:`decided`.
    prepended
        Arguments that come before its own.
    """

    what: T
    id: str | None = None
    prepended: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Group(Generic[T]):
    """Workflows that run side by side; its value is the list of theirs, in order.

    Attributes
    ----------
    members
        May be a generator, which is consumed once, while the members are sent.
    """

    members: Iterable[Steps[T]]
    id: str | None = None


Steps: TypeAlias = "tuple[Call[T] | Group[T], ...]"


@dataclass(frozen=True)
class Values:
    """The results of a group, as an argument: they are read when the task runs."""

    group: str
    size: int

    def to_json(self) -> dict[str, Json]:
        """Return it as a message carries it."""
        return {"group": self.group, "size": self.size}


@dataclass(frozen=True)
class Place:
    """Where a call stands in its workflow: what follows when it ends.

    Attributes
    ----------
    chain
        The steps after it, as JSON signatures.
    group, group_index
        The group that the workflow is a member of, and its number there.
    chord
        What happens when the group is complete: ``size`` (members), ``then`` (steps) and ``up``
        (the place that these steps, or the group itself, have in an outer one). None when nobody
        waits for the group.
    added
        The id by which a member has added it to its own place at run time; None for a member.
    """

    chain: tuple[Json, ...] = ()
    group: str | None = None
    group_index: int | None = None
    chord: Mapping[str, Json] | None = None
    added: str | None = None

    @classmethod
    def of(cls, message: Message) -> Place:
        """Return the place of a message's task."""
        return cls(message.chain, message.group, message.group_index, message.chord, message.added)

    @classmethod
    def read(cls, up: Mapping[str, Json]) -> Place:
        """Return a place that a chord's ``up`` describes."""
        return cls((), up.get("group"), up.get("group_index"), up.get("chord"), up.get("added"))

    @property
    def up(self) -> dict[str, Json]:
        """The place without its chain, as JSON."""
        named = {
            "group": self.group,
            "group_index": self.group_index,
            "chord": self.chord,
            "added": self.added,
        }
        return {name: value for name, value in named.items() if value is not None}


NOWHERE: Final = Place()
"""The place of a call that is part of no workflow."""


def decided(steps: Steps[T], id: str) -> Steps[T]:
    """Return steps with an id for each; ``id`` is the last one's, from which the others derive.

    An id that a call or a group has already stays.
    """
    last = len(steps) - 1
    if not last:  # a group's member, of which there may be very many
        return (_decided(steps[0], steps[0].id or id),)
    return tuple(
        _decided(step, step.id or (id if place == last else derived_id("step", place, id)))
        for place, step in enumerate(steps)
    )


def _decided(step: Call[T] | Group[T], id: str) -> Call[T] | Group[T]:
    if isinstance(step, Call):
        return Call(step.what, id, step.prepended)
    members = (decided(steps, member_id(id, index)) for index, steps in enumerate(step.members))
    return Group(list(members) if isinstance(step.members, Sequence) else members, id)


def heads(
    steps: Steps[T], place: Place, to_json: Callable[[Call[T]], Json]
) -> Iterator[tuple[Call[T], Place]]:
    """Give the calls that a workflow begins with, and the place of each.

    Nothing is given for a group without members and without steps after it. ``to_json`` gives the
    JSON signature of a call. A group whose members are generated is consumed as the calls are.
    """
    if not steps:
        return
    first, rest = steps[0], steps[1:]
    if isinstance(first, Call):
        chain = steps_to_json(rest, to_json)
        yield first, replace(place, chain=(*chain, *place.chain)) if chain else place
        return
    members: Iterable[Steps[T]] = first.members
    chord: Mapping[str, Json] | None = None
    if rest or place.chain or place.chord is not None:
        several = members = list(members)
        then = [*steps_to_json(rest, to_json), *place.chain]
        if not several:
            yield from heads(prepended(rest, []), place, to_json)
            return
        chord = {"size": len(several), "then": then, "up": place.up}
    for index, member in enumerate(members):
        within = Place((), first.id, index, chord)
        if len(member) == 1 and isinstance(member[0], Call):  # as nearly always
            yield member[0], within
        else:
            yield from heads(member, within, to_json)


def prepended(steps: Steps[T], *values: Any) -> Steps[T]:
    """Return steps whose first calls take values before their own arguments."""
    if not steps:
        return steps
    first = steps[0]
    if isinstance(first, Call):
        return (replace(first, prepended=(*values, *first.prepended)), *steps[1:])
    members = (prepended(member, *values) for member in first.members)
    several = list(members) if isinstance(first.members, Sequence) else members
    return (replace(first, members=several), *steps[1:])


def told(steps: Steps[T], given: Callable[[T], T]) -> Steps[T]:
    """Return the steps of a chain whose errbacks ``given`` adds to a call.

    They are those of each of its tasks, but for the members of a group with a step after it: that
    step, the body of a chord, hears of what fails there, as in Celery.
    """
    last = len(steps) - 1
    changed: list[Call[T] | Group[T]] = []
    for place, step in enumerate(steps):
        if isinstance(step, Call):
            changed.append(replace(step, what=given(step.what)))
        elif place < last:
            changed.append(step)
        else:
            members = (told(member, given) for member in step.members)
            several = list(members) if isinstance(step.members, Sequence) else members
            changed.append(replace(step, members=several))
    return tuple(changed)


def calls_of(steps: Steps[T]) -> Iterator[T]:
    """Give what all calls of a workflow are."""
    for step in steps:
        if isinstance(step, Call):
            yield step.what
        else:
            for member in step.members:
                yield from calls_of(member)


def flattened(members: Iterable[Steps[T]]) -> Iterator[Steps[T]]:
    """Give the members of a group; those of a group that is a member itself are its own.

    A member that calls nothing is none: nobody could say that it has ended.
    """
    for member in members:
        first = member[0] if len(member) == 1 else None
        if isinstance(first, Group):
            yield from flattened(first.members)
        elif isinstance(first, Call) or any(map(_calls, member)):
            yield member


def _calls(step: Call[T] | Group[T]) -> bool:
    return isinstance(step, Call) or bool(step.members)


def is_group(steps: Steps[T]) -> TypeGuard[tuple[Group[T]]]:
    """Say whether a workflow is a group and nothing else."""
    return len(steps) == 1 and isinstance(steps[0], Group)


# -- as JSON ---------------------------------------------------------------------------------------


def steps_of(wire: Json) -> Steps[Json]:
    """Return the steps of a signature as JSON: of a call, a chain, a group or a chord."""
    read = _READERS.get(wire.get("subtask_type"))
    if read is None:
        return (Call(wire, options_of(wire).get("task_id")),)
    return read(wire, wire.get("kwargs") or {}, options_of(wire))


def _steps_of_chain(wire: Json, kwargs: Json, options: Mapping[str, Json]) -> Steps[Json]:
    tasks = list(kwargs.get("tasks") or ())
    if tasks:
        everywhere, at_the_end, first = options_of_chain(options)
        tasks = [given(task, everywhere) for task in tasks]
        tasks[0] = given(tasks[0], first)
        tasks[-1] = given(tasks[-1], at_the_end)
    errbacks = {"link_error": options["link_error"]} if options.get("link_error") else {}
    return _begun_with(told(all_steps_of(tasks), lambda call: given(call, errbacks)), wire)


def _steps_of_group(wire: Json, kwargs: Json, options: Mapping[str, Json]) -> Steps[Json]:
    first, own = options_of_group(options)
    tasks = [
        given(task, own if place else {**own, **first})
        for place, task in enumerate(kwargs.get("tasks") or ())
    ]
    return _begun_with(_group_of(tasks, options.get("task_id")), wire)


def _steps_of_chord(wire: Json, kwargs: Json, options: Mapping[str, Json]) -> Steps[Json]:
    of_body, own = options_of_chord(options)
    header, body = kwargs.get("header") or (), kwargs.get("body")
    if isinstance(header, dict):
        group = steps_of(given(header, own))
        if not is_group(group):
            group = (Group([group]),)
    else:
        group = _group_of(given(task, own) for task in header)
    group = _begun_with(group, wire)
    return (*group, *steps_of(given(body, of_body))) if body else group


_READERS: Final[Mapping[Json, Callable[..., Steps[Json]]]] = {
    CHAIN: _steps_of_chain,
    GROUP: _steps_of_group,
    CHORD: _steps_of_chord,
}
"""What reads a canvas, by its ``subtask_type``; None is a call."""


def _group_of(tasks: Iterable[Json], id: str | None = None) -> Steps[Json]:
    return (Group(list(flattened(map(steps_of, tasks))), id),)


def _begun_with(steps: Steps[Json], wire: Json) -> Steps[Json]:
    """Return the steps of a canvas with its arguments, which its first calls take.

    Those of an immutable canvas take no others.
    """
    return _sealed(prepended(steps, *(wire.get("args") or ())), wire)


def all_steps_of(wires: Iterable[Json]) -> Steps[Json]:
    """Return the steps of signatures that follow one another."""
    return tuple(step for wire in wires for step in steps_of(wire))


def chain_of(message: Message) -> Steps[Json]:
    """Return the steps that come after a message's task, with their ids."""
    return decided(all_steps_of(message.chain), derived_id("chain", message.id))


def then_of(place: Place) -> Steps[Json]:
    """Return the steps that come when the group of a place is complete, with their ids."""
    assert place.chord is not None
    return decided(all_steps_of(place.chord["then"]), derived_id("then", place.group))


def _sealed(steps: Steps[Json], wire: Json) -> Steps[Json]:
    """Return the steps of a canvas: those of an immutable one begin with calls that are, too."""
    if not wire.get("immutable") or not steps:
        return steps
    first, rest = steps[0], steps[1:]
    if isinstance(first, Call):
        return (replace(first, what={**first.what, "immutable": True}), *rest)
    return (replace(first, members=[_sealed(each, wire) for each in first.members]), *rest)


def steps_to_json(steps: Steps[T], to_json: Callable[[Call[T]], Json]) -> list[Json]:
    """Return steps as JSON signatures with their ids; ``to_json`` gives that of a call."""
    return [
        to_json(step) if isinstance(step, Call) else _group_to_json(step, to_json) for step in steps
    ]


def _group_to_json(group: Group[T], to_json: Callable[[Call[T]], Json]) -> Json:
    members = [steps_to_json(member, to_json) for member in group.members]
    # A chain of one is the one.
    tasks = [
        each[0] if len(each) == 1 else canvas_to_json(CHAIN, {"tasks": each}) for each in members
    ]
    return canvas_to_json(GROUP, {"tasks": tasks}, {"task_id": group.id} if group.id else {})


def call_to_json(call: Call[Json]) -> Json:
    """Return a call of a signature as JSON with its id and all its arguments."""
    wire = given(call.what, {"task_id": call.id} if call.id else {})
    if not call.prepended or wire.get("immutable"):
        return wire
    return {**wire, "args": [*call.prepended, *(wire.get("args") or ())]}


def canvas_to_json(
    kind: str,
    kwargs: Mapping[str, Json],
    options: Mapping[str, Json] | None = None,
    *,
    args: Sequence[Json] = (),
    immutable: bool = False,
) -> Json:
    """Return a canvas as JSON, in the shape of Celery's."""
    return {
        "task": f"caraway.{kind}",
        "args": list(args),
        "kwargs": dict(kwargs),
        "options": dict(options or {}),
        "subtask_type": kind,
        "immutable": immutable,
    }
