"""What serializers and compressions cost, and how much they make of the same orders.

``python -m benchmarks.codecs`` prints it alone.
"""

from __future__ import annotations

import json
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from caraway.core.codec import decode, dumps, encode
from caraway.core.compression import NAMES, compression
from caraway.core.encoding import to_base64
from caraway.core.serializers import Accepted, serializer_named

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (512, 1_024, 2_048, 4_096, 6_554, 16_384, 65_536, 262_144)
"""Characters of JSON; 6,554 is the tenth of an SQS chunk of 64 KB, as messages travel by ten."""
SERIALIZERS = ("json", "msgpack", "yaml", "pickle")
SIZE_OF_AN_ARGUMENT = 4_096
READ = Accepted.of(SERIALIZERS, "accept_content").read


def orders(characters: int) -> list[dict[str, Any]]:
    """Return made-up orders whose JSON has so many characters, or a few more."""
    chance = random.Random(1)
    made: list[dict[str, Any]] = []
    while len(dumps(made)) < characters:
        sku = f"SKU-{chance.randrange(10**5):05d}"
        name = f"{chance.choice(('Kim', 'Anna', 'José'))} {chance.randrange(1_000)}"
        lines = [{"sku": sku, "count": chance.randrange(9), "price": chance.random()}] * 2
        made.append({"id": len(made), "customer": name, "lines": lines, "note": "by noon"})
    return made


def seconds(function: Callable[[], object]) -> float:
    """Return how long a call keeps the CPU busy, at best."""
    best = 1.0
    for _ in range(5):
        began = time.process_time()
        done = 0
        while (elapsed := time.process_time() - began) < 0.01:
            function()
            done += 1
        best = min(best, elapsed / done)
    return best


def compressed(size: int) -> str:
    """Return a line of the table of compressions."""
    body = dumps(orders(size)).encode()
    cells = [f"{len(body):,}"]
    for name in NAMES:
        method = compression(name)
        smaller = method.compress(body) or body
        there = seconds(partial(method.compress, body))
        back = seconds(partial(method.decompress, smaller))
        part = len(to_base64(smaller)) / len(body)
        cells.append(f"{part:.0%}, {there * 1e6:.0f} + {back * 1e6:.0f} µs")
    return f"| {' | '.join(cells)} |"


def serialized(name: str) -> str:
    """Return a line of the table of serializers."""
    value = orders(SIZE_OF_AN_ARGUMENT)
    write = encode if name == "json" else serializer_named(name).encode
    text = dumps(write(value))
    there = seconds(lambda: dumps(write(value)))
    back = seconds(lambda: decode(json.loads(text), READ))
    return f"| `{name}` | {len(text):,} | {there * 1e6:.0f} | {back * 1e6:.0f} |"


def lines() -> list[str]:
    """Return the section of the page of results."""
    return [
        "## Serializers",
        "",
        f"One argument, orders of {SIZE_OF_AN_ARGUMENT:,} characters of JSON: what it takes in the",
        "body, and microseconds to write and to read it.",
        "",
        "| serializer | characters | write | read |",
        "|---|---|---|---|",
        *map(serialized, SERIALIZERS),
        "",
        "## Compression",
        "",
        "Bodies of orders: what is left of them in base64, and the time there and back.",
        "",
        f"| bytes | {' | '.join(NAMES)} |",
        f"|---|{'---|' * len(NAMES)}",
        *map(compressed, SIZES),
        "",
    ]


if __name__ == "__main__":
    print("\n".join(lines()))
