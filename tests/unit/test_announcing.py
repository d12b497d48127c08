"""The signals around a send and a run, and those of messages."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Caraway, Context, Task, signals
from caraway.announcing import EventSignals
from caraway.core.disposition import Delivery
from caraway.core.events import HookFailed, ProcessLost, Undeliverable
from caraway.core.message import Message
from caraway.core.routing import Queue
from caraway.exceptions import Ignore, InvalidOption, Reject, Retry, WorkerLostError
from tests.listening import Ear, listening

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app() -> Caraway:
    app = Caraway("shop")
    app.conf.task_always_eager = True
    return app


@pytest.fixture
def ear() -> Iterator[Ear]:
    with listening() as ear:
        yield ear


# -- their order ----------------------------------------------------------------------------------


def test_the_signals_of_a_task_come_in_their_order(app: Caraway, ear: Ear) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        ear.heard.append(signals_of_own("function"))
        return x + y

    assert add.delay(1, 2).get() == 3
    assert ear.names == [
        "before_task_publish",
        "after_task_publish",
        "task_received",
        "task_prerun",
        "function",
        "task_postrun",
        "task_success",
    ]
    assert ear.one("task_prerun").sender is ear.one("task_prerun")["task"] is add
    assert ear.one("task_prerun")["args"] == (1, 2)
    after = ear.one("task_postrun")
    assert (after["retval"], after["state"], after["kwargs"]) == (3, "SUCCESS", {})
    assert ear.one("task_success").sender is add
    assert ear.one("task_success")["result"] == 3


def signals_of_own(name: str) -> Any:
    from tests.listening import Told

    return Told(name, None, {})


def test_a_task_that_fails_is_announced_with_its_exception(app: Caraway, ear: Ear) -> None:
    oops = ValueError("oops")

    @app.task
    def fail(x: int) -> None:
        raise oops

    fail.delay(5)
    after, failure = ear.one("task_postrun"), ear.one("task_failure")
    assert (after["retval"], after["state"]) == (oops, "FAILURE")
    assert failure.sender is fail
    assert (failure["exception"], failure["args"], failure["kwargs"]) == (oops, (5,), {})
    assert failure["task_id"] == after["task_id"]
    assert failure["traceback"] is oops.__traceback__
    assert "raise oops" in str(failure["einfo"])
    assert failure["einfo"].type is ValueError
    assert not ear.of("task_success")


def test_every_attempt_is_announced(app: Caraway, ear: Ear) -> None:
    @app.task(autoretry_for=(ConnectionError,), max_retries=1)
    def call() -> None:
        raise ConnectionError("busy")

    call.delay()
    assert [each["state"] for each in ear.of("task_postrun")] == ["RETRY", "FAILURE"]
    retry = ear.one("task_retry")
    assert retry.sender is call
    assert isinstance(retry["reason"], ConnectionError)
    assert isinstance(retry["request"], Context)
    assert "busy" in str(retry["einfo"])
    assert len(ear.of("task_received")) == len(ear.of("task_prerun")) == 2
    assert len(ear.of("task_failure")) == len(ear.of("before_task_publish")) == 1


def test_the_state_after_a_run_is_what_the_function_decides(app: Caraway, ear: Ear) -> None:
    @app.task(bind=True, max_retries=1)
    def end(self: Task[..., Any], how: str) -> object:
        match how:
            case "ignore":
                raise Ignore
            case "reject":
                raise Reject("no")
            case "retry":
                raise self.retry()
            case "later":
                self.retry(throw=False)
        return object()

    for how, state in (
        ("ignore", "IGNORED"),
        ("reject", "REJECTED"),
        ("retry", "RETRY"),
        ("later", "RETRY"),
        ("object", "FAILURE"),
    ):
        ear.heard.clear()
        end.delay(how)
        assert ear.of("task_postrun")[0]["state"] == state, how
    ear.heard.clear()
    end.apply_async(("retry",))
    assert isinstance(ear.of("task_postrun")[0]["retval"], Retry)


def test_a_rejected_task_has_failed(app: Caraway, ear: Ear) -> None:
    @app.task
    def refuse() -> None:
        raise Reject(ValueError("not mine"))

    refuse.delay()
    assert isinstance(ear.one("task_failure")["exception"], ValueError)
    assert not ear.of("task_unknown")


# -- where they are sent --------------------------------------------------------------------------


def test_a_run_is_announced_where_its_function_runs(app: Caraway) -> None:
    places: list[tuple[int, str | None]] = []

    def here(**_: Any) -> None:
        places.append((threading.get_ident(), add.request.id))

    @app.task
    def add() -> None:
        here()

    @app.task
    async def aadd() -> None:
        loops.append(asyncio.get_running_loop())

    loops: list[Any] = []

    def loop(**_: Any) -> None:
        loops.append(asyncio.get_running_loop())

    with listening("task_prerun"):
        for signal in (signals.task_prerun, signals.task_postrun):
            signal.connect(here, sender=add)
            signal.connect(loop, sender="test_announcing.aadd")
            signal.connect(loop, sender=aadd)
        try:
            sent = add.delay()
            aadd.delay()
        finally:
            for signal in (signals.task_prerun, signals.task_postrun):
                signal.disconnect(here, sender=add)
                signal.disconnect(loop, sender="test_announcing.aadd")
                signal.disconnect(loop, sender=aadd)
    assert places == [(threading.get_ident(), sent.id)] * 3
    assert len(loops) == 3
    assert len(set(map(id, loops))) == 1


def test_a_failing_hook_hides_no_signal_and_is_announced(app: Caraway, ear: Ear) -> None:
    class Hooked(Task[..., Any]):
        def on_success(self, *_: Any) -> None:
            raise LookupError("hook")

    @app.task(base=Hooked)
    def add(x: int) -> int:
        return x

    assert add.delay(1).get() == 1
    assert ear.one("task_success")["result"] == 1
    error = ear.one("task_internal_error")
    assert error.sender is add
    assert isinstance(error["exception"], LookupError)
    assert error["request"].id == error["task_id"]
    assert "LookupError: hook" in str(error["einfo"])


def test_a_receiver_that_raises_changes_nothing(
    app: Caraway, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task
    def add(x: int) -> int:
        return x

    def broken(**_: Any) -> None:
        raise LookupError("receiver")

    for signal in signals.SIGNALS.values():
        signal.connect(broken)
    try:
        assert add.delay(1).get() == 1
    finally:
        for signal in signals.SIGNALS.values():
            signal.disconnect(broken)
    assert "of signal task_prerun raised" in caplog.text


def test_a_task_without_hooks_has_none_unless_somebody_listens(app: Caraway) -> None:
    add = app.task(name="add")(lambda: 1)
    assert add.hooks is None
    for name in ("task_success", "task_failure", "task_retry"):
        with listening(name):
            assert add.hooks is not None


# -- publishing -----------------------------------------------------------------------------------


def test_receivers_may_add_headers_before_a_call_is_sent(app: Caraway, ear: Ear) -> None:
    @app.task(bind=True)
    def headers(self: Task[..., Any]) -> dict[str, Any]:
        return dict(self.request.headers)

    def add_one(headers: dict[str, Any], **_: Any) -> None:
        headers["at"] = datetime(2026, 1, 2, tzinfo=timezone.utc)

    signals.before_task_publish.connect(add_one, sender=headers.name)
    try:
        sent = headers.apply_async(headers={"tenant": "acme", "task": "mine"}, link=headers.si())
    finally:
        signals.before_task_publish.disconnect(add_one, sender=headers.name)
    assert sent.get() == {
        "tenant": "acme",
        "task": "mine",
        "at": datetime(2026, 1, 2, tzinfo=timezone.utc),
    }
    told = ear.one("after_task_publish")
    assert told.sender == headers.name
    assert told["headers"]["id"] == sent.id
    assert told["headers"]["task"] == headers.name
    assert told["headers"]["tenant"] == "acme"
    assert (told["exchange"], told["routing_key"]) == ("", "default")
    args, kwargs, embedded = told["body"]
    assert (args, kwargs) == ((), {})
    assert [each["task"] for each in embedded["callbacks"]] == [headers.name]


@pytest.mark.parametrize("change", ["alter", "drop"])
def test_what_is_decided_of_a_call_cannot_be_changed_by_a_receiver(
    app: Caraway, change: str
) -> None:
    add = app.task(name="add")(lambda: 1)

    def meddle(headers: dict[str, Any], **_: Any) -> None:
        if change == "drop":
            del headers["id"]
        else:
            headers["id"] = "other"

    signals.before_task_publish.connect(meddle)
    try:
        with pytest.raises(InvalidOption, match="changed 'id' of add, which is decided"):
            add.delay()
    finally:
        signals.before_task_publish.disconnect(meddle)


# -- messages -------------------------------------------------------------------------------------


def test_a_task_that_came_too_late_was_revoked(app: Caraway, ear: Ear) -> None:
    late = app.task(name="late")(lambda: 1)
    late.apply_async(expires=datetime.now(timezone.utc) - timedelta(seconds=5))
    revoked = ear.one("task_revoked")
    assert revoked.sender is late
    assert revoked["request"].task == "late"
    assert (revoked["expired"], revoked["terminated"], revoked["signum"]) == (True, False, None)
    assert not ear.of("task_prerun")


def test_a_name_that_no_task_has_is_unknown(app: Caraway, ear: Ear) -> None:
    first = app.task(name="first")(lambda: 1)
    first.apply_async(link=app.signature("elsewhere", immutable=True))
    unknown = ear.one("task_unknown")
    assert (unknown.sender, unknown["name"]) == ("eager", "elsewhere")
    assert unknown["message"].id == unknown["id"]
    assert "no task named 'elsewhere'" in str(unknown["exc"])


def test_what_no_task_ran_is_announced_by_the_worker(app: Caraway, ear: Ear) -> None:
    add = app.task(name="add")(lambda: 1)
    message = Message(id="1", task="add")
    announce = EventSignals(app.tasks, "caraway@one")
    delivery = Delivery("{", Queue("default"), 30.0)
    announce(Undeliverable(delivery, "no JSON"))
    rejected = ear.one("task_rejected")
    assert (rejected.sender, rejected["message"]) == ("caraway@one", delivery)
    assert str(rejected["exc"]) == "no JSON"
    announce(ProcessLost(message, "it was killed"))
    assert isinstance(ear.one("task_internal_error")["exception"], WorkerLostError)
    assert ear.one("task_internal_error").sender is add


def test_events_cost_nothing_where_nobody_listens(app: Caraway) -> None:
    announce = EventSignals({}, "caraway@one")
    announce(Undeliverable(Delivery("{", Queue("default"), 30.0), "no JSON"))
    announce(HookFailed(Message(id="1", task="add"), ValueError()))


# -- hooks ----------------------------------------------------------------------------------------


def test_a_hook_before_the_start_may_be_a_coroutine_function_of_any_task(app: Caraway) -> None:
    seen: list[str] = []

    class Hooked(Task[..., Any]):
        async def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            await asyncio.sleep(0)
            seen.append(f"before {self.request.task}")

    class Refusing(Task[..., Any]):
        async def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            raise PermissionError("not today")

    @app.task(base=Hooked, name="plain")
    def plain() -> None:
        seen.append("plain")

    @app.task(base=Hooked, name="async")
    async def anasync() -> None:
        seen.append("async")

    @app.task(base=Refusing)
    def never() -> None:
        seen.append("never")

    plain.delay()
    anasync.delay()
    with pytest.raises(PermissionError):
        never.delay().get()
    assert seen == ["before plain", "plain", "before async", "async"]


def test_the_app_announces_that_it_imports(app: Caraway) -> None:
    with listening("import_modules") as ear:
        app.finalize()
    assert ear.one("import_modules").sender is app
