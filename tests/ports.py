"""Ports for tests, of which several run at a time and know nothing of each other."""

from __future__ import annotations

import random
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from caraway.local.engine import HOST, _health

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 60.0
"""For an answer of an engine on a busy machine."""

_NOT_GIVEN_OUT = range(20_000, 32_000)
"""Below those that the kernel gives to whoever asks for any, on Linux and on macOS."""


def free_port() -> int:
    """Return a port where nobody listens, and nobody will who did not choose it."""
    for port in random.sample(_NOT_GIVEN_OUT, 100):
        with suppress(OSError), socket.create_server((HOST, port)):
            return port
    raise AssertionError("a hundred ports are taken")


@contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port where nobody listens, and nobody can."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        yield held.getsockname()[1]


def engine_at(endpoint_url: str) -> str | None:
    """Return the name of the local engine that answers there, None where none does.

    Each has a name of its own. That one has stopped is seen by its name, not by a port where nobody
    listens: another one may be there by then.
    """
    return _health(urlsplit(endpoint_url).port or 0, PATIENCE_S).get("edition")
