"""What a worker says of itself: its loops, AWS, and ``/health``."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import closing
from http.client import HTTPConnection
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from caraway.cli import main
from caraway.exceptions import ImproperlyConfigured
from caraway.workers.health import serving
from caraway.workers.vitals import (
    BLOCKED_S,
    LONGEST_RESTART_S,
    RESTARTS,
    SILENT_S,
    LoopFailedError,
    Report,
    Vitals,
    kept_running,
)
from tests.ports import closed_port

if TYPE_CHECKING:
    from collections.abc import Callable


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def vitals(clock: Hands) -> Vitals:
    vitals = Vitals("w1", clock)
    vitals.ready = True
    vitals.heard_at = clock
    return vitals


def test_a_worker_that_has_not_begun_is_not_healthy(clock: Hands) -> None:
    assert Vitals("w1", clock).report().problems == ("the worker has not begun yet",)


def test_a_loop_that_is_heard_of_in_time_is_healthy(clock: Hands, vitals: Vitals) -> None:
    watch = vitals.watch_queue("default")
    for _ in range(10):
        watch.expect(5)
        clock.at += 5
        watch.done()
        assert vitals.report().healthy
    clock.at += 2.5
    assert vitals.report().facts["queues"] == {"default": {"received_s_ago": 2.5, "full": False}}


def test_a_loop_that_is_not_heard_of_is_named(clock: Hands, vitals: Vitals) -> None:
    vitals.watch_queue("default").expect(5)
    vitals.watch("the heartbeat").expect(20)
    clock.at += 6
    assert vitals.report().problems == ("polling of default: nothing for 6 s",)
    clock.at += 15
    assert len(vitals.report().problems) == 2
    vitals.stopping = True
    assert vitals.report().problems == ("the heartbeat: nothing for 21 s",)


def test_a_worker_that_is_full_may_be_so_for_as_long_as_its_tasks_take(
    clock: Hands, vitals: Vitals
) -> None:
    watch = vitals.watch_queue("default")
    watch.expect(5)
    watch.rest()
    vitals.heard_at = lambda: 0.0
    clock.at += 100_000
    assert vitals.report().healthy
    assert vitals.report().facts["queues"]["default"]["full"]


def test_a_worker_that_aws_does_not_answer_any_more_is_not_healthy(
    clock: Hands, vitals: Vitals
) -> None:
    vitals.heard_at = lambda: -inf
    watch = vitals.watch_queue("default")
    watch.expect(5)
    clock.at += SILENT_S
    watch.expect(5)
    assert vitals.report().healthy
    clock.at += 1
    assert vitals.report().problems == ("AWS has answered nothing for 301 s",)


def test_an_event_loop_that_is_blocked_is_told(clock: Hands, vitals: Vitals) -> None:
    async def scene() -> None:
        turning = asyncio.ensure_future(vitals.turn())
        await asyncio.sleep(0)
        turning.cancel()

    asyncio.run(scene())
    clock.at += BLOCKED_S
    assert vitals.report().healthy
    clock.at += 1
    assert vitals.report().problems == ("the event loop is blocked: nothing for 31 s",)


# -- loops that fail ----------------------------------------------------------------------------


class Loop:
    """A loop that fails as often as it is told to, then ends."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.done = 0
        self.pauses: list[float] = []

    async def run(self) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("nobody foresaw this")

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def test_a_loop_that_fails_is_started_again_after_longer_and_longer_pauses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = Loop(7)
    asyncio.run(kept_running("polling of default", loop.run, loop.pause))
    assert loop.pauses == [1, 2, 4, 8, 16, LONGEST_RESTART_S, LONGEST_RESTART_S]
    assert caplog.text.count("polling of default failed; it is started again") == 7
    assert "nobody foresaw this" in caplog.text


def test_a_loop_that_fails_for_ever_is_given_up() -> None:
    loop = Loop(1_000)
    with pytest.raises(LoopFailedError, match="the heartbeat failed 9 times in a row: nobody"):
        asyncio.run(kept_running("the heartbeat", loop.run, loop.pause))
    assert len(loop.pauses) == RESTARTS


def test_failures_between_which_something_was_done_are_none_in_a_row() -> None:
    loop = Loop(100)

    async def run() -> None:
        loop.done += 1
        await loop.run()

    asyncio.run(kept_running("polling", run, loop.pause, lambda: loop.done))
    assert loop.pauses == [1] * 100


# -- over HTTP ----------------------------------------------------------------------------------


def ask(port: int, path: str = "/health", method: str = "GET") -> tuple[int, Any]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        return response.status, json.loads(body) if body else None


def reporting(*problems: str) -> Callable[[], Report]:
    return lambda: Report(problems, {"running": 3})


def test_health_is_200_and_says_what_it_knows() -> None:
    with serving(reporting(), "127.0.0.1", 0) as port:
        assert ask(port) == (200, {"status": "ok", "problems": [], "running": 3})
        assert ask(port, method="HEAD") == (200, None)
        assert ask(port, "/other")[0] == 404


def test_health_is_503_and_says_why() -> None:
    with serving(reporting("polling of default: nothing for 200 s"), "127.0.0.1", 0) as port:
        status, told = ask(port)
    assert (status, told["status"]) == (503, "failing")
    assert told["problems"] == ["polling of default: nothing for 200 s"]


def test_a_port_that_is_taken_is_named_with_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ImproperlyConfigured, match=f"{port} .*--health-port"),
            serving(reporting(), "127.0.0.1", port),
        ):
            pass


def test_the_probe_says_how_the_worker_is() -> None:
    run = CliRunner().invoke
    with serving(reporting(), "127.0.0.1", 0) as port:
        well = run(main, ["health"], env={"CARAWAY_HEALTH_PORT": str(port)})
        assert (well.exit_code, well.output) == (0, "ok\n")
    with serving(reporting("the event loop is blocked"), "127.0.0.1", 0) as port:
        ill = run(main, ["health", "--port", str(port)])
        assert (ill.exit_code, ill.output) == (1, "the event loop is blocked\n")
        told = run(main, ["health", "--port", str(port), "--json"])
        assert json.loads(told.output)["status"] == "failing"
    with closed_port() as port:
        gone = run(main, ["health", "--port", str(port)])
    assert gone.exit_code == 1
    assert "no worker answers on 127.0.0.1" in gone.output


def test_the_probe_does_not_wait_for_a_worker_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        told = CliRunner().invoke(main, ["health", "--port", str(port), "--timeout", "0.05"])
    assert told.exit_code == 1
    assert "no worker answers" in told.output


def test_the_probe_needs_a_port() -> None:
    told = CliRunner().invoke(main, ["health"])
    assert told.exit_code == 2
    assert "--port" in told.output
