"""What lies on the engine's queues, seen without taking it: what is hidden or delayed, too."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.request import urlopen

from caraway.core.envelope import parse_envelope

if TYPE_CHECKING:
    from collections.abc import Collection

    from caraway.local.engine import LocalEngine

_ALL: Final = "/_ministack/sqs/messages"


@dataclass(frozen=True)
class Lying:
    """One message on a queue.

    Attributes
    ----------
    queue
        Its name in SQS.
    id
        That of its task.
    hidden_s
        How long nobody can receive it: somebody has, or it is delayed. 0 if it is visible.
    receives
        How often it was received.
    """

    queue: str
    id: str
    hidden_s: float
    receives: int


def lying(engine: LocalEngine, queues: Collection[str]) -> list[Lying]:
    """Return every message of some queues, all as they are at one moment."""
    with urlopen(engine.endpoint_url + _ALL) as answer:
        accounts: dict[str, Any] = json.load(answer)["messages"]
    return [
        _read(queue, message)
        for regions in accounts.values()
        for of_a_region in regions.values()
        for url, messages in of_a_region.items()
        if (queue := url.rpartition("/")[2]) in queues
        for message in messages
    ]


def _read(queue: str, message: dict[str, Any]) -> Lying:
    hidden_s = 0.0 if message["IsVisible"] else max(1.0, message["VisibleAt"] - time.time())
    envelope: Any = parse_envelope(message["Body"])
    return Lying(queue, envelope["id"], hidden_s, message["ReceiveCount"])
