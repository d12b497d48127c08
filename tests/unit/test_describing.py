"""Calls that are described together: each is what it would be if it were described by itself."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Middleware, Queue, group, serialization
from caraway.exceptions import InvalidOption
from tests.yard import Yard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caraway import Publication, Signature


class Looking(Middleware):
    """Changes nothing, but sees every call, so that each is described by itself."""

    def publish(self, publication: Publication) -> Iterator[None]:
        assert publication.options["task_id"]
        yield


def members(yard: Yard) -> list[Signature[Any]]:
    add, ident = yard.add, yard.ident
    return [
        add.s(1, 2),
        add.s(3, 4),
        add.s(3, 4).set(headers={"trace": "a"}),
        add.s(3, 4).set(headers={"trace": "b"}),
        add.s(3, 4).set(headers={"trace": "b"}, stamps={"order": 7}),
        ident.s(1).set(link=add.s(1), time_limit=5),
        ident.s(2).set(link=add.s(1), time_limit=5),
        ident.s(3).set(link=add.s(2), ignore_result=False, compression="gzip"),
        ident.s(4).set(task_id="of-its-own", serializer="pickle"),
        ident.s(5).set(queue="other"),
        yard.app.signature("elsewhere", (1,), queue="other"),
        yard.app.signature("elsewhere", (2,), queue="other"),
        ident.s(6) | add.s(1),
    ]


def sent_by(yard: Yard) -> dict[str, list[Any]]:
    """Return what lies on the queues, without the time."""
    yard.app.conf.update(
        task_queues=[Queue("default"), Queue("other")], accept_content=["json", "pickle"]
    )
    group(members(yard), app=yard.app).apply_async(task_id="the-group")
    bodies = {name: list(map(json.loads, yard.aws.bodies(name))) for name in ("default", "other")}
    assert all(body.pop("sent_at") for several in bodies.values() for body in several)
    return bodies


def test_a_member_is_what_it_would_be_if_it_were_described_by_itself() -> None:
    alone, together = Yard(), Yard()
    alone.app.add_middleware(Looking())
    assert sent_by(together) == sent_by(alone)


def test_a_router_sees_the_arguments_and_the_id_of_each_member() -> None:
    yard = Yard()
    seen = []

    def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None) -> str:
        seen.append((name, args, options["task_id"]))
        return "default"

    yard.app.conf.task_routes = [route]
    result = group(yard.ident.s(n) for n in range(3)).delay()
    assert seen == [("ident", [n], each.id) for n, each in enumerate(result.children)]


def test_the_message_group_of_each_member_may_follow_from_its_arguments() -> None:
    yard = Yard()
    yard.app.conf.task_queues = [Queue("default")]

    @yard.app.task(name="sell", message_group_id=lambda customer: f"customer-{customer}")
    def sell(customer: int) -> None: ...

    group(sell.s(n) for n in range(3)).delay()
    bodies = list(map(json.loads, yard.aws.bodies("default")))
    assert [each["group_id"] for each in bodies] == ["customer-0", "customer-1", "customer-2"]


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_member_whose_option_cannot_be_is_refused_wherever_it_stands(place: int) -> None:
    yard = Yard()
    several = [yard.ident.s(n) for n in range(4)]
    several[place].set(time_limit=-1)
    with pytest.raises(InvalidOption, match="time_limit=-1"):
        group(several).delay()
    assert not yard.aws.bodies("default")


def sent_by_a_plain_call(yard: Yard) -> dict[str, Any]:
    """Return the message of a call without options, and the name of its queue."""
    id = yard.ident.delay(1).id
    names = ("default", "other", "fourth")
    found = [
        {"queue": name, **json.loads(body)} for name in names for body in yard.aws.bodies(name)
    ]
    (sent,) = [each for each in found if each["id"] == id]
    return sent


CHANGES: dict[str, tuple[Callable[[Yard], object], str, object]] = {
    "its queue": (lambda yard: setattr(yard.ident, "queue", "other"), "queue", "other"),
    "the default queue": (
        lambda yard: yard.app.conf.update(task_default_queue="fourth"),
        "queue",
        "fourth",
    ),
    "a route": (
        lambda yard: yard.app.conf.update(task_routes={"ident": "other"}),
        "queue",
        "other",
    ),
    "its time limit": (lambda yard: setattr(yard.ident, "time_limit", 5), "time_limit", 5),
    "the time limit": (
        lambda yard: yard.app.conf.update(task_time_limit=7),
        "time_limit",
        7,
    ),
    "its message group": (
        lambda yard: setattr(yard.ident, "message_group_id", "acme"),
        "group_id",
        "acme",
    ),
    "a message group of each": (
        lambda yard: setattr(yard.ident, "message_group_id", lambda x: f"number-{x}"),
        "group_id",
        "number-1",
    ),
    "a middleware": (
        lambda yard: yard.app.add_middleware(Heading()),
        "headers",
        {"trace": "a"},
    ),
}


class Heading(Middleware):
    def publish(self, publication: Publication) -> Iterator[None]:
        publication.headers["trace"] = "a"
        yield


@pytest.mark.parametrize("change", CHANGES)
def test_a_plain_call_goes_by_what_is_said_when_it_is_made(change: str) -> None:
    yard = Yard()
    yard.app.conf.task_queues = [Queue("default"), Queue("other"), Queue("fourth")]
    make, name, value = CHANGES[change]
    before = sent_by_a_plain_call(yard)
    assert before.get(name) != value
    make(yard)
    assert sent_by_a_plain_call(yard)[name] == value


def test_a_plain_call_expires_from_when_it_is_made() -> None:
    yard = Yard()
    yard.ident.expires = 60
    for _ in range(2):
        body = sent_by_a_plain_call(yard)
        lives = datetime.fromisoformat(body["expires"]) - datetime.fromisoformat(body["sent_at"])
        assert lives == timedelta(seconds=60)
        yard.aws.pass_time(1)


def test_what_a_middleware_links_to_a_call_is_linked_to_no_other() -> None:
    yard = Yard()

    class Linking(Middleware):
        def publish(self, publication: Publication) -> Iterator[None]:
            publication.options["link"].append(yard.add.s(publication.args[0]).to_dict())
            yield

    yard.app.add_middleware(Linking())
    links = [yard.ident.s()]
    group(yard.ident.s(n).set(link=links) for n in range(3)).delay()
    yard.ident.apply_async((3,), link=links)
    bodies = list(map(json.loads, yard.aws.bodies("default")))
    assert [[each["args"] for each in body["link"]] for body in bodies] == [
        [[], [n]] for n in range(4)
    ]
    assert len(links) == 1


def test_a_member_is_dated_when_the_generator_gives_it() -> None:
    yard = Yard()

    def slowly() -> Iterator[Signature[Any]]:
        for n in range(3):
            yard.aws.pass_time(30)
            yield yard.ident.s(n)

    begun = yard.aws.now()
    group(slowly()).apply_async(expires=60)
    bodies = list(map(json.loads, yard.aws.bodies("default")))
    for n, body in enumerate(bodies, start=1):
        assert datetime.fromisoformat(body["sent_at"]) == begun + timedelta(seconds=30 * n)
        assert datetime.fromisoformat(body["expires"]) == begun + timedelta(seconds=30 * n + 60)


def _writing(mark: str) -> Callable[[Any], str]:
    return lambda _value: mark


def test_a_serializer_that_is_registered_anew_writes_the_next_plain_call() -> None:
    yard = Yard()
    yard.app.conf.accept_content = ["json", "mine"]
    yard.ident.serializer = "mine"
    try:
        for mark in ("one", "two"):
            serialization.register("mine", _writing(mark), str, "text/x-mine", "utf-8")
            assert mark in json.dumps(sent_by_a_plain_call(yard)["args"])
    finally:
        serialization.unregister("mine")
