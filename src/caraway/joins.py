"""Waiting for many results at once, in their order or as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caraway import states
from caraway.core.port import iterate_now, run_now
from caraway.core.results import Seen
from caraway.core.waiting import ParentFailed, endings, seen_of_ended
from caraway.derived_results import DerivedResults
from caraway.joining import refuse_inside_a_task
from caraway.lean import dataclass
from caraway.result_base import ResultBase

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from caraway.async_result import AsyncResult
    from caraway.core.port import Aws

_IGNORED = Seen(states.SUCCESS)
"""What is to be seen of a task whose result is ignored: nobody waits for it."""


@dataclass(frozen=True)
class _Member:
    """A task among those that are waited for, however deep it lies in sets of sets."""

    place: int
    result: AsyncResult[Any]
    before: Sequence[str] = ()

    @property
    def id(self) -> str:
        return self.result.id


class Joins(ResultBase):
    """Results that are waited for together; each look asks for all that have not ended."""

    supports_native_join = True

    _results: Any

    @property
    def results(self) -> Sequence[Any]:
        """The results, in order."""
        members: Sequence[Any] = self._results
        return members

    def _tasks(self) -> Iterator[AsyncResult[Any]]:
        for each in self.results:
            if isinstance(each, Joins):
                yield from each._tasks()  # noqa: SLF001 - one family
            else:
                yield each

    def _chained(
        self, above: Sequence[str] = ()
    ) -> Iterator[tuple[AsyncResult[Any], Sequence[str]]]:
        """Give the tasks, and for each those before it in the chains that it lies in."""
        for each in self.results:
            before = tuple(dict.fromkeys((*each._ancestors(), *above)))  # noqa: SLF001 - one family
            if isinstance(each, Joins):
                yield from each._chained(before)  # noqa: SLF001
            else:
                yield each, before

    def _listed(self) -> Iterator[AsyncResult[Any]]:
        """Give those that may know their results: derived ones are made anew each time."""
        return iter(()) if isinstance(self._results, DerivedResults) else self._tasks()

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        **options: Any,
    ) -> list[Any]:
        """Wait for all of them as :meth:`join_native` does; return their values in order."""
        return self.join_native(timeout, propagate, interval, **options)

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        **options: Any,
    ) -> list[Any]:
        """Wait as :meth:`get` does, without blocking the event loop."""
        return await self.ajoin_native(timeout, propagate, interval, **options)

    async def _value_of(self, aws: Aws, **options: Any) -> Any:
        return await self._joined(aws, in_order=False, **options)

    def join(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        **options: Any,
    ) -> list[Any]:
        """Wait for all of them; return their values in order.

        Parameters
        ----------
        timeout
            Seconds to wait for all at most; None waits for ever.
        propagate
            Raise the exception of the first, in order, that has failed; False puts it in its place.
        interval
            Seconds between looks; None looks early and then less and less often.
        callback
            Is called with each id and value, in order; the list that is returned is empty then.
        on_message
            Is called with what is known of each task that has ended, as a dict.
        on_interval
            Is called after each look after which some have not ended.
        disable_sync_subtasks
            Refuse to wait inside a task.

        Raises
        ------
        TimeoutError
            If they have not ended in time.
        BaseException
            What a task has raised, where ``propagate`` is set; also one before the group, or
            before a member, in its chain.
        """
        waiting = self._joined(self._port(), timeout, propagate, interval, in_order=True, **options)
        return run_now(waiting)

    async def ajoin(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        **options: Any,
    ) -> list[Any]:
        """Wait as :meth:`join` does, without blocking the event loop."""
        return await self._joined(
            self._aport(), timeout, propagate, interval, in_order=True, **options
        )

    def join_native(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        **options: Any,
    ) -> list[Any]:
        """Wait as :meth:`join` does, but raise, and call back, for whichever ends first."""
        waiting = self._joined(
            self._port(), timeout, propagate, interval, in_order=False, **options
        )
        return run_now(waiting)

    async def ajoin_native(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        **options: Any,
    ) -> list[Any]:
        """Wait as :meth:`join_native` does, without blocking the event loop."""
        return await self._joined(
            self._aport(), timeout, propagate, interval, in_order=False, **options
        )

    async def _joined(
        self,
        aws: Aws,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        *,
        in_order: bool,
        callback: Callable[[str, Any], object] | None = None,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        disable_sync_subtasks: bool = True,
        no_ack: bool = True,  # noqa: ARG002 - Celery's
    ) -> list[Any]:
        if disable_sync_subtasks:
            refuse_inside_a_task()
        values: dict[int, Any] = {}
        arrived = self._arrived(aws, timeout, interval, on_interval)
        try:
            async for member, seen in _in_order(arrived) if in_order else arrived:
                if on_message is not None:
                    on_message(member.result.meta_of(seen))
                value = None if seen is _IGNORED else member.result.outcome_of(seen, propagate)
                if callback is not None:
                    callback(member.id, value)
                else:
                    values[member.place] = value
        except ParentFailed as failed:
            stopped = failed.seen
        else:
            return [] if callback is not None else self._shaped(iter(sorted(values.items())))
        finally:
            await arrived.aclose()
        if propagate:
            raise stopped.result
        for place, _ in enumerate(self._tasks()):
            values.setdefault(place, stopped.result)
        return self._shaped(iter(sorted(values.items())))

    def _shaped(self, values: Iterator[tuple[int, Any]]) -> list[Any]:
        """Return the values of tasks in the shape of the sets that they lie in."""
        if isinstance(self._results, DerivedResults):
            return [value for _, value in values]
        return [
            each._shaped(values)  # noqa: SLF001 - one family
            if isinstance(each, Joins)
            else next(values)[1]
            for each in self.results
        ]

    async def _arrived(
        self,
        aws: Aws,
        timeout: float | None,
        interval: float | None,
        on_interval: Callable[[], object] | None,
    ) -> AsyncGenerator[tuple[_Member, Seen], None]:
        """Give what is seen of each task as it ends."""
        for place, task in enumerate(self._listed()):
            if task.ignored or task.known is not None:
                yield _Member(place, task), task.known or _IGNORED
        left = (
            _Member(place, task, before)
            for place, (task, before) in enumerate(self._chained())
            if not task.ignored and task.known is None
        )
        ends = endings(
            aws,
            self.app.site,
            left,
            timeout,
            interval,
            parents=self._ancestors(),
            on_interval=on_interval,
        )
        try:
            async for ended in ends:
                seen = await seen_of_ended(aws, self.app.site, ended)
                for each, now in zip(ended, seen, strict=True):
                    yield each.task, now if each.is_stopped else each.task.result.remember(now)
        finally:
            await ends.aclose()

    def iter_native(
        self,
        timeout: float | None = None,
        interval: float | None = None,
        on_interval: Callable[[], object] | None = None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give each id as its task ends, with what is known of it: status, result, traceback."""
        return iterate_now(self._metas(self._port(), timeout, interval, on_interval))

    def aiter_native(
        self,
        timeout: float | None = None,
        interval: float | None = None,
        on_interval: Callable[[], object] | None = None,
    ) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        """Give them as :meth:`iter_native` does, without blocking the event loop."""
        return self._metas(self._aport(), timeout, interval, on_interval)

    async def _metas(
        self,
        aws: Aws,
        timeout: float | None,
        interval: float | None,
        on_interval: Callable[[], object] | None,
    ) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        refuse_inside_a_task()
        arrived = self._arrived(aws, timeout, interval, on_interval)
        try:
            async for member, seen in arrived:
                yield member.id, member.result.meta_of(seen)
        finally:
            await arrived.aclose()

    def maybe_throw(
        self, callback: Callable[[str, Any], object] | None = None, propagate: bool = True
    ) -> None:
        """Raise the exception of the first that has failed, without waiting."""
        for each in self.results:
            each.maybe_throw(callback=callback, propagate=propagate)

    maybe_reraise = maybe_throw


async def _in_order(
    arrived: AsyncGenerator[tuple[_Member, Seen], None],
) -> AsyncGenerator[tuple[_Member, Seen], None]:
    early: dict[int, tuple[_Member, Seen]] = {}
    following = 0
    async for each in arrived:
        early[each[0].place] = each
        while following in early:
            yield early.pop(following)
            following += 1
