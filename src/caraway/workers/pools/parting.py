"""How a child process ends what it runs, when its worker says so."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from caraway.workers.limits import is_called_by
from caraway.workers.pools import frames
from caraway.workers.pools.forking import OUTLIVED

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from types import FrameType

T = TypeVar("T")


class Parting:
    """Hears the word to stop while user code runs, and lets that clean up.

    The worker sends the word, and then a signal, for it to be heard at once. A signal without it is
    for the whole process group, as of a process manager, and the worker's affair.

    Parameters
    ----------
    connection
        To the worker. While a call runs nothing else comes over it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._cancel: Callable[[], object] | None = None
        self._is_heard = False
        for number in OUTLIVED:
            signal.signal(number, self._hear)

    def within(self, function: Callable[..., T], *args: object) -> T:
        """Call a function: what this frame has called is ended by ``SystemExit``."""
        return function(*args)

    @contextmanager
    def by(self, cancel: Callable[[], object]) -> Iterator[None]:
        """End what runs meanwhile by calling a function."""
        self._cancel = cancel
        try:
            yield
        finally:
            self._cancel = None

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._is_heard or not frames.is_told_to_stop(self._connection):
            return
        self._is_heard = True  # what cleans up is not to be interrupted
        if self._cancel is not None:
            self._cancel()
        elif is_called_by(frame, Parting.within.__code__):
            raise SystemExit(f"the task was ended by {signal.Signals(number).name}")
