"""Many tasks are revoked, and looked for, on every engine through every port."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from caraway import states
from caraway.core.claim_check import Store
from caraway.core.listing import Selection, selected
from caraway.core.publish import Site
from caraway.core.reading import get_items
from caraway.core.record import DONE, FAILED, LAMBDA, RETRY, RUNNING
from caraway.core.revoke import Revocation, revoke_all
from caraway.core.routing import Queue, Router
from caraway.core.transitions import Records

if TYPE_CHECKING:
    from caraway.requests.items import Item
    from tests.contract.conftest import Harness

UNSENT = 60
RECORDS: dict[str, Item] = {
    "waits": {"phase": RETRY, "state": states.RETRY, "attempt": 1, "open_at": 0, "held": 0},
    "runs": {"phase": RUNNING, "state": states.PENDING, "token": "t", "door": "ecs"},
    "runs on lambda": {"phase": RUNNING, "state": states.STARTED, "token": "t", "door": LAMBDA},
    "failed": {"phase": FAILED, "state": states.FAILURE, "attempt": 1, "open_at": 0},
    "done": {"phase": DONE, "state": states.SUCCESS, "result": "1"},
}


def a_site(harness: Harness) -> Site:
    table = harness.table()
    for id, item in RECORDS.items():
        seen = {"id": id, "task": "shop.add", "queue": "default", "started_at": 1_700_000_000.5}
        harness.put_item(table, {**seen, **item})
    return Site(Router([Queue("default")]), Records(table), Store())


def test_many_are_revoked_wherever_they_are(harness: Harness) -> None:
    site = a_site(harness)
    ids = [*RECORDS, *(f"unsent {number}" for number in range(UNSENT))]
    answers = harness.run(revoke_all(harness.aws, site, ids, "SIGTERM"))
    happened = {each.id: each.happened for each in answers if isinstance(each, Revocation)}
    assert [happened.pop(id) for id in RECORDS] == [
        "revoked",
        "terminating",
        "fenced",
        "ended",
        "ended",
    ]
    assert Counter(happened.values()) == {"revoked": UNSENT}
    first = list(RECORDS)[:3]
    items = harness.run(get_items(harness.aws, site.records.table, first))
    waited, runs, fenced = (items[id] for id in first)
    assert (waited["phase"], waited["state"], waited["revoked"]) == (DONE, "REVOKED", "revoke")
    assert not {"open_at", "held"} & set(waited)
    assert (runs["phase"], runs["revoked"]) == (RUNNING, "terminate:SIGTERM")
    assert (fenced["phase"], fenced["state"]) == (DONE, "REVOKED")
    assert fenced["token"] != "t"


def test_tasks_are_found_by_their_state(harness: Harness) -> None:
    site = a_site(harness)

    async def found(*chosen: str) -> set[str]:
        selection = Selection(frozenset(chosen), task="shop.*")
        asked = selected(harness.aws, site, selection, page=2)
        return {seen.record.id async for seen in asked}

    assert harness.run(found()) == set(RECORDS)
    assert harness.run(found("STARTED")) == {"runs", "runs on lambda"}
    assert harness.run(found("FAILURE", "RETRY")) == {"failed", "waits"}
