"""Python values as JSON, and back.

Plain JSON goes as it is. What JSON cannot say is tagged, so that it comes back exactly and is still
readable where the message is looked at: ``{"__type__": "date", "__value__": "2026-01-01"}``.

================================  ===============================================================
str, int, bool, None, float       itself; ``nan``, ``inf``, ``-inf``: tag ``float``, a string
list, tuple, named tuple          list
dict                              object; tag ``dict``, a list of pairs, if a key is no string or
                                  is ``__type__``
datetime, date, time              tag, ISO 8601
timedelta                         tag, ``{"days": .., "seconds": .., "microseconds": ..}``
Decimal, UUID                     tag, string
bytes, bytearray                  tag ``bytes``, base64
set, frozenset                    tag, a list in a stable order
Enum member, path                 its value, a string; an annotation rebuilds it
pydantic model, dataclass         an object of its fields; an annotation rebuilds it
written by another serializer     tag ``serialized``; see :mod:`caraway.core.serializers`
================================  ===============================================================

Decoding calls only the functions in the table of tags. The data names a tag, never a class, so no
message can have anything else constructed. What another serializer wrote is opened by nothing here:
the caller brings what opens it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from caraway.core.decoding import SERIALIZED, TYPE, VALUE, decode_value, decoders, type_name
from caraway.core.encoding import PLAIN, Refused, call_foreign, encode_value, encoders
from caraway.core.json_text import canonical, dumps
from caraway.exceptions import DecodeError, EncodeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.requests.base import Json

__all__ = ["TYPE", "VALUE", "canonical", "decode", "dumps", "encode", "register_type"]

T = TypeVar("T")

_registered: dict[str, str] = {}  # tag: the name of its type, which a reload does not change


def encode(value: object, *, path: str = "value") -> Json:
    """Return a Python value as data that JSON can say.

    The answer shares no list or dict with ``value``: what is changed afterwards does not change it.

    Parameters
    ----------
    value
        The value.
    path
        What an error message calls it: ``"args[0]"``.

    Raises
    ------
    EncodeError
        If something in it has no JSON form, if it contains itself or is nested too deep. The
        message names the place: ``args[0]['user'].avatar: object of type Socket cannot ...``.
    """
    try:
        return encode_value(value)
    except Refused as refused:
        place = path + "".join(reversed(refused.steps))
        raise EncodeError(f"{place}: {refused.reason}") from refused.__cause__
    except RecursionError:
        raise EncodeError(f"{path}: contains itself, or is nested too deep") from None


def decode(data: Json, read: Callable[[Json], Any] | None = None) -> Any:
    """Return the value that ``encode`` was given, as far as JSON and the tags can say.

    The answer shares no list or dict with ``data``.

    Parameters
    ----------
    data
        The data.
    read
        Opens values that another serializer wrote; None opens none.

    Raises
    ------
    DecodeError
        If a ``__type__`` is not known here, or its value is not of that type's form.
    ContentDisallowed
        If it holds a value that another serializer wrote, and ``read`` does not accept it.
    """
    try:
        return decode_value(data, read)
    except RecursionError:
        raise DecodeError("the data is nested too deep") from None


def register_type(
    cls: type[T], name: str, encode: Callable[[T], Any], decode: Callable[[Any], T]
) -> None:
    """Teach the codec a type, in the producer and in the workers.

    Parameters
    ----------
    cls
        The type; its subclasses are encoded with it, and come back as ``cls``.
    name
        Its tag in the JSON. It must not change while messages or results carry it.
    encode, decode
        Give a value that the codec can encode, and rebuild the object from it. What ``decode``
        gets comes from a queue: do not trust it.

    Raises
    ------
    ValueError
        If ``name`` belongs to another type, or ``cls`` is one that JSON has.
    """
    if cls in (*PLAIN, float, list, tuple, dict):
        raise ValueError(f"{cls.__name__} is plain JSON: it takes no tag")
    if name == SERIALIZED or (name in decoders and _registered.get(name) != type_name(cls)):
        raise ValueError(f"the tag {name!r} belongs to another type: choose another name")
    _registered[name] = type_name(cls)
    encoders[cls] = lambda value: {
        TYPE: name,
        VALUE: encode_value(call_foreign(encode, value, value)),
    }
    decoders[name] = decode
