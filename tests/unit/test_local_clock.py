"""A clock that goes faster than the real one, and who fires by it."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner

from caraway.cli import main
from caraway.core.signing import Signing
from caraway.exceptions import ImproperlyConfigured
from caraway.local.clock import RunningClock, read_speed, real_now
from caraway.local.firing import Fired
from caraway.local.options import Options
from caraway.local.ticking import Ticking
from tests.unit.test_local_firing import Account

PATIENCE_S = 120
NOON = datetime(2026, 7, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "speed"), [("60x", 60), ("60", 60), ("1", 1), ("1.5x", 1.5), ("3600x", 3600)]
)
def test_a_speed_is_read(text: str, speed: float) -> None:
    assert read_speed(text) == speed


@pytest.mark.parametrize("text", ["", "x", "0.5x", "0", "-60x", "60 x", "fast", "3601x", "1h"])
def test_what_is_no_speed_is_refused(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="use 1 to 3,600 times, such as 60x"):
        read_speed(text)


def test_the_command_line_takes_a_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Options] = []
    monkeypatch.setattr("caraway.cli.dev.run", seen.append)
    assert CliRunner().invoke(main, ["-A", "shop:app", "dev"]).exit_code == 0
    assert CliRunner().invoke(main, ["-A", "shop:app", "dev", "--clock", "60x"]).exit_code == 0
    assert [options.speed for options in seen] == [1.0, 60.0]
    refused = CliRunner().invoke(main, ["-A", "shop:app", "dev", "--clock", "fast"])
    assert refused.exit_code == 2
    assert "'fast' is no speed of a clock" in refused.output


def test_a_fast_clock_begins_at_the_real_time_and_goes_ahead() -> None:
    clock = RunningClock(60, NOON)
    assert clock.at(NOON + timedelta(minutes=1)) == NOON + timedelta(hours=1)
    assert clock.at(NOON) == NOON
    before = NOON - timedelta(days=3)
    assert clock.at(before) == before, "then it was no other"
    assert not clock.is_real
    assert RunningClock().is_real


def test_a_minute_of_a_fast_clock_is_short() -> None:
    assert 0 < RunningClock(60).real_s_to_next_minute() <= 1
    assert 0 < RunningClock().real_s_to_next_minute() <= 60


class Watch:
    """Something that ticks by a fast clock, and what it says."""

    def __init__(self, call: Any, signing: Signing | None = None) -> None:
        self.fired: list[Fired] = []
        self.told: list[str] = []
        self.enough = threading.Event()
        clock = RunningClock(3600, real_now())
        self.ticking = Ticking(call, clock, self.has_fired, self.tell, lambda: signing)

    def has_fired(self, fired: list[Fired]) -> None:
        self.fired += fired
        if len(self.fired) >= 10:
            self.enough.set()

    def tell(self, text: str) -> None:
        self.told.append(text)

    def run(self) -> None:
        self.ticking.start()
        try:
            assert self.enough.wait(PATIENCE_S)
        finally:
            self.ticking.stop()


def test_what_is_stored_fires_as_the_clock_goes_each_once() -> None:
    account = Account()
    account.rule("r", "rate(1 minute)", Input="{}")
    watch = Watch(account)
    watch.run()
    times = [each.scheduled_time for each in watch.fired]
    assert times == [times[0] + timedelta(minutes=each) for each in range(len(times))]
    assert len(account.sent) == len(times)
    assert watch.told == []


def test_a_signed_message_is_signed_for_the_time_at_which_it_fires() -> None:
    signing = Signing.of({"k": "s" * 32}, "k", required=True)
    assert signing is not None
    envelope = {"caraway": 1, "task": "tick", "schedule": "entry", "when": {"every_s": 60}}
    text = json.dumps({**envelope, "signature": signing.value_of(envelope)})
    account = Account()
    account.schedule(
        "s", "rate(1 minute)", f'{text[:-1]}, "scheduled_time": "<aws.scheduler.scheduled-time>"}}'
    )
    watch = Watch(account, signing)
    watch.run()
    assert watch.told == []
    for sent in account.sent:
        signing.verify(json.loads(sent["MessageBody"]), real_now())  # hours ahead, for all it knows


def test_a_failure_is_told_once_and_nothing_that_was_due_is_lost() -> None:
    account, failures = Account(), 3
    account.rule("r", "rate(1 minute)", Input="{}")
    account.schedule("odd", "cron(0 9 * * *)")

    def call(service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        nonlocal failures
        if operation == "list_rules" and failures:
            failures -= 1
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        return account(service, operation, params)

    watch = Watch(call)
    watch.run()
    times = [each.scheduled_time for each in watch.fired]
    assert times == [times[0] + timedelta(minutes=each) for each in range(len(times))]
    assert [text.partition(":")[0] for text in watch.told] == [
        "Nothing is fired",
        "odd cannot be fired",
    ]
