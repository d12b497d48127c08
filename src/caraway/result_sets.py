"""Sets of results, put together by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from caraway import states
from caraway.async_result import asked_signal
from caraway.core import results
from caraway.core.outcomes import all_done
from caraway.core.port import run_now
from caraway.core.revoke import ended, revoke_all
from caraway.current import current_app
from caraway.derived_results import DerivedResults
from caraway.joins import Joins

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence

    from caraway.base import AppBase
    from caraway.core.port import Aws
    from caraway.core.record import Record
    from caraway.core.revoke import Revocation
    from caraway.result_base import ResultBase

_SHOWN = 10


class ResultSet(Joins):
    """Results that are waited for together; each look asks for all that have not ended.

    Parameters
    ----------
    results
        Of tasks, or sets and groups of them.
    app
        The app whose records are asked; that of the first result when None.
    """

    bound_to: ClassVar[Any] = None
    """The app of ``app.ResultSet`` and ``app.GroupResult``."""
    id: Any = None

    def __init__(self, results: Iterable[ResultBase], app: AppBase | None = None) -> None:
        lazy = isinstance(results, DerivedResults)
        self._results: Any = results if lazy else list(results)
        self.app = app or self.bound_to or _app_of(self._results) or current_app()

    # -- which they are -----------------------------------------------------------------------

    @property
    def children(self) -> Sequence[Any]:
        """The results, in order."""
        return self.results

    def _own(self) -> list[Any]:
        if not isinstance(self._results, list):
            self._results = list(self._results)
        members: list[Any] = self._results
        return members

    def add(self, result: ResultBase) -> None:
        """Add a result at the end, unless it is there."""
        if result not in self.results:
            self._own().append(result)

    def remove(self, result: ResultBase | str) -> None:
        """Remove a result.

        Raises
        ------
        KeyError
            If it is not there.
        """
        try:
            self._own().remove(result)
        except ValueError:
            raise KeyError(result) from None

    def discard(self, result: ResultBase | str) -> None:
        """Remove a result if it is there."""
        if result in self.results:
            self.remove(result)

    def update(self, results: Iterable[ResultBase]) -> None:
        """Add those that are not there."""
        for result in results:
            self.add(result)

    def clear(self) -> None:
        """Remove all results."""
        self._results = []

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]

    def __eq__(self, other: object) -> bool:
        if type(other) is type(self) and isinstance(other, ResultSet):
            return bool(self._results == other._results)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        shown = ", ".join(str(each) for each in self.results[:_SHOWN])
        more = ", ..." if len(self) > _SHOWN else ""
        return f"<{type(self).__name__}: [{shown}{more}]>"

    def as_tuple(self) -> Any:
        """Return it as plain data, as that of a group without an id."""
        parent = self._parent_as_tuple()
        members = self._results
        if isinstance(members, DerivedResults):
            return (self.id, parent), members.size
        return (self.id, parent), [each.as_tuple() for each in members]

    # -- how far they are: one request for a hundred of them ----------------------------------

    async def _records(self, aws: Aws) -> AsyncGenerator[Record, None]:
        known = [task.known for task in self._listed() if task.known is not None]
        for seen in known:
            yield seen.record
        unknown = (task for task in self._tasks() if task.known is None)
        async for looked in results.look_all(aws, self.app.site, unknown):
            for _, record in looked:
                yield record

    async def _all(self, aws: Aws, holds: Callable[[Record], bool]) -> bool:
        records = self._records(aws)
        try:
            async for record in records:
                if not holds(record):
                    return False
        finally:
            await records.aclose()
        return True

    async def _is_ready(self, aws: Aws) -> bool:
        return await self._all(aws, results.is_over)

    async def _has_failed(self, aws: Aws) -> bool:
        return not await self._all(aws, lambda record: record.state != states.FAILURE)

    async def _has_succeeded(self, aws: Aws) -> bool:
        return await self._all(aws, lambda record: record.state == states.SUCCESS)

    async def _count(self, aws: Aws) -> int:
        return sum([record.state == states.SUCCESS async for record in self._records(aws)])

    def waiting(self) -> bool:
        """Whether any of them has not ended."""
        return not self.ready()

    async def awaiting(self) -> bool:
        """Say whether any of them has not ended, from asynchronous code."""
        return not await self.aready()

    def failed(self) -> bool:
        """Whether any of them has failed."""
        return run_now(self._has_failed(self._port()))

    async def afailed(self) -> bool:
        """Say whether any of them has failed, from asynchronous code."""
        return await self._has_failed(self._aport())

    def successful(self) -> bool:
        """Whether all of them have succeeded."""
        return run_now(self._has_succeeded(self._port()))

    async def asuccessful(self) -> bool:
        """Say whether all of them have succeeded, from asynchronous code."""
        return await self._has_succeeded(self._aport())

    def completed_count(self) -> int:
        """Return how many of them have succeeded."""
        return run_now(self._count(self._port()))

    async def acompleted_count(self) -> int:
        """Return how many of them have succeeded, from asynchronous code."""
        return await self._count(self._aport())

    # -- the end ------------------------------------------------------------------------------

    def forget(self) -> None:
        """Hide the results of all of them."""
        ids = [task.id for task in self._tasks()]
        run_now(results.forget_all(self._port(), self.app.site, ids))

    async def aforget(self) -> None:
        """Hide the results of all of them, from asynchronous code."""
        ids = [task.id for task in self._tasks()]
        await results.forget_all(self._aport(), self.app.site, ids)

    def revoke(
        self,
        connection: None = None,
        terminate: bool = False,
        signal: str | int | None = None,
        wait: bool = False,  # noqa: ARG002 - Celery's
        timeout: float | None = None,  # noqa: ARG002 - Celery's
    ) -> list[Revocation]:
        """Revoke all of them, those of sets within it too: those that wait do not run.

        The body of a chord fails with the first member of its header that is revoked.

        Parameters
        ----------
        terminate
            End those that run, too; otherwise a run goes on to its end, and is not retried.
        signal
            By which a child process is ended (``-P prefork``); SIGTERM when None.
        connection, wait, timeout
            Celery's. There is no connection to give, and nobody's reply to wait for: what this
            returns are the answers.

        Returns
        -------
        list[Revocation]
            What that has come to, for each task in its place.

        Raises
        ------
        InvalidOption
            If there is no such signal.
        UnknownOption
            If a connection is given.
        OperationalError
            If AWS did not do it for one of them; the others are revoked.
        """
        chosen = asked_signal(connection, terminate, signal)
        return run_now(self._revoke(self._port(), chosen))

    async def arevoke(
        self,
        connection: None = None,
        terminate: bool = False,
        signal: str | int | None = None,
        wait: bool = False,  # noqa: ARG002 - Celery's
        timeout: float | None = None,  # noqa: ARG002 - Celery's
    ) -> list[Revocation]:
        """Revoke all of them as :meth:`revoke` does, without blocking the event loop."""
        chosen = asked_signal(connection, terminate, signal)
        return await self._revoke(self._aport(), chosen)

    async def _revoke(self, aws: Aws, signal: str | None) -> list[Revocation]:
        over = {
            task.id: ended(task.id, task.known.record)
            for task in self._listed()
            if task.known is not None
        }
        ids = [task.id for task in self._tasks()]
        left = [id for id in ids if id not in over]
        over |= {
            each.id: each for each in all_done(await revoke_all(aws, self.app.site, left, signal))
        }
        return [over[id] for id in ids]

    async def _children_of(self, aws: Aws) -> Sequence[ResultBase]:  # noqa: ARG002 - known already
        return self.results


def _app_of(results: Any) -> AppBase | None:
    if isinstance(results, DerivedResults):
        return results.app
    return next((each.app for each in results), None)
