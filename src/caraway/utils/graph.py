"""A graph of what leads to what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

N = TypeVar("N")


class DependencyGraph(Generic[N]):
    """A directed graph: each node, and the nodes that it leads to, in the order of adding."""

    def __init__(self) -> None:
        self._edges: dict[N, list[N]] = {}

    def add_arc(self, node: N) -> None:
        """Add a node that leads to nothing yet."""
        self._edges.setdefault(node, [])

    def add_edge(self, source: N, target: N) -> None:
        """Add that a node leads to another one."""
        self.add_arc(target)
        self._edges.setdefault(source, []).append(target)

    def edges(self) -> list[N]:
        """Return the nodes that lead to something."""
        return [node for node, targets in self._edges.items() if targets]

    def items(self) -> Iterator[tuple[N, list[N]]]:
        """Give each node with those that it leads to."""
        return iter(self._edges.items())

    def to_dot(self, file: Any) -> None:
        """Write it in Graphviz's language to a text file."""
        lines = [f'  "{node}";' for node in self._edges]
        lines += [
            f'  "{node}" -> "{target}";'
            for node, several in self._edges.items()
            for target in several
        ]
        file.write("\n".join(["digraph dependencies {", *lines, "}"]) + "\n")

    def __getitem__(self, node: N) -> list[N]:
        return self._edges[node]

    def __contains__(self, node: object) -> bool:
        return node in self._edges

    def __iter__(self) -> Iterator[N]:
        return iter(self._edges)

    def __len__(self) -> int:
        return len(self._edges)
