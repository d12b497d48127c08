"""Child processes: they run user code, and what happens to one of them is its own affair."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from caraway import Caraway
from caraway.core.context import Context, Replacement
from caraway.core.port import Lost, Raised, Returned, Stopped
from caraway.core.settle import Product, format_traceback
from caraway.exceptions import RemoteError, Retry
from caraway.workers.pools import child
from caraway.workers.pools.forking import ForkNursery
from caraway.workers.pools.processes import Limits, ProcessPool
from caraway.workers.pools.serving import resident_kb, serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings(
    # Other tests may have left threads; a worker forks before it has any.
    "ignore:.*multi-threaded, use of fork:DeprecationWarning"
)

PATIENCE_S = 120
app = Caraway("processes", set_as_current=False)


# -- user code ------------------------------------------------------------------------------------


def pid(_context: Context) -> int:
    return os.getpid()


def pid_when_all_are_there(context: Context) -> int:
    """Return the pid once as many calls run as the first argument says."""
    folder, together = context.args
    open(f"{folder}/{os.getpid()}", "w").close()
    deadline = time.monotonic() + PATIENCE_S
    while len(os.listdir(folder)) < together:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return os.getpid()


def clean_up(context: Context) -> None:
    """Say that it runs, and clean up when it is told to end."""
    try:
        open(f"{context.args[0]}/{os.getpid()}", "w").close()
        threading.Event().wait()
    finally:
        open(f"{context.args[0]}/cleaned", "w").close()


async def aclean_up(context: Context) -> None:
    try:
        open(f"{context.args[0]}/{os.getpid()}", "w").close()
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        open(f"{context.args[0]}/cleaned", "w").close()


def wait_for_word(context: Context) -> str:
    """Say that it runs, and go on when a file is there."""
    open(f"{context.args[0]}/{os.getpid()}", "w").close()
    while not os.path.exists(f"{context.args[0]}/go"):
        time.sleep(0.005)
    return "gone on"


async def await_word(context: Context) -> str:
    open(f"{context.args[0]}/{os.getpid()}", "w").close()
    while not os.path.exists(f"{context.args[0]}/go"):
        await asyncio.sleep(0.005)
    return "gone on"


def have_a_handler(context: Context) -> None:
    def end(*_: object) -> None:
        open(f"{context.args[0]}/cleaned", "w").close()
        raise SystemExit

    signal.signal(signal.SIGTERM, end)
    open(f"{context.args[0]}/{os.getpid()}", "w").close()
    threading.Event().wait()


def go_on(context: Context) -> None:
    """Swallow whatever ends it."""
    while True:
        with suppress(BaseException):
            open(f"{context.args[0]}/{os.getpid()}", "w").close()
            threading.Event().wait()


def end_in_time(context: Context) -> str:
    """Take the signal as the word to come to an end, and return."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    open(f"{context.args[0]}/{os.getpid()}", "w").close()
    told.wait()
    return "so far"


def hang(context: Context) -> None:
    """Say that it runs, and never end."""
    open(f"{context.args[0]}/{os.getpid()}", "w").close()
    threading.Event().wait()


def die(_context: Context, number: int) -> None:
    faulthandler.disable()  # pytest's
    os.kill(os.getpid(), number)


def leave(_context: Context) -> None:
    os._exit(3)


def leave_a_heir(_context: Context) -> None:
    """End, while a process that was started here keeps every descriptor open."""
    forker = os.getppid()
    if os.fork():
        os._exit(4)
    while is_there(forker):
        time.sleep(0.005)
    os._exit(0)


def close_the_connection(_context: Context) -> None:
    os.closerange(3, 1 << 16)  # those of a process that has run many tests, too
    threading.Event().wait()


def grow(context: Context) -> None:
    (beyond_kb,) = context.args
    # A child of a large process begins with less than that has.
    globals()["kept"] = bytearray((beyond_kb - resident_kb() + 32 * 1024) * 1024)


class Odd(Exception):
    """Cannot be rebuilt from its arguments."""

    def __init__(self, *, code: int, what: Any) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.what = what


def raise_odd(_context: Context) -> None:
    raise Odd(code=7, what=threading.Lock())


def raise_local(_context: Context) -> None:
    class Local(Exception):
        pass

    raise Local("here", 5)


