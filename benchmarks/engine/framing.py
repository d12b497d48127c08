"""HTTP/1.1 as far as the clients of AWS speak it: requests with a length, one at a time."""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_END: Final = b"\r\n\r\n"
# Sought in a head of small letters: a pattern that ignores case takes ten times as long.
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)")
_TARGET: Final = re.compile(rb"\r\nx-amz-target: *([\w.]+)")
_EXPECT: Final = b"\r\nexpect: 100-continue"
_REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}


class Asked(NamedTuple):
    """One request.

    Attributes
    ----------
    target
        Its ``X-Amz-Target``, empty if it has none.
    raw
        All of it, as it came.
    """

    method: str
    path: str
    target: str
    body: bytes
    raw: bytes


class Inbox:
    """What has come over a connection, until it is all of a request, or of an answer."""

    def __init__(self) -> None:
        self._come = bytearray()
        self._wanted = 0
        self.is_waited_for = False

    def add(self, data: bytes) -> None:
        """Add what has come."""
        self._come += data

    def take(self) -> Asked | None:
        """Return the first request, None until it is whole.

        ``is_waited_for`` says then whether the client waits to be told to go on.
        """
        come = self._come
        self.is_waited_for = False
        if len(come) < self._wanted:
            return None
        end = come.find(_END)
        if end < 0:
            return None
        head = bytes(come[:end])
        small = head.lower()
        length = _LENGTH.search(small)
        whole = end + len(_END) + (int(length[1]) if length else 0)
        if len(come) < whole:
            self.is_waited_for = not self._wanted and _EXPECT in small
            self._wanted = whole
            return None
        raw = bytes(come[:whole])
        del come[:whole]
        self._wanted = 0
        target = _TARGET.search(small)
        method, _, rest = head[: head.find(b"\r\n")].decode("latin-1").partition(" ")
        return Asked(
            method,
            rest.rpartition(" ")[0],
            head[target.start(1) : target.end(1)].decode() if target else "",
            raw[end + len(_END) :],
            raw,
        )


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def response(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a response with a JSON body."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        f"Content-Type: application/x-amz-json-1.0\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Date: {_date(int(time.time()))}\r\n"
        f"{more}\r\n"
    ).encode() + body
