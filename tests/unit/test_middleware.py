"""Middleware: it surrounds every send and every run."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from caraway import Caraway, Middleware, Publication, Queue, Task
from caraway.exceptions import (
    ImproperlyConfigured,
    InvalidOption,
    Retry,
    UnknownOption,
)
from tests.listening import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from caraway import Context


@pytest.fixture
def app() -> Caraway:
    app = Caraway("shop")
    app.conf.task_always_eager = True
    app.conf.task_queues = [Queue("default"), Queue("acme"), Queue("orders.fifo")]
    return app


class Noted(Middleware):
    """Notes what happens, under its name."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    def publish(self, publication: Publication) -> Iterator[None]:
        self.notes.append(f"{self.name} sends {publication.name} {publication.id}")
        yield
        self.notes.append(f"{self.name} has sent {len(publication.id or '')}")

    def execute(self, task: Any, request: Context) -> Iterator[None]:
        self.notes.append(f"{self.name} begins {task.name} {request.args}")
        try:
            yield
        except Exception as error:
            self.notes.append(f"{self.name} sees {error!r}")
            raise
        self.notes.append(f"{self.name} ends")


# -- order ----------------------------------------------------------------------------------------


def test_the_first_is_the_outermost_of_sends_and_of_runs(app: Caraway) -> None:
    notes: list[str] = []
    app.middleware = (Noted("outer", notes), Noted("inner", notes))

    class Hooked(Task[..., Any]):
        def before_start(self, *_: Any) -> None:
            notes.append("before_start")

    @app.task(name="add", base=Hooked)
    def add(x: int) -> int:
        notes.append("function")
        return x

    assert add.delay(1).get() == 1
    assert notes == [
        "outer sends add None",
        "inner sends add None",
        "inner has sent 36",
        "outer has sent 36",
        "outer begins add (1,)",
        "inner begins add (1,)",
        "before_start",
        "function",
        "inner ends",
        "outer ends",
    ]


def test_one_definition_serves_plain_and_asynchronous_tasks(app: Caraway) -> None:
    notes: list[str] = []
    app.add_middleware(Noted("it", notes))

    @app.task(name="add")
    async def add(x: int) -> int:
        await asyncio.sleep(0)
        notes.append("function")
        return x

    assert add.delay(1).get() == 1
    assert notes[2:] == ["it begins add (1,)", "function", "it ends"]


def test_an_asynchronous_task_may_have_a_surrounding_of_its_own(app: Caraway) -> None:
    notes: list[str] = []

    class Both(Middleware):
        def execute(self, task: Any, request: Context) -> Iterator[None]:
            notes.append("plain")
            yield

        async def aexecute(self, task: Any, request: Context) -> AsyncIterator[None]:
            await asyncio.sleep(0)
            notes.append("async")
            try:
                yield
            except ValueError as error:
                notes.append(repr(error))
                raise KeyError("instead") from error

    app.middleware = [Both, Noted("inner", notes)]

    @app.task(name="fail")
    async def fail() -> None:
        raise ValueError("bad")

    app.task(name="plain")(lambda: 1).delay()
    assert notes == [
        "inner sends plain None",
        "inner has sent 36",
        "plain",
        "inner begins plain ()",
        "inner ends",
    ]
    notes.clear()
    with pytest.raises(KeyError, match="instead"):
        fail.delay().get()
    assert notes[2:] == [
        "async",
        "inner begins fail ()",
        "inner sees ValueError('bad')",
        "ValueError('bad')",
    ]


def test_signals_are_around_the_middleware(app: Caraway) -> None:
    class Closed(Middleware):
        def execute(self, task: Any, request: Context) -> Iterator[None]:
            if task.name == "add":
                raise PermissionError("closed")
            yield

    app.middleware = [Closed]
    add = app.task(name="add")(lambda: 1)
    with listening("task_prerun", "task_postrun", "task_failure") as ear:
        add.delay()
    assert ear.names == ["task_prerun", "task_postrun", "task_failure"]
    assert ear.one("task_postrun")["state"] == "FAILURE"


