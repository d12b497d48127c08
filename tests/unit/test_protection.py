"""ECS task protection: when ECS is asked for it, and what happens when it refuses."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.exceptions import ImproperlyConfigured
from caraway.workers.protection import (
    EXPIRES_MIN,
    IDLE_S,
    PATH,
    RENEW_S,
    RETRY_S,
    TICK_S,
    Protecting,
    TaskProtection,
    agent_of,
    put,
)
from tests.ports import closed_port

if TYPE_CHECKING:
    from collections.abc import Iterator


class Agent(HTTPServer):
    """The agent of ECS, as far as it is about protection."""

    refuses: tuple[int, dict[str, Any]] | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    @property
    def uri(self) -> str:
        """What ``ECS_AGENT_URI`` says."""
        return f"http://127.0.0.1:{self.server_address[1]}/api/one"


class _Handler(BaseHTTPRequestHandler):
    server: Agent

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        status, answer = self.server.refuses or (200, {"protection": body})
        told = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def an_agent() -> Iterator[Agent]:
    with Agent() as agent:
        thread = threading.Thread(target=agent.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield agent
        finally:
            agent.shutdown()
            thread.join()


# -- when ---------------------------------------------------------------------------------------


def test_it_is_on_with_a_long_task_renewed_while_busy_and_off_when_idle_for_a_while() -> None:
    state = Protecting()
    assert state.wanted(0, busy=False) is None
    assert state.wanted(1, busy=True) is True
    state.told(1, protected=True)
    assert state.wanted(RENEW_S, busy=True) is None
    assert state.wanted(1 + RENEW_S, busy=True) is True
    state.told(1 + RENEW_S, protected=True)
    assert state.wanted(RENEW_S + IDLE_S, busy=False) is None
    assert state.wanted(1 + RENEW_S + IDLE_S, busy=False) is False
    state.told(1 + RENEW_S + IDLE_S, protected=False)
    assert state.wanted(10 * IDLE_S + RENEW_S, busy=False) is None


def test_what_failed_is_tried_again_after_a_while() -> None:
    state = Protecting()
    assert state.wanted(0, busy=True)
    state.failed(0)
    assert state.wanted(RETRY_S - 1, busy=True) is None
    assert state.wanted(RETRY_S, busy=True) is True


@given(st.lists(st.booleans(), min_size=100, max_size=600))
def test_a_worker_that_is_busy_now_and_then_asks_no_more_than_one_that_is_busy_always(
    ticks: list[bool],
) -> None:
    state, asked = Protecting(), 0
    now, idle_s = 0.0, IDLE_S
    for busy in ticks:
        now += TICK_S
        idle_s = 0.0 if busy else idle_s + TICK_S
        wanted = state.wanted(now, busy=busy)
        if wanted is not None:
            state.told(now, protected=wanted)
            asked += 1
        assert not busy or state.protected
        assert state.protected or idle_s >= IDLE_S
        assert state.protected == (idle_s < IDLE_S)
    # Off and on again takes at least the time of being idle.
    assert asked <= 1 + 2 * now / IDLE_S + now / RENEW_S


# -- over HTTP ----------------------------------------------------------------------------------


def test_the_agent_is_told_as_ecs_documents_it() -> None:
    with an_agent() as agent:
        put(agent.uri, True)
        put(agent.uri, False)
    assert agent.asked == [
        (f"/api/one{PATH}", {"ProtectionEnabled": True, "ExpiresInMinutes": EXPIRES_MIN}),
        (f"/api/one{PATH}", {"ProtectionEnabled": False}),
    ]


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with an_agent() as agent:
        put(agent.uri, True)
    assert len(agent.asked) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        (400, {"error": {"Code": "AccessDeniedException", "Message": "not authorized"}}),
        (200, {"failure": {"Reason": "TASK_NOT_VALID", "Detail": "not of a service"}}),
        (200, {"requestID": "1", "error": {"Code": "ThrottlingException"}}),
        (500, {}),
        (200, []),
    ],
)
def test_a_refusal_is_told_from_an_answer(refusal: tuple[int, dict[str, Any]]) -> None:
    with an_agent() as agent:
        agent.refuses = refusal
        with pytest.raises(ValueError, match="the ECS agent answered"):
            put(agent.uri, True)


async def until(condition: Any) -> None:
    async def look() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(look(), 120)


def test_protection_follows_whether_the_worker_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caraway.workers.protection.TICK_S", 0.001)
    monkeypatch.setattr("caraway.workers.protection.IDLE_S", 0.0)

    async def scene(agent: Agent) -> None:
        busy = [1]
        protection = TaskProtection(agent.uri, lambda: bool(busy))
        running = asyncio.ensure_future(protection.run())
        await until(lambda: protection._state.protected)
        busy.clear()
        await until(lambda: not protection._state.protected)
        running.cancel()

    with an_agent() as agent:
        asyncio.run(scene(agent))
    assert [body["ProtectionEnabled"] for _, body in agent.asked] == [True, False]


def test_an_agent_that_refuses_or_is_gone_is_said_once_and_never_fatal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("caraway.workers.protection.RETRY_S", 0.0)
    monkeypatch.setattr("caraway.workers.protection.TICK_S", 0.001)

    async def scene(agent: Agent) -> None:
        protection = TaskProtection(agent.uri, lambda: True)
        running = asyncio.ensure_future(protection.run())
        await until(lambda: len(agent.asked) >= 5)
        agent.refuses = None
        await until(lambda: protection._state.protected)
        assert not running.done()
        running.cancel()

    with an_agent() as agent:
        agent.refuses = (400, {"error": {"Code": "AccessDeniedException"}})
        asyncio.run(scene(agent))
    assert caplog.text.count("ECS does not protect this task") == 1
    assert "ecs:UpdateTaskProtection" in caplog.text
    with closed_port() as port, pytest.raises(OSError, match="refused"):
        put(f"http://127.0.0.1:{port}/api/one", True)


# -- where --------------------------------------------------------------------------------------


def test_it_is_asked_for_where_ecs_is_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ECS_AGENT_URI", raising=False)
    assert agent_of(None) is None
    assert agent_of(False) is None
    with pytest.raises(ImproperlyConfigured, match="ECS_AGENT_URI"):
        agent_of(True)
    monkeypatch.setenv("ECS_AGENT_URI", "http://169.254.170.2/api/one")
    assert agent_of(None) == agent_of(True) == "http://169.254.170.2/api/one"
    assert agent_of(False) is None
