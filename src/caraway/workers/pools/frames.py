"""What travels between a worker and its child processes: numbered pickles.

Both ends are one program of one user, joined by a socket pair that nobody else can reach, so a
pickle is safe here; a message or a result is never one.

Tasks travel as their names. Exceptions travel as type, arguments and attributes, without a call of
their constructor: many cannot be rebuilt from ``args``, and a retry depends on the type.
"""

from __future__ import annotations

import asyncio
import io
import pickle
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

from caraway.core.errors import text_of
from caraway.core.settle import FAR_TRACEBACK, format_traceback
from caraway.exceptions import RemoteError
from caraway.lean import dataclass
from caraway.running import Runnable

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD: Final = struct.Struct("!QQ")
"""The number and the length."""


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> str | None:
        """Return a task's name."""
        return obj.name if isinstance(obj, Runnable) else None

    def reducer_override(self, obj: Any) -> Any:
        """Say how an exception is taken apart; anything else as usual."""
        if not isinstance(obj, BaseException):
            return NotImplemented
        kind = type(obj)
        if not _travels(kind):  # a class within a function
            named = RemoteError(kind.__qualname__, kind.__module__, *obj.args)
            return self.reducer_override(named.with_traceback(obj.__traceback__))
        state = {name: _argument(value) for name, value in vars(obj).items()}
        if obj.__traceback__ is not None:
            state[FAR_TRACEBACK] = format_traceback(obj)
        return _exception, (kind, tuple(map(_argument, obj.args)), state)


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, tasks: Mapping[str, Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._tasks = tasks

    def persistent_load(self, pid: Any) -> Any:
        """Return the task of that name."""
        return self._tasks[pid]


def _exception(
    kind: type[BaseException], args: tuple[Any, ...], state: Mapping[str, Any]
) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(state)
    return error


def _argument(value: Any) -> Any:
    """Return an argument of an exception, or its text where it cannot travel."""
    return value if _travels(value) else text_of(value)


def _travels(value: Any) -> bool:
    if value is None or type(value) in (str, int, float, bool):
        return True
    try:
        _Unpickler(dumps(value), _Anything()).load()
    except Exception:  # noqa: BLE001 - whatever the value's own code raises
        return False
    return True


class _Anything(dict[str, Any]):
    """Finds something by every name."""

    def __missing__(self, name: str) -> str:
        return name


def dumps(value: Any) -> bytes:
    """Return a pickle, in which tasks are named."""
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def loads(data: bytes, tasks: Mapping[str, Any]) -> Any:
    """Return what :func:`dumps` was given, with the tasks of those names."""
    return _Unpickler(data, tasks).load()


@dataclass(frozen=True)
class Frame:
    """A pickle, and the number of the call that it belongs to; without one, the call is to stop."""

    number: int
    data: bytes

    def __bytes__(self) -> bytes:
        return _HEAD.pack(self.number, len(self.data)) + self.data


def read(connection: socket.socket) -> Frame | None:
    """Return the next frame; None when the other end is gone."""
    head = _read(connection, _HEAD.size)
    if head is None:
        return None
    number, size = _HEAD.unpack(head)
    data = _read(connection, size)
    return None if data is None else Frame(number, data)


def is_told_to_stop(connection: socket.socket) -> bool:
    """Say whether the next frame says that a call is to stop; it stays to be read."""
    try:
        head = connection.recv(_HEAD.size, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:  # there is nothing to read
        return False
    return len(head) == _HEAD.size and _HEAD.unpack(head)[1] == 0


def _read(connection: socket.socket, size: int) -> bytes | None:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        try:
            count = connection.recv_into(view)
        except ConnectionError:
            return None
        if not count:
            return None
        view = view[count:]
    return bytes(data)


async def aread(connection: asyncio.StreamReader) -> Frame | None:
    """Return the next frame, on an event loop; None when the other end is gone."""
    try:
        number, size = _HEAD.unpack(await connection.readexactly(_HEAD.size))
        return Frame(number, await connection.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
