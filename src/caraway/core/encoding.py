"""From Python values to JSON: how each type is written."""

from __future__ import annotations

import base64
import dataclasses
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from caraway.core.decoding import TYPE, VALUE, decode_value, frozen, type_name
from caraway.core.json_text import sort_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from caraway.requests.base import Json

T = TypeVar("T")

PLAIN: Final = frozenset({str, int, bool, type(None)})
"""Types that are JSON already, whatever the value."""
_STR = frozenset({str})
_ADVICE = "pass plain data (an id, a dict), or teach Caraway the type with register_type(...)"


class Refused(Exception):  # noqa: N818 - never leaves the codec
    """A value has no JSON form; the steps to it are added on the way out, innermost first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []


def encode_value(value: Any) -> Json:
    """Return a value as data that JSON can say; raises :class:`Refused`."""
    cls = type(value)
    if cls in PLAIN:
        return value
    return (encoders.get(cls) or _encoder_of(cls))(value)


def _encoder_of(cls: type) -> Callable[[Any], Json]:
    """Find the encoder for a type that has none of its own."""
    if issubclass(cls, Enum):  # looked at before its mix-in: Color(str, Enum) goes as its value
        return lambda member: encode_value(member.value)
    for base in cls.__mro__:
        if base in encoders:
            return encoders[base]
    if callable(getattr(cls, "model_dump", None)):
        return _encode_model
    if dataclasses.is_dataclass(cls):
        return _encode_dataclass
    return _refuse


def _refuse(value: object) -> Json:
    raise Refused(f"object of type {type_name(type(value))} cannot be serialised; {_ADVICE}")


def _encode_items(items: Collection[Any]) -> list[Json]:
    if PLAIN.issuperset(map(type, items)):
        return list(items)
    done: list[Json] = []
    try:
        for item in items:
            done.append(item if type(item) in PLAIN else encode_value(item))  # noqa: PERF401 - counts
    except Refused as refused:
        refused.steps.append(f"[{len(done)}]")
        raise
    return done


def _text(name: str, text: Callable[[Any], str]) -> Callable[[Any], Json]:
    return lambda value: {TYPE: name, VALUE: text(value)}


def _encode_dict(fields: dict[Any, Any], step: str = "[{!r}]") -> Json:
    values = _encode_values(fields, step)
    if TYPE not in values and _STR.issuperset(map(type, values)):
        return values
    keys = [encode_value(key) for key in values]
    _check_members(keys, "keys")
    if TYPE not in keys and _STR.issuperset(map(type, keys)):
        return dict(zip(keys, values.values(), strict=True))
    return {TYPE: "dict", VALUE: [[key, v] for key, v in zip(keys, values.values(), strict=True)]}


def _encode_values(fields: dict[Any, Any], step: str) -> dict[Any, Json]:
    if PLAIN.issuperset(map(type, fields.values())):
        return dict(fields)
    done: dict[Any, Json] = {}
    key = None
    try:
        for key, item in fields.items():
            done[key] = item if type(item) in PLAIN else encode_value(item)
    except Refused as refused:
        refused.steps.append(step.format(key))
        raise
    return done


def _encode_set(name: str, members: Collection[Any]) -> Json:
    encoded = _encode_items(members)
    _check_members(encoded, "members of a set")
    # Strings hash differently in every process: without an order, equal sets had unequal digests.
    return {TYPE: name, VALUE: sorted(encoded, key=sort_key)}


def _check_members(encoded: list[Json], what: str) -> None:
    """Refuse keys and members of a set that the reader could not hash, or not tell apart."""
    try:
        distinct = {frozen(decode_value(member)) for member in encoded}
    except TypeError:
        raise Refused(f"{what} cannot have fields: they would come back as dicts") from None
    if len(distinct) != len(encoded):
        raise Refused(f"two {what} would be written alike")


def _encode_float(value: float) -> Json:
    value = float.__float__(value)
    # A mean of nothing must not cost a task its result, and NaN is not JSON.
    return value if math.isfinite(value) else {TYPE: "float", VALUE: repr(value)}


def _encode_timedelta(value: timedelta) -> Json:
    units = ("days", "seconds", "microseconds")
    return {TYPE: "timedelta", VALUE: {unit: getattr(value, unit) for unit in units}}


def _encode_time(value: time) -> Json:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise Refused(f"the offset of {value.tzinfo} depends on the date: pass a datetime instead")
    return {TYPE: "time", VALUE: time.isoformat(value)}


def _encode_model(value: Any) -> Json:
    fields = call_foreign(value.model_dump, value)
    return _encode_dict(fields, ".{}") if type(fields) is dict else encode_value(fields)


def _encode_dataclass(value: Any) -> Json:
    return _encode_dict({f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, ".{}")


def call_foreign(function: Callable[..., T], value: object, *args: object) -> T:
    """Call code that is not ours; what it raises names the value that it was called for."""
    try:
        return function(*args)
    except Exception as error:
        what = f"object of type {type_name(type(value))}"
        raise Refused(f"{what} cannot be serialised: {error}") from error


def to_base64(data: bytes | bytearray) -> str:
    """Return bytes as base64."""
    return base64.b64encode(data).decode()


# The methods are taken from the class: a subclass (a pandas Timestamp, a safe string of a template
# engine) is written as the type that it comes back as.
encoders: Final[dict[type, Callable[[Any], Json]]] = {
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
    bytes: _text("bytes", to_base64),
    bytearray: _text("bytes", to_base64),
    set: lambda value: _encode_set("set", value),
    frozenset: lambda value: _encode_set("frozenset", value),
    PurePath: str,
}
