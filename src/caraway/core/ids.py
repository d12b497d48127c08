"""Ids: decided when the work is described, never when it is sent."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def new_id() -> str:
    """Return a fresh random task id."""
    return _uuid(os.urandom(16), version=4)


def new_token() -> str:
    """Return a fresh claim token."""
    return os.urandom(12).hex()


def derived_id(*parts: object) -> str:
    """Return the id that these parts decide; the same parts give the same id.

    Used for what must have one id however often it is described: a child of a running task, an
    occurrence of a schedule.
    """
    return _id_of("\x1f".join(map(str, parts)))


def occurrence_id(entry: str, due: datetime) -> str:
    """Return the id of the task that a schedule's entry is at one of its times, in UTC."""
    return derived_id("schedule", entry, due.isoformat())


def member_id(group: str, index: int) -> str:
    """Return the id of the task that has a group's value at this place, unless one is named."""
    return _id_of(f"member\x1f{group}\x1f{index}")  # what derived_id does, for very many


def _id_of(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return _uuid(digest, version=5)


def _uuid(given: bytes, version: int) -> str:
    """Return the UUID that begins with 16 bytes (RFC 9562); the library's takes four times as long.

    The top bits of the seventh byte say the version, those of the ninth which standard it follows.
    """
    digits = given[:16].hex()
    variant = "89ab"[given[8] >> 4 & 3]
    return (
        f"{digits[:8]}-{digits[8:12]}-{version}{digits[13:16]}"
        f"-{variant}{digits[17:20]}-{digits[20:]}"
    )
