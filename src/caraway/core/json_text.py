"""Encoded data as text: for the wire, and for digests."""

from __future__ import annotations

import re
from json import encoder as of_json
from typing import TYPE_CHECKING, Any, Final

from caraway.core.decoding import TYPE, VALUE
from caraway.exceptions import EncodeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from caraway.requests.base import Json


_in_c: Final[Any] = getattr(of_json, "c_make_encoder", None)
"""What ``JSONEncoder.iterencode`` works with; None where Python has none in C."""


def writer(**how: Any) -> Callable[[Json], str]:
    """Return what ``json.JSONEncoder(**how).encode`` is, for data without circles.

    An encoder makes the one in C that it works with anew in each call, which takes longer than it
    takes that to write a message. This one keeps it.
    """
    encoder = of_json.JSONEncoder(check_circular=False, **how)
    if _in_c is None:
        return encoder.encode
    write = _in_c(
        None,
        encoder.default,
        of_json.encode_basestring_ascii if encoder.ensure_ascii else of_json.encode_basestring,
        encoder.indent,
        encoder.key_separator,
        encoder.item_separator,
        encoder.sort_keys,
        encoder.skipkeys,
        encoder.allow_nan,
    )
    return lambda data: "".join(write(data, 0))


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


def in_order(data: Json) -> bytes:
    """Return data as compact UTF-8 text with sorted keys, for signatures: lists stay as they are.

    Raises
    ------
    EncodeError
        If ``data`` is not JSON, or holds an integer of thousands of digits.
    """
    return _write(_sorted, data).encode("utf-8", "surrogatepass")


def _pairs_sorted(data: Json) -> Json:
    """Return data with the pairs of its ``dict`` tags, which keep their order, sorted."""
    if isinstance(data, list):
        return [_pairs_sorted(item) for item in data]
    if not isinstance(data, dict):
        return data
    data = {key: _pairs_sorted(item) for key, item in data.items()}
    if data.get(TYPE) == "dict" and isinstance(data.get(VALUE), list):
        data[VALUE] = sorted(data[VALUE], key=sort_key)
    return data


def _write(write: Callable[[Json], str], data: Json) -> str:
    try:
        return write(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(f"not JSON: {error}") from error


# What encode returns is a tree, so the encoders need not look for circles.
_COMPACT: Any = {"allow_nan": False, "separators": (",", ":")}
_readable = writer(ensure_ascii=False, **_COMPACT)
_ascii = writer(ensure_ascii=True, **_COMPACT)
_sorted = writer(ensure_ascii=False, sort_keys=True, **_COMPACT)
sort_key = _sorted
"""The order of a set's members and of pairs: that of their text."""
_PAIRS = '"__type__":"dict"'
# SendMessage, "Important": #x9 | #xA | #xD | #x20-#xD7FF | #xE000-#xFFFD | #x10000-#x10FFFF are
# allowed. JSON escapes what is below #x20 in any case.
_REFUSED_BY_SQS = re.compile("[\ud800-\udfff\ufffe\uffff]")