# -- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_middleware_that_fails_fails_the_attempt_and_retries_apply(
    app: Caraway, when: str, is_async: bool
) -> None:
    attempts: list[int] = []

    class Shaky(Middleware):
        def execute(self, task: Any, request: Context) -> Iterator[None]:
            attempts.append(request.retries)
            if when == "before":
                self.break_down(request)
            yield
            self.break_down(request)

        @staticmethod
        def break_down(request: Context) -> None:
            if request.retries == 0:
                raise ConnectionError("database")

    app.middleware = [Shaky]

    def add() -> int:
        return 1

    async def aadd() -> int:
        return 1

    task: Any = app.task(name="add", autoretry_for=(ConnectionError,))(aadd if is_async else add)
    assert task.delay().get() == 1
    assert attempts == [0, 1]


@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_middleware_swallows_fails_the_attempt_all_the_same(
    app: Caraway, is_async: bool
) -> None:
    class Silent(Middleware):
        def execute(self, task: Any, request: Context) -> Iterator[None]:
            with suppress(ValueError):
                yield

    app.middleware = [Silent]

    def fail() -> None:
        raise ValueError("bad")

    async def afail() -> None:
        raise ValueError("bad")

    task: Any = app.task(name="fail")(afail if is_async else fail)
    result = task.delay()
    with pytest.raises(ValueError, match="bad"):
        result.get()
    assert "in afail" in result.traceback if is_async else "in fail" in result.traceback
    assert "caraway/middleware.py" not in result.traceback.splitlines()[1]


def test_a_retry_is_raised_at_the_yield_like_any_exception(app: Caraway) -> None:
    seen: list[type[BaseException] | None] = []

    class Transaction(Middleware):
        def execute(self, task: Any, request: Context) -> Iterator[None]:
            try:
                yield
            except BaseException as error:
                seen.append(type(error))
                raise
            seen.append(None)

    app.middleware = [Transaction]

    @app.task(bind=True)
    def again(self: Task[..., Any]) -> None:
        if self.request.retries == 0:
            raise self.retry(countdown=0)

    again.delay()
    assert seen == [Retry, None]


def test_nothing_is_sent_when_a_middleware_refuses_a_call(app: Caraway) -> None:
    class Guard(Middleware):
        def publish(self, publication: Publication) -> Iterator[None]:
            if "tenant" not in publication.headers:
                raise PermissionError("no tenant")
            yield

    app.middleware = [Guard]
    ran: list[int] = []
    add = app.task(name="add")(lambda: ran.append(1))
    with pytest.raises(PermissionError):
        add.delay()
    assert ran == []
    add.apply_async(headers={"tenant": "acme"})
    assert ran == [1]


# -- changing a call ------------------------------------------------------------------------------


class Tenancy(Middleware):
    options: ClassVar = {"tenant": "public"}
    carries = ("tenant",)

    def publish(self, publication: Publication) -> Iterator[None]:
        if publication.request is not None:
            tenant = publication.request.headers["tenant"]
        else:
            tenant = getattr(publication.task, "tenant", "public")
        publication.headers["tenant"] = tenant
        publication.options["queue"] = "acme" if tenant == "acme" else "default"
        yield


def test_a_call_is_changed_before_it_is_decided(app: Caraway) -> None:
    app.middleware = [Tenancy]

    @app.task(bind=True, tenant="acme", name="of_acme")
    def of_acme(self: Task[..., Any]) -> Any:
        return self.request.headers["tenant"], self.request.delivery_info["queue"]

    @app.task(name="of_all", bind=True)
    def of_all(self: Task[..., Any]) -> Any:
        return [self.request.headers["tenant"], of_acme.delay().get(disable_sync_subtasks=False)]

    mine = {"colour": "red"}
    assert of_acme.apply_async(headers=mine).get() == ["acme", "acme"]
    assert mine == {"colour": "red"}
    assert of_all.delay().get() == ["public", ["public", "default"]]
    assert (of_acme.tenant, of_all.tenant) == ("acme", "public")


def test_an_option_of_a_middleware_is_known_and_another_is_not(app: Caraway) -> None:
    app.middleware = [Tenancy]
    with pytest.raises(UnknownOption, match="'tennant', did you mean 'tenant'"):
        app.task(tennant="acme")(lambda: 1)
    add = app.task(name="add")(lambda: 1)
    with pytest.raises(AttributeError, match="has no attribute 'tennant'"):
        add.tennant  # type: ignore[attr-defined]  # noqa: B018

    class Declared(Task[..., Any]):
        name = "declared"

        def run(self) -> None: ...

    assert app.register_task(Declared, tenant="acme").tenant == "acme"


