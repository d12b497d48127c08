"""Sensitive arguments: in no record, no repr, no error and nothing that the command line shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from caraway import Caraway
from caraway.aws.memory import MemoryAws
from caraway.core.claim_check import Store
from caraway.core.context import Context
from caraway.core.disposition import Delivery
from caraway.core.executor import Executor
from caraway.core.message import Message, read_message
from caraway.core.port import run_now
from caraway.core.replay import planned
from caraway.core.sensitive import filtered
from caraway.exceptions import (
    ImproperlyConfigured,
    InvalidMessage,
    NotReplayable,
    Reject,
    Retry,
)
from tests.support import FakeTask, World

SECRET = "hunter2"


def in_records(there: World) -> str:
    return json.dumps(list(there.aws.items.values()), default=str)


def fails(_request: Context) -> None:
    raise ValueError("no")


def with_others(request: Context) -> Any:
    if request.retries == 0:
        raise Retry(when=5, args=[*request.args, "again"])
    return list(request.args)[1:]


# -- what the record keeps -----------------------------------------------------------------------


@pytest.mark.parametrize("sensitive", [True, ("password",)])
def test_a_failed_sensitive_task_keeps_no_message_and_a_replay_says_why(sensitive: Any) -> None:
    there = World(FakeTask("t", fails, sensitive=sensitive))
    sent = there.send("t", SECRET)
    there.drain()
    record = there.record(sent)
    assert (record.state, record.message, record.sensitive) == ("FAILURE", None, True)
    assert SECRET not in in_records(there)
    with pytest.raises(NotReplayable, match="declared sensitive"):
        run_now(planned(there.aws, there.site, there.tasks, sent.id))


def test_another_failed_task_keeps_its_message() -> None:
    there = World(FakeTask("t", fails))
    sent = there.send("t", SECRET)
    there.drain()
    assert SECRET in (there.record(sent).message or "")
    assert not there.record(sent).sensitive


def test_a_sensitive_task_that_is_rejected_can_be_redriven_from_its_dead_letter() -> None:
    def once(request: Context) -> Any:
        if request.attempt == 0:
            raise Reject("no")
        return "done"

    there = World(FakeTask("t", once, sensitive=True))
    sent = there.send("t", SECRET)
    there.drain()
    assert SECRET not in in_records(there)
    there.redrive()
    there.drain()
    assert there.result(sent) == "done"
    assert there.tasks["t"].runs[-1].args == (SECRET,)


@pytest.mark.parametrize("fifo", [False, True])
def test_other_arguments_of_a_retry_lie_with_large_messages(fifo: bool) -> None:
    from caraway import Queue

    there = World(
        FakeTask("t", with_others, sensitive=True),
        store=Store("bucket"),
        queues=[Queue("default", fifo=fifo)],
    )
    sent = there.send("t", SECRET)
    there.deliver()
    assert SECRET not in in_records(there)
    ((_, key),) = there.aws.objects
    assert key.startswith(f"messages/{sent.id}/")
    there.drain()
    assert there.result(sent) == ["again"]


def test_a_crash_before_the_retry_was_sent_loses_no_arguments() -> None:
    there = World(FakeTask("t", with_others, sensitive=True), store=Store("bucket"))
    sent = there.send("t", SECRET)
    received = there.receive()
    assert received is not None
    run_now(there.executor.execute(there.delivery(received)))
    there.aws.queues["default"].clear()  # what it sent, as if it had not been
    there.redeliver(sent)
    assert there.messages()[-1].args == (SECRET, "again")


def test_other_arguments_that_a_producer_has_replaced_are_not_run() -> None:
    there = World(FakeTask("t", with_others, sensitive=True), store=Store("bucket"))
    sent = there.send("t", SECRET)
    received = there.receive()
    assert received is not None
    run_now(there.executor.execute(there.delivery(received)))
    there.aws.queues["default"].clear()  # what it sent, as if it had not been
    (kept,) = there.aws.objects
    there.aws.objects[kept] = b'{"args": ["forged"], "kwargs": {}}'
    there.redeliver(sent)
    there.drain()
    (letter,) = there.dead_letters()
    assert "is not what was put there" in letter.attributes["reason"]
    assert len(there.tasks["t"].runs) == 1


def test_without_a_bucket_such_a_retry_is_refused() -> None:
    there = World(FakeTask("t", with_others, sensitive=True))
    sent = there.send("t", SECRET)
    there.drain()
    assert there.record(sent).state == "FAILURE"
    assert "set payload_bucket" in (there.record(sent).result or "")
    assert SECRET not in in_records(there)


def test_a_retry_with_the_same_arguments_needs_no_bucket() -> None:
    def twice(request: Context) -> str:
        if request.retries == 0:
            raise Retry(when=5)
        return "done"

    there = World(FakeTask("t", twice, sensitive=True))
    sent = there.send("t", SECRET)
    there.drain()
    assert there.result(sent) == "done"
    assert SECRET not in in_records(there)


# -- what is shown -------------------------------------------------------------------------------


@pytest.fixture
def app() -> Caraway:
    app = Caraway("shop", set_as_current=False)

    @app.task(name="login", sensitive=("password",))
    def login(user: str, password: str, *more: str, days: int = 0) -> str:
        return user

    @app.task(name="hidden", sensitive=True)
    def hidden(pin: int) -> int:
        return pin

    return app


def test_arguments_are_filtered_by_name_wherever_they_stand(app: Caraway) -> None:
    login = app.tasks["login"]
    assert login.shown(("ann", SECRET, "x"), {"days": 2}) == (
        ["ann", "[filtered]", "x"],
        {"days": 2},
    )
    assert login.shown(("ann",), {"password": SECRET}) == (["ann"], {"password": "[filtered]"})
    assert app.tasks["hidden"].shown((1, 2), {"a": 3}) == (["[filtered]"] * 2, {"a": "[filtered]"})

    def takes_any(a: int, *rest: int) -> None: ...

    assert filtered(("rest",), takes_any, (1, 2, 3), {})[0] == [1, "[filtered]", "[filtered]"]


def test_no_repr_shows_them(app: Caraway) -> None:
    login = app.tasks["login"]
    message = Message("i", "login", ("ann", SECRET))
    shown = [
        login.s("ann", SECRET),
        login.si("ann", password=SECRET),
        message,
        Context.seen(message, sensitive=True),
    ]
    assert SECRET not in repr(shown)
    assert "login" in repr(shown[0])
    assert SECRET in repr(Context.seen(message))


def test_an_error_of_their_type_does_not_quote_them(app: Caraway) -> None:
    aws = MemoryAws()
    executor = Executor(aws, app.site, app.tasks, door="ecs")
    queue = app.site.router.queue("default")
    body = Message("i", "hidden", (SECRET,)).to_body()
    run_now(executor.execute(Delivery(body, queue, 60.0)))
    item = json.dumps(list(aws.items.values()), default=str)
    assert "the arguments do not fit the function (they are sensitive" in item
    assert SECRET not in item


@pytest.mark.parametrize("name", ["args", "kwargs", "link", "headers", "chord", "chain", "values"])
def test_the_reason_of_what_cannot_be_read_does_not_quote_it(name: str) -> None:
    with pytest.raises(InvalidMessage, match=f"^{name}: ") as caught:
        read_message({"caraway": 1, "id": "i", "task": "hidden", name: SECRET})
    assert SECRET not in str(caught.value)


def test_an_errback_is_not_told_them(app: Caraway) -> None:
    @app.task(name="told")
    def told(request: Any, exc: Any, traceback: Any) -> None: ...

    failed = Message("i", "login", ("ann", SECRET))
    arguments = app.tasks["told"].errback_arguments(failed, {"exc_type": "E"}, None)
    assert SECRET not in json.dumps(arguments)
    assert "ann" in json.dumps(arguments)


@pytest.mark.parametrize("given", ["password", 1, None])
def test_what_is_no_declaration_is_refused(app: Caraway, given: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="expected True, False or a tuple"):

        @app.task(sensitive=given)
        def task(password: str) -> None: ...


def test_a_name_that_is_no_parameter_is_refused_with_the_nearest(app: Caraway) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"'pasword'.*'password'"):

        @app.task(sensitive=("pasword",))
        def task(password: str) -> None: ...

    @app.task(name="open", sensitive=("token",))
    def accepts(**named: str) -> None: ...

    assert app.tasks["open"].shown((), {"token": SECRET})[1] == {"token": "[filtered]"}
