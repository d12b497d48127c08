"""Results of many tasks through both ports: what is asked of DynamoDB, and how often."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from caraway import GroupResult
from caraway.core.message import Message
from caraway.core.port import run_now
from caraway.core.record import Written
from caraway.result import DerivedResults

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caraway import Caraway
    from tests.integration.conftest import Place

SIZE = 250


def end(app: Caraway, members: DerivedResults, places: Iterable[int]) -> None:
    """Let members of a group end, each with its place as its value."""
    now = app.aws.now().timestamp()
    writes = [
        app.site.records.finish(
            Message(members[place].id, "add"),
            "token",
            now,
            Written("SUCCESS", str(place)),
            None,
            claimed=False,
        )
        for place in places
    ]
    assert not [
        answer for answer in run_now(app.aws.perform_all(writes)) if isinstance(answer, Exception)
    ]


def requests_of(app: Caraway) -> Counter[str]:
    """Return a counter of the requests that synchronous code sends to DynamoDB from now on."""
    sent: Counter[str] = Counter()
    app.aws._send._client("dynamodb").meta.events.register_first(
        "before-send.dynamodb",
        lambda request, **_: sent.update([request.headers["X-Amz-Target"].decode()]),
    )
    return sent


def test_a_group_is_read_a_hundred_members_a_request(local: Place) -> None:
    app = local.app()
    members = DerivedResults(app, "group", SIZE)
    group = GroupResult("group", members)
    end(app, members, range(SIZE))
    sent = requests_of(app)
    assert group.get(timeout=30) == list(range(SIZE))
    assert sent == {"DynamoDB_20120810.BatchGetItem": 3}
    sent.clear()
    assert (group.completed_count(), group.ready()) == (SIZE, True)
    assert sent == {"DynamoDB_20120810.BatchGetItem": 6}
    assert asyncio.run(group.aget(timeout=30)) == list(range(SIZE))


def test_members_are_given_as_they_end(local: Place) -> None:
    app = local.app()
    members = DerivedResults(app, "group", SIZE)
    end(app, members, range(0, SIZE, 2))
    sent = requests_of(app)
    given = GroupResult("group", members).iter_native(timeout=30)
    seen = [next(given)[1]["result"] for _ in range(0, SIZE, 2)]
    assert seen == list(range(0, SIZE, 2))
    end(app, members, range(1, SIZE, 2))
    sent.clear()
    assert [meta["result"] for _, meta in given] == list(range(1, SIZE, 2))
    assert sent == {"DynamoDB_20120810.BatchGetItem": 2}


def test_a_group_is_saved_and_restored_on_an_engine(local: Place) -> None:
    app = local.app()
    group = GroupResult("group", DerivedResults(app, "group", SIZE), app=app)
    group.save()
    assert app.GroupResult.restore("group") == group
    group.delete()
    assert app.GroupResult.restore("group") is None
    asyncio.run(group.asave())
    assert asyncio.run(app.GroupResult.arestore("group")) == group
