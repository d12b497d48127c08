"""Time limits: how a task is told to end, and how one is ended that does not."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Caraway, Queue
from caraway.aws.user_code import call_blocking
from caraway.core.context import Context
from caraway.core.port import Raised, Returned
from caraway.exceptions import (
    ImproperlyConfigured,
    SoftTimeLimitExceeded,
    TimeLimitExceeded,
)
from caraway.workers import limits
from caraway.workers.ecs import Worker
from caraway.workers.limits import NO_LIMITS, call_async_within, call_by_alarm, limits_of
from caraway.workers.pools.processes import Limits, ProcessPool
from caraway.workers.pools.threads import ThreadPool
from tests.integration.test_processes import come_true, is_there, pid, with_pool

if TYPE_CHECKING:
    from pathlib import Path

    from caraway.core.port import Outcome

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*multi-threaded, use of fork:DeprecationWarning"  # as in test_processes
)

SOON_S = 0.05
HARD_S = 2.0
"""Long enough for what comes before it on a busy machine."""
NEVER_S = 3_600.0


def limited(hard_s: float | None, soft_s: float | None, *args: Any) -> Context:
    return Context(args=args, timelimit=(hard_s, soft_s))


def error_of(outcome: Outcome[Any]) -> BaseException:
    assert isinstance(outcome, Raised)
    return outcome.error


def run_on(_context: Context) -> None:
    """Never end, in steps that an exception can come between."""
    while True:
        time.sleep(0.001)


def wait_on(_context: Context) -> None:
    """Never end, in one system call."""
    threading.Event().wait()


def tidy_up(_context: Context) -> str:
    try:
        run_on(_context)
    except SoftTimeLimitExceeded:
        return "tidied up"
    return "never here"


def leave_pid_and_swallow(context: Context) -> None:
    (folder,) = context.args
    while True:
        with suppress(SoftTimeLimitExceeded):  # which may come before it has written anything
            open(f"{folder}/{os.getpid()}", "w").close()
            run_on(context)


async def arun_on(_context: Context) -> None:
    await asyncio.Event().wait()


async def atidy_up(_context: Context) -> str:
    try:
        await asyncio.Event().wait()
    except SoftTimeLimitExceeded:
        await asyncio.sleep(0)
        return "tidied up"
    return "never here"


async def aswallow(_context: Context) -> None:
    while True:
        with suppress(SoftTimeLimitExceeded):
            await asyncio.Event().wait()


async def aquick(_context: Context) -> int:
    await asyncio.sleep(0)
    return 5


def test_hooks_have_no_limits() -> None:
    context = limited(5, 3)
    assert limits_of((context,)) == (5, 3)
    assert limits_of((context, "ending")) == NO_LIMITS


# -- coroutine functions --------------------------------------------------------------------------


def within(hard_s: float | None, soft_s: float | None, function: Any) -> Outcome[Any]:
    return asyncio.run(call_async_within((hard_s, soft_s), function, Context()))


def test_a_coroutine_is_told_to_end_where_it_waits_and_may_tidy_up() -> None:
    assert within(NEVER_S, SOON_S, atidy_up) == Returned("tidied up")
    error = error_of(within(None, SOON_S, arun_on))
    assert isinstance(error, SoftTimeLimitExceeded)
    assert error.args == (SOON_S,)


def test_a_coroutine_that_goes_on_is_ended_by_the_hard_limit() -> None:
    for function in (arun_on, aswallow):
        error = error_of(within(4 * SOON_S, SOON_S if function is aswallow else None, function))
        assert isinstance(error, TimeLimitExceeded)
        assert error.args == (4 * SOON_S,)


def test_a_coroutine_that_ends_in_time_is_left_alone() -> None:
    assert within(NEVER_S, NEVER_S, aquick) == Returned(5)


def test_a_cancellation_of_the_caller_stays_one() -> None:
    async def scene() -> list[str]:
        seen: list[str] = []

        async def work(_context: Context) -> None:
            try:
                await asyncio.Event().wait()
            except BaseException as error:
                seen.append(type(error).__name__)
                raise

        call = asyncio.ensure_future(call_async_within((NEVER_S, NEVER_S), work, Context()))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return seen

    assert asyncio.run(scene()) == ["CancelledError"]


# -- functions in child processes -----------------------------------------------------------------


def test_a_function_in_a_child_process_is_told_to_end_also_in_a_system_call() -> None:
    async def scene(pool: ProcessPool) -> list[Any]:
        first = await pool.call(pid, Context())
        outcomes = [
            await pool.call(each, limited(None, SOON_S))
            for each in (wait_on, run_on, tidy_up, arun_on, atidy_up)
        ]
        assert await pool.call(pid, Context()) == first  # the child goes on
        return outcomes

    *ended, tidied, coroutine, atidied = with_pool(Limits(1, 1), scene)
    assert tidied == atidied == Returned("tidied up")
    for outcome in (*ended, coroutine):
        error = error_of(outcome)
        assert isinstance(error, SoftTimeLimitExceeded)
        assert error.args == (SOON_S,)


def test_a_function_that_goes_on_is_ended_with_its_child_and_others_are_not(
    tmp_path: Path,
) -> None:
    async def scene(pool: ProcessPool) -> BaseException:
        context = limited(HARD_S, SOON_S, str(tmp_path))
        call = asyncio.ensure_future(pool.call(leave_pid_and_swallow, context))
        (child,) = await come_true(lambda: os.listdir(tmp_path))
        other = await pool.call(pid, Context())
        error = error_of(await call)
        await come_true(lambda: not is_there(int(child)))
        assert isinstance(other, Returned)
        assert isinstance(await pool.call(pid, Context()), Returned)
        return error

    error = with_pool(Limits(2, 2), scene)
    assert isinstance(error, TimeLimitExceeded)
    assert error.args == (HARD_S,)


def test_an_alarm_is_put_back_as_it_was() -> None:
    import signal

    before = signal.getsignal(signal.SIGALRM)
    for each in ((None, NEVER_S), (NEVER_S, None), (SOON_S, None)):
        call_by_alarm(each, call_blocking, run_on if SOON_S in each else pid, Context())
        assert signal.getsignal(signal.SIGALRM) is before
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("function", [run_on, wait_on])
def test_a_function_in_the_main_thread_is_ended_by_the_hard_limit(function: Any) -> None:
    error = error_of(call_by_alarm((SOON_S, None), call_blocking, function, Context()))
    assert isinstance(error, TimeLimitExceeded)
    assert error.args == (SOON_S,)


def test_a_function_that_swallows_its_end_is_ended_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_AGAIN_S", 0.3)  # it is back in its ``try`` by then
    seen: list[str] = []

    def swallow(context: Context) -> str:
        try:
            run_on(context)
        except BaseException as error:
            seen.append(type(error).__name__)
            if len(seen) < 3:
                swallow(context)
        return "it is too late for that"

    outcome = call_by_alarm((HARD_S, SOON_S), call_blocking, swallow, Context())
    assert seen == ["SoftTimeLimitExceeded", "_TimeIsOver", "_TimeIsOver"]
    assert isinstance(error_of(outcome), TimeLimitExceeded)


def test_an_alarm_rings_in_the_function_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the function and after it an exception would be nobody's."""

    def slowly(function: Any, *args: Any) -> Outcome[Any]:
        run_for(2 * SOON_S)
        outcome = call_blocking(function, *args)
        run_for(2 * SOON_S)
        return outcome

    def run_for(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.001)

    with monkeypatch.context() as once:
        once.setattr(limits, "_AGAIN_S", 60.0)  # it has rung before the function, and in it is late
        assert call_by_alarm((SOON_S, None), slowly, lambda: 5) == Returned(5)
    assert call_by_alarm((None, SOON_S), slowly, tidy_up, Context()) == Returned("tidied up")


# -- pools that cannot ----------------------------------------------------------------------------


def test_a_pool_that_cannot_hold_a_limit_is_refused_for_the_tasks_of_its_queues() -> None:
    app = Caraway("limits", set_as_current=False)
    app.conf.update(
        task_queues=[Queue("default", consumer="ecs"), Queue("reports", consumer="ecs")]
    )

    @app.task(name="slow", time_limit=60, queue="reports")
    def slow() -> None: ...

    @app.task(name="aslow", time_limit=60)
    async def aslow() -> None: ...

    for pool in ("threads", "solo", "asyncio"):
        with pytest.raises(ImproperlyConfigured, match=f"-P {pool} .* limits of slow would"):
            Worker(app, ["reports"], pool=pool)
    Worker(app, ["default"])  # what goes elsewhere is none of its business
    Worker(app, ["reports"], pool="prefork")


def test_the_limit_of_a_call_that_does_not_hold_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = ThreadPool(1)

    async def scene() -> None:
        for _ in range(2):
            context = Context(task="slow", timelimit=(NEVER_S, None))
            assert await pool.call(pid, context) == Returned(os.getpid())
        await pool.close()

    asyncio.run(scene())
    assert caplog.text.count("Task slow has a time limit, which -P threads cannot hold") == 1
