"""What ``caraway beat sync`` costs for many entries: CPU to compile and to compare them.

AWS is made up, so nothing is waited for: it lists what is there, a hundred with a request.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from benchmarks.measures import say
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

    from benchmarks.measures import Row, Scale
    from caraway.core.stored import Stored
    from caraway.core.stores import Store

ROLE = "arn:aws:iam::123456789012:role/scheduler"
ENTRIES = 10_000
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


def measure(scale: Scale) -> list[Row]:
    """Compile and compare all entries, once in each round."""
    rows: list[Row] = []
    count = scale.tasks(ENTRIES)
    for turn in range(scale.rounds):
        say(f"schedules, round {turn + 1}")
        app = app_with(count)
        began = time.process_time()
        wanted = schedules_of(app, app.aws.now())
        compiled = time.process_time()
        stores = stores_of(app)
        aws: Any = Listing(stores.current, wanted)
        listed = time.process_time()
        plan = run_now(compare(aws, stores, wanted))
        assert not plan.changes
        rows.append(
            {
                "round": turn,
                "entries": count,
                "compile_s": compiled - began,
                "compare_s": time.process_time() - listed,
                "requests": dict(aws.asked),
            }
        )
    return rows
