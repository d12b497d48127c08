"""Canvases as the semantics suite writes them: plain data, which knows nothing of Caraway.

A task has a name, and its value shows what it was given: ``a`` with the values of two others in a
list returns ``"a([b, c])"``. So the value of a canvas tells how it was put together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

Behaviour: TypeAlias = Literal[
    "returns", "retries", "silent", "fails", "gives up", "ignored", "revoked", "expired"
]
"""What a task does: it returns, at once, at the third attempt or with ``ignore_result``; it fails,
at once or at its second and last attempt; it asks to be ignored; it was revoked before it began, or
began after its ``expires``."""


@dataclass(frozen=True)
class Task:
    """A task; one that is closed is an immutable signature, and takes no value.

    Attributes
    ----------
    items
        It is a map of the task over these, in one run; a starmap where ``star`` is set.
    by
        What it lets take its place.
    """

    name: str
    does: Behaviour = "returns"
    closed: bool = False
    link: tuple[Canvas, ...] = ()
    link_error: tuple[Canvas, ...] = ()
    items: tuple[str, ...] | None = None
    star: bool = False
    by: Canvas | None = None


@dataclass(frozen=True)
class Chain:
    """Canvases one after another."""

    steps: tuple[Canvas, ...]
    link: tuple[Canvas, ...] = ()
    link_error: tuple[Canvas, ...] = ()


@dataclass(frozen=True)
class Group:
    """Canvases side by side.

    Attributes
    ----------
    chunked
        It is written as chunks of so many items: the members are starmaps of one task.
    """

    members: tuple[Canvas, ...] = ()
    link: tuple[Canvas, ...] = ()
    link_error: tuple[Canvas, ...] = ()
    chunked: int = 0


@dataclass(frozen=True)
class Chord:
    """Canvases side by side, and one after them."""

    header: tuple[Canvas, ...]
    body: Canvas
    link: tuple[Canvas, ...] = ()
    link_error: tuple[Canvas, ...] = ()


Canvas: TypeAlias = "Task | Chain | Group | Chord"


@dataclass
class Names:
    """Gives each task of a canvas a name of its own: a, b, c, ..."""

    given: int = field(default=0)

    def task(self, does: Behaviour = "returns") -> Task:
        """Return the next task."""
        self.given += 1
        return Task(f"t{self.given}", does)


def parts_of(canvas: Canvas) -> tuple[Canvas, ...]:
    """Return what a canvas consists of, without its callbacks."""
    if isinstance(canvas, Task):
        return ()
    if isinstance(canvas, Chain):
        return canvas.steps
    if isinstance(canvas, Group):
        return canvas.members
    return (*canvas.header, canvas.body)


def tasks_of(canvas: Canvas) -> Iterator[Task]:
    """Give all tasks of a canvas, those of its callbacks and of replacements included."""
    if isinstance(canvas, Task):
        yield canvas
        if canvas.by is not None:
            yield from tasks_of(canvas.by)
    for each in (*parts_of(canvas), *canvas.link, *canvas.link_error):
        yield from tasks_of(each)


def without_errbacks(canvas: Canvas) -> Iterator[Task]:
    """Give the tasks of a canvas and of its callbacks: no errbacks, and no replacements."""
    if isinstance(canvas, Task):
        yield canvas
    for each in (*parts_of(canvas), *canvas.link):
        yield from without_errbacks(each)


def changed(canvas: Canvas, change: Callable[[Task], Task]) -> Canvas:
    """Return a canvas with each of its tasks changed, those of its callbacks included."""

    def all_of(several: tuple[Canvas, ...]) -> tuple[Canvas, ...]:
        return tuple(changed(each, change) for each in several)

    linked = replace(canvas, link=all_of(canvas.link), link_error=all_of(canvas.link_error))
    if isinstance(linked, Task):
        return change(replace(linked, by=linked.by and changed(linked.by, change)))
    if isinstance(linked, Chain):
        return replace(linked, steps=all_of(linked.steps))
    if isinstance(linked, Group):
        return replace(linked, members=all_of(linked.members))
    return replace(linked, header=all_of(linked.header), body=changed(linked.body, change))
