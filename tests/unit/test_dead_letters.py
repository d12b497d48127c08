"""Dead letters are found, sent again and deleted, whatever breaks on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from caraway import states
from caraway.core.dead_letters import (
    NO_REASON,
    DeadLetter,
    Deed,
    Selection,
    Sweep,
    Swept,
    hold_s,
    piles,
)
from caraway.core.disposition import Delete
from caraway.core.port import run_now
from caraway.core.record import DONE
from caraway.core.routing import Queue
from caraway.exceptions import EndpointUnreachable, Reject
from caraway.requests.sqs import VISIBILITY_LIMIT_S, DeleteMessage, SendMessage
from tests.support import FakeTask, Fates, World, doing


def rejecting(*reasons: str, queue: Queue | str = "default", **site: Any) -> World:
    """Return a world in which a task was rejected once for each reason, and then returns."""
    task = FakeTask("shop.sell", doing(*(Reject(reason) for reason in reasons), "sold"))
    world = World(task, queues=[queue], **site)
    for number in range(len(reasons)):
        world.send("shop.sell", number, **({"message_group_id": "g"} if _is_fifo(queue) else {}))
        world.deliver()
    return world


def _is_fifo(queue: Queue | str) -> bool:
    return isinstance(queue, Queue) and queue.fifo


def sweep(
    world: World, deed: Deed = "look", *, limit: int | None = None, **selection: Any
) -> tuple[Swept, list[DeadLetter]]:
    """Sweep the only pile; return what it came to, and the letters that were meant."""
    letters: list[DeadLetter] = []
    (pile,) = piles(world.site.router, "")
    run = Sweep(
        world.aws, "", pile, Selection(**selection), deed, limit=limit, found=letters.append
    ).run()
    return run_now(run), letters


def test_a_look_names_task_queue_and_reason_and_hides_nothing() -> None:
    world = rejecting("no stock", "no customer")
    swept, letters = sweep(world)
    assert swept == Swept(seen=2, matched=2)
    assert [(each.task, each.reason, each.attempt) for each in letters] == [
        ("shop.sell", "no stock", 1),
        ("shop.sell", "no customer", 1),
    ]
    assert {each.queue for each in letters} == {world.site.router.queue("default")}
    assert sweep(world)[0].seen == 2


@pytest.mark.parametrize(
    ("selection", "meant"),
    [
        ({"task": "shop.*"}, 2),
        ({"task": "other.*"}, 0),
        ({"reason": "STOCK"}, 1),
        ({"ids": frozenset({"no such id"})}, 0),
        ({"older_than_s": 60}, 2),
        ({"older_than_s": 61}, 0),
        ({"newer_than_s": 59}, 0),
        ({"newer_than_s": 60, "reason": "customer"}, 1),
    ],
)
def test_letters_are_selected_by_task_reason_id_and_age(
    selection: dict[str, Any], meant: int
) -> None:
    world = rejecting("no stock", "no customer")
    world.aws.pass_time(60)
    assert sweep(world, **selection)[0] == Swept(seen=2, matched=meant)


def test_a_redriven_task_runs_as_its_next_attempt_under_its_id() -> None:
    world = rejecting("no stock")
    id = sweep(world)[1][0].id
    assert sweep(world, "redrive")[0] == Swept(seen=1, matched=1, done=1)
    assert world.dead_letters() == []
    assert world.deliver() == Delete(states.SUCCESS)
    assert (world.record(id or "").phase, world.record(id or "").attempt) == (DONE, 1)


def test_a_selective_redrive_leaves_the_others_to_be_seen_at_once() -> None:
    world = rejecting("no stock", "no customer")
    assert sweep(world, "redrive", reason="stock")[0] == Swept(seen=2, matched=1, done=1)
    assert [each.reason for each in sweep(world)[1]] == ["no customer"]


def test_a_crash_between_send_and_delete_loses_nothing_and_runs_nothing_twice() -> None:
    world = rejecting("no stock")
    world.aws.fate = Fates().on(DeleteMessage, "fail")
    with pytest.raises(EndpointUnreachable):
        sweep(world, "redrive")
    world.aws.fate = lambda _request: "ok"
    assert len(world.messages()) == len(world.dead_letters()) == 1
    assert sweep(world, "redrive")[0].done == 1
    world.drain()
    assert len(world.tasks["shop.sell"].runs) == 2  # the rejected one, and one more


def test_a_letter_that_sqs_did_not_take_stays_and_the_others_go() -> None:
    world = rejecting("one", "two", "three")
    world.aws.fate = Fates().on(SendMessage, "fail", nth=2)
    with pytest.raises(EndpointUnreachable):
        sweep(world, "redrive")
    assert [each.attributes["reason"] for each in world.dead_letters()] == ["two"]
    assert len(world.messages()) == 2


def test_on_fifo_nothing_overtakes_a_letter_that_sqs_did_not_take() -> None:
    world = rejecting("one", "two", "three", queue=Queue("default", fifo=True))
    world.aws.fate = Fates().on(SendMessage, "fail", nth=2)
    with pytest.raises(EndpointUnreachable):
        sweep(world, "redrive")
    assert [each.attributes["reason"] for each in world.dead_letters()] == ["two", "three"]


def test_on_fifo_a_redrive_keeps_group_and_order_and_is_never_taken_for_a_repeat() -> None:
    world = rejecting("one", "two", queue=Queue("default", fifo=True))
    letters = sweep(world, "redrive")[1]
    sent = [stored.request for stored in world.aws.queues["default.fifo"]]
    assert [json.loads(each.body)["id"] for each in sent] == [each.id for each in letters]
    assert {each.group_id for each in sent} == {"g"}
    known = {each.deduplication_id for each in world.asked(SendMessage)[: -len(sent)]}
    assert known.isdisjoint({each.deduplication_id for each in sent})


def test_a_worker_that_rejects_at_once_what_is_redriven_does_not_keep_a_redrive_going() -> None:
    world = rejecting("one")
    world.tasks["shop.sell"].function = doing(*[Reject("again")] * 50)
    (pile,) = piles(world.site.router, "")

    def work(_swept: Swept) -> None:
        world.aws.pass_time(3)
        world.drain()

    swept = run_now(Sweep(world.aws, "", pile, Selection(), "redrive", progress=work).run())
    assert swept == Swept(seen=2, matched=1, done=1)
    assert len(world.dead_letters()) == 1


def test_a_task_that_succeeded_meanwhile_is_not_run_again() -> None:
    world = rejecting("one")
    body = world.dead_letters()[0].body
    sweep(world, "redrive")
    world.drain()
    run_now(world.aws.perform(SendMessage("memory://default-dlq", body)))
    sweep(world, "redrive")
    assert world.deliver() == Delete("it is SUCCESS already")


def test_a_purge_deletes_what_is_meant_and_sends_nothing() -> None:
    world = rejecting("no stock", "no customer")
    assert sweep(world, "purge", reason="stock")[0].done == 1
    assert [each.attributes["reason"] for each in world.dead_letters()] == ["no customer"]
    assert world.messages() == []


def test_a_limit_takes_no_more_and_releases_the_rest() -> None:
    world = rejecting("one", "two", "three")
    assert sweep(world, "purge", limit=2)[0].done == 2
    assert sweep(world)[0].seen == 1


def test_more_letters_than_one_receive_brings_are_all_seen() -> None:
    world = rejecting(*map(str, range(25)))
    assert sweep(world, "redrive")[0] == Swept(seen=25, matched=25, done=25)


def test_a_body_that_nobody_can_read_is_listed_all_the_same_and_can_be_sent_again() -> None:
    world = World(queues=["default"])
    run_now(world.aws.perform(SendMessage("memory://default-dlq", "no JSON")))
    letter = sweep(world, "redrive")[1][0]
    assert (letter.id, letter.task, letter.attempt, letter.reason) == (None, None, None, NO_REASON)
    assert world.aws.bodies("default") == ["no JSON"]


def test_where_queues_share_a_pile_a_letter_goes_where_it_came_from() -> None:
    queues = [Queue(name, dead_letter_queue="dead") for name in ("one", "two")]
    world = World(FakeTask("task", doing(Reject("no"))), queues=queues)
    world.send("task", queue="two")
    world.deliver("two")
    run_now(world.aws.perform(SendMessage("memory://dead", "of nobody knows which")))
    (only,) = piles(world.site.router, "", ["one"])
    assert run_now(Sweep(world.aws, "", only, deed="redrive").run()) == Swept(2, 1, 0, 1)
    (pile,) = piles(world.site.router, "", ["one", "two"])
    assert run_now(Sweep(world.aws, "", pile, deed="redrive").run()) == Swept(2, 2, 1, 1)
    assert len(world.messages("two")) == 1
    to = world.site.router.queue("one")
    assert run_now(Sweep(world.aws, "", pile, deed="redrive", to=to).run()) == Swept(1, 1, 1)


def test_an_interrupted_sweep_leaves_nothing_hidden() -> None:
    world = rejecting("one", "two")
    (pile,) = piles(world.site.router, "")

    def interrupt(_letter: DeadLetter) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_now(Sweep(world.aws, "", pile, found=interrupt).run())
    assert sweep(world)[0].seen == 2


def test_a_tenant_is_kept_from_the_call_through_the_dead_letter_to_the_next_run() -> None:
    world = World(FakeTask("task", doing(Reject("no"))))
    world.send("task", message_group_id="customer-42")
    world.deliver()
    assert [each.group_id for each in world.dead_letters()] == ["customer-42"]
    sweep(world, "redrive")
    assert [each.request.group_id for each in world.aws.queues["default"]] == ["customer-42"]


def test_a_sweep_hides_letters_for_about_as_long_as_it_takes() -> None:
    assert hold_s(0) == 60
    assert hold_s(1_200) == 120
    assert hold_s(10**7) == VISIBILITY_LIMIT_S