def test_callbacks_carry_the_headers_that_a_middleware_names(app: Caraway) -> None:
    app.middleware = [Tenancy]
    seen: list[Any] = []

    @app.task(bind=True, name="note", tenant="acme")
    def note(self: Task[..., Any], what: str) -> None:
        seen.append((what, self.request.headers))
        if what == "fail":
            raise ValueError

    note.apply_async(("first",), headers={"colour": "red"}, link=note.si("second"))
    assert seen == [
        ("first", {"colour": "red", "tenant": "acme"}),
        ("second", {"tenant": "acme"}),
    ]
    seen.clear()
    own = note.si("second").set(headers={"tenant": "other"})
    note.apply_async(("fail",), link_error=own)
    assert seen[1] == ("second", {"tenant": "other"})


def test_a_retry_keeps_the_headers_and_is_not_published_again(app: Caraway) -> None:
    sent: list[str] = []

    class Counting(Middleware):
        def publish(self, publication: Publication) -> Iterator[None]:
            sent.append(publication.name)
            publication.headers["n"] = len(sent)
            yield

    app.middleware = [Counting]

    @app.task(bind=True, name="again")
    def again(self: Task[..., Any]) -> Any:
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return self.request.headers["n"]

    assert again.delay().get() == 1
    assert sent == ["again"]


def test_the_ids_of_calls_do_not_depend_on_middleware(app: Caraway) -> None:
    ids: list[list[str]] = []
    add = app.task(name="add")(lambda _x: 1)

    @app.task(name="parent")
    def parent() -> None:
        ids.append([add.delay(1).id, add.delay(1).id, add.delay(2).id])

    parent.apply_async(task_id="parent")
    app.middleware = [Tenancy]
    parent.apply_async(task_id="parent", headers={"tenant": "acme"})
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3

    class Renaming(Middleware):
        def publish(self, publication: Publication) -> Iterator[None]:
            publication.options["task_id"] = "mine"
            yield

    app.middleware = [Renaming]
    with pytest.raises(InvalidOption, match="changed the task_id of add"):
        add.delay(1)


# -- registering ----------------------------------------------------------------------------------


def test_a_middleware_is_an_instance_a_class_or_a_path(
    app: Caraway, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("shop_tracing")
    module.Tracing = Tenancy  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "shop_tracing", module)
    monkeypatch.setenv("CARAWAY_MIDDLEWARE", "shop_tracing.Tracing")
    other = Caraway("other", set_as_current=False)
    (layer,) = other.middleware
    assert isinstance(layer, Tenancy)
    other.conf.timezone = "Asia/Seoul"
    assert other.middleware == (layer,)

    @other.add_middleware
    class Added(Middleware): ...

    app.conf.middleware = [Added]
    app.add_middleware("shop_tracing.Tracing")
    assert [type(each) for each in other.middleware] == [Tenancy, Added]


class NoGenerator(Middleware):
    def execute(self, task: Any, request: Context) -> Iterator[None]:
        return iter(())


class Decorated(Middleware):
    @contextmanager
    def publish(self, publication: Publication) -> Iterator[None]:  # type: ignore[override]
        yield


class NoAsync(Middleware):
    def aexecute(self, task: Any, request: Context) -> Any:
        yield


class OtherDefault(Middleware):
    options: ClassVar = {"tenant": None}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([5], r"5: expected an instance or a subclass of caraway\.Middleware"),
        ([NoGenerator], r"NoGenerator\.execute cannot surround .* yields once, 'def execute"),
        ([Decorated], r"Decorated\.publish cannot surround .* without a decorator"),
        ([NoAsync], r"NoAsync\.aexecute cannot surround .* 'async def aexecute"),
        ([Tenancy, OtherDefault], "OtherDefault: another middleware understands .* 'tenant'"),
    ],
)
def test_what_is_no_middleware_is_refused_when_it_is_registered(
    app: Caraway, given: Any, why: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=why):
        app.middleware = given
    assert app.middleware == ()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("Tracing", "expected a path"),
        ("caraway.middleware.Trace", "module 'caraway.middleware' has no 'Trace'"),
        ("caraway.Task", r"'caraway\.Task': expected an instance or a subclass"),
    ],
)
def test_a_path_that_leads_to_no_middleware_says_so_at_its_first_use(
    app: Caraway, path: str, why: str
) -> None:
    app.middleware = [path]
    with pytest.raises(ImproperlyConfigured, match=why):
        app.task(name="add")(lambda: 1).delay()