def raise_chained(_context: Context) -> None:
    try:
        raise KeyError("first")
    except KeyError as error:
        raise ValueError("second") from error


def retry_later(context: Context) -> int:
    context.requested_retry = Retry(exc=ValueError("soon"), when=5)
    context.replacement = Replacement([{"task": "other"}])
    context.added.append("added")
    context.child_id("digest")
    return 1


def return_a_lock(_context: Context) -> Any:
    return threading.Lock()


def give_product(_context: Context) -> Product:
    return Product(threading.Lock(), {"n": 1})


async def same_loop(_context: Context) -> tuple[int, int]:
    await asyncio.sleep(0)
    return os.getpid(), id(asyncio.get_running_loop())


# -- the pool -------------------------------------------------------------------------------------


def with_pool(limits: Limits, scene: Callable[[ProcessPool], Awaitable[Any]]) -> Any:
    """Run a scene with a pool that is open, and close it."""
    nursery = ForkNursery(lambda connection: serve(connection, app.tasks))
    pool = ProcessPool("prefork", nursery, app.tasks, limits)

    async def play() -> Any:
        try:
            await pool.open()
            return await asyncio.wait_for(scene(pool), PATIENCE_S)
        finally:
            await pool.close()

    pool.start()
    return asyncio.run(play())


