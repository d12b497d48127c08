"""What is stored of the schedule, seen and changed at run time, in both stores of each engine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from caraway.core.beat import entries, plain_arguments, schedules
from caraway.core.beat_sync import sync
from caraway.core.envelope import parse_envelope
from caraway.core.ids import occurrence_id
from caraway.core.message import Message, read_message
from caraway.core.publish import Site
from caraway.core.routing import Queue, Router
from caraway.core.run_times import last_times
from caraway.core.schedule_changes import edited, remove, send_now, switch, write
from caraway.core.schedule_entries import ScheduleEntry, find_anywhere, overview
from caraway.core.scheduling import Scheduling
from caraway.core.stored import Held, Origin, Owner, Stored
from caraway.core.stores import Stores
from caraway.core.transitions import Records
from caraway.requests.sqs import GetQueueUrl
from caraway.schedules import crontab

if TYPE_CHECKING:
    from tests.contract.conftest import Harness

pytestmark = pytest.mark.without("memory", "it has no EventBridge")

ROLE = "arn:aws:iam::000000000000:role/scheduler"
CODE: dict[str, Any] = {
    "clean": {"task": "t", "schedule": crontab(0, "*/6"), "args": ["<b>", 'a "word"', "é 한 🌱"]},
    "report": {"task": "t", "schedule": 600},
}


@dataclass
class Table:
    """One owner's schedules, through the stores of one engine."""

    harness: Harness
    stores: Stores
    site: Site
    queue: str

    def made(self, beat_schedule: dict[str, Any], origin: Origin = "code") -> list[Stored]:
        wanted = entries(beat_schedule, origin)
        zone, now = timezone.utc, self.harness.aws.now()
        return schedules(self.site, self.stores.current, wanted, zone=zone, now=now, origin=origin)

    def sync(self, beat_schedule: dict[str, Any]) -> None:
        self.harness.run(sync(self.harness.aws, self.stores, self.made(beat_schedule)))

    def seen(self) -> dict[str, ScheduleEntry]:
        wanted = self.made(CODE)
        look = overview(self.harness.aws, self.site, self.stores, wanted)
        return {entry.name: entry for entry in self.harness.run(look)}

    def held(self, name: str) -> Held:
        (held,) = self.harness.run(find_anywhere(self.harness.aws, self.stores, name))
        return held

    def edit(self, name: str, **changes: Any) -> None:
        before, aws = self.held(name), self.harness.aws
        after = edited(
            self.site,
            self.stores.current,
            before.stored,
            changes,
            zone=timezone.utc,
            now=aws.now(),
            to_wire=plain_arguments,
        )
        self.harness.run(write(aws, self.stores, after, [before]))


@pytest.fixture(params=["rules", "schedules"])
def table(request: pytest.FixtureRequest, harness: Harness) -> Table:
    scheduling = Scheduling(ROLE) if request.param == "schedules" else None
    stores = Stores.of(Owner(harness.unique_name()), scheduling)
    queue = harness.queue_name()
    site = Site(Router([Queue(queue)], default=queue), Records(harness.table()))
    return Table(harness, stores, site, queue)


def test_entries_are_seen_paused_edited_made_and_deleted(table: Table) -> None:
    run, aws, stores = table.harness.run, table.harness.aws, table.stores
    table.sync(CODE)
    assert {name: entry.status for name, entry in table.seen().items()} == {
        "clean": "active",
        "report": "active",
    }
    run(switch(aws, stores, [table.held("report")], on=False))
    table.edit("clean", schedule=crontab(30, 9), args=[7])
    (extra,) = table.made({"extra": {"task": "t", "schedule": 3_600, "args": ["<x>"]}}, "data")
    run(write(aws, stores, extra))
    seen = table.seen()
    assert {name: entry.status for name, entry in seen.items()} == {
        "clean": "edited",
        "extra": "active",
        "report": "paused",
    }
    assert (seen["clean"].args, seen["extra"].args) == ([7], ["<x>"])
    assert seen["clean"].schedule == crontab(30, 9, tz="UTC")
    assert seen["report"].next() == []
    table.sync(CODE)
    run(switch(aws, stores, [table.held("report")], on=True))
    run(remove(aws, stores, [table.held("extra")]))
    seen = table.seen()
    assert {name: entry.status for name, entry in seen.items()} == {
        "clean": "active",
        "report": "active",
    }
    assert seen["clean"].args == CODE["clean"]["args"]
    table.sync({})
    assert run(find_anywhere(aws, stores, "clean")) == []


def test_a_stored_message_is_sent_as_a_task_of_its_own(table: Table) -> None:
    table.sync(CODE)
    url = table.harness.perform(GetQueueUrl(table.queue))
    sent = table.harness.run(send_now(table.harness.aws, table.site, table.held("clean").stored))
    (received,) = table.harness.next_visible(url)
    message = read_message(parse_envelope(received.body))
    assert (message.id, message.schedule) == (sent.id, "clean")
    assert list(message.args) == CODE["clean"]["args"]
    assert message.scheduled_time == sent.scheduled_time
    table.sync({})


def test_the_last_run_is_read_from_its_record(table: Table) -> None:
    table.sync(CODE)
    now = table.harness.aws.now()
    timing = table.seen()["report"].timing
    assert timing is not None
    due = last_times(timing, now - timedelta(seconds=600), 1)[0]
    id = occurrence_id("report", due)
    message = Message(id, "t", schedule="report", scheduled_time=due)
    began = datetime.now(timezone.utc).timestamp()
    shown = {"state": "STARTED", "task": "t", "started_at": began, "door": "ecs"}
    claim = table.site.records.claim(message, "token", began, 60.0, shown=shown)
    table.harness.perform(claim)
    run = table.seen()["report"].last_run
    assert run is not None
    assert (run.id, run.state, run.scheduled_time, run.door) == (id, "STARTED", due, "ecs")
    table.sync({})
