"""What an engine has been asked, how long each answer is held back, and how both are told.

``GET /_bench/counts``, ``POST /_bench/reset`` and ``POST /_bench/latency?ms=20`` answer with the
counts and the latency, as JSON.
"""

from __future__ import annotations

import time
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH: Final = "/_bench/"
RECEIVE: Final = "sqs:ReceiveMessage"
_SERVICES: Final = {"AmazonSQS": "sqs", "DynamoDB_20120810": "dynamodb"}


@lru_cache(maxsize=256)
def operation_of(target: str, method: str) -> str:
    """Return the operation of an ``X-Amz-Target``, such as ``sqs:SendMessage``.

    A request without one, such as S3's, goes by its method: ``rest:PUT``.
    """
    if not target:
        return f"rest:{method}"
    service, _, operation = target.partition(".")
    return f"{_SERVICES.get(service, service)}:{operation}"


def entries_of(params: Mapping[str, Any]) -> int:
    """Return how many requests travel in one: 1 where it is no batch."""
    for name in ("Entries", "Statements"):
        if name in params:
            return len(params[name])
    if "RequestItems" in params:
        of_tables = params["RequestItems"].values()  # keys to read, or items to write
        return sum(len(each["Keys"] if isinstance(each, dict) else each) for each in of_tables)
    return 1


class Meter:
    """Counts, and the latency.

    Attributes
    ----------
    latency_s
        What is added to the time of each request.
    requests, entries
        By operation. The entries of a receive are the messages that came.
    empty_receives
        Receives that were answered without a message.
    """

    def __init__(self, latency_ms: float = 0.0) -> None:
        self.latency_s = latency_ms / 1000
        self.reset()

    def reset(self) -> None:
        """Begin to count anew."""
        self.requests: Counter[str] = Counter()
        self.entries: Counter[str] = Counter()
        self.empty_receives = 0

    def count(self, operation: str, entries: int = 1) -> None:
        """Count a request that has come."""
        self.requests[operation] += 1
        self.entries[operation] += entries

    def count_received(self, messages: int) -> None:
        """Count the messages of a receive that is answered."""
        self.entries[RECEIVE] += messages
        if not messages:
            self.empty_receives += 1

    def control(self, method: str, address: str) -> dict[str, Any] | None:
        """Do what a request for a path of :data:`PATH` asks for; None if there is no such."""
        asked = urlsplit(address)
        match method, asked.path.removeprefix(PATH):
            case "GET", "counts":
                pass
            case "POST", "reset":
                self.reset()
            case "POST", "latency":
                try:
                    self.latency_s = float(parse_qs(asked.query)["ms"][0]) / 1000
                except (LookupError, ValueError):
                    return None
            case _:
                return None
        return {
            "requests": self.requests,
            "entries": self.entries,
            "empty_receives": self.empty_receives,
            "latency_ms": self.latency_s * 1000,
            "cpu_s": time.process_time(),
        }
