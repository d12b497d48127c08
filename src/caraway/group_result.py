"""The results of groups, which can be saved and found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caraway.async_result import AsyncResult
from caraway.core import saved_groups
from caraway.core.ids import new_id
from caraway.core.port import run_now
from caraway.current import current_app
from caraway.derived_results import DerivedResults
from caraway.exceptions import UnknownOption
from caraway.result_base import ResultBase
from caraway.result_sets import ResultSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

    from caraway.base import AppBase
    from caraway.requests.base import Json


class GroupResult(ResultSet):
    """The results of a group's members.

    Parameters
    ----------
    id
        The group's id; a new one when None.
    results
        Those of its members, in order; :class:`DerivedResults` of a large group.
    parent
        The result before the group in its chain.
    """

    def __init__(
        self,
        id: str | None = None,
        results: Iterable[ResultBase] = (),
        parent: ResultBase | None = None,
        app: AppBase | None = None,
    ) -> None:
        super().__init__(results or (), app)
        self.id = id or new_id()
        self.parent = parent

    def save(self, backend: None = None) -> None:
        """Keep what the group consists of, so that :meth:`restore` finds it by the group's id.

        Raises
        ------
        UnknownOption
            If a backend is given, which is Celery's: an app keeps its groups in its own table.
        """
        _refuse(backend)
        run_now(saved_groups.save(self._port(), self.app.site, self.id, self.as_tuple()))

    async def asave(self, backend: None = None) -> None:
        """Keep what the group consists of, from asynchronous code."""
        _refuse(backend)
        await saved_groups.save(self._aport(), self.app.site, self.id, self.as_tuple())

    @classmethod
    def restore(cls, id: str, app: AppBase | None = None, *, backend: None = None) -> Self | None:
        """Return the result of a group that was saved, None when there is none."""
        _refuse(backend)
        app = app or cls.bound_to or current_app()
        return cls._restored(run_now(saved_groups.restore(app.aws, app.site, id)), app)

    @classmethod
    async def arestore(
        cls, id: str, app: AppBase | None = None, *, backend: None = None
    ) -> Self | None:
        """Return the result of a group that was saved, from asynchronous code."""
        _refuse(backend)
        app = app or cls.bound_to or current_app()
        return cls._restored(await saved_groups.restore(app.aio, app.site, id), app)

    @classmethod
    def _restored(cls, data: Json, app: AppBase) -> Self | None:
        restored: Any = None if data is None else result_from_tuple(data, app)
        group: Self | None = restored
        return group

    def delete(self, backend: None = None) -> None:
        """Undo :meth:`save`; the members' results stay."""
        _refuse(backend)
        run_now(saved_groups.delete(self._port(), self.app.site, self.id))

    async def adelete(self, backend: None = None) -> None:
        """Undo :meth:`save`, from asynchronous code."""
        _refuse(backend)
        await saved_groups.delete(self._aport(), self.app.site, self.id)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return bool(self.id == other.id and self._results == other._results)
        return self.id == other if isinstance(other, str) else NotImplemented

    def __bool__(self) -> bool:
        """Return true, also for a group without members: as in Celery, it is a result."""
        return True

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return f"{self.id}({len(self)} results)"

    def __repr__(self) -> str:
        return super().__repr__().replace(":", f": {self.id}", 1)


def _refuse(backend: object) -> None:
    if backend is not None:
        raise UnknownOption("a group is kept in the app's own table: give no backend")


def result_from_tuple(data: Any, app: AppBase | None = None) -> Any:
    """Return the result that ``as_tuple`` described.

    Returns
    -------
    AsyncResult | GroupResult
        A result is returned as it is.
    """
    if isinstance(data, ResultBase):
        return data
    app = app or current_app()
    told, members = data
    id, above = told if isinstance(told, list | tuple) else (told, None)
    parent = result_from_tuple(above, app) if above else None
    if members is None:
        return AsyncResult(id, app, parent=parent)
    if isinstance(members, int):
        return GroupResult(id, DerivedResults(app, id, members), parent, app)
    return GroupResult(id, [result_from_tuple(each, app) for each in members], parent, app)
