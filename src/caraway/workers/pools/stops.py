"""How a call of user code is told to stop: by the token of its task's claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caraway.core.context import Context
from caraway.core.port import Stopped

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    Told = asyncio.Future[Any]


class Stops:
    """The calls of a pool, each with a future that is :class:`Stopped` once it is to stop."""

    def __init__(self) -> None:
        self._calls: dict[str, Told] = {}

    def of(self, args: tuple[Any, ...], told: Told) -> _Listening:
        """Let a call be told for the length of a block; one without a claim, and a hook, never is.

        ``told`` may be the future of the call's own outcome.
        """
        match args:
            case [Context(token=str(token))]:
                return _Listening(self._calls, token, told)
        return _Listening(self._calls, None, told)

    def ask(self, token: str, signal: str) -> None:
        """Tell a call to stop; nothing happens where it has ended, or was told before."""
        told = self._calls.get(token)
        if told is not None and not told.done():
            told.set_result(Stopped(signal))


class _Listening:
    """A call that can be told to stop."""

    __slots__ = ("_calls", "_token", "_told")

    def __init__(self, calls: dict[str, Told], token: str | None, told: Told) -> None:
        self._calls = calls
        self._token = token
        self._told = told

    def __enter__(self) -> None:
        if self._token is not None:
            self._calls[self._token] = self._told

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is not None:
            del self._calls[self._token]
