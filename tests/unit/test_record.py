"""The record's transitions: each is one conditional write, and its condition is its meaning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from caraway import states
from caraway.aws.memory import MemoryAws
from caraway.core.claim_check import INLINE_LIMIT_BYTES, Store, keep_text
from caraway.core.endings import TRACEBACK_LIMIT
from caraway.core.errors import ERROR_LIMIT
from caraway.core.message import Message
from caraway.core.port import run_now
from caraway.core.record import DONE, FAILED, HORIZON_S, RETRY, RUNNING, Record, Written
from caraway.core.transitions import Records
from caraway.requests.dynamodb import UpdateItem
from caraway.requests.items import Item

RECORDS = Records("tasks")
NOW = 1_000.0
MESSAGE = Message("i", "t", (1,), attempt=1)
OTHER = Message("i", "t", (2,), attempt=1)
OK = Written(states.SUCCESS, "1")
ERROR = Written(states.FAILURE, "{}", "Traceback", "{}")


def item(phase: str, **attributes: Any) -> Item:
    return {"id": "i", "phase": phase, "digest": MESSAGE.digest, "attempt": 1, **attributes}


def running(**attributes: Any) -> Item:
    return item(RUNNING, token="mine", open_at=NOW + 10, held=1, lost=0) | attributes


def retry(**attributes: Any) -> Item:
    return item(RETRY, token="old", open_at=0, held=0, lost=0) | attributes


def failed(**attributes: Any) -> Item:
    return item(FAILED, token="old", open_at=0, held=0, lost=0) | attributes


def done(**attributes: Any) -> Item:
    return item(DONE, token="old") | attributes


def claim(message: Message = MESSAGE, **options: Any) -> UpdateItem:
    return RECORDS.claim(message, "new", NOW, 60, **options)


def holds(request: UpdateItem, before: Item) -> bool:
    return request.condition.holds(before)


def after(request: UpdateItem, before: Item) -> Item:
    assert holds(request, before)
    return request.change.apply(before)


# -- claims ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "claimable"),
    [
        ({}, True),
        (running(), False),
        (running(open_at=NOW), True),
        (running(open_at=0, attempt=2), False),
        (retry(), True),
        (retry(attempt=2), False),
        (failed(), True),
        (failed(attempt=2), False),
        (done(), False),
        (retry(digest=OTHER.digest), False),
    ],
)
def test_a_claim_takes_what_nobody_holds_and_nothing_later_was_asked_for(
    before: Item, claimable: bool
) -> None:
    assert holds(claim(), before) is claimable


def test_a_claim_takes_a_record_whose_digest_is_not_known_yet() -> None:
    before = retry()
    del before["digest"]
    assert after(claim(), before)["digest"] == MESSAGE.digest


@pytest.mark.parametrize(
    ("before", "claimable"),
    [
        ({}, True),
        (running(open_at=0, attempt=7), True),
        (running(attempt=7), False),
        (retry(attempt=7), True),
        (failed(attempt=7), False),
        (failed(attempt=1), True),
        (done(), False),
    ],
)
def test_on_fifo_the_record_counts_the_attempts(before: Item, claimable: bool) -> None:
    assert holds(claim(fifo=True), before) is claimable


def test_on_fifo_a_claim_keeps_the_records_attempt() -> None:
    assert after(claim(fifo=True), retry(attempt=7))["attempt"] == 7
    assert after(claim(fifo=True), {})["attempt"] == 1


def test_a_message_older_than_records_are_kept_needs_a_record() -> None:
    assert not holds(claim(may_create=False), {})
    assert holds(claim(may_create=False), retry())


def test_a_claim_holds_a_lease_and_draws_a_token() -> None:
    claimed = after(claim(shown={"state": states.STARTED, "queue": "q"}), {})
    assert (claimed["phase"], claimed["token"]) == (RUNNING, "new")
    assert (claimed["open_at"], claimed["held"], claimed["lost"]) == (NOW + 60, 1, 0)
    assert (claimed["state"], claimed["queue"]) == (states.STARTED, "q")


def test_a_takeover_counts_the_worker_that_was_lost() -> None:
    once = after(claim(), running(open_at=0))
    assert once["lost"] == 1
    assert after(claim(), {**once, "open_at": 0})["lost"] == 2


def test_a_claim_after_a_retry_or_a_release_counts_nobody() -> None:
    assert after(claim(), retry(lost=1))["lost"] == 1


def test_a_claim_takes_away_what_an_earlier_ending_left() -> None:
    before = failed(
        result="{}", traceback="T", message="{}", done_at=1, expires_at=2, meta="{}", retry="{}"
    )
    claimed = after(claim(), before)
    assert (
        set(claimed) & {"result", "traceback", "message", "done_at", "expires_at", "meta"} == set()
    )
    assert claimed["retry"] == "{}"


# -- under a claim ---------------------------------------------------------------------------

UNDER_CLAIM: dict[str, UpdateItem] = {
    "finish": RECORDS.finish(MESSAGE, "mine", NOW, OK, None),
    "retry": RECORDS.retry("i", "mine", NOW, attempt=2, open_at=0, changes="{}", written=ERROR),
    "release": RECORDS.release("i", "mine", NOW),
    "give_up": RECORDS.give_up("i", "mine", NOW),
    "heartbeat": RECORDS.heartbeat("i", "mine", NOW, 60),
    "update_state": RECORDS.update_state("i", "mine", NOW, "HALF", "{}"),
    "dead_letter": RECORDS.dead_letter(MESSAGE, "mine", NOW, ERROR),
}


@pytest.mark.parametrize("name", UNDER_CLAIM)
def test_whoever_runs_it_may_write_even_after_its_lease_while_nobody_took_over(name: str) -> None:
    assert holds(UNDER_CLAIM[name], running())
    assert holds(UNDER_CLAIM[name], running(open_at=0, revoked="terminate"))


@pytest.mark.parametrize("name", UNDER_CLAIM)
@pytest.mark.parametrize(
    "before",
    [
        {},
        running(token="another's"),
        retry(token="mine"),
        failed(token="mine"),
        done(token="mine"),
    ],
)
def test_whoever_was_overtaken_or_has_ended_writes_nothing(name: str, before: Item) -> None:
    assert not holds(UNDER_CLAIM[name], before)


def test_a_finished_record_is_closed_for_good() -> None:
    finish = RECORDS.finish(MESSAGE, "mine", NOW, OK, NOW + 5)
    ended = after(finish, running(retry="{}", meta="{}"))
    assert (ended["phase"], ended["state"], ended["result"]) == (DONE, states.SUCCESS, "1")
    assert (ended["done_at"], ended["expires_at"], ended["token"]) == (NOW, NOW + 5, "mine")
    assert set(ended) & {"open_at", "held", "retry", "meta"} == set()


@pytest.mark.parametrize("attempt", range(4))
@pytest.mark.parametrize("fifo", [False, True])
def test_no_claim_and_no_ending_takes_a_finished_record(attempt: int, fifo: bool) -> None:
    message = Message("i", "t", (1,), attempt=attempt)
    writes = [
        RECORDS.claim(message, "new", NOW, 60, fifo=fifo),
        RECORDS.finish(message, "new", NOW, OK, None, claimed=False),
        RECORDS.dead_letter(message, "new", NOW, ERROR, claimed=False),
        RECORDS.revoke("i", NOW, "revoke", OK, None),
        RECORDS.flag_revoked("i", NOW, "terminate"),
        RECORDS.fence_off("i", "mine", "new", NOW, "terminate", OK, None),
    ]
    assert not any(holds(write, done()) for write in writes)


def test_a_retry_hands_the_record_on_and_keeps_what_changes() -> None:
    write = RECORDS.retry(
        "i", "mine", NOW, attempt=2, open_at=7, changes='{"retries":1}', written=ERROR
    )
    handed = after(write, running())
    assert (handed["phase"], handed["attempt"], handed["open_at"]) == (RETRY, 2, 7)
    assert (handed["held"], handed["retry"]) == (0, '{"retries":1}')


def test_a_replacement_hands_the_id_on_and_the_replaced_task_cannot_have_it_back() -> None:
    write = RECORDS.replace("i", "mine", NOW, attempt=2, changes="[]", written=Written("PENDING"))
    handed = after(write, running(lost=2))
    assert (handed["phase"], handed["attempt"], handed["open_at"]) == (RETRY, 2, 0)
    assert (handed["replaced"], handed["lost"], handed["retry"]) == (2, 0, "[]")
    other = replace(MESSAGE, attempt=2, replaced_at=2)
    for fifo in (False, True):
        assert not holds(claim(fifo=fifo), handed)
        assert after(claim(other, fifo=fifo), handed)["replaced"] == 2
    # On FIFO the one message of what takes the place stays through all attempts.
    assert holds(claim(other, fifo=True), {**handed, "attempt": 5})


def test_what_takes_a_place_and_is_never_sent_fails_where_its_record_waits_for_it() -> None:
    other = replace(MESSAGE, attempt=1, replaced_at=2)
    write = RECORDS.fail_unsent(other, NOW, ERROR)
    assert Record.read(after(write, retry(attempt=2, replaced=2))).is_unsent
    assert not holds(write, retry(attempt=3, replaced=2))
    assert not holds(RECORDS.fail_unsent(MESSAGE, NOW, ERROR), retry(attempt=2))


def test_a_release_gives_the_claim_back_and_loses_nobody() -> None:
    released = after(RECORDS.release("i", "mine", NOW), running())
    assert (released["phase"], released["attempt"], released["open_at"]) == (RETRY, 1, 0)
    assert after(claim(), released)["lost"] == 0


@pytest.mark.parametrize("held", [1, 0])  # 0: it was claimed ahead of its run
def test_a_claim_after_a_process_was_lost_is_a_takeover_and_counts_it(held: int) -> None:
    given_up = after(RECORDS.give_up("i", "mine", NOW), running(held=held))
    assert (given_up["phase"], given_up["open_at"]) == (RUNNING, 0)
    taken = after(claim(), given_up)
    assert (taken["token"], taken["lost"]) == ("new", 1)


def test_a_heartbeat_renews_the_lease_and_the_horizon() -> None:
    renewed = after(RECORDS.heartbeat("i", "mine", NOW + 8, 60), running(revoked="terminate"))
    assert (renewed["open_at"], renewed["ttl"]) == (NOW + 68, NOW + 8 + HORIZON_S)
    assert renewed["revoked"] == "terminate"


def test_a_dead_letter_waits_for_a_redrive_which_asks_for_the_next_attempt() -> None:
    letter = after(
        RECORDS.dead_letter(MESSAGE, "mine", NOW, ERROR), running(lost=4, retry="{}", meta="{}")
    )
    assert (letter["phase"], letter["attempt"], letter["open_at"]) == (FAILED, 2, 0)
    assert (letter["held"], letter["lost"], letter["retry"]) == (0, 0, "{}")
    assert not holds(claim(), letter)
    redriven = after(claim(MESSAGE.next_attempt()), letter)
    assert (redriven["phase"], redriven["attempt"], redriven["lost"]) == (RUNNING, 2, 0)


# -- without a claim -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        RECORDS.finish(MESSAGE, "new", NOW, OK, None, claimed=False),
        RECORDS.dead_letter(MESSAGE, "new", NOW, ERROR, claimed=False),
    ],
)
def test_an_ending_without_a_claim_happens_where_a_claim_could_be_had(write: UpdateItem) -> None:
    for before in ({}, retry(), failed(), running(open_at=0)):
        ended = after(write, before)
        assert (ended["token"], ended["digest"]) == ("new", MESSAGE.digest)
    for before in (running(), done(), failed(attempt=2), retry(digest=OTHER.digest)):
        assert not holds(write, before)


@pytest.mark.parametrize(
    ("before", "happens"), [({}, True), (retry(), True), (running(), False), (failed(), False)]
)
def test_a_revoke_ends_what_does_not_run(before: Item, happens: bool) -> None:
    assert (
        holds(RECORDS.revoke("i", NOW, "revoke", Written(states.REVOKED), None), before) is happens
    )


def test_a_revoke_of_what_runs_is_a_flag_that_the_next_claim_sees() -> None:
    flag = RECORDS.flag_revoked("i", NOW, "terminate")
    assert not holds(flag, retry())
    flagged = after(flag, running(open_at=0))
    assert Record.read(after(claim(), flagged)).revoked == "terminate"


def test_forgetting_hides_what_has_ended_and_nothing_else() -> None:
    forget = RECORDS.forget("i", NOW)
    assert after(forget, done(result="5")) == done(result="5", expires_at=NOW)
    assert holds(forget, failed())
    for before in ({}, running(), retry()):
        assert not holds(forget, before)


# -- all of them -----------------------------------------------------------------------------


@pytest.mark.parametrize("write", [claim(), *UNDER_CLAIM.values()])
def test_every_write_keeps_the_record_beyond_the_longest_retention(write: UpdateItem) -> None:
    assert write.change.assign["ttl"] == NOW + HORIZON_S
    assert HORIZON_S > 14 * 86_400


def test_a_record_is_read_from_an_item_and_passes_over_what_it_does_not_know() -> None:
    record = Record.read({**running(), "ttl": 5, "of_a_later_version": 1})
    assert (record.id, record.phase, record.attempt) == ("i", RUNNING, 1)


def test_an_absent_item_is_a_record_without_a_phase() -> None:
    assert Record.read({}).phase is None


BIG: Final = "\N{GRINNING FACE}"


def worst_item(*transitions: str) -> dict[str, Any]:
    """Return the item after transitions whose every part is as long as it may be, no bucket."""
    aws, store = MemoryAws(), Store(bucket=None)
    full = {
        kind: run_now(keep_text(aws, store, "i", "t", "x" * limit, kind))
        for kind, limit in INLINE_LIMIT_BYTES.items()
    }
    error = BIG * ERROR_LIMIT
    traceback = BIG * TRACEBACK_LIMIT
    message = replace(MESSAGE, task="t" * 200)
    writes = {
        "claim": RECORDS.claim(message, "t", NOW, 0),
        "show": RECORDS.update_state(message.id, "t", NOW, "MINE", full["meta"]),
        "retry": RECORDS.retry(
            message.id,
            "t",
            NOW,
            attempt=0,
            open_at=0,
            changes=full["retry"],
            written=Written("RETRY", error, traceback),
        ),
        "succeed": RECORDS.finish(message, "t", NOW, Written("SUCCESS", full["result"]), NOW),
        "fail": RECORDS.finish(
            message, "t", NOW, Written("FAILURE", error, traceback, full["message"]), NOW
        ),
        "dead-letter": RECORDS.dead_letter(
            message, "t", NOW, Written("FAILURE", error, traceback, full["message"])
        ),
    }
    for name in transitions:
        run_now(aws.perform(writes[name]))
    return aws.item(RECORDS.table, message.id) or {}


@pytest.mark.parametrize(
    "transitions",
    [
        "claim show",
        "claim show retry",
        "claim retry claim show",
        "claim show retry claim show retry",
        "claim retry claim show succeed",
        "claim retry claim show fail",
        "claim retry claim show dead-letter",
    ],
)
def test_no_transition_makes_an_item_that_dynamodb_refuses(transitions: str) -> None:
    item = worst_item(*transitions.split())
    size = sum(len(str(name).encode()) + len(str(value).encode()) for name, value in item.items())
    assert size < 400 * 1_024


def test_a_retry_takes_what_was_shown_away() -> None:
    assert "meta" in worst_item("claim", "show")
    assert "meta" not in worst_item("claim", "show", "retry")
