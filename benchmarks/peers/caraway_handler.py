"""Caraway's Lambda handler in a process that is handed events, a line each: see `producing`."""

from __future__ import annotations

import json
import os
import sys
import time

from benchmarks.peers.caraway_app import app
from caraway.workers.aws_lambda import lambda_handler


class Context:
    """What Lambda hands to a function."""

    aws_request_id = "bench"

    def get_remaining_time_in_millis(self) -> int:
        """Say that there is time enough."""
        return 60_000


def main() -> None:
    """Invoke the handler for each event."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    handler = lambda_handler(app, concurrency=int(sys.argv[1]))
    for line in sys.stdin:
        event = json.loads(line)
        cpu, wall = time.process_time(), time.perf_counter()
        answer = handler(event, Context())
        taken = {
            "cpu_s": time.process_time() - cpu,
            "wall_s": time.perf_counter() - wall,
            "failed": len(answer["batchItemFailures"]),
        }
        print(json.dumps(taken), file=answers, flush=True)


if __name__ == "__main__":
    main()
