"""What the results of tasks and of groups share: their place in a workflow, and walks along it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any

from caraway.core.port import iterate_now, run_now
from caraway.exceptions import IncompleteStream, UnknownOption
from caraway.utils.graph import DependencyGraph

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from caraway.base import AppBase
    from caraway.core.port import Aws


class ResultBase(ABC):
    """A result of a task, or of a group of them.

    Attributes
    ----------
    parent
        The result before this one in its chain; None for the first.
    above
        The result before the group that it begins a member of, which has no parent, as in Celery.
    """

    app: AppBase
    parent: ResultBase | None = None
    above: ResultBase | None = None

    id: Any

    # -- what each kind knows -----------------------------------------------------------------

    @abstractmethod
    def as_tuple(self) -> Any:
        """Return it as plain data, for :func:`caraway.result.result_from_tuple`."""

    def _parent_as_tuple(self) -> Any:
        # Not by its truth: the result of a group without members is as empty as a list.
        return None if self.parent is None else self.parent.as_tuple()

    @abstractmethod
    async def _is_ready(self, aws: Aws) -> bool:
        """Say whether all of it has ended."""

    @abstractmethod
    async def _children_of(self, aws: Aws) -> Sequence[ResultBase]:
        """Return the results of what it has sent."""

    @abstractmethod
    async def _value_of(self, aws: Aws, *args: Any, **options: Any) -> Any:
        """Wait for it as ``get`` does."""

    def _port(self) -> Aws:
        return self.app.aws

    def _aport(self) -> Aws:
        return self.app.aio

    # -- upwards ------------------------------------------------------------------------------

    @property
    def root(self) -> ResultBase:
        """The first result of its chain."""
        result: ResultBase = self
        while result.parent is not None:
            result = result.parent
        return result

    def _ancestors(self) -> list[str]:
        """Return the ids of the tasks before this one, without those of groups' members."""
        ids: list[str] = []
        result = self.parent or self.above
        while result is not None:
            ids += result._own_ids()  # noqa: SLF001 - one family
            result = result.parent or result.above
        return ids

    def _own_ids(self) -> list[str]:
        return []

    def then(self, *_args: object, **_options: object) -> None:
        """Refuse, as nothing comes to the caller's process by itself.

        Raises
        ------
        UnknownOption
            Always: it says what takes its place.
        """
        raise UnknownOption(
            "then() needs a backend that pushes results, and a record is read: give the task a "
            "callback (link=, link_error=), or call get(callback=...), which waits"
        )

    # -- downwards ----------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether it has ended; a group when all of its members have."""
        return run_now(self._is_ready(self._port()))

    async def aready(self) -> bool:
        """Say whether it has ended, from asynchronous code."""
        return await self._is_ready(self._aport())

    def iterdeps(
        self, intermediate: bool = False
    ) -> Iterator[tuple[ResultBase | None, ResultBase]]:
        """Walk down what the task has sent: gives ``(parent, result)`` pairs, itself first.

        Parameters
        ----------
        intermediate
            Go on where a task has not ended, whose children are not known yet.

        Raises
        ------
        IncompleteStream
            If one has not ended, without ``intermediate``.
        """
        return iterate_now(self._walk(self._port(), intermediate))

    def aiterdeps(
        self, intermediate: bool = False
    ) -> AsyncGenerator[tuple[ResultBase | None, ResultBase], None]:
        """Walk as :meth:`iterdeps` does, from asynchronous code."""
        return self._walk(self._aport(), intermediate)

    async def _walk(
        self, aws: Aws, intermediate: bool
    ) -> AsyncGenerator[tuple[ResultBase | None, ResultBase], None]:
        left: deque[tuple[ResultBase | None, ResultBase]] = deque([(None, self)])
        while left:
            parent, result = left.popleft()
            yield parent, result
            if await result._is_ready(aws):  # noqa: SLF001 - one family
                left.extend((result, each) for each in await result._children_of(aws))  # noqa: SLF001
            elif not intermediate:
                raise IncompleteStream(f"{result} has not ended: what it sends is not known yet")

    def collect(
        self, intermediate: bool = False, **options: Any
    ) -> Iterator[tuple[ResultBase, Any]]:
        """Wait for the task and for all that it has led to: gives ``(result, value)`` pairs.

        ``options`` are those of ``get``.
        """
        return iterate_now(self._collected(self._port(), intermediate, options))

    def acollect(
        self, intermediate: bool = False, **options: Any
    ) -> AsyncGenerator[tuple[ResultBase, Any], None]:
        """Collect as :meth:`collect` does, from asynchronous code."""
        return self._collected(self._aport(), intermediate, options)

    async def _collected(
        self, aws: Aws, intermediate: bool, options: dict[str, Any]
    ) -> AsyncGenerator[tuple[ResultBase, Any], None]:
        async for _, result in self._walk(aws, intermediate):
            yield result, await result._value_of(aws, **options)  # noqa: SLF001 - one family

    def get_leaf(self) -> Any:
        """Wait for the last of all that the task has led to; return its value."""
        value = None
        for _, value in self.collect():  # noqa: B007 - the last one counts
            pass
        return value

    async def aget_leaf(self) -> Any:
        """Return the value of the last one, from asynchronous code."""
        value = None
        async for _, value in self.acollect():  # noqa: B007 - as above
            pass
        return value

    @property
    def graph(self) -> DependencyGraph[ResultBase]:
        """What the task has led to, as a graph, so far as it is known."""
        return self.build_graph(intermediate=True)

    def build_graph(self, intermediate: bool = False) -> DependencyGraph[ResultBase]:
        """Return what the task has led to, as a graph.

        Raises
        ------
        IncompleteStream
            If something has not ended, without ``intermediate``.
        """
        graph: DependencyGraph[ResultBase] = DependencyGraph()
        for parent, result in self.iterdeps(intermediate):
            graph.add_arc(result)
            if parent is not None:
                graph.add_edge(parent, result)
        return graph

    async def agraph(self, intermediate: bool = True) -> DependencyGraph[ResultBase]:
        """Return the graph, from asynchronous code."""
        graph: DependencyGraph[ResultBase] = DependencyGraph()
        async for parent, result in self.aiterdeps(intermediate):
            graph.add_arc(result)
            if parent is not None:
                graph.add_edge(parent, result)
        return graph
