"""Workers that show themselves are seen on every engine, through every port."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from caraway.core.presence import (
    LIST,
    About,
    Presence,
    Presences,
    RunningTask,
    about,
    present,
)
from caraway.requests.dynamodb import GetItem

if TYPE_CHECKING:
    from tests.contract.conftest import Harness


def test_a_worker_is_seen_from_its_first_beat_until_it_leaves(harness: Harness) -> None:
    presences = Presences(harness.table())
    assert harness.run(present(harness.aws, presences)) == []
    now = harness.aws.now().timestamp()
    common = About(("shop.add", "shop.☕"), {"timezone": '"Asia/Seoul"'})
    first = Presence(
        hostname="a@box",
        session="a@box\t1",
        pid=7,
        pool="threads",
        concurrency=10,
        queues=("default", "reports"),
        version="0.1.0",
        about=common.digest,
        interval_s=30.0,
        started_at=now - 60.5,
        beat_at=now,
        processed=3,
        running=1,
        tasks=(RunningTask("one", "shop.add", now - 1.25),),
    )
    second = replace(first, hostname="b@box", session="b@box\t2", tasks=(), queues=())
    gone = replace(first, session="a@box\t0", beat_at=now - 76)
    for each in (second, gone, first, first):
        harness.perform(presences.describe(common, now))
        harness.perform(presences.beat(each))
        harness.perform(presences.enlist(each.session))
    harness.perform(presences.enlist("never\tthere"))

    assert harness.run(present(harness.aws, presences)) == [first, second]
    listed = harness.perform(GetItem(presences.table, LIST))
    assert listed is not None
    assert listed["sessions"] == {first.session, second.session}
    assert harness.run(about(harness.aws, presences, [common.digest] * 2)) == {
        common.digest: common
    }

    harness.perform(presences.strike([first.session]))
    harness.perform(presences.strike([first.session, second.session]))
    assert harness.run(present(harness.aws, presences)) == []
