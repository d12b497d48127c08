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
================================  ===============================================================

Decoding calls only the functions in the table of tags. The data names a tag, never a class, so no
message can have anything else constructed.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
import reprlib
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from caraway.exceptions import DecodeError, EncodeError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from caraway.requests.base import Json

T = TypeVar("T")

TYPE = "__type__"
VALUE = "__value__"

_PLAIN = frozenset({str, int, bool, type(None)})  # JSON already, whatever the value
_STR = frozenset({str})
_SCALARS = _PLAIN | {float}
_ADVICE = "pass plain data (an id, a dict), or teach Caraway the type with register_type(...)"


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
        return _encode(value)
    except _Refused as refused:
        place = path + "".join(reversed(refused.steps))
        raise EncodeError(f"{place}: {refused.reason}") from refused.__cause__
    except RecursionError:
        raise EncodeError(f"{path}: contains itself, or is nested too deep") from None


def decode(data: Json) -> Any:
    """Return the value that ``encode`` was given, as far as JSON and the tags can say.

    The answer shares no list or dict with ``data``.

    Raises
    ------
    DecodeError
        If a ``__type__`` is not known here, or its value is not of that type's form.
    """
    try:
        return _decode(data)
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
    if cls in (*_PLAIN, float, list, tuple, dict):
        raise ValueError(f"{cls.__name__} is plain JSON: it takes no tag")
    if name in _decoders and _registered.get(name) != _name(cls):
        raise ValueError(f"the tag {name!r} belongs to another type: choose another name")
    _registered[name] = _name(cls)
    _encoders[cls] = lambda value: {TYPE: name, VALUE: _encode(_call(encode, value, value))}
    _decoders[name] = decode


def dumps(data: Json) -> str:
    """Return encoded data as compact JSON that SQS, S3 and DynamoDB accept.

    Text stays readable, unless it has characters that SQS refuses: then all of it is escaped.

    Raises
    ------
    EncodeError
        If ``data`` is not what :func:`encode` returns, or holds an integer of thousands of digits.
    """
    text = _write(_readable, data)
    return text if text.isascii() or not _REFUSED_BY_SQS.search(text) else _write(_ascii, data)


def canonical(data: Json) -> bytes:
    """Return encoded data as the one UTF-8 text that all equal data has, for digests.

    It is compact and sorted, and the same before and after a trip through JSON.

    Raises
    ------
    EncodeError
        If ``data`` is not what :func:`encode` returns.
    """
    text = _write(_sorted, data)
    if _PAIRS in text:
        text = _write(_sorted, _pairs_sorted(data))
    return text.encode("utf-8", "surrogatepass")


def _pairs_sorted(data: Json) -> Json:
    """Return data with the pairs of its ``dict`` tags, which keep their order, sorted."""
    if isinstance(data, list):
        return [_pairs_sorted(item) for item in data]
    if not isinstance(data, dict):
        return data
    data = {key: _pairs_sorted(item) for key, item in data.items()}
    if data.get(TYPE) == "dict" and isinstance(data.get(VALUE), list):
        data[VALUE] = sorted(data[VALUE], key=_sorted.encode)
    return data


