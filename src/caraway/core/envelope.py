"""The JSON of a message's body, before anything in it is looked at: its version and its depth."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final

from caraway.exceptions import InvalidMessage

if TYPE_CHECKING:
    from caraway.requests.base import Json

VERSION: Final = 1
COMPRESSED_VERSION: Final = 2
"""Of an envelope whose content is compressed: code that knows version 1 only does not see it."""
DEPTH_LIMIT: Final = 500
"""Deepest nesting of a body: deeper data can be read, but not be written again."""
_VERSIONS: Final = (VERSION, COMPRESSED_VERSION)


def parse_envelope(body: str) -> dict[str, Json]:
    """Return the JSON object of a message body, after a look at its version.

    Raises
    ------
    InvalidMessage
        If it is not a JSON object, or not of a version that this code knows.
    """
    try:
        envelope = _decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"the body is not JSON: {error}") from error
    if body.count("[") + body.count("{") > DEPTH_LIMIT and _is_deep(envelope):
        raise InvalidMessage(f"the body is nested deeper than {DEPTH_LIMIT} levels")
    if not isinstance(envelope, dict) or "caraway" not in envelope:
        raise InvalidMessage("the body is not a task message: it has no 'caraway' version")
    if type(envelope["caraway"]) is not int or envelope["caraway"] not in _VERSIONS:
        raise InvalidMessage(
            f"message version {envelope['caraway']!r:.80} is not known here (this code reads "
            f"{VERSION} and {COMPRESSED_VERSION}): deploy the workers before the producers"
        )
    return envelope


def _finite(text: str) -> float:
    if math.isfinite(value := float(text)):
        return value
    raise ValueError(f"{text:.80} is no JSON number")


# Python reads NaN and 1e999, which no JSON can carry on.
_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def _is_deep(data: Json) -> bool:
    """Say whether data is nested deeper than the limit; level by level, without recursion."""
    level = [data]
    for _ in range(DEPTH_LIMIT):
        inner = [each.values() if isinstance(each, dict) else each for each in level]
        level = [child for each in inner for child in each if isinstance(child, dict | list)]
        if not level:
            return False
    return True
