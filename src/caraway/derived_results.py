"""The results of a large group: made when they are asked for, as their ids derive from its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from caraway.async_result import AsyncResult
from caraway.core.ids import member_id

if TYPE_CHECKING:
    from caraway.base import AppBase


class DerivedResults(Sequence[AsyncResult[Any]]):
    """The results of a group's members, whose ids derive from the group's: made when asked for.

    Parameters
    ----------
    app
        The app whose records are asked.
    group_id
        The group's id.
    size
        How many members there are.
    """

    def __init__(self, app: AppBase, group_id: str, size: int) -> None:
        self.app = app
        self.group_id = group_id
        self.size = size

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> AsyncResult[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[AsyncResult[Any]]: ...

    def __getitem__(self, index: int | slice) -> AsyncResult[Any] | list[AsyncResult[Any]]:
        places = range(self.size)[index]
        if isinstance(places, range):
            return [self._member(place) for place in places]
        return self._member(places)

    def _member(self, place: int) -> AsyncResult[Any]:
        return AsyncResult(member_id(self.group_id, place), self.app)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DerivedResults):
            return (self.group_id, self.size) == (other.group_id, other.size)
        return list(self) == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it equals lists
