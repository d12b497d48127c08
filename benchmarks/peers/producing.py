"""A producer's loop: it does what it is told, a line of JSON each, and says what it took.

``["send", "loop", 1000]`` sends a thousand tasks and answers ``{"cpu_s": ..., "wall_s": ...}``;
``["get", 50]`` sends one task after the other, waits for each result, and answers with the seconds
that each took. Imports, and the connections of the first call, are not in these times: the
benchmark lets it send some tasks before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Send = Callable[[int], object]


def serve(sends: Mapping[str, Send], get: Callable[[int], object] | None = None) -> None:
    """Obey until the input ends.

    Parameters
    ----------
    sends
        By how it sends (``loop``, ``group``, ``concurrent``): a function that sends so many.
    get
        Sends one task, and returns when it has its result.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        if command == "send":
            mode, count = arguments
            answer: Any = _timed(sends[mode], count)
        else:
            assert get is not None
            answer = [_timed(get, number)["wall_s"] for number in range(arguments[0])]
        print(json.dumps(answer), file=answers, flush=True)


def _timed(function: Callable[[int], object], argument: int) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    function(argument)
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