def _write(encoder: json.JSONEncoder, data: Json) -> str:
    try:
        return encoder.encode(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(f"not JSON: {error}") from error


# What encode returns is a tree, so the encoders need not look for circles.
_COMPACT: Any = {"allow_nan": False, "check_circular": False, "separators": (",", ":")}
_readable = json.JSONEncoder(ensure_ascii=False, **_COMPACT)
_ascii = json.JSONEncoder(ensure_ascii=True, **_COMPACT)
_sorted = json.JSONEncoder(ensure_ascii=False, sort_keys=True, **_COMPACT)
_PAIRS = '"__type__":"dict"'
# SendMessage, "Important": #x9 | #xA | #xD | #x20-#xD7FF | #xE000-#xFFFD | #x10000-#x10FFFF are
# allowed. JSON escapes what is below #x20 in any case.
_REFUSED_BY_SQS = re.compile("[\ud800-\udfff\ufffe\uffff]")


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.")


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """A value without a JSON form; the steps to it are added on the way out, innermost first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []


def _encode(value: Any) -> Json:
    cls = type(value)
    if cls in _PLAIN:
        return value
    return (_encoders.get(cls) or _encoder_of(cls))(value)


def _encoder_of(cls: type) -> Callable[[Any], Json]:
    """Find the encoder for a type that has none of its own."""
    if issubclass(cls, Enum):  # looked at before its mix-in: Color(str, Enum) goes as its value
        return lambda member: _encode(member.value)
    for base in cls.__mro__:
        if base in _encoders:
            return _encoders[base]
    if callable(getattr(cls, "model_dump", None)):
        return _encode_model
    if dataclasses.is_dataclass(cls):
        return _encode_dataclass
    return _refuse


def _refuse(value: object) -> Json:
    raise _Refused(f"object of type {_name(type(value))} cannot be serialised; {_ADVICE}")


def _encode_items(items: Collection[Any]) -> list[Json]:
    if _PLAIN.issuperset(map(type, items)):
        return list(items)
    done: list[Json] = []
    try:
        for item in items:
            done.append(item if type(item) in _PLAIN else _encode(item))  # noqa: PERF401 - counts
    except _Refused as refused:
        refused.steps.append(f"[{len(done)}]")
        raise
    return done


def _text(name: str, text: Callable[[Any], str]) -> Callable[[Any], Json]:
    return lambda value: {TYPE: name, VALUE: text(value)}


def _encode_dict(fields: dict[Any, Any], step: str = "[{!r}]") -> Json:
    values = _encode_values(fields, step)
    if TYPE not in values and _STR.issuperset(map(type, values)):
        return values
    keys = [_encode(key) for key in values]
    _check_members(keys, "keys")
    if TYPE not in keys and _STR.issuperset(map(type, keys)):
        return dict(zip(keys, values.values(), strict=True))
    return {TYPE: "dict", VALUE: [[key, v] for key, v in zip(keys, values.values(), strict=True)]}


def _encode_values(fields: dict[Any, Any], step: str) -> dict[Any, Json]:
    if _PLAIN.issuperset(map(type, fields.values())):
        return dict(fields)
    done: dict[Any, Json] = {}
    key = None
    try:
        for key, item in fields.items():
            done[key] = item if type(item) in _PLAIN else _encode(item)
    except _Refused as refused:
        refused.steps.append(step.format(key))
        raise
    return done


def _encode_set(name: str, members: Collection[Any]) -> Json:
    encoded = _encode_items(members)
    _check_members(encoded, "members of a set")
    # Strings hash differently in every process: without an order, equal sets had unequal digests.
    return {TYPE: name, VALUE: sorted(encoded, key=_sorted.encode)}


def _check_members(encoded: list[Json], what: str) -> None:
    """Refuse keys and members of a set that the reader could not hash, or not tell apart."""
    try:
        distinct = {_frozen(_decode(member)) for member in encoded}
    except TypeError:
        raise _Refused(f"{what} cannot have fields: they would come back as dicts") from None
    if len(distinct) != len(encoded):
        raise _Refused(f"two {what} would be written alike")


def _encode_float(value: float) -> Json:
    value = float.__float__(value)
    # A mean of nothing must not cost a task its result, and NaN is not JSON.
    return value if math.isfinite(value) else {TYPE: "float", VALUE: repr(value)}


def _encode_timedelta(value: timedelta) -> Json:
    units = ("days", "seconds", "microseconds")
    return {TYPE: "timedelta", VALUE: {unit: getattr(value, unit) for unit in units}}


def _encode_time(value: time) -> Json:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise _Refused(f"the offset of {value.tzinfo} depends on the date: pass a datetime instead")
    return {TYPE: "time", VALUE: time.isoformat(value)}


def _encode_model(value: Any) -> Json:
    fields = _call(value.model_dump, value)
    return _encode_dict(fields, ".{}") if type(fields) is dict else _encode(fields)


def _encode_dataclass(value: Any) -> Json:
    return _encode_dict({f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, ".{}")


def _call(function: Callable[..., T], value: object, *args: object) -> T:
    """Call code that is not ours; what it raises names the value that it was called for."""
    try:
        return function(*args)
    except Exception as error:
        what = f"object of type {_name(type(value))}"
        raise _Refused(f"{what} cannot be serialised: {error}") from error


def _decode(data: Json) -> Any:
    cls = type(data)
    if cls in _SCALARS:
        return data
    if cls is list:
        if _SCALARS.issuperset(map(type, data)):
            return data.copy()
        return [item if type(item) in _SCALARS else _decode(item) for item in data]
    if cls is not dict:
        raise DecodeError(f"object of type {_name(cls)} is not JSON")
    if TYPE in data:
        return _decode_tagged(data)
    if _SCALARS.issuperset(map(type, data.values())):
        return data.copy()
    return {k: v if type(v) in _SCALARS else _decode(v) for k, v in data.items()}


def _decode_tagged(data: dict[str, Json]) -> Any:
    name = data[TYPE]
    decoder = _decoders.get(name) if isinstance(name, str) else None
    if decoder is None:
        hint = nearest(name, _decoders) if isinstance(name, str) else ""
        raise DecodeError(f"unknown {TYPE} {name!r}{hint}; register_type(...) it in the reader too")
    if len(data) != 2 or VALUE not in data:
        raise DecodeError(f"a {TYPE} goes with {VALUE!r} and nothing else, not with {sorted(data)}")
    value = _decode(data[VALUE])
    try:
        return decoder(value)
    except Exception as error:
        raise DecodeError(f"{reprlib.repr(value)} is no {name}: {error}") from error


def _frozen(value: Any) -> Any:
    """Return a list as a tuple: in a set, or as a key, it can only have been one."""
    return tuple(map(_frozen, value)) if type(value) is list else value


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError("a list is expected")
    return value


def _iso(text: str) -> str:
    # Python 3.10 does not read the Z that other languages write.
    return text[:-1] + "+00:00" if text[-1:] in {"Z", "z"} else text


# The methods are taken from the class: a subclass (a pandas Timestamp, a safe string of a template
# engine) is written as the type that it comes back as.
_encoders: dict[type, Callable[[Any], Json]] = {
    str: str.__str__,
    int: int.__int__,
    float: _encode_float,
    list: _encode_items,
    tuple: _encode_items,
    dict: _encode_dict,
    datetime: _text("datetime", datetime.isoformat),
    date: _text("date", date.isoformat),
    time: _encode_time,
    timedelta: _encode_timedelta,
    Decimal: _text("decimal", Decimal.__str__),
    UUID: _text("uuid", UUID.__str__),
    bytes: _text("bytes", lambda value: base64.b64encode(value).decode()),
    bytearray: _text("bytes", lambda value: base64.b64encode(value).decode()),
    set: lambda value: _encode_set("set", value),
    frozenset: lambda value: _encode_set("frozenset", value),
    PurePath: str,
}
_decoders: dict[str, Callable[[Any], Any]] = {
    "float": {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}.__getitem__,
    "dict": lambda pairs: {_frozen(key): value for key, value in _list(pairs)},
    "datetime": lambda text: datetime.fromisoformat(_iso(text)),
    "date": date.fromisoformat,
    "time": lambda text: time.fromisoformat(_iso(text)),
    "timedelta": lambda fields: timedelta(**fields),
    "decimal": Decimal,
    "uuid": UUID,
    "bytes": lambda text: base64.b64decode(text, validate=True),
    "set": lambda members: set(map(_frozen, _list(members))),
    "frozenset": lambda members: frozenset(map(_frozen, _list(members))),
}
_registered: dict[str, str] = {}  # tag: the name of its type, which a reload does not change
