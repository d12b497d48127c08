"""``python -m benchmarks [NAME ...]``: measure, and write ``benchmarks/RESULTS.md``.

Without names everything is measured, in forty minutes on two idle cores. The figures of each
section are kept in ``benchmarks/results``; the page and its plots are written from there.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import figures, page
from benchmarks.measures import (
    Scale,
    codecs,
    growth,
    handler,
    latency,
    local,
    package,
    pools,
    producers,
    profile,
    say,
    schedules,
    start_up,
    tried,
    work,
    workflows,
)
from benchmarks.redis_server import is_installed
from benchmarks.systems import BY_NAME, versions
from caraway import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measures import Row

SECTIONS: dict[str, Callable[[Scale], list[Row]]] = {
    "work": work.measure,
    "local": local.measure,
    "producers": producers.measure,
    "profile": profile.measure,
    "latency": latency.measure,
    "growth": growth.measure,
    "workflows": workflows.measure,
    "handler": handler.measure,
    "start_up": start_up.measure,
    "pools": pools.measure,
    "schedules": schedules.measure,
    "codecs": codecs.measure,
    "package": package.measure,
}


def machine() -> dict[str, object]:
    """Return what the figures were taken on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "caraway": __version__,
        "python": platform.python_version(),
        "versions": versions(),
        "system": platform.system(),
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "redis": is_installed(),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Measure what is asked for, and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=int, default=3, help="3 by default")
    parser.add_argument("--part", type=float, default=1.0, help="of the usual numbers of tasks")
    parser.add_argument(
        "--only", default="", metavar="SYSTEM,...", help=f"of these systems: {', '.join(BY_NAME)}"
    )
    parser.add_argument(
        "--to", type=Path, default=figures.FOLDER, help="folder of the figures; results by default"
    )
    parser.add_argument("--page", type=Path, default=page.PAGE, help="RESULTS.md by default")
    given = parser.parse_args()
    only = tuple(filter(None, given.only.split(",")))
    for kind, names, known in (("section", given.names, SECTIONS), ("system", only, BY_NAME)):
        if unknown := [name for name in names if name not in known]:
            parser.error(f"no {kind} {unknown[0]!r}; there are: {', '.join(known)}")
    if not is_installed():
        say("redis-server is not on PATH: Celery on Redis is left out")
        only = tuple(name for name in only or BY_NAME if BY_NAME[name].broker != "redis")
    scale = Scale(given.rounds, given.part, only)
    given.to.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped, too
    for name in given.names or SECTIONS:
        began = machine()
        rows = tried(name, partial(SECTIONS[name], scale))
        if not rows:
            continue  # what was measured before stays
        kept = {"machine": began, "rounds": scale.rounds, "part": scale.part, "rows": rows}
        figures.save(given.to, name, kept)
    page.write(given.to, given.page)
    say("done")


if __name__ == "__main__":
    main()
