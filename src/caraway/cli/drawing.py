"""A workflow as a tree of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from caraway import states
from caraway.cli.workflow_text import NEVER, state_of_line, words_of
from caraway.core.workflow_tree import Left, Many, Task, ids_of
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caraway.core.workflow_tree import Line, Node, Tree

FEW: Final = 10
"""Members of a group that are drawn one by one; of more, so many that did not go well."""
HERE: Final = "<- this one"


@dataclass(frozen=True)
class Strokes:
    """What a tree is drawn with."""

    branch: str
    last: str
    past: str
    blank: str = "   "


UNICODE: Final = Strokes("├─ ", "└─ ", "│  ")
ASCII: Final = Strokes("+- ", "`- ", "|  ")


@dataclass(frozen=True)
class Entry:
    """A line of text, and what lies below it."""

    label: str
    below: tuple[Entry, ...] = ()

    def lines(self, strokes: Strokes) -> Iterator[str]:
        """Give it as lines."""
        yield self.label
        for place, entry in enumerate(self.below):
            is_last = place == len(self.below) - 1
            first, *others = entry.lines(strokes)
            yield (strokes.last if is_last else strokes.branch) + first
            yield from ((strokes.blank if is_last else strokes.past) + line for line in others)


def drawn(tree: Tree, *, every: bool = False, strokes: Strokes = UNICODE) -> str:
    """Return a workflow as text, a line a node.

    Parameters
    ----------
    every
        Draw each member of each group; otherwise a large one's are summed up, and those that did
        not go well are drawn.
    """
    drawing = _Drawing(tree.asked, every)
    lines = list(drawing.line(tree.top).lines(strokes))
    if tree.lost_root:
        lines.insert(0, f"(it begins with {tree.lost_root}, of which there is no record)")
    if tree.aside:
        lines += ["", "(sent by a task of it that has not ended, or does not list it)"]
        lines += drawing.line(tree.aside).lines(strokes)
    return "\n".join(lines)


@dataclass(frozen=True)
class _Drawing:
    asked: str
    every: bool

    def line(self, line: Line, mark: str = "") -> Entry:
        if len(line) == 1:
            return self._node(line[0], None, mark)
        label = f"{mark}{_kind_of(line)}  {_styled(state_of_line(line))}"
        pairs = zip(line, (None, *line), strict=False)
        return Entry(label, tuple(self._node(node, before) for node, before in pairs))

    def _node(self, node: Node, before: Node | None, mark: str = "") -> Entry:
        words = words_of(node, before)
        parts = [mark + words.name, _styled(words.state), *words.details]
        if isinstance(node, Left):
            return Entry("  ".join(parts))
        parts.append(click.style(node.id, dim=True))
        if node.id == self.asked:
            parts.append(click.style(HERE, bold=True))
        below = node.sent if isinstance(node, Task) else ()
        entries = [self.line(line) for line in below]
        if isinstance(node, Many):
            entries += self._members(node)
        return Entry("  ".join(parts), tuple(entries))

    def _members(self, group: Many) -> Iterator[Entry]:
        members, hidden = shown_members(group, self.asked, every=self.every)
        for index, line in members:
            yield self.line(line, f"[{index}] ")
        if hidden:
            yield Entry(f"... {hidden:,} of these did not go well, too: --all shows them")


def _kind_of(line: Line) -> str:
    if len(line) == 2 and isinstance(line[0], Many) and isinstance(line[1], Task):
        return "chord"
    return f"chain of {sum(node.count if isinstance(node, Left) else 1 for node in line):,}"


def shown_members(group: Many, asked: str, *, every: bool) -> tuple[list[tuple[int, Line]], int]:
    """Return the members of a group that are drawn, and how many like them are not."""
    members = list(enumerate(group.members))
    if every or len(members) <= FEW:
        return members, 0
    bad = [each for each in members if state_of_line(each[1]) in states.PROPAGATE_STATES]
    chosen = bad[:FEW]
    chosen += [each for each in members if each not in chosen and asked in set(ids_of(each[1]))]
    return sorted(chosen, key=lambda each: each[0]), len(bad) - len(bad[:FEW])


def _styled(state: str) -> str:
    if any(bad in state for bad in states.PROPAGATE_STATES) or state.startswith(NEVER):
        return click.style(state, fg="red")
    return click.style(state, fg="green" if state == states.SUCCESS else "yellow")
