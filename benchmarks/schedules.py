"""What ``caraway beat sync`` costs for many entries: CPU seconds to compile and to compare them.

    python -m benchmarks.schedules
    python -m benchmarks.schedules 20000 --profile

AWS is made up, so nothing is waited for: it lists what is there, a hundred with a request.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from caraway import Caraway
from caraway.beat import schedules_of, stores_of
from caraway.core.beat_sync import compare
from caraway.core.port import run_now
from caraway.requests.base import Listed
from caraway.requests.eventbridge import ListRules
from caraway.requests.scheduler import PAGE_LIMIT, ListSchedules, ScheduleSummary
from caraway.schedules import crontab, schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.core.beat_sync import Plan
    from caraway.core.stored import Stored
    from caraway.core.stores import Store

ROLE = "arn:aws:iam::123456789012:role/scheduler"
ZONES = ("UTC", "Asia/Seoul", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")


class Listing:
    """An AWS that has schedules, and can list them."""

    def __init__(self, store: Store, there: Sequence[Stored]) -> None:
        self.asked: Counter[str] = Counter()
        self._names = sorted(store.name_of(stored) for stored in there)

    async def perform(self, request: Any) -> Any:
        """Answer a list."""
        self.asked[request.operation] += 1
        if isinstance(request, ListRules):
            return Listed((), None)
        assert isinstance(request, ListSchedules)
        first = int(request.next_token or 0)
        names = self._names[first : first + PAGE_LIMIT]
        page = tuple(
            ScheduleSummary(name, "default", f"arn:{name}", "ENABLED", "arn:aws:sqs:eu:1:default")
            for name in names
        )
        more = first + PAGE_LIMIT < len(self._names)
        return Listed(page, str(first + PAGE_LIMIT) if more else None)

    async def perform_all(self, requests: Sequence[Any]) -> list[Any]:
        """Answer lists."""
        return [await self.perform(request) for request in requests]


def app_with(count: int) -> Caraway:
    """Return an app with so many entries: crontabs of several zones, and intervals."""
    app = Caraway("bench", set_as_current=False)
    app.conf.update(scheduler_role_arn=ROLE, aws_region="eu-central-1")
    app.task(name="send")(_send)
    app.conf.beat_schedule = {
        f"customer {number}": {
            "task": "send",
            "schedule": schedule(60 * (number % 700 + 1))
            if number % 5 == 0
            else crontab(number % 60, number % 24, number % 7, tz=ZONES[number % len(ZONES)]),
            "args": (number, f"customer-{number}"),
        }
        for number in range(count)
    }
    return app.finalize()


def _send(number: int, name: str) -> None:
    """Stand for a user's task."""


def measure(count: int) -> tuple[Plan, Counter[str], float, float]:
    """Return the plan, the requests, and the CPU seconds of compiling and of comparing."""
    app = app_with(count)
    began = time.process_time()
    wanted = schedules_of(app, app.aws.now())
    compiled = time.process_time()
    stores = stores_of(app)
    aws: Any = Listing(stores.current, wanted)
    listed = time.process_time()
    plan = run_now(compare(aws, stores, wanted))
    return plan, aws.asked, compiled - began, time.process_time() - listed


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("count", nargs="?", type=int, default=10_000, help="entries")
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    options = parser.parse_args()
    profile = cProfile.Profile()
    if options.profile:
        profile.enable()
    plan, asked, compile_s, compare_s = measure(options.count)
    profile.disable()
    told = ", ".join(f"{operation} {number:,}" for operation, number in sorted(asked.items()))
    print(f"{len(plan.unchanged):,} entries unchanged, {len(plan.changes)} changes")
    print(f"compiled in {compile_s:.2f} s, compared in {compare_s:.2f} s of CPU; requests: {told}")
    if options.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(30)


if __name__ == "__main__":
    main()
