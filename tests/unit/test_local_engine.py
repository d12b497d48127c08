"""What the engine takes over from the caller's environment, and what it tells the caller."""

from __future__ import annotations

from pathlib import Path

import pytest

from caraway.local.engine import LocalEngine, _engine_environ


def test_the_engine_inherits_what_functions_may_need_and_nothing_that_steers_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_PROFILE", "CARAWAY_APP", "PYTHONPATH", "VIRTUAL_ENV", "AUTH", "EDGE_PORT"):
        monkeypatch.setenv(name, "of the caller")
    monkeypatch.setenv("DATABASE_URL", "of the caller")
    environ = _engine_environ(4567, Path("/tmp/engine"), "name", "eu-west-1")
    assert {name for name, value in environ.items() if value == "of the caller"} == {"DATABASE_URL"}


def test_the_engine_listens_on_loopback_only_and_keeps_its_files_together() -> None:
    environ = _engine_environ(4567, Path("/tmp/engine"), "name", "eu-west-1")
    assert environ["BIND_HOST"] == "127.0.0.1"
    assert environ["GATEWAY_PORT"] == "4567"
    assert environ["TMPDIR"] == "/tmp/engine"


@pytest.mark.parametrize(
    ("known", "hosts"),
    [("", "127.0.0.1,localhost"), ("example.com", "example.com,127.0.0.1,localhost")],
)
def test_a_proxy_is_not_asked_for_the_engine(
    monkeypatch: pytest.MonkeyPatch, known: str, hosts: str
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", known)
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    engine = LocalEngine()
    engine.endpoint_url = "http://127.0.0.1:4567"
    assert engine.environ()["NO_PROXY"] == hosts


def test_the_environment_names_the_endpoint_the_region_and_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    engine = LocalEngine(region="ap-northeast-2")
    engine.endpoint_url = "http://127.0.0.1:4567"
    assert engine.environ() == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4567",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "ap-northeast-2",
        "AWS_DEFAULT_REGION": "ap-northeast-2",
    }