async def come_true(condition: Callable[[], Any]) -> Any:
    """Look again and again until something has come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (true := condition()):
        assert time.monotonic() < deadline, "it has not come true"
        await asyncio.sleep(0.005)
    return true


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def pids_of_all(pool: ProcessPool, folder: Path, together: int) -> set[int]:
    folder.mkdir()
    context = Context(args=(str(folder), together))
    calls = [pool.call(pid_when_all_are_there, context) for _ in range(together)]
    outcomes = await asyncio.gather(*calls)
    return {outcome.value for outcome in outcomes if isinstance(outcome, Returned)}


def test_calls_run_in_child_processes_one_at_a_time_in_each(tmp_path: Path) -> None:
    async def scene(pool: ProcessPool) -> None:
        first = await pids_of_all(pool, tmp_path / "a", 3)
        assert len(first) == 3
        assert os.getpid() not in first
        assert await pids_of_all(pool, tmp_path / "b", 3) == first  # they stay
        assert pool.concurrency == 3

    with_pool(Limits(3, 3), scene)


def test_a_closed_pool_leaves_no_process(tmp_path: Path) -> None:
    async def scene(pool: ProcessPool) -> set[int]:
        return await pids_of_all(pool, tmp_path / "a", 2)

    assert not any(map(is_there, with_pool(Limits(2, 2), scene)))


def test_an_exception_arrives_with_its_type_arguments_attributes_and_traceback() -> None:
    async def scene(pool: ProcessPool) -> list[Any]:
        return [await pool.call(each, Context()) for each in (raise_odd, raise_chained)]

    odd, chained = with_pool(Limits(1, 1), scene)
    assert isinstance(odd, Raised)
    assert isinstance(odd.error, Odd)
    assert (odd.error.args, odd.error.code) == (("code 7",), 7)
    assert "lock" in odd.error.what  # the text of what cannot travel
    assert "in raise_odd" in format_traceback(odd.error)
    assert "KeyError: 'first'" in format_traceback(chained.error)
    assert "in call_blocking" not in format_traceback(chained.error)


def test_an_exception_of_a_type_that_nobody_else_can_find_is_named() -> None:
    async def scene(pool: ProcessPool) -> Any:
        return await pool.call(raise_local, Context())

    error = with_pool(Limits(1, 1), scene).error
    assert isinstance(error, RemoteError)
    assert str(error) == "raise_local.<locals>.Local('here', 5)"
    assert "in raise_local" in format_traceback(error)


def test_what_the_call_does_to_its_request_comes_back() -> None:
    async def scene(pool: ProcessPool) -> Context:
        context = Context(id="parent")
        await pool.call(retry_later, context)
        return context

    context = with_pool(Limits(1, 1), scene)
    assert repr(context.requested_retry.exc) == "ValueError('soon')"
    assert (context.requested_retry.when, context.described["digest"]) == (5, 1)
    assert context.replacement == Replacement([{"task": "other"}])
    assert context.added == ["added"]


def test_a_product_travels_as_its_json_and_a_text() -> None:
    async def scene(pool: ProcessPool) -> Any:
        return await pool.call(give_product, Context())

    product = with_pool(Limits(1, 1), scene).value
    assert (product.value, product.wire) == (None, {"n": 1})
    assert "lock" in product.shown


def test_a_value_or_an_argument_that_cannot_travel_fails_the_call_and_not_the_child() -> None:
    async def scene(pool: ProcessPool) -> list[Any]:
        return [
            await pool.call(return_a_lock, Context()),
            await pool.call(pid, Context(args=(threading.Lock(),))),
            await pool.call(pid, Context()),
        ]

    returned, given, fine = with_pool(Limits(1, 1), scene)
    assert "cannot pickle" in str(returned.error)
    assert "cannot pickle" in str(given.error)
    assert isinstance(fine, Returned)


def test_coroutine_functions_share_the_event_loop_of_their_child() -> None:
    async def scene(pool: ProcessPool) -> list[Any]:
        return [await pool.call(same_loop, Context()) for _ in range(2)]

    first, second = with_pool(Limits(1, 1), scene)
    assert first == second
    assert first.value[0] != os.getpid()


# -- children that die ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "args", "why"),
    [
        (die, (signal.SIGKILL,), r"was ended by SIGKILL \(out of memory\?\)"),
        (die, (signal.SIGSEGV,), "was ended by SIGSEGV"),
        (leave, (), r"ended by itself \(exit code 3\)"),
        (leave_a_heir, (), r"ended by itself \(exit code 4\)"),
        (close_the_connection, (), "was ended by SIGKILL"),
    ],
)
def test_a_child_that_dies_costs_its_own_call_only(
    tmp_path: Path, function: Any, args: tuple[Any, ...], why: str
) -> None:
    async def scene(pool: ProcessPool) -> Any:
        (tmp_path / "hanging").mkdir()
        companion = asyncio.ensure_future(
            pool.call(pid_when_all_are_there, Context(args=(str(tmp_path / "hanging"), 2)))
        )
        await come_true(lambda: os.listdir(tmp_path / "hanging"))
        lost = await pool.call(function, Context(), *args)
        assert not companion.done()
        (tmp_path / "hanging" / "go").touch()
        assert isinstance(await companion, Returned)
        assert len(await pids_of_all(pool, tmp_path / "after", 2)) == 2
        return lost

    lost = with_pool(Limits(2, 2), scene)
    assert isinstance(lost, Lost)
    assert re.search(why, lost.why)


def test_as_many_children_die_as_are_replaced(tmp_path: Path) -> None:
    async def scene(pool: ProcessPool) -> None:
        everybody = await pids_of_all(pool, tmp_path / "before", 3)
        for _ in range(10):
            outcomes = await asyncio.gather(*(pool.call(die, Context(), 9) for _ in range(3)))
            assert [type(outcome) for outcome in outcomes] == [Lost] * 3
        others = await pids_of_all(pool, tmp_path / "after", 3)
        assert (len(others), others & everybody) == (3, set())

    with_pool(Limits(3, 3), scene)


def test_a_child_that_dies_while_it_is_idle_is_replaced() -> None:
    async def scene(pool: ProcessPool) -> None:
        first = (await pool.call(pid, Context())).value  # type: ignore[union-attr]
        os.kill(first, signal.SIGKILL)
        await come_true(lambda: not is_there(first))
        second = await pool.call(pid, Context())
        while isinstance(second, Lost):  # the call may have met its end
            second = await pool.call(pid, Context())
        assert second != Returned(first)

    with_pool(Limits(1, 1), scene)


def test_a_signal_to_the_whole_process_group_leaves_the_children_to_their_worker() -> None:
    async def scene(pool: ProcessPool) -> None:
        first = await pool.call(pid, Context())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(first.value, number)  # type: ignore[union-attr]
        assert await pool.call(pid, Context()) == first

    with_pool(Limits(1, 1), scene)


def test_a_caller_that_is_cancelled_ends_what_runs(tmp_path: Path) -> None:
    async def scene(pool: ProcessPool) -> None:
        call = asyncio.ensure_future(pool.call(hang, Context(args=(str(tmp_path),))))
        (running,) = await come_true(lambda: os.listdir(tmp_path))
        call.cancel()
        await come_true(lambda: not is_there(int(running)))
        assert isinstance(await pool.call(pid, Context()), Returned)

    with_pool(Limits(1, 1), scene)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGUSR1"])
def test_a_call_that_is_to_stop_ends_its_child_and_another_takes_its_place(
    tmp_path: Path, name: str
) -> None:
    async def scene(pool: ProcessPool) -> None:
        context = Context(args=(str(tmp_path),), token="mine")
        call = asyncio.ensure_future(pool.call(hang, context))
        (running,) = await come_true(lambda: os.listdir(tmp_path))
        pool.stop("another's", name)
        pool.stop("mine", name)
        pool.stop("mine", "SIGKILL")  # each heartbeat says it again
        assert await call == Stopped(name)
        await come_true(lambda: not is_there(int(running)))
        assert isinstance(await pool.call(pid, Context()), Returned)

    with_pool(Limits(1, 1), scene)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.parametrize("function", [clean_up, aclean_up])
def test_a_task_cleans_up_after_the_signal_that_ends_it(
    tmp_path: Path, function: Callable[..., Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "PARTING_S", PATIENCE_S)

    async def scene(pool: ProcessPool) -> None:
        context = Context(args=(str(tmp_path),), token="mine")
        call = asyncio.ensure_future(pool.call(function, context))
        (running,) = await come_true(lambda: os.listdir(tmp_path))
        pool.stop("mine", name)
        assert await call == Stopped(name)
        assert (tmp_path / "cleaned").exists()
        assert not is_there(int(running))

    with_pool(Limits(1, 1), scene)


def test_a_task_may_have_a_handler_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "PARTING_S", PATIENCE_S)

    async def scene(pool: ProcessPool) -> None:
        context = Context(args=(str(tmp_path),), token="mine")
        call = asyncio.ensure_future(pool.call(have_a_handler, context))
        await come_true(lambda: os.listdir(tmp_path))
        pool.stop("mine", "SIGTERM")
        assert await call == Stopped("SIGTERM")
        assert (tmp_path / "cleaned").exists()

    with_pool(Limits(1, 1), scene)


def test_a_task_that_goes_on_all_the_same_is_killed(tmp_path: Path) -> None:
    async def scene(pool: ProcessPool) -> None:
        context = Context(args=(str(tmp_path),), token="mine")
        call = asyncio.ensure_future(pool.call(go_on, context))
        (running,) = await come_true(lambda: os.listdir(tmp_path))
        pool.stop("mine", "SIGTERM")
        assert await call == Stopped("SIGTERM")
        assert not is_there(int(running))

    with_pool(Limits(1, 1), scene)


@pytest.mark.parametrize("function", [wait_for_word, await_word])
def test_a_signal_without_the_workers_word_ends_no_task(
    tmp_path: Path, function: Callable[..., Any]
) -> None:
    async def scene(pool: ProcessPool) -> None:
        call = asyncio.ensure_future(pool.call(function, Context(args=(str(tmp_path),))))
        (running,) = await come_true(lambda: os.listdir(tmp_path))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(int(running), number)
        (tmp_path / "go").touch()
        assert await call == Returned("gone on")

    with_pool(Limits(1, 1), scene)


def test_what_returns_after_the_signal_all_the_same_has_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "PARTING_S", PATIENCE_S)

    async def scene(pool: ProcessPool) -> None:
        context = Context(args=(str(tmp_path),), token="mine")
        call = asyncio.ensure_future(pool.call(end_in_time, context))
        (running,) = await come_true(lambda: os.listdir(tmp_path))
        pool.stop("mine", "SIGTERM")
        assert await call == Returned("so far")
        await come_true(lambda: not is_there(int(running)))

    with_pool(Limits(1, 1), scene)


def test_a_call_that_is_to_stop_before_a_child_has_time_does_not_begin(tmp_path: Path) -> None:
    async def scene(pool: ProcessPool) -> None:
        first = asyncio.ensure_future(
            pool.call(hang, Context(args=(str(tmp_path),), token="first"))
        )
        await come_true(lambda: os.listdir(tmp_path))
        second = asyncio.ensure_future(pool.call(pid, Context(token="second")))
        await asyncio.sleep(0)
        pool.stop("second", "SIGTERM")
        pool.stop("first", "SIGKILL")
        assert await first == Stopped("SIGKILL")
        assert await second == Stopped("SIGTERM")

    with_pool(Limits(1, 1), scene)


def test_a_pool_that_is_closed_ends_what_runs(tmp_path: Path) -> None:
    async def scene(pool: ProcessPool) -> int:
        running = asyncio.ensure_future(pool.call(hang, Context(args=(str(tmp_path),))))
        (pid,) = await come_true(lambda: os.listdir(tmp_path))
        await pool.close()
        running.cancel()
        return int(pid)

    assert not is_there(with_pool(Limits(1, 1), scene))


# -- children that wear out, and children on demand ------------------------------------------------


def test_a_child_is_replaced_after_so_many_tasks() -> None:
    async def scene(pool: ProcessPool) -> list[int]:
        return [(await pool.call(pid, Context())).value for _ in range(7)]  # type: ignore[union-attr]

    pids = with_pool(Limits(1, 1, tasks_per_child=3), scene)
    assert [pids.count(each) for each in dict.fromkeys(pids)] == [3, 3, 1]


def test_a_child_is_replaced_when_it_has_grown_too_large() -> None:
    limit_kb = resident_kb() + 32 * 1024

    async def scene(pool: ProcessPool) -> list[int]:
        before = [(await pool.call(pid, Context())).value for _ in range(2)]  # type: ignore[union-attr]
        await pool.call(grow, Context(args=(limit_kb,)))
        return [*before, (await pool.call(pid, Context())).value]  # type: ignore[union-attr]

    first, second, third = with_pool(Limits(1, 1, memory_per_child_kb=limit_kb), scene)
    assert first == second != third


def test_children_are_started_on_demand_and_let_go_when_they_are_idle(tmp_path: Path) -> None:
    async def scene(pool: ProcessPool) -> None:
        pids = await pids_of_all(pool, tmp_path / "a", 3)
        assert len(pids) == 3
        await come_true(lambda: sum(map(is_there, pids)) == 1)
        assert len(await pids_of_all(pool, tmp_path / "b", 3)) == 3

    with_pool(Limits(1, 3, keepalive_s=0.05), scene)


def test_without_a_fewest_there_is_no_child_before_the_first_call() -> None:
    async def scene(pool: ProcessPool) -> None:
        first = (await pool.call(pid, Context())).value  # type: ignore[union-attr]
        await come_true(lambda: not is_there(first))

    with_pool(Limits(0, 2, keepalive_s=0.05), scene)


# -- the process that forks -----------------------------------------------------------------------


SCRIPT = """
import asyncio, os, sys
from caraway.core.context import Context
from caraway.workers.pools import child
from caraway.workers.pools.forking import ForkNursery
from caraway.workers.pools.processes import Limits, ProcessPool
from caraway.workers.pools.serving import serve
from tests.integration.test_processes import hang, pid
async def main():
    await pool.open()
    print((await pool.call(pid, Context())).value, flush=True)
    print(await pool.call(hang, Context(args=(sys.argv[1],))), flush=True)
