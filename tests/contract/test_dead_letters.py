"""Every engine lets dead letters be looked through and redriven, through every port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from caraway.core.dead_letters import DeadLetter, Selection, Sweep, Swept, piles
from caraway.core.routing import Queue, Router
from caraway.requests.sqs import DeleteMessage, GetQueueUrl, SendMessage

if TYPE_CHECKING:
    from tests.contract.conftest import Harness


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
def test_a_selective_redrive_brings_back_what_is_meant_and_leaves_the_rest_to_be_seen(
    harness: Harness, fifo: bool
) -> None:
    name, dead = harness.queue_name(fifo=fifo), harness.queue_name(fifo=fifo)
    queue = Queue(name, dead_letter_queue=dead.removesuffix(".fifo"))
    (pile,) = piles(Router([queue], default=queue.name), "")
    assert pile.sqs_name == dead
    dead_url = harness.perform(GetQueueUrl(dead))
    for number in range(4):
        harness.perform(
            SendMessage(
                dead_url,
                f"letter {number}",
                attributes={"reason": "stays" if number == 3 else "goes"},
                group_id="group" if fifo else None,
                deduplication_id=str(number) if fifo else None,
            )
        )
    found: list[DeadLetter] = []
    sweep = Sweep(harness.aws, "", pile, Selection(reason="goes"), "redrive", found=found.append)
    assert harness.run(sweep.run()) == Swept(seen=4, matched=3, done=3)
    url = harness.perform(GetQueueUrl(name))
    came: list[tuple[str, str | None]] = []
    while len(came) < 3:
        for received in harness.next_visible(url):
            came.append((received.body, received.group_id))
            harness.perform(DeleteMessage(url, received.receipt_handle))
    expected = [(f"letter {number}", "group" if fifo else None) for number in range(3)]
    assert came == expected if fifo else sorted(came) == expected
    left: list[DeadLetter] = []
    look = Sweep(harness.aws, "", pile, found=left.append)
    assert harness.run(look.run()) == Swept(seen=1, matched=1)
    assert [each.received.body for each in left] == ["letter 3"]
