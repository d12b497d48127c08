"""Celery's ``celery.canvas``: work as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caraway.canvas import (
    Signature,
    StampingVisitor,
    chain,
    chord,
    chunks,
    group,
    signature,
    xmap,
    xstarmap,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.base import AppBase

subtask = signature


def maybe_signature(
    given: Signature[Any] | Mapping[str, Any] | None, app: AppBase | None = None
) -> Signature[Any] | None:
    """Return a signature as it is, or that of JSON data."""
    if given is None or isinstance(given, Signature):
        return given
    return Signature.from_dict(given, app)


__all__ = [
    "Signature",
    "StampingVisitor",
    "chain",
    "chord",
    "chunks",
    "group",
    "maybe_signature",
    "signature",
    "subtask",
    "xmap",
    "xstarmap",
]
