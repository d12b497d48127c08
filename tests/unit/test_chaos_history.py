"""The checker of histories: each broken promise is found, and a sound history has none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caraway.core.record import Record
from tests.chaos.history import Finding, History, Revoke, Run, Sent, Write, check

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


# -- promises of one kind of task -----------------------------------------------------------------


def test_a_task_that_begins_more_often_than_it_may_is_found() -> None:
    once = Sent("a", "SUCCESS", 7, may_be_lost=True, begins=1)
    again = (Run("a", "t1", 1.0), Run("a", "t2", 5.0))
    assert check(history(sent=once)) == []
    assert verdicts(history(sent=once, runs=again)) == ["again"]


def test_a_run_of_a_claim_made_ahead_is_one_more_unless_its_worker_said_that_it_had_begun() -> None:
    killer = Sent("a", "SUCCESS", 7, begins=1, uncounted=True)
    runs = (Run("a", "t0", 0.5), Run("a", "t1", 1.0))
    ahead = Write("a", "t0", "t0", "running", open_at=0.9, at=0.4, counts=False)
    told = Write("a", "t0", "t0", "running", open_at=0, at=0.6)
    assert check(history(ahead, CLAIM, FINISH, sent=killer, runs=runs)) == []
    assert verdicts(history(ahead, told, CLAIM, FINISH, sent=killer, runs=runs)) == ["again"]
    strict = replace(killer, uncounted=False)
    assert verdicts(history(ahead, CLAIM, FINISH, sent=strict, runs=runs)) == ["again"]


def test_a_task_that_may_be_lost_may_end_so_without_a_run_of_that_claim_and_no_other_may() -> None:
    once = Sent("a", "SUCCESS", 7, may_be_lost=True, begins=1)
    lost = Record(
        "a", "done", token="t2", state="FAILURE", result='{"exc_type": "WorkerLostError"}'
    )
    assert check(history(CLAIM, sent=once, record=lost, runs=())) == []
    assert check(history(CLAIM, sent=once, record=lost)) == []
    assert verdicts(history(CLAIM, record=lost)) == ["wrong"]


def test_a_task_that_ends_without_a_run_needs_none() -> None:
    body = Sent("a", "FAILURE", "ChordError", runs=False, begins=0)
    record = Record("a", "failed", state="FAILURE", result='{"exc_type": "ChordError"}')
    assert check(history(CLAIM, sent=body, record=record, runs=())) == []
    assert verdicts(history(CLAIM, sent=body, record=record)) == ["again"]
    assert verdicts(history(sent=body)) == ["again", "wrong"]


def in_order(began_at: float, *, group: str = "g", ended: bool = True) -> History:
    """Return two tasks of a group: the first ends at 2, the second begins at ``began_at``."""
    sent = [Sent("a", "SUCCESS", 7, group="g"), Sent("b", "SUCCESS", 7, group=group)]
    other = [
        Write("b", "t2", "t2", "running", open_at=10.0, at=began_at),
        Write("b", "t2", "t2", "done", state="SUCCESS", result="7", at=9.0),
    ]
    records = {
        "a": DONE if ended else Record("a", "retry", token="t1"),
        "b": Record("b", "done", token="t2", state="SUCCESS", result="7"),
    }
    runs = [Run("a", "t1", 1.0), Run("b", "t2", began_at)]
    return History(sent, runs, [CLAIM, *([FINISH] if ended else []), *other], records)


def test_a_task_that_begins_before_the_one_before_it_has_ended_is_out_of_order() -> None:
    assert check(in_order(3.0)) == []
    assert check(in_order(1.5, group="another")) == []
    (found,) = check(in_order(1.5))
    assert found == Finding("order", "b", "it began 0.500 s before a had ended")


def test_nothing_of_a_group_begins_after_a_task_that_never_ended() -> None:
    assert verdicts(in_order(3.0, ended=False)) == ["stuck", "order"]


def test_the_order_is_that_of_all_that_was_sent_before_not_of_neighbours() -> None:
    told = in_order(3.0)
    between = Sent("between", "SUCCESS", 7, group="g")  # it is lost, and hides nothing
    first, second = told.sent
    late = Write("a", "t1", "t1", "done", state="SUCCESS", result="7", at=5.0)
    moved = History(
        [first, between, second], told.runs, [CLAIM, late, *told.writes[2:]], told.records
    )
    assert "order" in verdicts(moved)


REVOKED = Record("a", "done", state="REVOKED", result='{"exc_type": "TaskRevokedError"}')


def revoked(happened: str, at: float = 1.5, record: Record = REVOKED) -> History:
    told = history(CLAIM, record=record)
    return History(
        told.sent, told.runs, told.writes, told.records, revokes={"a": Revoke("a", happened, at)}
    )


def test_a_run_that_was_claimed_before_the_revoke_may_go_on_and_end_either_way() -> None:
    for happened in ("flagged", "terminating"):
        assert check(revoked(happened)) == []
        assert check(revoked(happened, record=DONE)) == []


def test_a_run_that_was_claimed_after_the_answer_to_its_revoke_is_found() -> None:
    for happened in ("revoked", "flagged", "fenced", "terminating"):
        assert verdicts(revoked(happened, at=0.5)) == ["revoked"]


def test_what_was_said_to_be_revoked_must_end_so() -> None:
    for happened in ("revoked", "fenced"):
        assert check(revoked(happened)) == []
        assert verdicts(revoked(happened, record=DONE)) == ["wrong"]


def test_what_was_said_to_have_ended_or_was_not_revoked_ends_in_its_own_way() -> None:
    assert check(revoked("ended", record=DONE)) == []
    assert verdicts(revoked("ended")) == ["wrong"]
    assert verdicts(history(CLAIM, record=REVOKED)) == ["wrong"]


def test_only_what_nobody_owns_is_ended_from_outside() -> None:
    outside = Write("a", None, None, "done", state="REVOKED", at=1.4)
    waits = Write("a", "t1", "t1", "retry", open_at=0, at=1.2)
    for writes, found in (
        ([outside], []),
        ([CLAIM, waits, outside], []),
        ([CLAIM, outside], ["overlap"]),
    ):
        told = History(
            [SENT],
            [Run("a", "t1", 1.0)],
            writes,
            {"a": REVOKED},
            revokes=revoked("revoked").revokes,
        )
        assert verdicts(told) == found
    assert "overlap" in verdicts(history(outside, record=REVOKED))


def test_a_revoke_may_fence_off_a_run_and_nothing_else_may_take_its_lease() -> None:
    fence = Write("a", "t9", "t9", "done", state="REVOKED", at=1.4)
    told = revoked("fenced")
    assert (
        check(History(told.sent, told.runs, [CLAIM, fence], told.records, revokes=told.revokes))
        == []
    )
    assert verdicts(history(CLAIM, fence, record=REVOKED)) == ["overlap", "wrong"]


def test_a_revoke_after_which_another_ending_is_recorded_is_recorded_twice() -> None:
    stopped = Write("a", None, "t9", "done", state="REVOKED", at=1.5)
    told = history(CLAIM, stopped, FINISH)
    assert "twice" in verdicts(told)
