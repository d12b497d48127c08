"""Stamps: names and values that a call carries beside its arguments, by which it is found again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from caraway.core.fields import is_name

STAMPS: Final = "stamps"
"""The option of a call, and the field of a message."""


def are_stamps(value: object) -> bool:
    """Say whether a value is stamps by their names."""
    return isinstance(value, Mapping) and all(is_name(name) for name in value)


def with_options(own: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with others, which come before them; the stamps of both stay."""
    merged = {**own, **more}
    if own.get(STAMPS) and more.get(STAMPS):
        merged[STAMPS] = {**own[STAMPS], **more[STAMPS]}
    return merged
