"""The checker of histories: each broken promise is found, and a sound history has none."""

from __future__ import annotations

import pytest

from caraway.core.record import Record
from tests.chaos.history import Finding, History, Run, Sent, Write, check

SENT = Sent("a", "SUCCESS", 7)
DONE = Record("a", "done", token="t1", state="SUCCESS", result="7")
CLAIM = Write("a", "t1", "t1", "running", open_at=10.0, at=1.0)
FINISH = Write("a", "t1", "t1", "done", state="SUCCESS", result="7", at=2.0)


def history(
    *writes: Write,
    sent: Sent = SENT,
    record: Record | None = DONE,
    runs: tuple[Run, ...] = (Run("a", "t1", 1.0),),
    left: tuple[str, ...] = (),
    dead: tuple[str, ...] = (),
) -> History:
    records = {} if record is None else {"a": record}
    return History([sent], runs, writes or (CLAIM, FINISH), records, left, dead)


def verdicts(told: History) -> list[str]:
    return [finding.verdict for finding in check(told)]


def test_a_task_that_ran_once_and_was_recorded_keeps_every_promise() -> None:
    assert check(history()) == []


def test_a_task_without_record_and_message_is_lost() -> None:
    assert verdicts(history(record=None, runs=())) == ["lost"]


def test_a_message_on_a_queue_is_left() -> None:
    assert verdicts(history(record=None, runs=(), left=("a",))) == ["left"]
    assert verdicts(history(left=("a",))) == ["left"]


@pytest.mark.parametrize("phase", ["running", "retry"])
def test_a_record_that_no_message_will_end_is_stuck(phase: str) -> None:
    record = Record("a", phase, token="t1")  # type: ignore[arg-type]
    assert verdicts(history(CLAIM, record=record)) == ["stuck"]
    assert verdicts(history(CLAIM, record=record, left=("a",))) == ["left"]


def test_a_second_ending_is_recorded_twice() -> None:
    other = Write("a", "t2", "t2", "done", state="FAILURE", at=3.0)
    (found,) = check(history(CLAIM, FINISH, other))
    assert found == Finding("twice", "a", "SUCCESS by t1, then done by t2")


def test_a_claim_of_a_finished_task_counts_as_twice() -> None:
    again = Write("a", "t2", "t2", "running", open_at=20.0, at=3.0)
    assert "twice" in verdicts(history(CLAIM, FINISH, again))


def test_a_write_that_leaves_the_ending_as_it_is_counts_for_nothing() -> None:
    touched = Write("a", "t1", "t1", "done", state="SUCCESS", result="7", at=3.0)
    assert check(history(CLAIM, FINISH, touched)) == []


def test_a_dead_letter_that_ends_again_is_recorded_twice_unless_a_redrive_claimed_it() -> None:
    dead = Write("a", "t1", "t1", "failed", open_at=0, state="FAILURE", at=2.0)
    assert "twice" in verdicts(history(CLAIM, dead, FINISH))
    redriven = Write("a", "t2", "t2", "running", open_at=9.0, at=3.0)
    finish = Write("a", "t2", "t2", "done", state="SUCCESS", result="7", at=4.0)
    assert "twice" not in verdicts(history(CLAIM, dead, redriven, finish))


@pytest.mark.parametrize(
    "record",
    [
        Record("a", "done", token="t1", state="SUCCESS", result="8"),
        Record("a", "done", token="t1", state="FAILURE", result='{"exc_type": "ValueError"}'),
        Record("a", "done", token="t9", state="SUCCESS", result="7"),
    ],
    ids=["another value", "another state", "of no run"],
)
def test_another_ending_than_the_tasks_own_is_wrong(record: Record) -> None:
    assert verdicts(history(record=record)) == ["wrong"]


def test_an_ending_of_a_task_that_never_ran_is_wrong() -> None:
    assert verdicts(history(runs=())) == ["wrong"]


def test_a_task_without_a_claim_needs_a_run_and_no_token_of_it() -> None:
    sent = Sent("a", "SUCCESS", 7, claims=False)
    assert check(history(sent=sent, runs=(Run("a", None, 1.0),))) == []
    assert verdicts(history(sent=sent, runs=())) == ["wrong"]


def test_a_dead_letter_has_to_be_where_it_belongs_and_nowhere_else() -> None:
    sent = Sent("a", "FAILURE", "Reject", dead_letter=True)
    record = Record("a", "failed", token="t1", state="FAILURE", result='{"exc_type": "Reject"}')
    assert check(history(CLAIM, sent=sent, record=record, dead=("a",))) == []
    assert verdicts(history(CLAIM, sent=sent, record=record)) == ["wrong"]
    assert verdicts(history(dead=("a",))) == ["wrong"]


def test_a_write_of_an_overtaken_attempt_is_an_overlap() -> None:
    taken = Write("a", "t2", "t2", "running", open_at=30.0, at=20.0)
    # The record shows its owner: an unfenced write is seen by what its request named.
    unfenced = Write("a", "t1", "t2", "running", open_at=40.0, at=21.0)
    finish = Write("a", "t2", "t2", "done", state="SUCCESS", result="7", at=22.0)
    record = Record("a", "done", token="t2", state="SUCCESS", result="7")
    runs = (Run("a", "t1", 1.0), Run("a", "t2", 20.0))
    assert check(history(CLAIM, taken, finish, record=record, runs=runs)) == []
    assert verdicts(history(CLAIM, taken, unfenced, finish, record=record, runs=runs)) == [
        "overlap"
    ]


def test_a_takeover_of_a_lease_that_has_not_ended_is_an_overlap() -> None:
    taken = Write("a", "t2", "t2", "running", open_at=30.0, at=5.0)
    assert "overlap" in verdicts(history(CLAIM, taken))
    given_up = Write("a", "t1", "t1", "running", open_at=0, at=4.0)
    assert "overlap" not in verdicts(history(CLAIM, given_up, taken))


def test_an_ending_under_no_token_is_an_overlap() -> None:
    unfenced = Write("a", None, "t1", "done", state="SUCCESS", result="7", at=2.0)
    assert "overlap" in verdicts(history(CLAIM, unfenced))


def test_tasks_whose_function_began_again_are_counted_and_forbidden_by_nothing() -> None:
    runs = (Run("a", "t1", 1.0), Run("a", "t1", 2.0))
    assert history(runs=runs).begun_again == 1
    assert check(history(runs=runs)) == []
