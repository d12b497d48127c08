"""From JSON to Python values: the tags, and what each of them stands for."""

from __future__ import annotations

import base64
import math
import reprlib
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

from caraway.exceptions import ContentDisallowed, DecodeError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.requests.base import Json

    Read: TypeAlias = Callable[[Json], Any]
    """Opens the content of a value that another serializer wrote."""

TYPE: Final = "__type__"
VALUE: Final = "__value__"
SERIALIZED: Final = "serialized"
"""The tag of a value in another format than JSON; see :mod:`caraway.core.serializers`."""

_SCALARS = frozenset({str, int, float, bool, type(None)})
_READY = frozenset({bytes, date, datetime, set})
"""Types that other formats than JSON have, so that their values need no tag."""


def decode_value(data: Json, read: Read | None = None) -> Any:
    """Return the value that data stands for; raises DecodeError, or RecursionError when deep."""
    cls = type(data)
    if cls in _SCALARS:
        return data
    if cls is list:
        if _SCALARS.issuperset(map(type, data)):
            return data.copy()
        return [item if type(item) in _SCALARS else decode_value(item, read) for item in data]
    if cls is not dict:
        if cls in _READY:
            return data
        raise DecodeError(f"object of type {type_name(cls)} is not JSON")
    if TYPE in data:
        return _tagged(data, read)
    if _SCALARS.issuperset(map(type, data.values())):
        return data.copy()
    return {k: v if type(v) in _SCALARS else decode_value(v, read) for k, v in data.items()}


def _tagged(data: dict[str, Json], read: Read | None) -> Any:
    name = data[TYPE]
    decoder = decoders.get(name) if isinstance(name, str) else None
    if decoder is None and name != SERIALIZED:
        hint = nearest(name, decoders) if isinstance(name, str) else ""
        raise DecodeError(f"unknown {TYPE} {name!r}{hint}; register_type(...) it in the reader too")
    if len(data) != 2 or VALUE not in data:
        raise DecodeError(f"a {TYPE} goes with {VALUE!r} and nothing else, not with {sorted(data)}")
    if decoder is None:
        if read is None:
            raise ContentDisallowed("only arguments and results can be serialized values")
        return read(data[VALUE])
    value = decode_value(data[VALUE], read)
    try:
        return decoder(value)
    except Exception as error:
        raise DecodeError(f"{reprlib.repr(value)} is no {name}: {error}") from error


def frozen(value: Any) -> Any:
    """Return a list as a tuple: in a set, or as a key, it can only have been one."""
    return tuple(map(frozen, value)) if type(value) is list else value


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError("a list is expected")
    return value


def _iso(text: str) -> str:
    # Python 3.10 does not read the Z that other languages write.
    return text[:-1] + "+00:00" if text[-1:] in {"Z", "z"} else text


def type_name(cls: type) -> str:
    """Return what an error message calls a type: ``shop.User``, ``int``."""
    return f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.")


def from_base64(text: object) -> bytes:
    """Return the bytes of a base64 text.

    Raises
    ------
    DecodeError
        If it is none.
    """
    if not isinstance(text, str):
        raise DecodeError(f"a value of type {type(text).__name__} is not base64 text")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise DecodeError(f"it is not base64: {error}") from error


decoders: Final[dict[str, Callable[[Any], Any]]] = {
    "float": {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}.__getitem__,
    "dict": lambda pairs: {frozen(key): value for key, value in _list(pairs)},
    "datetime": lambda text: datetime.fromisoformat(_iso(text)),
    "date": date.fromisoformat,
    "time": lambda text: time.fromisoformat(_iso(text)),
    "timedelta": lambda fields: timedelta(**fields),
    "decimal": Decimal,
    "uuid": UUID,
    "bytes": from_base64,
    "set": lambda members: set(map(frozen, _list(members))),
    "frozenset": lambda members: frozenset(map(frozen, _list(members))),
}
