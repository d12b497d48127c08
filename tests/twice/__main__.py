"""``python -m tests.twice [NAME ...]``: let every message come twice, and write what came of it.

All kinds of workflows, a group of 1,000 and a chord of 10,000 run through both doors on the local
engine. Their rows go to ``benchmarks/TWICE.md``; with names (``chord``, ``ecs``, ``"sent twice"``)
only what they all fit is run, and the other rows stay. Fails with the first thing that is not as it
must be.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

from caraway import Queue, __version__
from caraway.local.engine import LocalEngine
from tests.integration.conftest import SERVICES, Place
from tests.twice.doors import duplicates, run_all
from tests.twice.loads import send_all_kinds, send_chord, send_group
from tests.unit.canvas.stage import Script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.twice.doors import Consumer, Kind
    from tests.twice.loads import Check

PAGE: Final = Path(__file__).parents[2] / "benchmarks" / "TWICE.md"
PATIENCE_S: Final = 3_600.0
DOORS: Final[tuple[tuple[Consumer, Kind], ...]] = (
    ("lambda", "invoked twice"),
    ("lambda", "sent twice"),
    ("ecs", "received again"),
    ("ecs", "sent twice"),
)
LOADS: Final[dict[str, Callable[[Script], Check]]] = {
    "all kinds, 72 workflows": send_all_kinds,
    "group of 1,000": partial(send_group, size=1_000),
    "chord of 10,000": partial(send_chord, size=10_000),
}


def run(place: Place, load: str, consumer: Consumer, kind: Kind) -> str:
    """Send a load to a door, wait until all has run, and check what came out; return a row."""
    app = place.app(Queue("default", consumer=consumer))
    script, began = Script(app, named=False), time.perf_counter()
    with duplicates(kind) as doubled:
        check = LOADS[load](script)
        run_all(place, app, consumer, kind, PATIENCE_S)
    seconds = time.perf_counter() - began
    check()
    return (
        f"{beginning(load, consumer, kind)} {doubled.sent:,} | {doubled.delivered:,} | "
        f"{len(script.runs):,} | {seconds:.0f} |"
    )


def beginning(*names: str) -> str:
    """Return how the row of a run begins."""
    return f"| {' | '.join(names)} |"


def page(rows: Iterable[str]) -> str:
    """Return the page with some rows; of the others it keeps what it has."""
    known = [*rows, *(PAGE.read_text().splitlines() if PAGE.exists() else ())]
    begin = [beginning(load, *door) for load, door in product(LOADS, DOORS)]
    found = [[row for row in known if row.startswith(each)][:1] for each in begin]
    lines = [
        "# Every message twice",
        "",
        "Written by `python -m tests.twice`, which `make twice` runs.",
        "",
        f"Caraway {__version__}, Python {platform.python_version()}, {os.cpu_count()} cores.",
        "The local engine runs on the same machine, and each door in the process that sends.",
        "",
        "A function is invoked twice with each event, a worker receives each message again while",
        "it holds it, or each message is sent twice. A delivery of a task that has ended sends",
        "once more what follows it: so there are more deliveries than two for each task. What must",
        "come out of the 72 workflows is said by the oracle of the",
        "[semantics suite](../docs/canvas.md#how-we-know); of a group and of a chord, every task",
        "has run once. It stops at the first thing that is otherwise.",
        "",
        "| | door | every message is | sends | deliveries | runs of functions | seconds |",
        "|---|---|---|---|---|---|---|",
        *(row for rows in found for row in rows),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run what the arguments name, or all of it."""
    logging.disable(logging.CRITICAL)
    names = sys.argv[1:]
    with LocalEngine(port=0, progress=say) as engine, ExitStack() as closing:
        os.environ.update(engine.environ())
        place = Place(engine.endpoint_url, closing)
        for service in SERVICES:
            place.client(service)
        for load, (consumer, kind) in product(LOADS, DOORS):
            if all(any(name in each for each in (load, consumer, kind)) for name in names):
                row = run(place, load, consumer, kind)
                say(row)
                PAGE.write_text(page([row]))


def say(line: str) -> None:
    """Tell whoever watches."""
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
