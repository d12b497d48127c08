"""Pools: where user code runs in a worker."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Caraway
from caraway.core.context import Context
from caraway.core.port import Raised, Returned, Stopped
from caraway.exceptions import ImproperlyConfigured
from caraway.workers.pools import Pool, PoolOptions, cpus, loop_thread, make_pool
from caraway.workers.pools.threads import AsyncioPool, ThreadPool
from tests.integration.conftest import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["threads", "asyncio", "solo"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    pool = make_pool(PoolOptions(request.param), Caraway("pools"))
    yield pool
    asyncio.run(pool.close())


def where() -> str:
    return threading.current_thread().name


async def awhere() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


def test_functions_run_in_threads_and_coroutine_functions_on_a_loop_of_their_own(
    pool: Pool,
) -> None:
    async def calls() -> list[Any]:
        return [await pool.call(where), await pool.call(awhere), await pool.call(awhere)]

    first, second, third = asyncio.run(calls())
    assert first.value.startswith("task")
    assert second == third == Returned("tasks-loop")


def test_what_user_code_raises_is_its_outcome(pool: Pool) -> None:
    async def afail(error: BaseException) -> None:
        raise error

    def fail(error: BaseException) -> None:
        raise error

    async def calls() -> list[Any]:
        errors = (ValueError("bad"), SystemExit(3))
        return [await pool.call(each, error) for each in (fail, afail) for error in errors]

    outcomes = asyncio.run(calls())
    assert [type(outcome) for outcome in outcomes] == [Raised] * 4
    assert [type(outcome.error) for outcome in outcomes] == [ValueError, SystemExit] * 2


def test_functions_run_together_up_to_the_concurrency() -> None:
    pool = ThreadPool(3)
    together = threading.Barrier(3, timeout=PATIENCE_S)

    async def calls() -> Any:
        return await asyncio.gather(*(pool.call(together.wait) for _ in range(3)))

    assert sorted(outcome.value for outcome in asyncio.run(calls())) == [0, 1, 2]
    asyncio.run(pool.close())


def test_hundreds_of_coroutine_functions_share_one_loop() -> None:
    pool = AsyncioPool(300)
    assert pool.concurrency == 300
    here: list[int] = []
    everybody = asyncio.Event()

    async def meet(n: int) -> int:
        here.append(n)
        if len(here) == 300:
            everybody.set()
        await everybody.wait()
        return n

    async def calls() -> Any:
        return await asyncio.gather(*(pool.call(meet, n) for n in range(300)))

    assert [outcome.value for outcome in asyncio.run(calls())] == list(range(300))
    asyncio.run(pool.close())


def test_a_coroutine_that_blocks_does_not_block_the_worker() -> None:
    pool = AsyncioPool(2)
    gate = threading.Event()

    async def block() -> bool:
        return gate.wait(PATIENCE_S)  # which no coroutine should do

    async def calls() -> Any:
        blocked = asyncio.ensure_future(pool.call(block))
        await asyncio.sleep(0)
        gate.set()  # the worker's own loop goes on
        return await blocked

    assert asyncio.run(calls()) == Returned(True)
    asyncio.run(pool.close())


def test_a_caller_that_is_cancelled_cancels_its_coroutine() -> None:
    pool = ThreadPool(1)
    begun, cancelled = threading.Event(), threading.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def calls() -> None:
        call = asyncio.ensure_future(pool.call(forever))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(calls())
    assert cancelled.wait(PATIENCE_S)
    asyncio.run(pool.close())


def test_a_coroutine_that_is_to_stop_is_cancelled_and_may_clean_up() -> None:
    pool = ThreadPool(1)
    begun, cancelled = threading.Event(), threading.Event()

    async def forever(_context: Context) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cancelled.set()

    async def calls() -> Any:
        call = asyncio.ensure_future(pool.call(forever, Context(token="mine")))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        pool.stop("mine", "SIGTERM")
        outcome = await call
        assert cancelled.is_set()
        await pool.close()
        return outcome

    assert asyncio.run(calls()) == Stopped("SIGTERM")
    assert not pool.leaves_behind


def test_a_function_that_is_to_stop_goes_on_beside_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = ThreadPool(1)
    begun, may_end = threading.Event(), threading.Event()

    def long(_context: Context) -> None:
        begun.set()
        assert may_end.wait(PATIENCE_S)

    async def calls() -> None:
        call = asyncio.ensure_future(pool.call(long, Context(token="mine", task="long")))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        pool.stop("mine", "SIGTERM")
        assert await call == Stopped("SIGTERM")
        assert pool.leaves_behind
        assert await pool.call(where) == Returned("task_1")
        may_end.set()
        await asyncio.to_thread(wait_until, lambda: not pool.leaves_behind)
        await pool.close()

    asyncio.run(calls())
    assert "-P threads cannot end a function" in caplog.text


def test_what_waits_behind_a_thread_that_is_left_gets_another_unless_it_is_to_stop() -> None:
    pool = ThreadPool(1)
    begun, may_end = threading.Event(), threading.Event()

    def long(_context: Context) -> None:
        begun.set()
        assert may_end.wait(PATIENCE_S)

    async def calls() -> None:
        stuck = asyncio.ensure_future(pool.call(long, Context(token="stuck", task="long")))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        behind = [
            asyncio.ensure_future(pool.call(lambda _context: 1, Context(token=token)))
            for token in ("waits", "is to stop")
        ]
        await asyncio.sleep(0)
        pool.stop("is to stop", "SIGTERM")
        assert await behind[1] == Stopped("SIGTERM")
        pool.stop("stuck", "SIGTERM")
        assert await asyncio.wait_for(stuck, PATIENCE_S) == Stopped("SIGTERM")
        assert await asyncio.wait_for(behind[0], PATIENCE_S) == Returned(1)
        may_end.set()
        await asyncio.to_thread(wait_until, lambda: not pool.leaves_behind)
        await pool.close()

    asyncio.run(calls())


def test_a_pool_that_is_closed_lets_its_coroutines_clean_up() -> None:
    pool = ThreadPool(1)
    begun, cleaned = threading.Event(), threading.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    async def calls() -> None:
        call = asyncio.ensure_future(pool.call(forever))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        await pool.close()
        call.cancel()

    asyncio.run(calls())
    assert cleaned.wait(PATIENCE_S)


def test_threads_are_started_when_there_are_more_calls_than_threads() -> None:
    pool = ThreadPool(3)
    together = threading.Barrier(2, timeout=PATIENCE_S)

    def meet() -> str:
        together.wait()
        return where()

    async def calls() -> None:
        assert [await pool.call(where) for _ in range(3)] == [Returned("task_0")] * 3
        met: list[Any] = await asyncio.gather(pool.call(meet), pool.call(meet))
        assert sorted(outcome.value for outcome in met) == ["task_0", "task_1"]
        await pool.close()

    asyncio.run(calls())


def test_more_plain_functions_than_threads_wait_for_one_another() -> None:
    pool = AsyncioPool(100)
    running, most = 0, 0
    counting = threading.Lock()

    def count() -> None:
        nonlocal running, most
        with counting:
            running += 1
            most = max(most, running)
        time.sleep(0.001)
        with counting:
            running -= 1

    async def calls() -> Any:
        outcomes = await asyncio.gather(*(pool.call(count) for _ in range(100)))
        await pool.close()
        return outcomes

    assert asyncio.run(calls()) == [Returned(None)] * 100
    assert most <= 16


def test_a_thread_that_was_given_up_is_one_of_the_others_again_once_it_has_ended() -> None:
    pool = ThreadPool(1)
    begun, may_end = threading.Event(), threading.Event()

    def long(_context: Context) -> None:
        begun.set()
        assert may_end.wait(PATIENCE_S)

    before = set(threading.enumerate())

    def threads() -> list[threading.Thread]:
        since = set(threading.enumerate()) - before
        return [each for each in since if each.name.startswith("task_")]

    async def calls() -> None:
        call = asyncio.ensure_future(pool.call(long, Context(token="mine")))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        pool.stop("mine", "SIGTERM")
        await call
        assert await pool.call(where) == Returned("task_1")
        assert len(threads()) == 2
        may_end.set()
        await asyncio.to_thread(wait_until, lambda: len(threads()) == 1)
        assert isinstance(await pool.call(where), Returned)
        await pool.close()
        await asyncio.to_thread(wait_until, lambda: not threads())

    asyncio.run(calls())


def test_a_function_whose_caller_was_cancelled_is_left_and_one_that_waits_never_begins() -> None:
    pool = ThreadPool(1)
    begun, may_end = threading.Event(), threading.Event()
    ran: list[str] = []

    def long() -> None:
        begun.set()
        assert may_end.wait(PATIENCE_S)

    async def calls() -> None:
        running = asyncio.ensure_future(pool.call(long))
        waiting = asyncio.ensure_future(pool.call(ran.append, "never"))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        for each in (waiting, running):
            each.cancel()
            with pytest.raises(asyncio.CancelledError):
                await each
        assert pool.leaves_behind
        await pool.call(ran.append, "another")
        may_end.set()
        await asyncio.to_thread(wait_until, lambda: not pool.leaves_behind)
        await pool.close()

    asyncio.run(calls())
    assert ran == ["another"]


def test_a_call_that_ends_as_it_is_told_to_stop_leaves_nothing_behind() -> None:
    pool = ThreadPool(1)

    async def calls() -> None:
        ended = threading.Event()
        call = asyncio.ensure_future(pool.call(lambda _context: ended.set(), Context(token="it")))
        await asyncio.sleep(0)  # it begins
        assert ended.wait(PATIENCE_S)  # and the loop cannot hear of its end before the stop
        pool.stop("it", "SIGTERM")
        assert await call in (Stopped("SIGTERM"), Returned(None))
        await asyncio.to_thread(wait_until, lambda: not pool.leaves_behind)
        await pool.close()

    asyncio.run(calls())


def test_a_coroutine_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_thread, "_JOIN_S", 0.01)
    pool = ThreadPool(1)
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    async def stubborn(_context: Context) -> None:
        begun.set()
        while not may_end.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.001)
        ended.set()

    async def calls() -> None:
        call = asyncio.ensure_future(pool.call(stubborn, Context(token="mine")))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        pool.stop("mine", "SIGTERM")
        assert await call == Stopped("SIGTERM")
        assert not ended.is_set()
        may_end.set()
        await asyncio.to_thread(ended.wait, PATIENCE_S)
        await pool.close()

    asyncio.run(calls())
    assert ended.is_set()


def test_a_coroutine_sees_the_context_variables_of_its_caller_and_keeps_its_own() -> None:
    pool = ThreadPool(1)
    whose: ContextVar[str] = ContextVar("whose", default="nobody's")

    async def swap(mine: str) -> str:
        seen = whose.get()
        whose.set(mine)
        await asyncio.sleep(0)
        assert whose.get() == mine
        return seen

    async def caller(name: str) -> Any:
        whose.set(name)
        outcomes = [await pool.call(swap, "a coroutine's"), await pool.call(swap, "another's")]
        assert whose.get() == name
        return outcomes

    async def calls() -> None:
        for name, seen in zip("ab", await asyncio.gather(caller("a"), caller("b")), strict=True):
            assert seen == [Returned(name)] * 2
        await pool.close()

    asyncio.run(calls())


def test_a_thread_keeps_nothing_of_the_call_before() -> None:
    pool = ThreadPool(1)

    class Large:
        pass

    async def calls() -> None:
        large = Large()
        gone = weakref.ref(large)
        outcome = await pool.call(lambda given: given, large)
        assert outcome == Returned(large)
        del large, outcome
        await asyncio.to_thread(wait_until, lambda: gone() is None)
        await pool.close()

    asyncio.run(calls())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_interrupt_from_the_keyboard_is_the_callers() -> None:
    async def ainterrupt() -> None:
        raise KeyboardInterrupt

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def call(function: Any) -> None:
        pool = ThreadPool(1)
        try:
            await pool.call(function)
        finally:
            await pool.close()

    for function in (interrupt, ainterrupt):
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(call(function))


def test_a_call_for_which_no_thread_can_be_started_fails_and_does_not_run_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = ThreadPool(1)
    ran: list[str] = []

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def calls() -> None:
        with monkeypatch.context() as none_left:
            none_left.setattr(threading.Thread, "start", fail)
            with pytest.raises(RuntimeError, match="can't start"):
                await pool.call(ran.append, "never")
        await pool.call(ran.append, "later")
        await pool.close()

    asyncio.run(calls())
    assert ran == ["later"]


def test_a_pool_that_is_closed_cancels_what_waits_for_a_thread() -> None:
    pool = ThreadPool(1)
    begun, may_end = threading.Event(), threading.Event()

    def long() -> None:
        begun.set()
        assert may_end.wait(PATIENCE_S)

    async def calls() -> None:
        running = asyncio.ensure_future(pool.call(long))
        waiting = asyncio.ensure_future(pool.call(where))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        await pool.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        may_end.set()
        assert await running == Returned(None)

    asyncio.run(calls())


def test_a_pool_may_serve_one_event_loop_after_another() -> None:
    pool = ThreadPool(1)
    for _ in range(2):
        assert asyncio.run(pool.call(where)) == Returned("task_0")
        assert asyncio.run(pool.call(awhere)) == Returned("tasks-loop")
    asyncio.run(pool.close())


def test_a_pool_is_made_by_its_name_with_the_concurrency_of_the_settings() -> None:
    app = Caraway("pools")
    app.conf.update(worker_concurrency=7, worker_max_tasks_per_child=5)
    for name, concurrency, described in (
        ("threads", 7, "7 (threads)"),
        ("asyncio", 7, "7 (asyncio)"),
        ("solo", 1, "1 (solo)"),
        ("prefork", 7, "7 (prefork)"),
    ):
        options = PoolOptions(name).over_settings(app.conf)
        pool = make_pool(options, app)
        assert (pool.concurrency, pool.name) == (concurrency, name)
        assert options.describe() == described
        assert options.max_tasks_per_child == (5 if name == "prefork" else None)
        asyncio.run(pool.close())
    said = PoolOptions("threads", 3).over_settings(app.conf)
    assert said.at_once == 3


def test_a_pool_has_a_sensible_concurrency_when_nothing_says_one() -> None:
    app = Caraway("pools")
    found = {
        name: PoolOptions(name).over_settings(app.conf).at_once
        for name in ("threads", "asyncio", "solo", "gevent", "prefork")
    }
    assert found == {"threads": 10, "asyncio": 10, "solo": 1, "gevent": 100, "prefork": cpus()}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (PoolOptions("thread"), "no pool named 'thread', did you mean 'threads'"),
        (PoolOptions("fork"), "use threads, asyncio, solo, prefork or gevent"),
        (PoolOptions("solo", 2), "-P solo runs one task at a time, so -c 2 cannot be"),
        (PoolOptions("threads", 0), "-c 0: a worker runs at least one task"),
        (PoolOptions("threads", autoscale=(1, 9)), "-P threads does not: use -c 9"),
        (PoolOptions("gevent", autoscale=(1, 9)), "-P gevent does not: use -c 9"),
        (
            PoolOptions("asyncio", max_tasks_per_child=5),
            "--max-tasks-per-child replaces child processes, and -P asyncio has none",
        ),
        (PoolOptions("solo", max_memory_per_child=5), "--max-memory-per-child replaces"),
        (PoolOptions("gevent"), "name it with -A module:attribute"),
    ],
)
def test_a_pool_that_cannot_be_had_says_why(options: PoolOptions, said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=said):
        make_pool(options, Caraway("pools"))
