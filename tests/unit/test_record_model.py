"""Every interleaving of small configurations, and that the explorer sees what it looks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from caraway import states
from caraway.core import claimable
from caraway.core.claimable import Claimable
from caraway.core.record import DONE, FAILED, RETRY, RUNNING
from caraway.core.transitions import Records
from caraway.requests.dynamodb import UpdateItem
from caraway.requests.items import Absent, AtMost, Condition, Equals, OneOf
from tests.model.__main__ import main
from tests.model.config import CONFIGS, SMALL, Config
from tests.model.explorer import Explorer, Findings

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.usefixtures("unmeasured")


def explored(config: Config) -> Findings:
    return Explorer(config).explore()


@pytest.mark.parametrize("config", SMALL, ids=lambda config: config.name)
def test_no_interleaving_loses_or_changes_an_ending(config: Config) -> None:
    findings = explored(config)
    assert findings.faults == {}, str(findings)
    assert ((DONE, states.SUCCESS) in findings.ends) is not config.late
    assert ((DONE, states.MISSED) in findings.ends) is config.late
    assert ((DONE, states.FAILURE) in findings.ends) is bool(config.failure)
    assert ((DONE, states.REVOKED) in findings.ends) is bool(config.revoke or config.terminate)
    may_be_rejected = bool(config.reject or config.max_deliveries)
    assert ((FAILED, states.FAILURE) in findings.ends) is may_be_rejected


def test_the_command_prints_what_it_explored(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crashes"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("crashes ")
    assert printed.rstrip().endswith("sound")


def test_the_command_names_its_configurations(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crashs"]) == 2
    assert "no configuration named 'crashs'; there are: crashes, retry, " in capsys.readouterr().out


# -- the explorer finds what is wrong: each of these breaks a rule that a counterexample shaped ----


def finds(fault: str, config: str) -> bool:
    """Say whether a fault is found."""
    return fault in Explorer(CONFIGS[config], looking_for=fault).explore().faults


async def nothing(*_args: Any) -> None:
    """Follow up with nothing."""


def test_without_the_phase_in_run_a_late_heartbeat_opens_a_final_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mine(token: str) -> Condition:
        return Equals("token", token)

    monkeypatch.setattr("caraway.core.transitions._mine", mine)
    assert finds("a final record has changed", "late heartbeat")


def test_without_the_attempt_in_claim_an_older_message_takes_the_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def claimable(_attempt: int, _digest: str, now: float, **_options: bool) -> Condition:
        return Absent("id") | AtMost("open_at", now)

    monkeypatch.setattr("caraway.core.transitions.Claimable", claimable)
    assert finds("the attempts have gone backwards", "retry")


def test_on_fifo_with_the_attempt_alone_a_retry_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    def claimable(attempt: int, digest: str, now: float, **options: bool) -> Condition:
        return Claimable(attempt, digest, now, **{**options, "fifo": False})

    monkeypatch.setattr("caraway.core.transitions.Claimable", claimable)
    assert finds("there is no way to an end", "fifo: retry, ghost")


def test_a_redelivery_that_completes_nothing_loses_what_a_crash_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("caraway.core.refusal.follow_up", nothing)
    assert finds("the task, or what follows from its ending, is lost", "crashes")


def test_an_older_message_that_sends_nothing_loses_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caraway.core.refusal.send", nothing)
    assert finds("the task, or what follows from its ending, is lost", "retry")


def test_an_idempotent_ending_that_is_written_only_where_there_is_none_ends_no_redrive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ending = Records._end

    def unclaimed(
        self: Records, message: Any, token: str, now: float, assign: Any, remove: Any, **how: bool
    ) -> UpdateItem:
        if how["claimed"]:
            return ending(self, message, token, now, assign, remove, **how)
        whole = {"token": token, "attempt": message.attempt, **assign}
        return self._write(message.id, Absent("id"), now, whole, remove)

    monkeypatch.setattr(Records, "_end", unclaimed)
    assert finds("a redrive changes nothing", "idempotent: reject, redrive")


def test_a_replay_that_completes_nothing_loses_what_a_crash_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("caraway.core.replay._send_errbacks", nothing)
    assert finds("a failure was run again before its errback was sent", "failure, replay")


def test_on_fifo_an_older_message_that_runs_a_replay_can_lose_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claimable, "Absent", _AlwaysAbsentMessage)
    assert finds("the task, or what follows from its ending, is lost", "fifo: failure, replay")


@dataclass(frozen=True)
class _AlwaysAbsentMessage(Absent):
    def holds(self, item: Mapping[str, Any]) -> bool:
        return self.name == "message" or super().holds(item)


def test_a_run_that_finds_its_own_token_in_the_end_of_a_revoke_says_what_is_not_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fence_off = Records.fence_off

    def keeping_the_token(self: Records, id: str, held_by: str, _token: str, *args: Any) -> Any:
        return fence_off(self, id, held_by, held_by, *args)

    monkeypatch.setattr(Records, "fence_off", keeping_the_token)
    assert finds("a follow-up does not say what the record says", "retry, terminate")


def test_a_revoke_of_what_has_ended_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    revoke = Records.revoke

    def anywhere(self: Records, *args: Any) -> UpdateItem:
        request = revoke(self, *args)
        free = Absent("id") | OneOf("phase", (RETRY, RUNNING, DONE))
        return UpdateItem(request.table, request.id, request.change, free)

    monkeypatch.setattr(Records, "revoke", anywhere)
    assert finds("a final record has changed", "retry, revoke")
