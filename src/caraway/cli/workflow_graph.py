"""A workflow as a graph, for other programs: Mermaid, Graphviz (DOT) and JSON."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from caraway import states
from caraway.cli.drawing import shown_members
from caraway.cli.workflow_text import counted, error_of, state_of, words_of
from caraway.core.workflow_tree import Left, Many, Task
from caraway.lean import dataclass

if TYPE_CHECKING:
    from caraway.core.workflow_tree import Line, Node, Tree

_COLORS: Final = {"good": "#c8e6c9", "bad": "#ffcdd2", "busy": "#fff9c4", "waiting": "#eeeeee"}


@dataclass(frozen=True)
class Vertex:
    """A node of a graph: lines of text, and what kind of state it is in."""

    name: str
    lines: tuple[str, ...]
    kind: str


@dataclass
class Graph:
    """Vertices, and edges: from what to what, and whether it was sent by it, beside the steps."""

    vertices: list[Vertex] = field(default_factory=list)
    edges: list[tuple[str, str, bool]] = field(default_factory=list)

    def add(self, lines: tuple[str, ...], kind: str) -> str:
        """Add a vertex; returns its name."""
        vertex = Vertex(f"n{len(self.vertices)}", lines, kind)
        self.vertices.append(vertex)
        return vertex.name


def graph_of(tree: Tree, *, every: bool = False) -> Graph:
    """Return a workflow as a graph; ``every`` member of a group, or those that tell something."""
    graph = Graph()
    for line in (tree.top, tree.aside):
        _add_line(graph, line, tree.asked, every=every)
    return graph


def _add_line(graph: Graph, line: Line, asked: str, *, every: bool) -> tuple[list[str], list[str]]:
    """Add steps; returns the vertices that they begin and end with."""
    first: list[str] = []
    last: list[str] = []
    before: Node | None = None
    for place, node in enumerate(line):
        begins, ends = _add_node(graph, node, before, asked, every=every)
        graph.edges += [(one, other, False) for one in last for other in begins]
        first = first if place else begins
        before, last = node, ends
    return first, last


def _add_node(
    graph: Graph, node: Node, before: Node | None, asked: str, *, every: bool
) -> tuple[list[str], list[str]]:
    words = words_of(node, before)
    lines = tuple(part for part in (words.name, words.state, *words.details) if part)
    if isinstance(node, Many):
        members, _ = shown_members(node, asked, every=every)
        if len(members) == node.size:
            ways = [_add_line(graph, line, asked, every=every) for _, line in members]
            return [v for begins, _ in ways for v in begins], [v for _, ends in ways for v in ends]
        name = graph.add(lines, _kind(node))
        _add_sent(graph, name, [line for _, line in members], asked, every=every)
        return [name], [name]
    name = graph.add(lines, _kind(node))
    if isinstance(node, Task):
        _add_sent(graph, name, list(node.sent), asked, every=every)
    return [name], [name]


def _add_sent(graph: Graph, name: str, sent: list[Line], asked: str, *, every: bool) -> None:
    for line in sent:
        begins, _ = _add_line(graph, line, asked, every=every)
        graph.edges += [(name, other, True) for other in begins]


def _kind(node: Node) -> str:
    state = state_of(node)
    if state == states.SUCCESS:
        return "good"
    if state in states.PROPAGATE_STATES:
        return "bad"
    return "waiting" if state == "waiting" else "busy"


def as_mermaid(graph: Graph) -> str:
    """Return a graph as a Mermaid flowchart; a dotted edge leads to what a task has sent."""
    lines = ["flowchart TD"]
    for each in graph.vertices:
        label = "<br/>".join(_for_mermaid(line) for line in each.lines)
        lines.append(f'    {each.name}["{label}"]:::{each.kind}')
    lines += [f"    {one} {'-.->' if sent else '-->'} {two}" for one, two, sent in graph.edges]
    lines += [f"    classDef {kind} fill:{color}" for kind, color in _COLORS.items()]
    return "\n".join(lines)


def _for_mermaid(text: str) -> str:
    """Return text as a label shows it: Mermaid writes characters as ``#number;``."""
    return "".join(c if c.isalnum() or c in " .,:_-" else f"#{ord(c)};" for c in text)


def as_dot(graph: Graph) -> str:
    """Return a graph in Graphviz's language; a dashed edge leads to what a task has sent."""
    lines = ["digraph workflow {", "  node [shape=box, style=filled];"]
    for each in graph.vertices:
        label = "\\n".join(_for_dot(line) for line in each.lines)
        lines.append(f'  {each.name} [label="{label}", fillcolor="{_COLORS[each.kind]}"];')
    for one, two, sent in graph.edges:
        lines.append(f"  {one} -> {two}{' [style=dashed]' if sent else ''};")
    return "\n".join([*lines, "}"])


def _for_dot(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


# -- JSON ------------------------------------------------------------------------------------------


def as_json(tree: Tree) -> dict[str, Any]:
    """Return a workflow as JSON data, with each member; times are ISO 8601 in UTC."""
    return {
        "id": tree.asked,
        "steps": _steps(tree.top),
        **({"aside": _steps(tree.aside)} if tree.aside else {}),
        **({"lost_root": tree.lost_root} if tree.lost_root else {}),
    }


def _steps(line: Line) -> list[dict[str, Any]]:
    return [_node(node) for node in line]


def _node(node: Node) -> dict[str, Any]:
    if isinstance(node, Left):
        return {"kind": "steps", "count": node.count}
    if isinstance(node, Many):
        return {
            "kind": "group",
            "id": node.id,
            "size": node.size,
            "state": state_of(node),
            "counts": counted(node),
            "members": [_steps(line) for line in node.members],
        }
    record = node.record
    told: dict[str, Any] = {
        "kind": "task",
        "id": node.id,
        "task": node.name,
        "state": state_of(node),
    }
    if record is not None:
        told |= {
            "attempts": record.attempts,
            "due": _time(record.due_at),
            "started": _time(record.started_at),
            "ended": _time(record.done_at),
            "error": error_of(record),
        }
    if node.sent:
        told["sent"] = [_steps(line) for line in node.sent]
    if node.unlisted:
        told["unlisted"] = node.unlisted
    return told


def _time(moment: float | None) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
