"""Ids: decided when the work is described, never when it is sent."""

from __future__ import annotations

import hashlib
import os
from uuid import UUID, uuid4


def new_id() -> str:
    """Return a fresh random task id."""
    return str(uuid4())


def new_token() -> str:
    """Return a fresh claim token."""
    return os.urandom(12).hex()


def derived_id(*parts: object) -> str:
    """Return the id that these parts decide; the same parts give the same id.

    Used for what must have one id however often it is described: a child of a running task, an
    occurrence of a schedule.
    """
    text = "\x1f".join(str(part) for part in parts).encode("utf-8", "surrogatepass")
    return str(UUID(bytes=hashlib.sha256(text).digest()[:16], version=5))


def member_id(group: str, index: int) -> str:
    """Return the id of the task that has a group's value at this place, unless one is named."""
    return derived_id("member", group, index)