pool = ProcessPool("prefork", ForkNursery(lambda c: serve(c, {})), {}, Limits(2, 2))
pool.start()
asyncio.run(main())
"""


@contextmanager
def start_script(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def parent_of(pid: int) -> int:
    """Return the parent of a process, as ``ps`` has it."""
    shown = subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True)
    return int(shown.stdout)


def test_a_worker_that_is_killed_takes_all_its_children_with_it(tmp_path: Path) -> None:
    with start_script(tmp_path) as process:
        idle = int(process.stdout.readline())  # type: ignore[union-attr]
        forker = parent_of(idle)
        (busy,) = asyncio.run(come_true(lambda: os.listdir(tmp_path)))
        process.kill()
        asyncio.run(come_true(lambda: not any(map(is_there, (idle, int(busy), forker)))))


def test_a_worker_whose_forker_is_killed_stops_and_leaves_nothing(tmp_path: Path) -> None:
    with start_script(tmp_path) as process:
        idle = int(process.stdout.readline())  # type: ignore[union-attr]
        (busy,) = asyncio.run(come_true(lambda: os.listdir(tmp_path)))
        os.kill(parent_of(idle), signal.SIGKILL)
        assert process.wait(PATIENCE_S) == -signal.SIGTERM
        asyncio.run(come_true(lambda: not any(map(is_there, (idle, int(busy))))))
