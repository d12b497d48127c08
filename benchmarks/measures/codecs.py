"""What serializers and compressions cost, and how much they make of the same orders."""

from __future__ import annotations

import json
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.measures import say
from caraway.core.codec import decode, dumps, encode
from caraway.core.compression import NAMES, compression
from caraway.core.encoding import to_base64
from caraway.core.serializers import Accepted, serializer_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measures import Row, Scale

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


def compressed(size: int) -> list[Row]:
    """Return what each compression makes of a body."""
    body = dumps(orders(size)).encode()
    rows: list[Row] = []
    for name in NAMES:
        method = compression(name)
        smaller = method.compress(body) or body
        rows.append(
            {
                "compression": name,
                "bytes": len(body),
                "part": len(to_base64(smaller)) / len(body),
                "there_s": seconds(partial(method.compress, body)),
                "back_s": seconds(partial(method.decompress, smaller)),
            }
        )
    return rows


def serialized(name: str) -> Row:
    """Return what a serializer makes of an argument."""
    value = orders(SIZE_OF_AN_ARGUMENT)
    write = encode if name == "json" else serializer_named(name).encode
    text = dumps(write(value))
    return {
        "serializer": name,
        "characters": len(text),
        "write_s": seconds(lambda: dumps(write(value))),
        "read_s": seconds(lambda: decode(json.loads(text), READ)),
    }


def measure(scale: Scale) -> list[Row]:
    """Measure all of them once."""
    say("codecs")
    sizes = SIZES if scale.part >= 1 else SIZES[:2]
    rows = [serialized(name) for name in SERIALIZERS]
    return rows + [row for size in sizes for row in compressed(size)]
