"""A producer's loop: it does what it is told, a line of JSON each, and says what it took.

``["send", "loop", 1000]`` sends a thousand tasks and answers ``{"cpu_s": ..., "wall_s": ...}``;
``["wait", "get", 7, 50]`` calls and waits for the result, with the argument 7, fifty times, and
answers with what each took; ``["profile", "concurrent", 1000]`` answers with the seconds of each
module. Imports, and the connections of the first call, are not in these times: the benchmark lets
it send some tasks before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Calls = Mapping[str, Callable[[int], object]]


def serve(sends: Calls, waits: Calls | None = None) -> None:
    """Obey until the input ends.

    Parameters
    ----------
    sends
        By how it sends (``loop``, ``group``, ``concurrent``): a function that sends so many.
    waits
        By what it calls (``get``, ``chord``): a function that returns when it has the result.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin:
        match json.loads(line):
            case ["send", mode, count]:
                answer: Any = _timed(sends[mode], count)
            case ["wait", what, argument, times]:
                answer = [_timed((waits or {})[what], argument) for _ in range(times)]
            case ["profile", mode, count]:
                from benchmarks.peers.profiling import profiled  # it takes memory

                answer = profiled(sends[mode], count)
        print(json.dumps(answer), file=answers, flush=True)


def _timed(function: Callable[[int], object], argument: int) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    function(argument)
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
